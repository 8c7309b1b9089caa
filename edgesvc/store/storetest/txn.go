package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu/edgesvc/store"
)

func testGetAbsent(s *suite) {
	s.want("a", "", 0)
	s.want("", "", 0)
	s.want(strings.Repeat("k", store.MaxKeyBytes+1), "", 0)
}

func testRevisions(s *suite) {
	s.commit(put("a", "1"))
	s.want("a", "1", 1)
	s.commit(put("a", "2"), put("b", "x"))
	s.want("a", "2", 2)
	s.want("b", "x", 1)
	s.commit(del("a"))
	s.want("a", "", 0)
	s.commit(put("a", "3"))
	s.want("a", "3", 1)
	s.commit(put("a", ""))
	s.want("a", "", 2)
}

// A revision that is given is the record's, and counting goes on from it.
func testRevisionGiven(s *suite) {
	given := func(key, value string, revision uint64) store.Op {
		op := put(key, value)
		op.Revision = revision
		return op
	}
	from := s.position()
	s.commit(given("a", "1", 7), given("b", "1", 1), put("c", "1"))
	s.want("a", "1", 7)
	s.want("b", "1", 1)
	if got := format(s.event(s.watch("", from))); got != "+a=1@7 +b=1@1 +c=1@1" {
		s.Errorf("event %q", got)
	}
	if _, err := s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: "a", Revision: 7}}, Ops: []store.Op{given("a", "2", 7)}}); err != nil {
		s.Fatal(err)
	}
	s.want("a", "2", 7)
	s.commit(put("a", "3"))
	s.want("a", "3", 8)
	s.commit(given("a", "4", 2))
	s.want("a", "4", 2)
}

// A check of the value tells a record from its successor of the same revision.
func testCheckValue(s *suite) {
	s.commit(put("a", "1"), put("e", ""))
	s.commit(del("a"))
	s.commit(put("a", "2"))
	try := func(key string, value []byte) error {
		_, err := s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: 1, Value: value}}, Ops: []store.Op{put("b", "x")}})
		return err
	}
	s.is(try("a", []byte("1")), store.ErrConflict)
	s.is(try("a", []byte{}), store.ErrConflict)
	s.is(try("e", []byte("1")), store.ErrConflict)
	s.want("b", "", 0)
	s.is(try("a", []byte("2")), nil)
	s.is(try("e", []byte{}), nil)
	s.is(try("a", nil), nil)
	s.want("b", "x", 3)
}

// What goes in and comes out is the caller's.
func testCallersBytes(s *suite) {
	from := s.position()
	v := []byte("value")
	ops := []store.Op{{Key: "a", Value: v}}
	if _, err := s.Commit(s.ctx, store.Txn{Ops: ops}); err != nil {
		s.Fatal(err)
	}
	copy(v, "XXXXX")
	ops[0].Key = "b"
	r, err := s.Get(s.ctx, "a")
	if err != nil || string(r.Value) != "value" {
		s.Fatalf("Get = %q, %v", r.Value, err)
	}
	copy(r.Value, "YYYYY")
	s.want("a", "value", 1)
	page, err := s.List(s.ctx, "", "", 0)
	if err != nil || len(page.Records) != 1 {
		s.Fatalf("List = %+v, %v", page, err)
	}
	copy(page.Records[0].Value, "ZZZZZ")
	s.want("a", "value", 1)
	w1, w2 := s.watch("", from), s.watch("", from)
	e1 := s.event(w1)
	copy(e1.Changes[0].Value, "WWWWW")
	if got := format(s.event(w2)); got != "+a=value@1" {
		s.Errorf("second watcher got %q", got)
	}
}

