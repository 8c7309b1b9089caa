package service

import (
	"testing"

	"github.com/mezusphere/mezu"
)

// newAccount makes a service account of the pool's project and gives it as it is kept.
func (p *pool) newAccount(t *testing.T) (Place, found[account]) {
	t.Helper()
	place := Place{Organization: "acme", Project: "shop", Item: "gate"}
	_, err := p.CreateServiceAccount(t.Context(), p.owner, place, mezu.ServiceAccount{Name: place.Item, Permissions: []mezu.Permission{mezu.PermWarpgateRegister}}, Once{})
	if err != nil {
		t.Fatal(err)
	}
	prj, err := p.GetProject(t.Context(), p.owner, place)
	if err != nil {
		t.Fatal(err)
	}
	acc, err := get[account](t.Context(), p.Service.records, accountsOf(prj.ID)+place.Item)
	if err != nil {
		t.Fatal(err)
	}
	return place, acc
}

// A key that is used while its account is deleted leaves no record of its use.
func TestNoteUse_OfADeletedAccount(t *testing.T) {
	p := newPool(t, nil)
	place, acc := p.newAccount(t)
	p.noteUse(t.Context(), acc)
	if !p.left(t, keyUsed(acc.Value.Account.ID)) {
		t.Error("no use was noted")
	}
	if err := p.DeleteServiceAccount(t.Context(), p.owner, place, 0); err != nil {
		t.Fatal(err)
	}
	p.noteUse(t.Context(), acc)
	if p.left(t, keyUsed(acc.Value.Account.ID)) {
		t.Error("a record of use is left behind")
	}
}

// An account that is deleted while its project is leaves no counters of that project.
func TestDeleteServiceAccount_OfADeletedProject(t *testing.T) {
	p := newPool(t, nil)
	_, acc := p.newAccount(t)
	prj, err := byID[mezu.Project](t.Context(), p.Service.records, acc.Value.Project)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.records.commit(t.Context(), internal(), func(ch *change) error {
		for _, key := range []string{prj.Key, keyID(prj.Value.ID), keyChildren(prj.Value.ID)} {
			ch.drop(key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.removeAccount(t.Context(), internal(), acc.Key, 0); err == nil {
		t.Error("an account of no project was deleted")
	}
	if p.left(t, keyChildren(prj.Value.ID)) {
		t.Error("counters are left behind")
	}
}
