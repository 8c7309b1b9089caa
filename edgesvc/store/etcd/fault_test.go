package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	engine "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest/inprocess"
	"github.com/mezusphere/mezu/edgesvc/store/storetest"
)

// soakEnv makes the longer tests of faults run for minutes.
const soakEnv = "MEZU_SOAK"

// openThree opens the store as three control planes do.
func openThree(t *testing.T, c *etcdtest.Cluster, namespace string) []store.Store {
	t.Helper()
	var all []store.Store
	for range 3 {
		all = append(all, openHasty(t, c, namespace))
	}
	return all
}

// killLeaders kills the leader and brings it back, again and again.
func killLeaders(c *etcdtest.Cluster) {
	times := 2
	if os.Getenv(soakEnv) != "" {
		times = 20
	}
	for range times {
		i := c.Leader()
		c.Kill(i)
		c.Leader()
		c.Restart(i)
		c.Leader()
	}
}

// Tests of how long something takes are not parallel, and run before those that are.

func TestS7Linearizable_LeaderKilled(t *testing.T) {
	t.Parallel()
	c := inprocess.Start(t)
	storetest.Linearizable(t, openThree(t, c, ""), func() { killLeaders(c) })
}

func TestS7Linearizable_LeaderKilled_Processes(t *testing.T) {
	t.Parallel()
	c := etcdtest.StartProcesses(t)
	storetest.Linearizable(t, openThree(t, c, ""), func() { killLeaders(c) })
}

// within runs a call and checks that it says unavailable within the three seconds
// that the control plane has to answer.
func within(t *testing.T, what string, call func() error) {
	t.Helper()
	const most = 3 * time.Second
	begin := time.Now()
	err := call()
	if took := time.Since(begin); !errors.Is(err, store.ErrUnavailable) || took > most {
		t.Errorf("%s: %v after %v; want ErrUnavailable within %v", what, err, took, most)
	}
}

func TestNoQuorum(t *testing.T) { noQuorum(t, inprocess.Start(t)) }

func TestNoQuorum_Processes(t *testing.T) { noQuorum(t, etcdtest.StartProcesses(t)) }