// Any bytes are a key, and none meets the store's own records.
func testKeys(s *suite) {
	keys := []string{"\x00", "\x00\x00", "\xff", "\xff\xff\xff", "a", "a\x00", "a\x00b", "a/b", "!badger!", "!badger!txn",
		"r", "c\x00\x00\x00\x00\x00\x00\x00\x01", "l", "k", "mezu", "日本", strings.Repeat("z", store.MaxKeyBytes)}
	for i, key := range keys {
		s.commit(put(key, strconv.Itoa(i)))
	}
	for i, key := range keys {
		s.want(key, strconv.Itoa(i), 1)
	}
	if got, _ := s.all("", 3); len(got) != len(keys) {
		s.Errorf("%d records listed; want %d", len(got), len(keys))
	}
	for _, key := range keys {
		s.commit(del(key))
	}
	if got, _ := s.all("", 3); len(got) != 0 {
		s.Errorf("records left: %+v", got)
	}
}

func testChecks(s *suite) {
	s.commit(put("a", "1"))
	for _, c := range []struct {
		check store.Check
		want  error
	}{
		{store.Check{Key: "a", Revision: 1}, nil},
		{store.Check{Key: "a", Revision: 1}, store.ErrConflict}, // now 2
		{store.Check{Key: "a", Revision: 0}, store.ErrConflict},
		{store.Check{Key: "a", Revision: 3}, store.ErrConflict},
		{store.Check{Key: "none", Revision: 0}, nil},
		{store.Check{Key: "none", Revision: 1}, store.ErrConflict},
	} {
		_, err := s.Commit(s.ctx, store.Txn{Checks: []store.Check{c.check}, Ops: []store.Op{put("a", "x")}})
		if !errors.Is(err, c.want) {
			s.Errorf("check %+v: %v; want %v", c.check, err, c.want)
		}
	}
	s.want("a", "x", 3)
	// A check alone is a question.
	_, err := s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: "a", Revision: 2}}})
	s.is(err, store.ErrConflict)
	_, err = s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: "a", Revision: 3}}})
	s.is(err, nil)
}

// A refused transaction leaves no trace.
func testAtomic(s *suite) {
	s.commit(put("a", "1"), put("b", "1"))
	before := s.position()
	_, err := s.Commit(s.ctx, store.Txn{
		Checks: []store.Check{{Key: "a", Revision: 1}, {Key: "b", Revision: 7}},
		Ops:    []store.Op{put("a", "2"), del("b"), put("c", "2")},
	})
	s.is(err, store.ErrConflict)
	s.want("a", "1", 1)
	s.want("b", "1", 1)
	s.want("c", "", 0)
	if s.position() != before {
		s.Error("a refused transaction moved the position")
	}
}

func testNoEffect(s *suite) {
	before := s.commit(put("a", "1"))
	w := s.watch("", before)
	for _, txn := range []store.Txn{{}, {Ops: []store.Op{del("none")}}, {Checks: []store.Check{{Key: "a", Revision: 1}}}} {
		pos, err := s.Commit(s.ctx, txn)
		if err != nil || pos != before {
			s.Errorf("Commit(%+v) = %q, %v; want %q", txn, pos, err, before)
		}
	}
	s.commit(del("none"), put("b", "1"))
	if got := format(s.event(w)); got != "+b=1@1" {
		s.Errorf("event %q; want the second commit's", got)
	}
}

func testLimitOps(s *suite) {
	ops := make([]store.Op, store.MaxOps)
	for i := range ops {
		ops[i] = put(fmt.Sprint("k", i), "v")
	}
	s.commit(ops...)
	_, err := s.Commit(s.ctx, store.Txn{Ops: append(ops, put("one more", ""))})
	s.is(err, store.ErrTooLarge)
	s.want("k0", "v", 1)
	s.want("one more", "", 0)
}

func testLimitChecks(s *suite) {
	checks := make([]store.Check, store.MaxChecks)
	for i := range checks {
		checks[i] = store.Check{Key: fmt.Sprint("k", i)}
	}
	_, err := s.Commit(s.ctx, store.Txn{Checks: checks, Ops: []store.Op{put("a", "1")}})
	s.is(err, nil)
	_, err = s.Commit(s.ctx, store.Txn{Checks: append(checks, store.Check{Key: "more"}), Ops: []store.Op{put("a", "2")}})
	s.is(err, store.ErrTooLarge)
	s.want("a", "1", 1)
}

