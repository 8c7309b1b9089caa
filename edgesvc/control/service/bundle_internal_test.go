package service

import (
	"errors"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// heard collects a stream up to where it is in step.
type heard struct{ events []api.StreamEvent }

var errInStep = errors.New("in step")

func (h *heard) KeepAlive() error { return nil }
func (h *heard) End()             {}
func (h *heard) Send(e api.StreamEvent) error {
	h.events = append(h.events, e)
	if e.Kind == api.StreamSynced {
		return errInStep
	}
	return nil
}

// The last word on an environment leaves the stream after a time. Who has not come so
// far gets no part of the stream, but all of it, which says up to where environments
// are gone.
func TestSweepLastWords(t *testing.T) {
	p := newPool(t, nil)
	place := access.Path{Organization: "acme", Project: "shop", Environment: "staging"}
	env, err := p.CreateEnvironment(t.Context(), p.owner, place, mezu.Environment{Name: place.Environment}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	head := func() mezu.Position {
		t.Helper()
		at, err := p.records.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	id := mezu.NewID(mezu.PrefixEdge, p.now)
	stream := func(from mezu.Position) (*heard, error) {
		h := &heard{}
		err := p.StreamEdge(t.Context(), access.Caller{Kind: access.Edge, ID: id}, from, h)
		if errors.Is(err, errInStep) {
			err = nil
		}
		return h, err
	}
	before := head()
	if err := p.DeleteEnvironment(t.Context(), p.owner, place, 0); err != nil {
		t.Fatal(err)
	}
	word, err := record.Get[record.StreamRecord](t.Context(), p.Service.records, record.KeyBundle(env.ID))
	if err != nil {
		t.Fatal(err)
	}
	after := head()
	// While its time is not over, and when it is, until the sweep, it is heard.
	for _, later := range []time.Duration{config.TombstoneLife - time.Minute, 2 * time.Minute} {
		p.now = p.now.Add(later)
		for _, from := range []mezu.Position{before, {}} {
			h, err := stream(from)
			if err != nil || !hears(h, word.Value.Position) {
				t.Errorf("from %s after %s: %+v, %v", from, later, h.events, err)
			}
		}
		if later > time.Hour {
			if err := p.job(t, "sweeping removed environments")(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.job(t, "sweeping removed environments")(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.left(t, record.KeyBundle(env.ID)) {
		t.Error("it is still there")
	}
	if _, err := stream(before); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Errorf("an edge from before goes on as if nothing had been: %v", err)
	}
	if h, err := stream(after); err != nil || hears(h, word.Value.Position) {
		t.Errorf("an edge that heard it can't go on: %v", err)
	}
	h, err := stream(mezu.Position{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range h.events {
		if e.Kind != api.StreamEdges {
			continue
		}
		if l, err := p.Fleet.Anchor.OpenEdges(e.Signed); err != nil || l.Gone != word.Value.Position {
			t.Errorf("the edge list says %+v, %v", l, err)
		}
	}
}

func hears(h *heard, at mezu.Position) bool {
	for _, e := range h.events {
		if e.Kind == api.StreamBundle && e.Position == at {
			return true
		}
	}
	return false
}

// The last word on an environment is said again under the keys and in the epoch of now:
// an edge that was away during a rotation or a restore must not keep the environment.
func TestRemovedEnvironmentOutlivesRotationAndRestore(t *testing.T) {
	p := newPool(t, nil)
	place := access.Path{Organization: "acme", Project: "shop", Environment: "staging"}
	env, err := p.CreateEnvironment(t.Context(), p.owner, place, mezu.Environment{Name: place.Environment}, record.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.DeleteEnvironment(t.Context(), p.owner, place, 0); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]func(*record.StreamRecord){
		"of a key that was rotated out": func(r *record.StreamRecord) { r.KeyID = "another" },
		"of before a restore":           func(r *record.StreamRecord) { r.Position.Epoch-- },
	} {
		was, err := record.Get[record.StreamRecord](t.Context(), p.Service.records, record.KeyBundle(env.ID))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		age(&was.Value)
		_, err = p.records.Commit(t.Context(), record.Internal(), func(ch *record.Change) error {
			ch.Update(was.Key, was.Revision, was.Value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.OpenStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		is, err := record.Get[record.StreamRecord](t.Context(), p.Service.records, was.Key)
		if err != nil {
			t.Errorf("%s: the last word is gone: %v", name, err)
			continue
		}
		signed, err := p.records.Signed(t.Context(), is.Value)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Fleet.Anchor.OpenBundle(signed)
		if err != nil || !b.Removed || b.Environment != env.ID || b.Position.Compare(was.Value.Position) <= 0 || b.Position.Epoch != p.records.Epoch {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}