// noQuorum: without a majority all that needs one says so in time, stale reads and
// watches go on, and nothing is missed when it is back.
func noQuorum(t *testing.T, c *etcdtest.Cluster) {
	db := openHasty(t, c, "")
	ctx := t.Context()
	pos := commit(t, db, put("a", "1"))
	if err := db.Writable(ctx); err != nil {
		t.Error(err)
	}
	lease, err := db.Grant(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Watch(ctx, "", pos)
	if err != nil {
		t.Fatal(err)
	}
	second := commit(t, db, put("a", "2"))
	if e := storetest.Next(t, w); e.Position != second {
		t.Fatalf("event %+v", e)
	}
	left := c.Leader()
	for i := range etcdtest.Members {
		if i != left {
			c.Kill(i)
		}
	}
	var refused sync.WaitGroup
	for what, call := range map[string]func() error{
		"Get":  func() error { _, err := db.Get(ctx, "a"); return err },
		"List": func() error { _, err := db.List(ctx, "", "", 0); return err },
		"Commit": func() error {
			_, err := db.Commit(ctx, store.Txn{Checks: []store.Check{{Key: "a", Revision: 7}}, Ops: []store.Op{put("a", "no")}})
			return err
		},
		"Commit that must ask": func() error {
			_, err := db.Commit(ctx, store.Txn{Checks: []store.Check{{Key: "new"}}})
			return err
		},
		"Grant":    func() error { _, err := db.Grant(ctx, time.Minute); return err },
		"Writable": func() error { return db.Writable(ctx) },
		"Revoke":   func() error { return db.Revoke(ctx, lease) },
	} {
		refused.Go(func() { within(t, what, call) })
	}
	refused.Wait()
	// A leader prolongs leases by itself until it finds out that it leads nobody.
	storetest.Until(t, "the last member to lead no more", func() bool { return db.KeepAlive(ctx, lease) != nil })
	within(t, "KeepAlive", func() error { return db.KeepAlive(ctx, lease) })
	r := db.Stale()
	rec, err := r.Get(ctx, "a")
	if err != nil || string(rec.Value) != "2" || rec.Revision != 2 {
		t.Errorf("stale Get = %+v, %v", rec, err)
	}
	page, err := r.List(ctx, "", "", 0)
	if err != nil || len(page.Records) != 1 {
		t.Fatalf("stale List = %+v, %v", page, err)
	}
	fromStale, err := db.Watch(ctx, "", page.Position)
	if err != nil {
		t.Fatalf("watching from a stale listing: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := db.Get(short, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's own deadline: %v", err)
	}
	for i := range etcdtest.Members {
		if i != left {
			c.Restart(i)
		}
	}
	var third store.Position
	storetest.Until(t, "writes to go on", func() bool {
		third, err = db.Commit(ctx, store.Txn{Checks: []store.Check{{Key: "a", Revision: 2}}, Ops: []store.Op{put("a", "3")}})
		return err == nil
	})
	for _, w := range []store.Watcher{w, fromStale} {
		if e := storetest.Next(t, w); e.Position != third || string(e.Changes[0].Value) != "3" {
			t.Errorf("event %+v; want the commit at %q", e, third)
		}
	}
}

// S6: a cluster that came back without what it acknowledged is found out, and nothing
// is served or written until the control plane starts anew.
func TestS6ClusterThatForgot(t *testing.T) {
	t.Parallel()
	c := inprocess.Start(t)
	db := open(t, c, "")
	var pos store.Position
	for i := range 5 {
		pos = commit(t, db, put("a", fmt.Sprint(i)))
	}
	w, err := db.Watch(t.Context(), "", pos)
	if err != nil {
		t.Fatal(err)
	}
	c.Wipe()
	storetest.Until(t, "the store to notice", func() bool {
		_, err := db.Get(t.Context(), "a")
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Fatalf("read of a cluster that forgot: %v", err)
		}
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "lost acknowledged writes")
	})
	for range w.Events() {
		t.Error("an event of a cluster that forgot")
	}
	if !errors.Is(w.Err(), store.ErrUnavailable) {
		t.Errorf("the watch ended with %v", w.Err())
	}
	if _, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("a", "x")}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	anew := open(t, c, "")
	if _, err := anew.Watch(t.Context(), "", pos); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("a position of before: %v", err)
	}
	commit(t, anew, put("a", "1"))
}

// TestOverQuota: a cluster over its quota takes no writes, and the store says so before
// somebody writes. Asking writes nothing.
func TestOverQuota(t *testing.T) {
	t.Parallel()
	c := inprocess.Start(t)
	db := openHasty(t, c, "")
	pos := commit(t, db, put("a", "1"))
	client, err := engine.New(engine.Config{Endpoints: c.Endpoints, TLS: c.TLS(), Context: t.Context(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	status, err := client.Status(t.Context(), c.Endpoints[0])
	if err != nil {
		t.Fatal(err)
	}
	alarm := &pb.AlarmMember{MemberID: status.Header.MemberId, Alarm: pb.AlarmType_NOSPACE}
	if _, err := pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(t.Context(), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: alarm.MemberID, Alarm: alarm.Alarm}); err != nil {
		t.Fatal(err)
	}
	storetest.Until(t, "writes to be refused", func() bool {
		err := db.Writable(t.Context())
		return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), "over its quota")
	})
	if _, err := db.Commit(t.Context(), store.Txn{Ops: []store.Op{put("a", "2")}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a write over the quota: %v", err)
	}
	if _, err := client.AlarmDisarm(t.Context(), (*engine.AlarmMember)(alarm)); err != nil {
		t.Fatal(err)
	}
	storetest.Until(t, "writes to be taken", func() bool { return db.Writable(t.Context()) == nil })
	page, err := db.List(t.Context(), "", "", 0)
	if err != nil || len(page.Records) != 1 || page.Position != pos {
		t.Errorf("asking wrote something: %+v, %v", page, err)
	}
}
