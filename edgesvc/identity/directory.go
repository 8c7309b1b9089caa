package identity

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// ListDirectories lists the directories of a project, or those of an organization that belong
// to none of its projects.
func (s *Identity) ListDirectories(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Directory], error) {
	sc, err := s.access.InOwner(ctx, c, p.Either(api.OpListDirectories, api.OpListOrganizationDirectories), p)
	if err != nil {
		return api.List[mezu.Directory]{}, err
	}
	return record.List(ctx, s.records, access.DirectoriesOf(sc.Owner), page, func(f record.Record[mezu.Directory]) (mezu.Directory, error) { return f.Value, nil })
}

// CreateDirectory makes a directory without users.
func (s *Identity) CreateDirectory(ctx context.Context, c access.Caller, p access.Path, in mezu.Directory, o record.Idempotency) (api.DirectoryWritten, error) {
	var out mezu.Directory
	op := p.Either(api.OpCreateDirectory, api.OpCreateOrganizationDirectory)
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.access.InOwner(ctx, c, op, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Directory, error) {
			return s.AddDirectory(ctx, ch, sc, in)
		})
		return err
	})
	return api.DirectoryWritten{Directory: out, Warnings: out.Warnings()}, err
}

// AddDirectory adds a new directory to a change. Its owner is the project of the scope if there
// is one, else the organization.
func (s *Identity) AddDirectory(ctx context.Context, ch *record.Change, sc access.Scope, in mezu.Directory) (mezu.Directory, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	key := access.DirectoriesOf(sc.Owner) + in.Name
	if err := s.records.RefuseTaken(ctx, key, "directory", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization, in.Project = s.records.Meta(mezu.PrefixDirectory), sc.Organization.Value.Name, sc.Project.Value.Name
	ch.Create(key, in)
	ch.Create(record.KeyID(in.ID), key)
	ch.Audit(sc.Target(record.KindDirectory, in.ID, in.Name), nil, in)
	if sc.Project.Key != "" {
		ch.Require(sc.Project.Key, sc.Project.Revision)
	}
	ch.Require(sc.Organization.Key, sc.Organization.Revision)
	return in, s.records.CountUp(ctx, ch, sc.Owner, quotaDirectories, func(n *record.Children) *int { return &n.Directories })
}

// GetDirectory reads one.
func (s *Identity) GetDirectory(ctx context.Context, c access.Caller, p access.Path) (mezu.Directory, error) {
	sc, err := s.access.InDirectory(ctx, c, p.Either(api.OpGetDirectory, api.OpGetOrganizationDirectory), p)
	return sc.Directory.Value, err
}

// directoryToChange admits the caller to the change of a directory.
func (s *Identity) directoryToChange(ctx context.Context, c access.Caller, op api.Operation, p access.Path, ifMatch uint64) (access.Scope, error) {
	sc, err := s.access.InDirectory(ctx, c, op, p)
	if err == nil {
		err = record.CheckRevision(ifMatch, sc.Directory.Revision)
	}
	return sc, err
}

// UpdateDirectory changes one; its name and owner are fixed. What environments' bundles say of
// it reaches them before the call returns.
func (s *Identity) UpdateDirectory(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64, with func(*mezu.Directory) error) (api.DirectoryWritten, error) {
	var out mezu.Directory
	var tasks []record.Task
	op := p.Either(api.OpUpdateDirectory, api.OpUpdateOrganizationDirectory)
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		tasks = nil
		sc, err := s.directoryToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir := sc.Directory
		out = dir.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := record.FixedName(dir.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization, out.Project, out.Brand.Logo = dir.Value.Organization, dir.Value.Project, dir.Value.Brand.Logo
		out.Meta = s.records.Touch(dir.Value.Meta, dir.Revision)
		ch.Update(dir.Key, dir.Revision, out)
		ch.Audit(sc.Target(record.KindDirectory, out.ID, out.Name), dir.Value, out)
		if TellsBundles(dir.Value, out) {
			tasks = append(tasks, BundlesOf(sc, out.ID))
			ch.Enqueue(tasks[0])
		}
		return nil
	})
	if err == nil {
		err = s.records.FinishAll(ctx, tasks)
	}
	return api.DirectoryWritten{Directory: out, Warnings: out.Warnings()}, err
}

// TellsBundles reports whether the bundles of environments that name a directory say something
// else after this change of it.
func TellsBundles(was, is mezu.Directory) bool {
	return (was.MFA == mezu.MFARequired) != (is.MFA == mezu.MFARequired)
}

