package control_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// Control planes that share a store, here one in this process: what they must not keep
// to themselves is the same whatever the engine. e2e runs them over etcd.

// replicas are control planes over one store.
func replicas(t *testing.T, n int) []*controltest.Installation {
	t.Helper()
	moves, dir := &controltest.Clock{}, t.TempDir()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(dir, "store"), Now: moves.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var all []*controltest.Installation
	for i := range n {
		in := controltest.New(t)
		in.Dir, in.Clock, in.Driver, in.TLSTime = filepath.Join(dir, fmt.Sprint(i)), moves, db, moves.Now
		if i > 0 {
			in.CopyKey(all[0])
		}
		in.Start()
		t.Cleanup(func() { in.Stop() })
		all = append(all, in)
	}
	return all
}

// However many control planes start, one code makes an operator, once.
func TestReplicas_OneBootstrapCode(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3)
	for _, in := range all[1:] {
		if _, err := os.Stat(filepath.Join(in.Dir, "bootstrap")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a second bootstrap link: %v", err)
		}
		if code, err := in.Plane.BootstrapCode(t.Context()); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), filepath.Join(all[0].Dir, "bootstrap")) {
			t.Errorf("the code %q, %v", code, err)
		}
	}
	code := all[0].BootstrapCode()
	all[0].Restart()
	if again := all[0].BootstrapCode(); again != code {
		t.Error("a restart changed a link that works")
	}
	// One whose machine is gone for long is not waited for.
	all[0].Clock.Advance(2 * time.Hour)
	all[1].Restart()
	newer := all[1].BootstrapCode()
	controltest.Refused(t, mezu.CodeUnauthenticated, all[2].Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
	controltest.Call[api.TokenResponse](t, all[2].Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: newer})
	controltest.Refused(t, mezu.CodeUnauthenticated, all[0].Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: newer})
}

// A control plane without the key of the others doesn't start, and says what to copy.
func TestReplicas_OtherSealKey(t *testing.T) {
	in := replicas(t, 1)[0]
	stranger := in.Beside(filepath.Join(t.TempDir(), "x"))
	other := controltest.Install(t)
	for name, prepare := range map[string]func(){
		"no key":      func() {},
		"another key": func() { stranger.CopyKey(other) },
	} {
		prepare()
		plane, err := stranger.Assemble()
		if err == nil {
			err = plane.Listen()
		}
		var e *mezu.Error
		if !errors.As(err, &e) || e.Field != "seal_key_file" || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An edge may say each thing to another control plane: its lease goes on, what it said
// last counts, and nothing that an earlier one remembers gets in the way.
func TestReplicas_EdgeWanders(t *testing.T) {
	all := replicas(t, 2)
	op := all[0].Operator()
	x := all[0].Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := all[0].Register(key, "")
	e, _ := all[0].Enrol(op, "edge-1")
	var edges []*api.Client
	for _, in := range all {
		edges = append(edges, in.Client("", e.Cert))
	}
	report := func(i int, in api.EdgeReport) {
		t.Helper()
		controltest.Call[any](t, edges[i%2], api.OpEdgeReport, in)
	}
	report(0, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.ID, Environment: x.Environment.ID, Connected: true}}})
	for i := range 8 {
		// Two steps are longer than a lease.
		all[0].Clock.Advance(api.EdgeSilence * 2 / 3)
		if s := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Status; s != mezu.WarpgateConnected {
			t.Fatalf("step %d: the Warpgate is %s", i, s)
		}
		report(i, api.EdgeReport{})
	}
	for i, address := range []string{"a.example:1", "b.example:1", "a.example:1", "b.example:1"} {
		report(i, api.EdgeReport{TunnelAddress: address})
		if is := controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0].TunnelAddress; is != address {
			t.Errorf("report %d: the edge is at %s, listed at %s", i, address, is)
		}
	}
	all[0].Clock.Advance(api.EdgeSilence + mezu.WarpgateStatusDelay)
	controltest.Eventually(t, "the silent edge to be missed", func() bool {
		return controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...).Status == mezu.WarpgateUnknown
	})
}

