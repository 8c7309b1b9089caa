package etcd_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	engine "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcd"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest/inprocess"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
)

// TestMain looks for goroutines that the driver left. It has none in net/http; etcd's
// members leave some there, because those that they served or were served by were
// killed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"))
}

// TestConformance runs the suite over an embedded cluster, TestConformance_Processes
// over one of the etcd that is installed.
func TestConformance(t *testing.T) { conform(t, inprocess.Start) }

func TestConformance_Processes(t *testing.T) {
	if os.Getenv(soakEnv) != "" {
		conform(t, etcdtest.StartProcesses)
		return
	}
	// Ten thousand commits fill the driver's own history, whatever cluster they go to.
	conform(t, etcdtest.StartProcesses, "WatchCompacted")
}

func conform(t *testing.T, start func(etcdtest.Test) *etcdtest.Cluster, but ...string) {
	t.Parallel()
	c := start(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T, _ func() time.Time) store.Store {
		return open(t, c, fmt.Sprintf("store%d/", n.Add(1)))
	}, but...)
}

// patience is how long calls may take where the test is not about it.
const patience = time.Minute

// open opens a store that has patience; it is closed with the test, if not before.
func open(t *testing.T, c *etcdtest.Cluster, namespace string) *etcd.DB {
	t.Helper()
	db := openHasty(t, c, namespace)
	db.TestOnlyPatience(patience)
	return db
}