// The largest transactions: one record, many, and many with the longest keys, with
// and without a lease.
func testLimitBytes(s *suite) {
	lease, err := s.Grant(s.ctx, 1000*store.MinLease)
	s.is(err, nil)
	for _, n := range []int{1, store.MaxOps} {
		for _, keyLen := range []int{3, store.MaxKeyBytes} {
			for _, l := range []store.LeaseID{"", lease, ""} {
				ops := make([]store.Op, n)
				left := store.MaxTxnBytes
				for i := range ops {
					key := fmt.Sprintf("%03d", i) + strings.Repeat("k", keyLen-3)
					size := left/(n-i) - keyLen
					ops[i] = store.Op{Key: key, Value: []byte(strings.Repeat("v", size)), Lease: l}
					left -= keyLen + size
				}
				if left != 0 {
					s.Fatalf("%d bytes left", left)
				}
				s.commit(ops...)
				r, err := s.Get(s.ctx, ops[n-1].Key)
				if err != nil || len(r.Value) != len(ops[n-1].Value) {
					s.Fatalf("read back %d bytes, %v", len(r.Value), err)
				}
				ops[n-1].Value = append(ops[n-1].Value, 'x')
				_, err = s.Commit(s.ctx, store.Txn{Ops: ops})
				s.is(err, store.ErrTooLarge)
			}
		}
	}
}

// The largest transactions from many at once get through like small ones.
func testLimitBytesConcurrent(s *suite) {
	const workers = 12
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			key := fmt.Sprintf("%02d", i)
			value := strings.Repeat("v", store.MaxTxnBytes-len(key))
			if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(key, value)}}); err != nil {
				s.Error(err)
			}
		})
	}
	wg.Wait()
	if got, _ := s.all("", 0); len(got) != workers {
		s.Errorf("%d records; want %d", len(got), workers)
	}
}

func testLimitKey(s *suite) {
	long := strings.Repeat("k", store.MaxKeyBytes)
	s.commit(put(long, "v"))
	s.want(long, "v", 1)
	_, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(long+"k", "v")}})
	s.is(err, store.ErrTooLarge)
	_, err = s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: long + "k"}}})
	s.is(err, store.ErrTooLarge)
}

func testInvalidTxn(s *suite) {
	for _, txn := range []store.Txn{
		{Ops: []store.Op{put("", "v")}},
		{Checks: []store.Check{{Key: ""}}},
		{Ops: []store.Op{put("a", "1"), put("a", "2")}},
		{Ops: []store.Op{put("a", "1"), del("a")}},
	} {
		_, err := s.Commit(s.ctx, txn)
		s.is(err, store.ErrInvalid)
	}
	s.want("a", "", 0)
}

// Concurrent counters by compare-and-swap: no increment is lost, none counted twice.
func testCompareAndSwap(s *suite) {
	const workers, each = 8, 25
	var conflicts atomic.Int64
	increment := func() error {
		for {
			r, err := s.Get(s.ctx, "n")
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			n, _ := strconv.Atoi(string(r.Value))
			_, err = s.Commit(s.ctx, store.Txn{
				Checks: []store.Check{{Key: "n", Revision: r.Revision}},
				Ops:    []store.Op{put("n", strconv.Itoa(n+1))},
			})
			if errors.Is(err, store.ErrConflict) {
				conflicts.Add(1)
				continue
			}
			return err
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if err := increment(); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.want("n", strconv.Itoa(workers*each), workers*each)
	s.Logf("%d conflicts", conflicts.Load())
}

// Of many who make one record, one does.
func testUniqueName(s *suite) {
	const workers = 16
	for round := range 10 {
		key := fmt.Sprint("name", round)
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				_, err := s.Commit(s.ctx, store.Txn{
					Checks: []store.Check{{Key: key}},
					Ops:    []store.Op{put(key, fmt.Sprint(i)), put(fmt.Sprint(key, "/", i), "")},
				})
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, store.ErrConflict) {
					s.Error(err)
				}
			})
		}
		wg.Wait()
		if got, _ := s.all(key+"/", 0); won.Load() != 1 || len(got) != 1 {
			s.Fatalf("%d winners, %d marks", won.Load(), len(got))
		}
	}
}
