// Package storetest is the conformance suite of the store contract: each sentence
// of package store that a caller could notice, as a test that every driver passes.
//
// What lives here: Run and its cases, and how tests of stores wait. What may not: anything
// about one engine. What a driver promises beyond the contract is tested beside the driver.
// Only tests import it.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/testkit"
)

// wait is how long the suite waits for what must happen: long enough for a busy
// machine and for drivers whose leases run on real time.
const wait = time.Minute

// Open makes an empty store for one test, which the suite closes. If the driver can, it ends
// leases by the clock now. Otherwise it goes by real time, and the suite waits.
type Open func(t *testing.T, now func() time.Time) store.Store

// Run runs the suite but for the cases whose names begin with one of those given.
func Run(t *testing.T, open Open, but ...string) {
	for _, c := range cases() {
		if slices.ContainsFunc(but, func(prefix string) bool { return strings.HasPrefix(c.name, prefix) }) {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(start(t, open)) })
	}
}

// RunLayer runs the suite against a store that is a layer over another and has slightly
// lower limits. It leaves out the cases that test the exact limits.
func RunLayer(t *testing.T, open Open) { Run(t, open, "LimitChecks", "LimitBytes") }

// testCase is one sentence of the contract.
type testCase struct {
	name string
	run  func(*suite)
}

func cases() []testCase {
	return []testCase{
		{"GetAbsent", testGetAbsent},
		{"Revisions", testRevisions},
		{"RevisionGiven", testRevisionGiven},
		{"CallersBytes", testCallersBytes},
		{"Keys", testKeys},
		{"Checks", testChecks},
		{"CheckValue", testCheckValue},
		{"Atomic", testAtomic},
		{"NoEffect", testNoEffect},
		{"LimitOps", testLimitOps},
		{"LimitChecks", testLimitChecks},
		{"LimitBytes", testLimitBytes},
		{"LimitBytesConcurrent", testLimitBytesConcurrent},
		{"LimitKey", testLimitKey},
		{"InvalidTxn", testInvalidTxn},
		{"CompareAndSwap", testCompareAndSwap},
		{"UniqueName", testUniqueName},
		{"BlindRevisions", testBlindRevisions},
		{"ListOrder", testListOrder},
		{"ListPages", testListPages},
		{"ListLimits", testListLimits},
		{"ListBytes", testListBytes},
		{"ListToken", testListToken},
		{"ListWhileWriting", testListWhileWriting},
		{"ListThenWatch", testListThenWatch},
		{"WatchEvents", testWatchEvents},
		{"WatchFromEveryPosition", testWatchFromEveryPosition},
		{"WatchConcurrent", testWatchConcurrent},
		{"WatchFromListing", testWatchFromListing},
		{"WatchSlow", testWatchSlow},
		{"WatchCompacted", testWatchCompacted},
		{"WatchLarge", testWatchLarge},
		{"WatchForeign", testWatchForeign},
		{"WatchEnds", testWatchEnds},
		{"Stale", testStale},
		{"StaleNeverStepsBack", testStaleNeverStepsBack},
		{"LeaseEnds", testLeaseEnds},
		{"LeaseKept", testLeaseKept},
		{"LeaseRevoked", testLeaseRevoked},
		{"LeaseLeft", testLeaseLeft},
		{"LeaseMany", testLeaseMany},
		{"LeaseKeptByWrite", testLeaseKeptByWrite},
		{"LeaseUnknown", testLeaseUnknown},
		{"ContextEnded", testContextEnded},
		{"Closed", testClosed},
		{"CloseWhileBusy", testCloseWhileBusy},
	}
}

// suite is one test with its store.
type suite struct {
	*testing.T
	store.Store
	ctx   context.Context
	open  Open
	clock *testkit.Clock
}

func start(t *testing.T, open Open) *suite {
	t.Helper()
	s := &suite{T: t, ctx: t.Context(), open: open, clock: testkit.StillClock(time.Now())}
	s.Store = s.another()
	return s
}

// another opens a second, independent store.
func (s *suite) another() store.Store {
	s.Helper()
	st := s.open(s.T, s.clock.Now)
	s.Cleanup(func() {
		if err := st.Close(); err != nil {
			s.Errorf("closing: %v", err)
		}
	})
	return st
}

func put(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }
func del(key string) store.Op        { return store.Op{Key: key, Delete: true} }

// commit must succeed.
func (s *suite) commit(ops ...store.Op) store.Position {
	s.Helper()
	pos, err := s.Commit(s.ctx, store.Txn{Ops: ops})
	if err != nil {
		s.Fatalf("commit: %v", err)
	}
	return pos
}

// want checks one record; revision 0 means that it must be absent.
func (s *suite) want(key, value string, revision uint64) {
	s.Helper()
	r, err := s.Get(s.ctx, key)
	if revision == 0 {
		if !errors.Is(err, store.ErrNotFound) {
			s.Errorf("Get(%q) = %+v, %v; want ErrNotFound", key, r, err)
		}
		return
	}
	if err != nil || r.Key != key || string(r.Value) != value || r.Revision != revision {
		s.Errorf("Get(%q) = %q, revision %d, %v; want %q, revision %d", key, r.Value, r.Revision, err, value, revision)
	}
}

// is checks an error.
func (s *suite) is(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("error %v; want %v", err, want)
	}
}

// until waits for a condition.
func (s *suite) until(what string, ok func() bool) {
	s.Helper()
	Until(s.T, what, ok)
}

// Until waits for a condition, and fails the test if it isn't met in a minute.
func Until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(wait)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waiting for %s: not within %v", what, wait)
		}
	}
}

// all lists everything under prefix in pages of limit.
func (s *suite) all(prefix string, limit int) (records []store.Record, first store.Position) {
	s.Helper()
	for token, pages := "", 0; ; pages++ {
		page, err := s.List(s.ctx, prefix, token, limit)
		if err != nil {
			s.Fatalf("list: %v", err)
		}
		if pages == 0 {
			first = page.Position
		}
		records = append(records, page.Records...)
		if token = page.Next; token == "" {
			return records, first
		}
	}
}

// watch starts a watch that ends with the test.
func (s *suite) watch(prefix string, from store.Position) store.Watcher {
	s.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	w, err := s.Watch(ctx, prefix, from)
	if err != nil {
		cancel()
		s.Fatalf("watch: %v", err)
	}
	s.Cleanup(func() {
		cancel()
		for range w.Events() {
		}
	})
	return w
}

// event reads the next event.
func (s *suite) event(w store.Watcher) store.Event {
	s.Helper()
	return Next(s.T, w)
}

// Next reads the next event of a watch, which must come in a minute.
func Next(t *testing.T, w store.Watcher) store.Event {
	t.Helper()
	select {
	case e, ok := <-w.Events():
		if !ok {
			t.Fatalf("watch ended: %v", w.Err())
		}
		return e
	case <-time.After(wait):
		t.Fatal("no event")
	}
	return store.Event{}
}

// format writes an event on one line: +key=value@revision or -key@revision.
func format(e store.Event) string {
	var b bytes.Buffer
	for _, ch := range e.Changes {
		if ch.Deleted {
			fmt.Fprintf(&b, "-%s@%d ", ch.Key, ch.Revision)
			continue
		}
		fmt.Fprintf(&b, "+%s=%s@%d ", ch.Key, ch.Value, ch.Revision)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// position is the store's current one.
func (s *suite) position() store.Position {
	s.Helper()
	page, err := s.List(s.ctx, "", "", 1)
	if err != nil {
		s.Fatalf("list: %v", err)
	}
	return page.Position
}