// openHasty opens a store as it is in a program.
func openHasty(t *testing.T, c *etcdtest.Cluster, namespace string) *etcd.DB {
	t.Helper()
	db, err := etcd.Open(t.Context(), etcd.Options{Endpoints: c.Endpoints, TLS: c.TLS(), Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func put(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }

func commit(t *testing.T, st store.Store, ops ...store.Op) store.Position {
	t.Helper()
	pos, err := st.Commit(t.Context(), store.Txn{Ops: ops})
	if err != nil {
		t.Fatal(err)
	}
	return pos
}

func TestOptions(t *testing.T) {
	many := make([]string, etcd.MaxEndpoints+1)
	for i := range many {
		many[i] = "https://etcd:2379"
	}
	for want, endpoints := range map[string][]string{
		"no endpoint":               {},
		"17 endpoints":              many,
		`"http://etcd:2379" is not`: {"http://etcd:2379"},
		`"https://etcd" is not`:     {"https://etcd"},
		`"etcd:2379" is not`:        {"https://ok:2379", "etcd:2379"},
		`"https://:2379" is not`:    {"https://:2379"},
		"/x\" is not":               {"https://etcd:2379/x"},
		"@etcd":                     {"https://u:p@etcd:2379"},
	} {
		_, err := etcd.Open(t.Context(), etcd.Options{Endpoints: endpoints, TLS: &tls.Config{}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", endpoints, err, want)
		}
	}
	if _, err := etcd.Open(t.Context(), etcd.Options{Endpoints: []string{"https://etcd:2379"}}); err == nil {
		t.Error("opened without TLS")
	}
}

// One cluster for the tests that don't break it.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := inprocess.Start(t)
	for name, run := range map[string]func(*testing.T, *etcdtest.Cluster){
		"MutualTLS":     mutualTLS,
		"Replicas":      replicas,
		"Compaction":    compacts,
		"CompactedLate": compactedLate,
		"HistoryBytes":  historyBytes,
		"RealLease":     realLease,
	} {
		t.Run(name, func(t *testing.T) { run(t, c) })
	}
}

// Members let nobody in without a certificate, and a client believes no member
// without one of the given CA.
func mutualTLS(t *testing.T, c *etcdtest.Cluster) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for name, spoil := range map[string]func(*tls.Config){
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"another CA":     func(c *tls.Config) { c.RootCAs = nil },
	} {
		config := c.TLS()
		spoil(config)
		if db, err := etcd.Open(ctx, etcd.Options{Endpoints: c.Endpoints, TLS: config}); err == nil {
			t.Errorf("%s: opened", name)
			db.Close()
		}
	}
}

// Two control planes have one store: positions, watches and leases of one are good at
// the other.
func replicas(t *testing.T, c *etcdtest.Cluster) {
	a, b := open(t, c, "replicas/"), open(t, c, "replicas/")
	first := commit(t, a, put("x", "1"))
	second := commit(t, b, put("x", "2"))
	third := commit(t, a, put("x", "3"))
	for _, st := range []store.Store{a, b, open(t, c, "replicas/")} {
		w, err := st.Watch(t.Context(), "", first)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []store.Position{second, third} {
			if e := storetest.Next(t, w); e.Position != want {
				t.Errorf("event at %q; want %q", e.Position, want)
			}
		}
	}
	id, err := a.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, b, store.Op{Key: "leased", Lease: id})
	if err := b.KeepAlive(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Revoke(t.Context(), id); err != nil {
		t.Error(err)
	}
	if _, err := b.Get(t.Context(), "leased"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after the lease: %v", err)
	}
}

// raw is a client beside the store.
func raw(t *testing.T, c *etcdtest.Cluster) *engine.Client {
	t.Helper()
	client, err := engine.New(engine.Config{Endpoints: c.Endpoints, TLS: c.TLS(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// many commits n times from several goroutines.
func many(t *testing.T, st store.Store, n int) {
	t.Helper()
	const workers = 16
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range n / workers {
				if _, err := st.Commit(context.Background(), store.Txn{Ops: []store.Op{put(fmt.Sprint(i), "v")}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What is out of the history leaves the cluster, once for all control planes, and
// everything that is in it can still be watched, what was deleted first too.
func compacts(t *testing.T, c *etcdtest.Cluster) {
	a, b := open(t, c, "compacts/"), open(t, c, "compacts/")
	commit(t, a, put("gone", "1"), put("stays", "1"))
	a.TestOnlyHistoryBytes(100)
	b.TestOnlyHistoryBytes(100)
	many(t, a, 2*etcd.CompactBatch)
	floor := commit(t, a, put("big", strings.Repeat("v", 95)))
	// The deletion is the first commit that may be watched, and what it deleted is older
	// than the floor.
	deleted := commit(t, a, store.Op{Key: "gone", Delete: true})
	watched := func(st store.Store) {
		t.Helper()
		w, err := st.Watch(t.Context(), "gone", floor)
		if err != nil {
			t.Fatal(err)
		}
		if e := storetest.Next(t, w); e.Position != deleted || !e.Changes[0].Deleted || e.Changes[0].Revision != 1 {
			t.Errorf("event %+v", e)
		}
	}
	watched(a)
	client := raw(t, c)
	old := a.TestOnlyFloor() - 2
	readable := func() bool {
		_, err := client.Get(t.Context(), "x", engine.WithRev(old))
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	}
	if !readable() {
		t.Fatal("compacted before its time")
	}
	compact := func(db *etcd.DB) {
		t.Helper()
		if err := db.TestOnlyCompact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	compact(a)
	if readable() {
		t.Error("the history was not compacted")
	}
	// The other learns that it was done, and does nothing.
	before := head(t, client)
	compact(b)
	compact(b)
	if now := head(t, client); now != before {
		t.Errorf("the other wrote: revision %d, then %d", before, now)
	}
	watched(a)
	watched(open(t, c, "compacts/")) // reads it from the cluster
	if r, err := a.Get(t.Context(), "stays"); err != nil || r.Revision != 1 {
		t.Errorf("a record that never changed: %+v, %v", r, err)
	}
}

func head(t *testing.T, client *engine.Client) int64 {
	t.Helper()
	resp, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

// A cluster that somebody else compacts takes the past from those that lag, and says
// so.
func compactedLate(t *testing.T, c *etcdtest.Cluster) {
	db := open(t, c, "late/")
	from := commit(t, db, put("a", "1"))
	w, err := db.Watch(t.Context(), "", from)
	if err != nil {
		t.Fatal(err)
	}
	// More than memory holds: the watcher must go back to the cluster.
	value := strings.Repeat("v", store.MaxTxnBytes-1)
	for range 20 {
		commit(t, db, put("a", value))
	}
	client := raw(t, c)
	if _, err := client.Compact(t.Context(), head(t, client)); err != nil {
		t.Fatal(err)
	}
	for range w.Events() {
	}
	if !errors.Is(w.Err(), store.ErrCompacted) {
		t.Errorf("the late watcher: %v", w.Err())
	}
}

// Large commits end the history earlier.
func historyBytes(t *testing.T, c *etcdtest.Cluster) {
	db := open(t, c, "bytes/")
	const n, size = 20, 1000
	from := commit(t, db, put("k", ""))
	db.TestOnlyHistoryBytes(n * size)
	value := strings.Repeat("v", size-1)
	for range n {
		commit(t, db, put("k", value))
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := db.Watch(ctx, "", from)
	if err != nil {
		t.Fatalf("within the limit: %v", err)
	}
	for i := range n {
		if e := storetest.Next(t, w); e.Changes[0].Revision != uint64(i+2) {
			t.Fatalf("event %d has revision %d", i, e.Changes[0].Revision)
		}
	}
	cancel()
	commit(t, db, put("k", "v"))
	if _, err := db.Watch(t.Context(), "", from); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("over the limit: %v", err)
	}
}

// A lease that is kept outlives its ttl in real time; a part of a second is rounded
// up.
func realLease(t *testing.T, c *etcdtest.Cluster) {
	db := open(t, c, "lease/")
	const (
		ttl      = store.MinLease + time.Millisecond
		minLease = 3 * time.Second // what the members make of it
	)
	id, err := db.Grant(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, db, store.Op{Key: "a", Lease: id})
	tick := time.NewTicker(ttl / 4)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < minLease+time.Second; <-tick.C {
		if err := db.KeepAlive(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Get(t.Context(), "a"); err != nil {
			t.Fatalf("%v after the grant: %v", time.Since(begin), err)
		}
	}
	storetest.Until(t, "the record to go", func() bool {
		_, err := db.Get(t.Context(), "a")
		return errors.Is(err, store.ErrNotFound)
	})
	if err := db.KeepAlive(t.Context(), id); !errors.Is(err, store.ErrLeaseExpired) {
		t.Errorf("KeepAlive of an ended lease: %v", err)
	}
}
