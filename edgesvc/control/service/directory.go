package service

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// ListDirectories lists those of a project, or those of an organization that
// belong to none of its projects.
func (s *Identity) ListDirectories(ctx context.Context, c Caller, p Place, page Paging) (api.List[mezu.Directory], error) {
	sc, err := s.access.inOwner(ctx, c, p.either(api.OpListDirectories, api.OpListOrganizationDirectories), p)
	if err != nil {
		return api.List[mezu.Directory]{}, err
	}
	return list(ctx, s.records, directoriesOf(sc.owner), page, func(f found[mezu.Directory]) (mezu.Directory, error) { return f.Value, nil })
}

// CreateDirectory makes a directory without users.
func (s *Identity) CreateDirectory(ctx context.Context, c Caller, p Place, in mezu.Directory, o Once) (mezu.Directory, error) {
	var out mezu.Directory
	op := p.either(api.OpCreateDirectory, api.OpCreateOrganizationDirectory)
	_, err := s.records.commit(ctx, by(c, op.ID), func(ch *change) error {
		sc, err := s.access.inOwner(ctx, c, op, p)
		if err != nil {
			return err
		}
		out, err = once(ctx, s.records, ch, by(c, op.ID), o, false, func() (mezu.Directory, error) {
			return s.addDirectory(ctx, ch, sc, in)
		})
		return err
	})
	return out, err
}

func (s *Identity) addDirectory(ctx context.Context, ch *change, sc scope, in mezu.Directory) (mezu.Directory, error) {
	if err := in.Validate(); err != nil {
		return in, err
	}
	key := directoriesOf(sc.owner) + in.Name
	if err := s.records.free(ctx, key, "directory", in.Name); err != nil {
		return in, err
	}
	in.Meta, in.Organization, in.Project = s.records.meta(mezu.PrefixDirectory), sc.organization.Value.Name, sc.project.Value.Name
	ch.create(key, in)
	ch.create(keyID(in.ID), key)
	ch.audit(sc.target(kindDirectory, in.ID, in.Name), nil, in)
	if sc.project.Key != "" {
		ch.require(sc.project.Key, sc.project.Revision)
	}
	ch.require(sc.organization.Key, sc.organization.Revision)
	return in, s.records.add(ctx, ch, sc.owner, quotaDirectories, func(n *children) *int { return &n.Directories })
}

// GetDirectory reads one.
func (s *Identity) GetDirectory(ctx context.Context, c Caller, p Place) (mezu.Directory, error) {
	sc, err := s.access.inDirectory(ctx, c, p.either(api.OpGetDirectory, api.OpGetOrganizationDirectory), p)
	return sc.directory.Value, err
}

// directoryToChange admits the caller to the change of a directory.
func (s *Identity) directoryToChange(ctx context.Context, c Caller, op api.Operation, p Place, ifMatch uint64) (scope, error) {
	sc, err := s.access.inDirectory(ctx, c, op, p)
	if err == nil {
		err = matches(ifMatch, sc.directory.Revision)
	}
	return sc, err
}

// UpdateDirectory changes one; its name and owner are fixed.
func (s *Identity) UpdateDirectory(ctx context.Context, c Caller, p Place, ifMatch uint64, with func(*mezu.Directory) error) (mezu.Directory, error) {
	var out mezu.Directory
	op := p.either(api.OpUpdateDirectory, api.OpUpdateOrganizationDirectory)
	_, err := s.records.commit(ctx, by(c, op.ID), func(ch *change) error {
		sc, err := s.directoryToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir := sc.directory
		out = dir.Value
		if err := with(&out); err != nil {
			return err
		}
		if err := fixedName(dir.Value.Name, out.Name); err != nil {
			return err
		}
		if err := out.Validate(); err != nil {
			return err
		}
		out.Organization, out.Project = dir.Value.Organization, dir.Value.Project
		out.Meta = s.records.touch(dir.Value.Meta, dir.Revision)
		ch.update(dir.Key, dir.Revision, out)
		ch.audit(sc.target(kindDirectory, out.ID, out.Name), dir.Value, out)
		return nil
	})
	return out, err
}

// DeleteDirectory removes a directory that has no users and that no environment
// names.
func (s *Identity) DeleteDirectory(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	op := p.either(api.OpDeleteDirectory, api.OpDeleteOrganizationDirectory)
	_, err := s.records.commit(ctx, by(c, op.ID), func(ch *change) error {
		sc, err := s.directoryToChange(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		dir := sc.directory
		ch.audit(sc.target(kindDirectory, dir.Value.ID, dir.Value.Name), dir.Value, nil)
		return s.dropDirectory(ctx, ch, sc.owner, dir)
	})
	return err
}

// dropDirectory plans the end of an owner's directory, if it may come to it.
func (s *Identity) dropDirectory(ctx context.Context, ch *change, owner string, dir found[mezu.Directory]) error {
	id := dir.Value.ID
	below, err := s.records.counters(ctx, ch, id)
	if err != nil {
		return err
	}
	if below.Value.Environments > 0 {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: "an environment names the directory", Hint: "give each environment that names it another `directory`, or null, first"}
	}
	below.gone = true
	if below.Value.HadUsers {
		if err := s.withoutUsers(ctx, ch, id); err != nil {
			return err
		}
	}
	ch.remove(dir.Key, dir.Revision)
	ch.drop(keyID(id))
	return s.records.count(ctx, ch, owner, func(n *children) { n.Directories-- })
}

// nameDirectory plans what follows when an environment that was one thing becomes
// another: the directory that it names is found and counts that it is named.
// A name that stays keeps its meaning.
func (s *Identity) nameDirectory(ctx context.Context, ch *change, sc scope, was mezu.Environment, is *mezu.Environment) error {
	is.DirectoryID = was.DirectoryID
	if is.Directory == was.Directory {
		return nil
	}
	if was.DirectoryID != "" {
		if err := s.records.count(ctx, ch, was.DirectoryID, func(n *children) { n.Environments-- }); err != nil {
			return err
		}
	}
	is.DirectoryID = ""
	if is.Directory == "" {
		return nil
	}
	own := directoriesOf(sc.project.Value.ID) + is.Directory
	if made, ok, err := planned[mezu.Directory](ch, own); ok || err != nil {
		is.DirectoryID = made.ID
		return errors.Join(err, s.records.count(ctx, ch, made.ID, func(n *children) { n.Environments++ }))
	}
	dir, err := optional[mezu.Directory](ctx, s.records, own)
	if err == nil && dir.Revision == 0 {
		dir, err = optional[mezu.Directory](ctx, s.records, directoriesOf(sc.organization.Value.ID)+is.Directory)
	}
	if err != nil {
		return err
	}
	if dir.Revision == 0 {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "directory", Detail: "neither the project nor the organization has a directory named " + is.Directory,
			Hint: "create it first: POST " + api.OpCreateDirectory.Path}
	}
	is.DirectoryID = dir.Value.ID
	ch.require(dir.Key, dir.Revision)
	return s.records.count(ctx, ch, dir.Value.ID, func(n *children) { n.Environments++ })
}
