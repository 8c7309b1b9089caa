package identity

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// importOps is how many operations of a transaction are for users: all but the one for the
// count and one for the note, in the first transaction, that there is a count.
const importOps = store.MaxOps - 2

// ImportUsers makes users of a directory, as many in a transaction as fit, which takes a
// fraction of the time of single creations. It is for moving in a directory and for measuring.
// No operation of the API reaches it, and it leaves no audit record. It returns how many users
// it made: if it fails, the first ones.
func (s *Identity) ImportUsers(ctx context.Context, p access.Path, in []mezu.User) (int, error) {
	made := 0
	for made < len(in) {
		n := importable(in[made:])
		if _, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error { return s.planImport(ctx, ch, p, in[made:made+n]) }); err != nil {
			return made, err
		}
		made += n
	}
	return made, nil
}

// importable is how many of the users fit one transaction, one at least.
func importable(in []mezu.User) int {
	ops := 0
	for i, u := range in {
		// The user, its mail, its status, and two for each role.
		if ops += 3 + 2*len(u.Roles); ops > importOps {
			return max(i, 1)
		}
	}
	return len(in)
}

func (s *Identity) planImport(ctx context.Context, ch *record.Change, p access.Path, in []mezu.User) error {
	var sc access.Scope
	var err error
	if sc.Organization, err = record.Child[mezu.Organization](ctx, s.records, access.PrefixOrganization, p.Organization, "organization", ""); err != nil {
		return err
	}
	sc.Owner = sc.Organization.Value.ID
	if p.Project != "" {
		if sc.Project, err = record.Child[mezu.Project](ctx, s.records, access.ProjectsOf(sc.Owner), p.Project, "project", ""); err != nil {
			return err
		}
		sc.Owner = sc.Project.Value.ID
	}
	if sc.Directory, err = record.Child[mezu.Directory](ctx, s.records, access.DirectoriesOf(sc.Owner), p.Directory, "directory", ""); err != nil {
		return err
	}
	mails := map[string]bool{}
	for i, u := range in {
		mail := NormalizeMail(u.Profile.Email)
		if mails[mail] {
			return &mezu.Error{Code: mezu.CodeConflict, Field: "profile.email", Detail: mail + " is given twice"}
		}
		mails[mail] = true
		if in[i], err = s.newUser(ctx, ch, sc, u); err != nil {
			return err
		}
	}
	return s.countUsers(ctx, ch, sc.Directory.Value.ID, in[0].ID, len(in))
}
