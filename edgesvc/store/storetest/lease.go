package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const ttl = 3 * store.MinLease

func (s *suite) grant() store.LeaseID {
	s.Helper()
	id, err := s.Grant(s.ctx, ttl)
	if err != nil || id == "" {
		s.Fatalf("Grant = %q, %v", id, err)
	}
	return id
}

func leased(key, value string, id store.LeaseID) store.Op {
	return store.Op{Key: key, Value: []byte(value), Lease: id}
}

// gone waits until the record is.
func (s *suite) gone(key string) {
	s.Helper()
	s.until("the end of "+key, func() bool {
		_, err := s.Get(s.ctx, key)
		return errors.Is(err, store.ErrNotFound)
	})
}

// keep keeps a lease alive until stop is called, as a driver needs whose leases run
// on real time.
func (s *suite) keep(id store.LeaseID) (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(ttl / 10)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := s.KeepAlive(ctx, id); err != nil && ctx.Err() == nil {
				s.Error(err)
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

func testLeaseEnds(s *suite) {
	a, b := s.grant(), s.grant()
	from := s.commit(leased("p/a", "1", a), leased("p/b", "1", b), put("p/c", "1"))
	w := s.watch("p/", from)
	s.clock.Advance(ttl - time.Millisecond)
	s.is(s.KeepAlive(s.ctx, b), nil)
	s.want("p/a", "1", 1)
	stop := s.keep(b)
	s.clock.Advance(time.Millisecond)
	if got := format(s.event(w)); got != "-p/a@1" {
		s.Errorf("event %q; want the deletion", got)
	}
	stop()
	s.want("p/a", "", 0)
	s.is(s.KeepAlive(s.ctx, a), store.ErrLeaseExpired)
	_, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{leased("p/d", "1", a), put("p/e", "")}})
	s.is(err, store.ErrLeaseExpired)
	s.want("p/e", "", 0)
	s.want("p/c", "1", 1)
	s.is(s.Revoke(s.ctx, b), nil)
}

func testLeaseKept(s *suite) {
	id, idle := s.grant(), s.grant()
	s.commit(leased("a", "1", id), leased("idle", "1", idle))
	for range 5 {
		s.clock.Advance(ttl / 2)
		s.is(s.KeepAlive(s.ctx, id), nil)
	}
	// On real time too, one that nobody keeps ends while the other lives.
	stop := s.keep(id)
	s.gone("idle")
	stop()
	s.want("a", "1", 1)
	s.clock.Advance(ttl)
	s.gone("a")
	s.is(s.KeepAlive(s.ctx, id), store.ErrLeaseExpired)
}

func testLeaseRevoked(s *suite) {
	id := s.grant()
	s.commit(leased("a", "1", id), leased("b", "1", id), put("c", "1"))
	s.is(s.Revoke(s.ctx, id), nil)
	s.want("a", "", 0)
	s.want("b", "", 0)
	s.want("c", "1", 1)
	s.is(s.Revoke(s.ctx, id), store.ErrLeaseExpired)
	s.is(s.KeepAlive(s.ctx, id), store.ErrLeaseExpired)
	_, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{leased("a", "1", id)}})
	s.is(err, store.ErrLeaseExpired)
	s.commit(put("a", "again"))
	s.want("a", "again", 1)
}

// Records leave a lease by being written without it, or with another, or deleted.
func testLeaseLeft(s *suite) {
	a, b := s.grant(), s.grant()
	s.commit(leased("free", "1", a), leased("moved", "1", a), leased("deleted", "1", a), leased("stays", "1", a), leased("again", "1", a))
	s.commit(put("free", "2"), leased("moved", "2", b), del("deleted"), leased("again", "2", a))
	s.commit(put("deleted", "3"))
	s.is(s.Revoke(s.ctx, a), nil)
	s.want("free", "2", 2)
	s.want("moved", "2", 2)
	s.want("deleted", "3", 1)
	s.want("stays", "", 0)
	s.want("again", "", 0)
	s.is(s.Revoke(s.ctx, b), nil)
	s.want("moved", "", 0)
	s.want("free", "2", 2)
}

