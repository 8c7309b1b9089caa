package control_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/testkit"
)

// Control planes that share a store, here one in this process: what they must not keep
// to themselves is the same whatever the engine. e2e runs them over etcd.

// replicas are control planes over one store.
func replicas(t *testing.T, n int) []*installation {
	t.Helper()
	moves, dir := &clock{}, t.TempDir()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(dir, "store"), Now: moves.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var all []*installation
	for i := range n {
		in := &installation{t: t, dir: filepath.Join(dir, fmt.Sprint(i)), clock: moves, log: &testkit.Buffer{}, notice: &testkit.Buffer{}, driver: db, tlsTime: moves.now}
		if i > 0 {
			in.copyKey(all[0])
		}
		in.start()
		t.Cleanup(func() { in.stop() })
		all = append(all, in)
	}
	return all
}

// copyKey gives an installation another's seal key, as an operator does.
func (in *installation) copyKey(from *installation) {
	in.t.Helper()
	key, err := os.ReadFile(filepath.Join(from.dir, "seal.key"))
	if err == nil {
		err = errors.Join(os.MkdirAll(in.dir, 0o700), os.WriteFile(filepath.Join(in.dir, "seal.key"), key, 0o600))
	}
	if err != nil {
		in.t.Fatal(err)
	}
}

// However many control planes start, one code makes an operator, once.
func TestReplicas_OneBootstrapCode(t *testing.T) {
	t.Parallel()
	all := replicas(t, 3)
	for _, in := range all[1:] {
		if _, err := os.Stat(filepath.Join(in.dir, "bootstrap")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a second bootstrap link: %v", err)
		}
	}
	code := all[0].bootstrapCode()
	all[0].restart()
	if again := all[0].bootstrapCode(); again != code {
		t.Error("a restart changed a link that works")
	}
	// One whose machine is gone for long is not waited for.
	all[0].clock.advance(2 * time.Hour)
	all[1].restart()
	newer := all[1].bootstrapCode()
	refused(t, mezu.CodeUnauthenticated, all[2].client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
	call[api.TokenResponse](t, all[2].client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: newer})
	refused(t, mezu.CodeUnauthenticated, all[0].client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: newer})
}

// A control plane without the key of the others doesn't start, and says what to copy.
func TestReplicas_OtherSealKey(t *testing.T) {
	in := replicas(t, 1)[0]
	stranger := &installation{t: t, dir: filepath.Join(t.TempDir(), "x"), clock: in.clock, log: &testkit.Buffer{}, notice: &testkit.Buffer{}, driver: in.driver}
	other := install(t)
	for name, prepare := range map[string]func(){
		"no key":      func() {},
		"another key": func() { stranger.copyKey(other) },
	} {
		prepare()
		plane, err := stranger.assemble()
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
	op := all[0].operator()
	x := all[0].tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := all[0].register(key, "")
	e, _ := all[0].enrol(op, "edge-1")
	var edges []*api.Client
	for _, in := range all {
		edges = append(edges, in.client("", e.cert))
	}
	report := func(i int, in api.EdgeReport) {
		t.Helper()
		call[any](t, edges[i%2], api.OpEdgeReport, in)
	}
	report(0, api.EdgeReport{Full: true, Presence: []mezu.Presence{{Warpgate: w.id, Environment: x.environment.ID, Connected: true}}})
	for i := range 8 {
		// Two steps are longer than a lease.
		all[0].clock.advance(api.EdgeSilence * 2 / 3)
		if s := call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Status; s != mezu.WarpgateConnected {
			t.Fatalf("step %d: the Warpgate is %s", i, s)
		}
		report(i, api.EdgeReport{})
	}
	for i, address := range []string{"a.example:1", "b.example:1", "a.example:1", "b.example:1"} {
		report(i, api.EdgeReport{TunnelAddress: address})
		if is := call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items[0].TunnelAddress; is != address {
			t.Errorf("report %d: the edge is at %s, listed at %s", i, address, is)
		}
	}
	all[0].clock.advance(api.EdgeSilence + mezu.WarpgateStatusDelay)
	eventually(t, "the silent edge to be missed", func() bool {
		return call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.path(w.id)...).Status == mezu.WarpgateUnknown
	})
}

// Writers at every control plane get through, each change has a position of its own,
// and an edge whose control planes go away under it, again and again, gets all of them
// in order and misses none.
func TestReplicas_StreamResumesElsewhere(t *testing.T) {
	const planes, writers, each = 3, 2, 8
	all := replicas(t, planes)
	token := all[0].operatorToken()
	op := all[0].client(token, nil)
	x := all[0].tenant(op, "acme")
	e, enrolled := all[0].enrol(op, "edge-1")
	want := map[string]bool{}
	var mu sync.Mutex
	var writing sync.WaitGroup
	for p, in := range all {
		for w := range writers {
			writing.Go(func() {
				c := in.client(token, nil)
				for n := range each {
					env, err := api.Invoke[mezu.Environment](t.Context(), c, api.OpCreateEnvironment, map[string]any{"name": fmt.Sprintf("e%d-%d-%d", p, w, n)}, x.org, x.prj)
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
	f := newFollower(t, enrolled)
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
		s, err := in.client("", e.cert).Stream(ctx, f.at)
		if err != nil {
			t.Fatal(err)
		}
		f.synced = false
		f.until(s, "the present", func() bool { return f.synced })
		if ended {
			s.Close()
			cancel()
			break
		}
		for range 5 { // some of what comes live
			if len(f.bundles) > planes*writers*each {
				break
			}
			event, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			f.take(event)
		}
		s.Close()
		cancel()
	}
	positions := map[mezu.Position]string{}
	for id, b := range f.bundles {
		if other := positions[b.Position]; other != "" {
			t.Errorf("%s and %s have position %s", id, other, b.Position)
		}
		positions[b.Position] = id
	}
	for id := range want {
		if f.bundles[id] == nil {
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
	op := all[0].operator()
	all[0].joinToken(op)
	db := &counted{Store: all[0].driver, deleted: map[string]int{}}
	all[0].clock.advance(25 * time.Hour)
	var others []*installation
	for i := range 3 {
		in := &installation{t: t, dir: filepath.Join(t.TempDir(), fmt.Sprint(i)), clock: all[0].clock, log: &testkit.Buffer{}, notice: &testkit.Buffer{}, driver: db, tlsTime: all[0].clock.now}
		in.copyKey(all[0])
		in.start()
		t.Cleanup(func() { in.stop() })
		others = append(others, in)
	}
	eventually(t, "the sweep", func() bool {
		db.mu.Lock()
		defer db.mu.Unlock()
		return len(db.deleted) > 0
	})
	// All have tried when their offices are left and all that they were to do is done.
	eventually(t, "the lease to be released", func() bool { return len(others[0].keys("meta/lead/")) == 0 })
	for _, in := range others {
		in.stop()
	}
	for key, n := range db.deleted {
		if n > 1 {
			t.Errorf("%s was deleted %d times", key, n)
		}
	}
}
