package control_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// follower is an edge's end of the stream: it keeps what an edge would.
type follower struct {
	t       *testing.T
	anchor  *trust.Anchor
	bundles map[string]*mezu.Bundle
	revoked map[string]bool
	// revocations are all of them, as they came.
	revocations []mezu.Revocation
	signed      []mezu.Signed     // the same
	scopes      map[string]string // of users, their directories
	edges       *mezu.EdgeList
	at          mezu.Position
	synced      bool
	kinds       []api.StreamKind
}

func newFollower(t *testing.T, enrolled api.EnrolResponse) *follower {
	anchor := trust.New(ed25519.PublicKey(enrolled.TrustRoot), nil)
	if _, err := anchor.AcceptKeyset(enrolled.Keyset); err != nil {
		t.Fatal(err)
	}
	return &follower{t: t, anchor: anchor, bundles: map[string]*mezu.Bundle{}, revoked: map[string]bool{}, scopes: map[string]string{}}
}

func (f *follower) take(e api.StreamEvent) {
	f.t.Helper()
	f.kinds = append(f.kinds, e.Kind)
	if e.Position.Compare(f.at) < 0 {
		f.t.Fatalf("the stream goes back from %s to %s", f.at, e.Position)
	}
	f.at = e.Position
	switch e.Kind {
	case api.StreamBundle:
		b, err := f.anchor.OpenBundle(e.Signed)
		if err != nil {
			f.t.Fatal(err)
		}
		if old := f.bundles[b.Environment]; old != nil && b.Position.Compare(old.Position) < 0 {
			f.t.Fatalf("bundle of %s goes back from %s to %s", b.Environment, old.Position, b.Position)
		}
		f.bundles[b.Environment] = b
	case api.StreamRevocation:
		r, err := f.anchor.OpenRevocation(e.Signed)
		if err != nil {
			f.t.Fatal(err)
		}
		f.revoked[r.Subject] = true
		f.revocations = append(f.revocations, *r)
		f.signed = append(f.signed, e.Signed)
		f.scopes[r.Subject] = r.Scope
	case api.StreamEdges:
		l, err := f.anchor.OpenEdges(e.Signed)
		if err != nil {
			f.t.Fatal(err)
		}
		f.edges = l
	case api.StreamSynced:
		f.synced = true
	}
}

// until reads a stream until a condition holds.
func (f *follower) until(s *api.Stream, what string, met func() bool) {
	f.t.Helper()
	for !met() {
		e, err := s.Next()
		if err != nil {
			f.t.Fatalf("waiting for %s: %v", what, err)
		}
		f.take(e)
	}
}

func open(t *testing.T, c *api.Client, from mezu.Position) *api.Stream {
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

// A snapshot, live changes, a reconnect with changes in between: nothing is
// missing and nothing goes back.
func TestStream_Resume(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	e, enrolled := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	call[any](t, op, api.OpDeleteWarpgate, nil, x.path(w.id)...)

	f := newFollower(t, enrolled)
	s := open(t, edge, mezu.Position{})
	f.until(s, "the snapshot", func() bool { return f.synced })
	if f.kinds[0] != api.StreamKeyset || f.kinds[1] != api.StreamRevocation || f.bundles[x.environment.ID] == nil || len(f.edges.Edges) != 1 {
		t.Fatalf("snapshot %v", f.kinds)
	}
	call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/live"}}}, x.path()...)
	f.until(s, "the live change", func() bool { return len(f.bundles[x.environment.ID].Routes) == 1 })
	s.Close()

	call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, x.org, x.prj)
	call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"exact": "/away"}, x.path()...)
	call[any](t, op, api.OpUpdateEnvironment, map[string]any{"enabled": false}, x.path()...)
	f.synced, f.kinds = false, nil
	s = open(t, edge, f.at)
	f.until(s, "the second snapshot", func() bool { return f.synced })
	b := f.bundles[x.environment.ID]
	if len(f.bundles) != 2 || len(b.Routes) != 2 || b.Enabled {
		t.Fatalf("after the reconnect: %d bundles, %+v", len(f.bundles), b)
	}
	if len(f.kinds) != 3 { // two bundles, synced
		t.Fatalf("the second snapshot repeats what was had: %v", f.kinds)
	}
	call[any](t, op, api.OpDeleteEnvironment, nil, x.path()...)
	f.until(s, "the removal", func() bool { return f.bundles[x.environment.ID].Removed })
	s.Close()

	in.restart()
	f.synced, f.kinds = false, nil
	s = open(t, in.client("", e.cert), f.at)
	f.until(s, "the snapshot after the restart", func() bool { return f.synced })
	if len(f.kinds) != 1 {
		t.Fatalf("the snapshot after the restart repeats what was had: %v", f.kinds)
	}
}

