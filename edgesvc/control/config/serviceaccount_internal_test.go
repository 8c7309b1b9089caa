package config

import (
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/fleet"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/record/recordtest"
	"github.com/mezusphere/mezu/edgesvc/identity"
)

// shop is a project with a service account, and the owner of its organization.
type shop struct {
	*Configuration
	owner access.Caller
	path  access.Path
}

func newShop(t *testing.T) (*shop, record.Record[access.Account]) {
	t.Helper()
	r := recordtest.Open(t, time.Now, nil)
	a := access.New(r)
	s := &shop{Configuration: New(r, a, identity.New(r, a), fleet.New(r, a, fleet.Config{Domain: "localhost"})), owner: access.Caller{Kind: access.Member, ID: "opr_x"},
		path: access.Path{Organization: "acme", Project: "shop", Item: "gate"}}
	org := mezu.Organization{Meta: r.Meta(mezu.PrefixOrganization), Name: "acme"}
	_, err := r.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		ch.Create(access.KeyOrganization(org.Name), org)
		ch.Create(record.KeyID(org.ID), access.KeyOrganization(org.Name))
		ch.Create(access.KeyMember(org.ID, s.owner.ID), mezu.Member{Person: s.owner.ID, Role: mezu.RoleOwner})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	prj, err := s.CreateProject(t.Context(), s.owner, s.path, mezu.Project{Name: "shop"}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateServiceAccount(t.Context(), s.owner, s.path, mezu.ServiceAccount{Name: s.path.Item, Permissions: []mezu.Permission{mezu.PermWarpgateRegister}}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	acc, err := record.Get[access.Account](t.Context(), r, access.AccountsOf(prj.ID)+s.path.Item)
	if err != nil {
		t.Fatal(err)
	}
	return s, acc
}

func (s *shop) left(t *testing.T, key string) bool {
	t.Helper()
	rec, err := record.Optional[any](t.Context(), s.records, key)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Revision != 0
}

// A key that is used while its account is deleted leaves no record of its use.
func TestNoteUse_OfADeletedAccount(t *testing.T) {
	p, acc := newShop(t)
	p.noteUse(t.Context(), acc)
	if !p.left(t, keyUsed(acc.Value.Account.ID)) {
		t.Error("no use was noted")
	}
	if err := p.DeleteServiceAccount(t.Context(), p.owner, p.path, 0); err != nil {
		t.Fatal(err)
	}
	p.noteUse(t.Context(), acc)
	if p.left(t, keyUsed(acc.Value.Account.ID)) {
		t.Error("a record of use is left behind")
	}
}

// An account that is deleted while its project is leaves no counters of that project.
func TestDeleteServiceAccount_OfADeletedProject(t *testing.T) {
	p, acc := newShop(t)
	prj, err := record.ByID[mezu.Project](t.Context(), p.records, acc.Value.Project)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
		for _, key := range []string{prj.Key, record.KeyID(prj.Value.ID), record.KeyChildren(prj.Value.ID)} {
			ch.Drop(key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.removeAccount(t.Context(), record.Internal(), acc.Key, 0); err == nil {
		t.Error("an account of no project was deleted")
	}
	if p.left(t, record.KeyChildren(prj.Value.ID)) {
		t.Error("counters are left behind")
	}
}
