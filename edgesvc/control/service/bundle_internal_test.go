package service

import (
	"testing"

	"github.com/mezusphere/mezu"
)

// The last word on an environment is said again under the keys and in the epoch of now:
// an edge that was away during a rotation or a restore must not keep the environment.
func TestRemovedEnvironmentOutlivesRotationAndRestore(t *testing.T) {
	p := newPool(t)
	place := Place{Organization: "acme", Project: "shop", Environment: "staging"}
	env, err := p.CreateEnvironment(t.Context(), p.owner, place, mezu.Environment{Name: place.Environment}, Once{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteEnvironment(t.Context(), p.owner, place, 0); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]func(*streamRecord){
		"of a key that was rotated out": func(r *streamRecord) { r.KeyID = "another" },
		"of before a restore":           func(r *streamRecord) { r.Position.Epoch-- },
	} {
		was, err := get[streamRecord](t.Context(), p.Service, keyBundle(env.ID))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		age(&was.Value)
		_, err = p.commit(t.Context(), internal, func(ch *change) error {
			ch.update(was.Key, was.Revision, was.Value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.openStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		is, err := get[streamRecord](t.Context(), p.Service, was.Key)
		if err != nil {
			t.Errorf("%s: the last word is gone: %v", name, err)
			continue
		}
		signed, err := p.signed(t.Context(), is.Value)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.anchor.OpenBundle(signed)
		if err != nil || !b.Removed || b.Environment != env.ID || b.Position.Compare(was.Value.Position) <= 0 || b.Position.Epoch != p.epoch {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}