// Writers at every control plane get through, each change has a position of its own,
// and an edge whose control planes go away under it, again and again, gets all of them
// in order and misses none.
func TestReplicas_StreamResumesElsewhere(t *testing.T) {
	const planes, writers, each = 3, 2, 8
	all := replicas(t, planes)
	token := all[0].OperatorToken()
	op := all[0].Client(token, nil)
	x := all[0].Tenant(op, "acme")
	e, enrolled := all[0].Enrol(op, "edge-1")
	want := map[string]bool{}
	var mu sync.Mutex
	var writing sync.WaitGroup
	for p, in := range all {
		for w := range writers {
			writing.Go(func() {
				c := in.Client(token, nil)
				for n := range each {
					env, err := api.Invoke[mezu.Environment](t.Context(), c, api.OpCreateEnvironment, map[string]any{"name": fmt.Sprintf("e%d-%d-%d", p, w, n)}, x.Org, x.Prj)
					if err != nil {
						t.Errorf("control plane %d: %v", p, err)
						return
					}
					mu.Lock()
					want[env.ID] = true
					mu.Unlock()
				}
			})
		}
	}
	f := controltest.NewFollower(t, enrolled)
	stop := make(chan struct{})
	go func() { writing.Wait(); close(stop) }()
	for turn := 0; ; turn++ {
		ended := false
		select {
		case <-stop:
			ended = true
		default:
		}
		in := all[turn%planes]
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		s, err := in.Client("", e.Cert).Stream(ctx, f.At)
		if err != nil {
			t.Fatal(err)
		}
		f.Synced = false
		f.Until(s, "the present", func() bool { return f.Synced })
		if ended {
			s.Close()
			cancel()
			break
		}
		for range 5 { // some of what comes live
			if len(f.Bundles) > planes*writers*each {
				break
			}
			event, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			f.Take(event)
		}
		s.Close()
		cancel()
	}
	positions := map[mezu.Position]string{}
	for id, b := range f.Bundles {
		if other := positions[b.Position]; other != "" {
			t.Errorf("%s and %s have position %s", id, other, b.Position)
		}
		positions[b.Position] = id
	}
	for id := range want {
		if f.Bundles[id] == nil {
			t.Errorf("environment %s never came", id)
		}
	}
	if len(want) != planes*writers*each {
		t.Errorf("%d environments made", len(want))
	}
}

// counted counts what a control plane writes.
type counted struct {
	store.Store
	mu      sync.Mutex
	deleted map[string]int
}

func (c *counted) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	pos, err := c.Store.Commit(ctx, txn)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range txn.Ops {
		if op.Delete && err == nil {
			c.deleted[op.Key]++
		}
	}
	return pos, err
}

// What has ended is swept once, by one of them, and whoever swept releases its lease.
func TestReplicas_OneSweeps(t *testing.T) {
	all := replicas(t, 1)
	op := all[0].Operator()
	all[0].JoinToken(op)
	db := &counted{Store: all[0].Driver, deleted: map[string]int{}}
	all[0].Clock.Advance(25 * time.Hour)
	var others []*controltest.Installation
	for i := range 3 {
		in := all[0].Beside(filepath.Join(t.TempDir(), fmt.Sprint(i)))
		in.Driver, in.TLSTime = db, all[0].Clock.Now
		in.CopyKey(all[0])
		in.Start()
		t.Cleanup(func() { in.Stop() })
		others = append(others, in)
	}
	controltest.Eventually(t, "the sweep", func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return len(db.deleted) > 0
	})
	// All have tried when their offices are left and all that they were to do is done.
	controltest.Eventually(t, "the lease to be released", func() bool { return len(others[0].Keys("meta/lead/")) == 0 })
	for _, in := range others {
		in.Stop()
	}
	for key, n := range db.deleted {
		if n > 1 {
			t.Errorf("%s was deleted %d times", key, n)
		}
	}
}