// Writers change routes while an edge keeps losing its connection: in the end it
// has the last bundle of each environment.
func TestStream_NoGapUnderReconnects(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	e, enrolled := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	const environments, changes = 3, 12
	var ids [environments]string
	for i := range environments {
		ids[i] = call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": fmt.Sprint("e", i)}, x.org, x.prj).ID
	}
	written := make(chan error, environments)
	for i := range environments {
		go func() {
			for n := range changes {
				_, err := api.Invoke[any](t.Context(), op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"exact": fmt.Sprint("/", n)}}}, x.org, x.prj, fmt.Sprint("e", i))
				if err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	f := newFollower(t, enrolled)
	last := func() bool {
		for _, id := range ids {
			b := f.bundles[id]
			if b == nil || len(b.Routes) == 0 || b.Routes[0].Exact != fmt.Sprint("/", changes-1) {
				return false
			}
		}
		return true
	}
	for !last() {
		s := open(t, edge, f.at)
		for range 4 {
			if last() {
				break
			}
			event, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			f.take(event)
		}
		s.Close()
	}
	for range environments {
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
}

// K2, K8: a removed edge's stream ends, and its certificate opens nothing more.
func TestK2_StreamEndsWithItsEdge(t *testing.T) {
	in := install(t)
	op := in.operator()
	e, enrolled := in.enrol(op, "edge-1")
	edge := in.client("", e.cert)
	f := newFollower(t, enrolled)
	s := open(t, edge, mezu.Position{})
	f.until(s, "the snapshot", func() bool { return f.synced })
	call[any](t, op, api.OpDeleteEdge, nil, e.id)
	f.until(s, "the revocation", func() bool { return f.revoked[trust.Serial(e.cert.Leaf)] })
	for {
		_, err := s.Next()
		if err != nil {
			break
		}
	}
	refused(t, mezu.CodeUnauthenticated, edge, api.OpEdgeReport, api.EdgeReport{})
	var refusal *mezu.Error
	if _, err := edge.Stream(t.Context(), f.at); !errors.As(err, &refusal) || refusal.Code != mezu.CodeUnauthenticated || refusal.Hint == "" {
		t.Fatalf("opening a stream again: %v", err)
	}
}

// A route change that no policy can be made of is refused in the same answer and
// publishes nothing; one of the largest size passes in chunks.
func TestStream_LargeBundle(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	e, enrolled := in.enrol(op, "edge-1")
	routes := make([]map[string]any, 4000)
	for i := range routes {
		routes[i] = map[string]any{"exact": fmt.Sprintf("/a/rather/long/path/so/that/chunks/are/needed/%d", i)}
	}
	state := call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": routes}, x.path()...)
	if len(state.Routes) != len(routes) {
		t.Fatalf("%d routes", len(state.Routes))
	}
	f := newFollower(t, enrolled)
	f.until(open(t, in.client("", e.cert), mezu.Position{}), "the snapshot", func() bool { return f.synced })
	if n := len(f.bundles[x.environment.ID].Routes); n != len(routes) {
		t.Fatalf("the bundle has %d routes", n)
	}
	refused(t, mezu.CodeInvalid, op, api.OpCreateRoute, map[string]any{"regexp": "a)|(b"}, x.path()...)
	after := call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...)
	if after.Position != state.Position || after.Revision != state.Revision {
		t.Fatal("a refused route changed something")
	}
}