// A lease may have more records than one commit deletes.
func testLeaseMany(s *suite) {
	id := s.grant()
	const n = 5*store.MaxOps + 3
	for i := 0; i < n; i += store.MaxOps {
		var ops []store.Op
		for j := i; j < min(n, i+store.MaxOps); j++ {
			ops = append(ops, leased(fmt.Sprintf("p/%04d", j), "v", id))
		}
		s.commit(ops...)
	}
	from := s.position()
	s.is(s.Revoke(s.ctx, id), nil)
	if got, _ := s.all("p/", 0); len(got) != 0 {
		s.Errorf("%d records left", len(got))
	}
	w, deleted := s.watch("p/", from), 0
	for deleted < n {
		for _, ch := range s.event(w).Changes {
			if !ch.Deleted {
				s.Fatalf("unexpected change %+v", ch)
			}
			deleted++
		}
	}
}

func testLeaseUnknown(s *suite) {
	for _, id := range []store.LeaseID{"", "none", "\x00"} {
		s.is(s.KeepAlive(s.ctx, id), store.ErrLeaseExpired)
		s.is(s.Revoke(s.ctx, id), store.ErrLeaseExpired)
	}
	_, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{leased("a", "1", "none")}})
	s.is(err, store.ErrLeaseExpired)
	_, err = s.Grant(s.ctx, store.MinLease-1)
	s.is(err, store.ErrInvalid)
	_, err = s.Grant(s.ctx, -ttl)
	s.is(err, store.ErrInvalid)
}

func testContextEnded(s *suite) {
	id := s.grant()
	pos := s.commit(put("a", "1"))
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	s.each(s.Store, ctx, pos, id, context.Canceled)
	s.want("a", "1", 1)
	s.want("new", "", 0)
	s.is(s.KeepAlive(s.ctx, id), nil)
}

// each calls every method but Close and checks the error.
func (s *suite) each(st store.Store, ctx context.Context, pos store.Position, id store.LeaseID, want error) {
	s.Helper()
	_, err := st.Get(ctx, "a")
	s.is(err, want)
	_, err = st.List(ctx, "", "", 0)
	s.is(err, want)
	_, err = st.Stale().Get(ctx, "a")
	s.is(err, want)
	_, err = st.Stale().List(ctx, "", "", 0)
	s.is(err, want)
	_, err = st.Commit(ctx, store.Txn{Ops: []store.Op{put("new", "1")}})
	s.is(err, want)
	_, err = st.Watch(ctx, "", pos)
	s.is(err, want)
	_, err = st.Grant(ctx, ttl)
	s.is(err, want)
	s.is(st.KeepAlive(ctx, id), want)
	s.is(st.Revoke(ctx, id), want)
}

func testClosed(s *suite) {
	id := s.grant()
	pos := s.commit(put("a", "1"))
	s.is(s.Close(), nil)
	s.each(s.Store, s.ctx, pos, id, store.ErrClosed)
	s.is(s.Close(), nil)
}

// Calls that Close overtakes are done or refused, never stuck.
func testCloseWhileBusy(s *suite) {
	var wg sync.WaitGroup
	running := make(chan struct{}, 64)
	for i := range 8 {
		wg.Go(func() {
			for {
				_, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(fmt.Sprint(i), "v")}})
				if err == nil {
					_, err = s.List(s.ctx, "", "", 0)
				}
				if err != nil {
					s.is(err, store.ErrClosed)
					return
				}
				select {
				case running <- struct{}{}:
				default:
				}
			}
		})
	}
	for range cap(running) {
		<-running
	}
	s.is(s.Close(), nil)
	wg.Wait()
}

// A write that keeps the lease changes value and revision and nothing else.
func testLeaseKeptByWrite(s *suite) {
	id := s.grant()
	s.commit(leased("a", "1", id), put("b", "1"))
	for key, value := range map[string]string{"a": "2", "b": "2"} {
		op := put(key, value)
		op.KeepLease, op.Revision = true, 1
		if _, err := s.Commit(s.ctx, store.Txn{Checks: []store.Check{{Key: key, Revision: 1}}, Ops: []store.Op{op}}); err != nil {
			s.Fatal(err)
		}
		s.want(key, value, 1)
	}
	s.is(s.Revoke(s.ctx, id), nil)
	s.want("a", "", 0)
	s.want("b", "2", 1)
}
