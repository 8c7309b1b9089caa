package controltest

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/trust"
)

// DecodeBundle reads a bundle whose signature others verify.
func DecodeBundle(t *testing.T, signed mezu.Signed) mezu.Bundle {
	t.Helper()
	var b mezu.Bundle
	if err := json.Unmarshal(signed.Payload, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// HandUp hands up what an edge holds.
func (in *Installation) HandUp(e *Identity, docs ...mezu.Signed) api.RevocationsTaken {
	in.T.Helper()
	return Call[api.RevocationsTaken](in.T, in.Client("", e.Cert), api.OpEdgeRevocations, api.EdgeRevocations{Revocations: docs})
}

// LostRevocation takes a revocation out of the store, as a restore does, and gives it.
func (in *Installation) LostRevocation(e *Identity) mezu.Signed {
	in.T.Helper()
	s := OpenStream(in.T, in.Client("", e.Cert), mezu.Position{})
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			in.T.Fatal(err)
		}
		var r mezu.Revocation
		if ev.Kind != api.StreamRevocation {
			continue
		}
		if err := json.Unmarshal(ev.Signed.Payload, &r); err != nil {
			in.T.Fatal(err)
		}
		key := "stream/revocation/certificate/" + r.Scope + "/" + r.Subject
		if _, err := in.Store.Commit(in.T.Context(), store.Txn{Ops: []store.Op{{Key: key, Delete: true}}}); err != nil {
			in.T.Fatal(err)
		}
		return ev.Signed
	}
}

// Stated reads the stream of an edge from its beginning and gives the revocations in it,
// and the state that it ends with.
func (in *Installation) Stated(e *Identity, enrolled api.EnrolResponse) (*Follower, api.StreamState) {
	in.T.Helper()
	f := NewFollower(in.T, enrolled)
	s := OpenStream(in.T, in.Client("", e.Cert), mezu.Position{})
	defer s.Close()
	for {
		ev, err := s.Next()
		if err != nil {
			in.T.Fatal(err)
		}
		if ev.Kind == api.StreamSynced {
			if ev.State == nil {
				in.T.Fatal("the stream does not say what must be there")
			}
			return f, *ev.State
		}
		f.Take(ev)
	}
}

// Has is the state that a follower has, as an edge counts it.
func (f *Follower) Has(state api.StreamState) api.StreamState {
	out := api.StreamState{At: state.At, Keyset: state.Keyset, Edges: f.Edges.Position}
	for env, b := range f.Bundles {
		if !b.Removed {
			out.Bundles.CountBundle(env, b.Position, 1)
		}
	}
	a := trust.New(nil, nil)
	for _, r := range f.Revocations {
		if a.Adds(&r) {
			a.Revoke(&r)
		}
	}
	a.Revocations(state.At, func(r mezu.Revocation) bool {
		if wide, ok := a.Revoked(mezu.RevokeDirectory, f.Scopes[r.Subject]); !r.Kind.OfAccount() || !ok || r.NotBefore.After(wide.NotBefore) {
			out.Revocations.CountRevocation(r, 1)
		}
		return true
	})
	return out
}

// Follower is an edge's end of the stream: it keeps what an edge would.
type Follower struct {
	T       *testing.T
	Anchor  *trust.Anchor
	Bundles map[string]*mezu.Bundle
	Revoked map[string]bool
	// Revocations are all of them, as they came.
	Revocations []mezu.Revocation
	Signed      []mezu.Signed     // the same
	Scopes      map[string]string // of users, their directories
	Assertions  map[string]*mezu.AssertionKeys
	Parts       map[string]*mezu.EdgePart
	Edges       *mezu.EdgeList
	At          mezu.Position
	Synced      bool
	Kinds       []api.StreamKind
}

// NewFollower believes what the edge was told when it enrolled.
func NewFollower(t *testing.T, enrolled api.EnrolResponse) *Follower {
	anchor := trust.New(ed25519.PublicKey(enrolled.TrustRoot), nil)
	if _, err := anchor.AcceptKeyset(enrolled.Keyset); err != nil {
		t.Fatal(err)
	}
	return &Follower{T: t, Anchor: anchor, Bundles: map[string]*mezu.Bundle{}, Revoked: map[string]bool{}, Scopes: map[string]string{}, Assertions: map[string]*mezu.AssertionKeys{}, Parts: map[string]*mezu.EdgePart{}}
}

// Take takes over one event, whose signature must hold.
func (f *Follower) Take(e api.StreamEvent) {
	f.T.Helper()
	f.Kinds = append(f.Kinds, e.Kind)
	if e.Position.Compare(f.At) < 0 {
		f.T.Fatalf("the stream goes back from %s to %s", f.At, e.Position)
	}
	f.At = e.Position
	switch e.Kind {
	case api.StreamBundle:
		b, err := f.Anchor.OpenBundle(e.Signed)
		if err != nil {
			f.T.Fatal(err)
		}
		if old := f.Bundles[b.Environment]; old != nil && b.Position.Compare(old.Position) < 0 {
			f.T.Fatalf("bundle of %s goes back from %s to %s", b.Environment, old.Position, b.Position)
		}
		f.Bundles[b.Environment] = b
	case api.StreamRevocation:
		r, err := f.Anchor.OpenRevocation(e.Signed)
		if err != nil {
			f.T.Fatal(err)
		}
		f.Revoked[r.Subject] = true
		f.Revocations = append(f.Revocations, *r)
		f.Signed = append(f.Signed, e.Signed)
		f.Scopes[r.Subject] = r.Scope
	case api.StreamAssertions:
		k, err := f.Anchor.OpenAssertions(e.Signed)
		if err != nil {
			f.T.Fatal(err)
		}
		f.Assertions[k.Environment] = k
	case api.StreamEdgePart:
		p, err := f.Anchor.OpenEdgePart(e.Signed)
		if err != nil {
			f.T.Fatal(err)
		}
		f.Parts[p.Environment] = p
	case api.StreamEdges:
		l, err := f.Anchor.OpenEdges(e.Signed)
		if err != nil {
			f.T.Fatal(err)
		}
		f.Edges = l
	case api.StreamSynced:
		f.Synced = true
	}
}

// Until reads a stream until a condition holds.
func (f *Follower) Until(s *api.Stream, what string, met func() bool) {
	f.T.Helper()
	for !met() {
		e, err := s.Next()
		if err != nil {
			f.T.Fatalf("waiting for %s: %v", what, err)
		}
		f.Take(e)
	}
}

// OpenStream opens an edge's stream until the test ends.
func OpenStream(t *testing.T, c *api.Client, from mezu.Position) *api.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := c.Stream(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