// BundlesOf is the task to publish the bundles of the environments that name a directory of
// the scope's owner.
func BundlesOf(sc access.Scope, directory string) record.Task {
	return record.Task{Kind: record.TaskDirectory, ID: directory, Organization: sc.Organization.Value.ID, Project: sc.Project.Value.ID}
}

// DeleteDirectory removes a directory that has no users and that no environment
// names.
func (s *Identity) DeleteDirectory(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	op := p.Either(api.OpDeleteDirectory, api.OpDeleteOrganizationDirectory)
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, err := s.directoryToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir := sc.Directory
		ch.Audit(sc.Target(record.KindDirectory, dir.Value.ID, dir.Value.Name), dir.Value, nil)
		return s.DropDirectory(ctx, ch, sc, dir)
	})
	return err
}

// namedBy says which environment of the directory's project names it. Those of a directory of the
// organization may be in any project, and are not looked for.
func (s *Identity) namedBy(ctx context.Context, sc access.Scope, directory string) (string, error) {
	found := "an environment"
	if sc.Project.Value.ID == "" {
		return found, nil
	}
	err := record.Each(ctx, s.records, access.EnvironmentsOf(sc.Project.Value.ID), func(e record.Record[mezu.Environment]) error {
		if e.Value.DirectoryID == directory {
			found = "environment " + e.Value.Name
		}
		return nil
	})
	return found, err
}

// DropDirectory plans the removal of a directory of the scope's owner, if it may be removed.
func (s *Identity) DropDirectory(ctx context.Context, ch *record.Change, sc access.Scope, dir record.Record[mezu.Directory]) error {
	id := dir.Value.ID
	below, err := s.records.Counters(ctx, ch, id)
	if err != nil {
		return err
	}
	if below.Value.Environments > 0 {
		named, err := s.namedBy(ctx, sc, id)
		if err != nil {
			return err
		}
		return &mezu.Error{Code: mezu.CodeConflict, Detail: named + " names the directory", Hint: "give each environment that names it another `directory`, or null, first"}
	}
	below.Gone = true
	if below.Value.HadUsers {
		if err := s.withoutUsers(ctx, ch, id); err != nil {
			return err
		}
	}
	ch.Remove(dir.Key, dir.Revision)
	ch.Drop(record.KeyID(id))
	if dir.Value.Brand.Logo != "" {
		s.dropLogo(ch, sc, id)
	}
	return s.records.Count(ctx, ch, sc.Owner, func(n *record.Children) { n.Directories-- })
}

// NameDirectory plans what a change of an environment means for the directories that it named
// and names: the new one is found by its name, and each counts how often it is named. If the
// name stays, so does the directory, even if another one has that name now.
func (s *Identity) NameDirectory(ctx context.Context, ch *record.Change, sc access.Scope, was mezu.Environment, is *mezu.Environment) error {
	is.DirectoryID = was.DirectoryID
	if is.Directory == was.Directory {
		return nil
	}
	if was.DirectoryID != "" {
		if err := s.records.Count(ctx, ch, was.DirectoryID, func(n *record.Children) { n.Environments-- }); err != nil {
			return err
		}
	}
	is.DirectoryID = ""
	if is.Directory == "" {
		return nil
	}
	own := access.DirectoriesOf(sc.Project.Value.ID) + is.Directory
	if made, ok, err := record.Planned[mezu.Directory](ch, own); ok || err != nil {
		is.DirectoryID = made.ID
		return errors.Join(err, s.records.Count(ctx, ch, made.ID, func(n *record.Children) { n.Environments++ }))
	}
	dir, err := record.Optional[mezu.Directory](ctx, s.records, own)
	if err == nil && dir.Revision == 0 {
		dir, err = record.Optional[mezu.Directory](ctx, s.records, access.DirectoriesOf(sc.Organization.Value.ID)+is.Directory)
	}
	if err != nil {
		return err
	}
	if dir.Revision == 0 {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "directory", Detail: "neither the project nor the organization has a directory named " + is.Directory,
			Hint: "create it first: mezu directories create " + is.Directory}
	}
	is.DirectoryID = dir.Value.ID
	ch.Require(dir.Key, dir.Revision)
	return s.records.Count(ctx, ch, dir.Value.ID, func(n *record.Children) { n.Environments++ })
}
