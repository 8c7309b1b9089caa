package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// A stale reader comes to what was written, reads pages like any other, never steps
// back, and what it read can be watched from.
func testStale(s *suite) {
	s.fill("p/", 25)
	s.commit(put("n", "0"))
	r := s.Stale()
	s.until("the stale reader to see the last write", func() bool {
		rec, err := r.Get(s.ctx, "n")
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			s.Fatal(err)
		}
		return err == nil && rec.Revision == 1 && string(rec.Value) == "0"
	})
	_, err := r.Get(s.ctx, "none")
	s.is(err, store.ErrNotFound)
	_, err = r.List(s.ctx, "p/", "\x00 no token", 1)
	s.is(err, store.ErrInvalid)
	var got []string
	var from store.Position
	for token := ""; ; {
		page, err := r.List(s.ctx, "p/", token, 7)
		if err != nil {
			s.Fatal(err)
		}
		if from == "" {
			from = page.Position
		}
		got = append(got, keys(page.Records)...)
		if token = page.Next; token == "" {
			break
		}
	}
	if len(got) != 25 {
		s.Errorf("%d records listed: %q", len(got), got)
	}
	w := s.watch("p/", from)
	s.commit(put("p/next", "1"))
	if got := format(s.event(w)); got != "+p/next=1@1" {
		s.Errorf("event %q", got)
	}
}

func testStaleNeverStepsBack(s *suite) {
	const writes, readers = 200, 4
	s.commit(put("n", ""))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			r := s.Stale()
			last := uint64(0)
			for {
				rec, err := r.Get(s.ctx, "n")
				if err != nil && (last > 0 || !errors.Is(err, store.ErrNotFound)) {
					s.Error(err)
					return
				}
				page, err := r.List(s.ctx, "n", "", 1)
				if err != nil || rec.Revision < last || len(page.Records) == 1 && page.Records[0].Revision < rec.Revision || len(page.Records) == 0 && rec.Revision > 0 {
					s.Errorf("revision %d after %d, then %+v, %v", rec.Revision, last, page, err)
					return
				}
				last = rec.Revision
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range writes {
		s.commit(put("n", ""))
	}
	close(stop)
	wg.Wait()
}

// Blind writes from many at once: each counts once, and the watch has every
// revision.
func testBlindRevisions(s *suite) {
	const workers, each = 10, 12
	w := s.watch("n", s.position())
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range each {
				if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put("n", "last"), put(fmt.Sprint("own", i), "")}}); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.want("n", "last", workers*each)
	for i := range workers {
		s.want(fmt.Sprint("own", i), "", each)
	}
	for i := range workers * each {
		if ch := s.event(w).Changes[0]; ch.Revision != uint64(i+1) {
			s.Fatalf("event %d has revision %d", i, ch.Revision)
		}
	}
}

// Commits of the largest size come whole from the past, however an engine cuts
// them.
func testWatchLarge(s *suite) {
	const commits = 12
	from := s.position()
	value := strings.Repeat("v", store.MaxTxnBytes/store.MaxOps-100) // room for keys and for a layer
	for n := range commits {
		ops := make([]store.Op, store.MaxOps)
		for i := range ops {
			ops[i] = put(fmt.Sprintf("p/%02d", i), fmt.Sprintf("%02d%s", n, value[2:]))
		}
		if n%3 == 2 {
			ops[store.MaxOps/2] = del(ops[store.MaxOps/2].Key)
		}
		s.commit(ops...)
	}
	w := s.watch("p/", from)
	for n := range commits {
		e := s.event(w)
		if len(e.Changes) != store.MaxOps {
			s.Fatalf("commit %d has %d changes", n, len(e.Changes))
		}
		for i, ch := range e.Changes {
			if ch.Key != fmt.Sprintf("p/%02d", i) || ch.Deleted != (n%3 == 2 && i == store.MaxOps/2) || !ch.Deleted && string(ch.Value) != fmt.Sprintf("%02d%s", n, value[2:]) {
				s.Fatalf("commit %d, change %d: %q, revision %d, deleted %v", n, i, ch.Key, ch.Revision, ch.Deleted)
			}
		}
	}
}
