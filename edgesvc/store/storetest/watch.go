package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mezusphere/mezu/edgesvc/store"
)

func testWatchEvents(s *suite) {
	from := s.position()
	w, other := s.watch("p/", from), s.watch("q/", from)
	positions := []store.Position{
		s.commit(put("p/a", "1"), put("q/a", "1"), put("p/b", "1")),
		s.commit(put("q/b", "1")),
		s.commit(put("p/b", "2"), del("p/a"), put("pp", "")),
		s.commit(put("p/a", "")),
	}
	for i, want := range []string{"+p/a=1@1 +p/b=1@1", "", "+p/b=2@2 -p/a@1", "+p/a=@1"} {
		if want == "" {
			continue
		}
		e := s.event(w)
		if got := format(e); got != want || e.Position != positions[i] {
			s.Errorf("commit %d: %q at %q; want %q at %q", i, got, e.Position, want, positions[i])
		}
	}
	if got := format(s.event(other)); got != "+q/a=1@1" {
		s.Errorf("other prefix: %q", got)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(positions)))) != len(positions) {
		s.Error("two commits share a position")
	}
	if s.position() != positions[3] {
		s.Error("the listing's position is not the last commit's")
	}
	if err := w.Err(); err != nil {
		s.Errorf("Err of a running watch: %v", err)
	}
}

func testWatchFromEveryPosition(s *suite) {
	const n = 30
	positions := []store.Position{s.position()}
	for i := range n {
		positions = append(positions, s.commit(put(fmt.Sprint("p/", i), fmt.Sprint(i))))
	}
	for i, from := range positions {
		ctx, cancel := context.WithCancel(s.ctx)
		w, err := s.Watch(ctx, "p/", from)
		s.is(err, nil)
		for j := i; j < n; j++ {
			if e := s.event(w); format(e) != fmt.Sprintf("+p/%d=%d@1", j, j) || e.Position != positions[j+1] {
				s.Fatalf("from %d: event %d is %q at %q", i, j, format(e), e.Position)
			}
		}
		cancel()
		for e := range w.Events() {
			s.Errorf("from %d: extra event %q", i, format(e))
		}
	}
}

// Watchers that start anywhere while many write: all see one order, without gap or
// duplicate.
func testWatchConcurrent(s *suite) {
	const writers, each, watchers = 6, 60, 6
	from := s.position()
	order := make([][]string, watchers)
	started := make(chan store.Position, writers*each)
	var writing, watching sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for j := range each {
				pos, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(fmt.Sprint("p/", i, "/", j), ""), put(fmt.Sprint("p/last/", i), fmt.Sprint(j))}})
				if err != nil {
					s.Error(err)
					return
				}
				started <- pos
			}
		})
	}
	for i := range watchers {
		start := from
		if i > 0 {
			start = <-started // somewhere in the middle
		}
		w := s.watch("p/", start)
		watching.Go(func() {
			for e := range w.Events() {
				if format(e) == "+p/end=@1" {
					return
				}
				if len(e.Changes) != 2 {
					s.Errorf("half a commit: %q", format(e))
				}
				order[i] = append(order[i], e.Changes[0].Key)
			}
			s.Errorf("watch %d ended: %v", i, w.Err())
		})
	}
	writing.Wait()
	s.commit(put("p/end", ""))
	watching.Wait()
	if len(order[0]) != writers*each {
		s.Fatalf("%d events; want %d", len(order[0]), writers*each)
	}
	last := make(map[string]int)
	for _, key := range order[0] {
		var i string
		var j int
		parts := strings.Split(key, "/")
		i = parts[1]
		fmt.Sscan(parts[2], &j)
		if j != last[i] {
			s.Fatalf("%q comes after %d", key, last[i])
		}
		last[i] = j + 1
	}
	for i, got := range order[1:] {
		if want := order[0][len(order[0])-len(got):]; !slices.Equal(got, want) {
			s.Errorf("watch %d saw another order", i+1)
		}
	}
}

// The position of any listing can be watched from at once.
func testWatchFromListing(s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(fmt.Sprint(i), "")}}); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	for range 400 {
		if _, err := s.Watch(ctx, "none", s.position()); err != nil {
			s.Error(err)
			break
		}
	}
	cancel()
	wg.Wait()
}

// A watcher that doesn't read holds up nobody, and misses nothing.
func testWatchSlow(s *suite) {
	const n = 3000
	w := s.watch("p/", s.position())
	s.many(n, "p/")
	revisions := make(map[string]uint64)
	for range n {
		ch := s.event(w).Changes[0]
		if ch.Revision != revisions[ch.Key]+1 {
			s.Fatalf("%q jumps from revision %d to %d", ch.Key, revisions[ch.Key], ch.Revision)
		}
		revisions[ch.Key] = ch.Revision
	}
}

// many commits n times, from many goroutines.
func (s *suite) many(n int, prefix string) {
	s.Helper()
	const workers = 32
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range n/workers + min(1, max(0, n%workers-i)) {
				if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{put(fmt.Sprint(prefix, i), "v")}}); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// As many commits back as WatchHistory can be watched from; one more can't, and a
// watcher that fell behind so far is told.
func testWatchCompacted(s *suite) {
	const onItsWay = 2000 // more than a driver holds for one watcher
	tooEarly := s.position()
	late := s.watch("p/", tooEarly)
	first := s.commit(put("p/first", ""))
	s.many(store.WatchHistory-1, "p/")
	s.watch("p/", tooEarly)
	s.commit(put("p/last", ""))
	_, err := s.Watch(s.ctx, "p/", tooEarly)
	s.is(err, store.ErrCompacted)
	if got := s.event(s.watch("p/", first)); len(got.Changes) != 1 || got.Changes[0].Key == "p/first" {
		s.Errorf("watching from the first commit gives %q", format(got))
	}
	// What was on its way to the late watcher may still arrive.
	s.many(onItsWay, "p/")
	n := 0
	for range late.Events() {
		n++
	}
	if n > onItsWay {
		s.Errorf("%d events for the late watcher", n)
	}
	s.is(late.Err(), store.ErrCompacted)
}

func testWatchForeign(s *suite) {
	other := s.another()
	for i := range 5 {
		s.commit(put("a", fmt.Sprint(i)))
	}
	var last store.Position
	for i := range 7 {
		pos, err := other.Commit(s.ctx, store.Txn{Ops: []store.Op{put("a", fmt.Sprint(i))}})
		s.is(err, nil)
		_, err = s.Watch(s.ctx, "", pos)
		s.is(err, store.ErrCompacted)
		last = pos
	}
	for _, pos := range []store.Position{"", "x", last + "0", store.Position(strings.ToUpper(string(last)) + "-")} {
		_, err := s.Watch(s.ctx, "", pos)
		s.is(err, store.ErrCompacted)
	}
}

func testWatchEnds(s *suite) {
	st := s.another()
	page, err := st.List(s.ctx, "", "", 1)
	s.is(err, nil)
	ctx, cancel := context.WithCancel(s.ctx)
	ended, err := st.Watch(ctx, "", page.Position)
	s.is(err, nil)
	blocked, err := st.Watch(s.ctx, "", page.Position)
	s.is(err, nil)
	idle, err := st.Watch(s.ctx, "q", page.Position)
	s.is(err, nil)
	cancel()
	for range ended.Events() {
	}
	if err := ended.Err(); err != nil {
		s.Errorf("Err after the context's end: %v", err)
	}
	_, err = st.Commit(s.ctx, store.Txn{Ops: []store.Op{put("a", "1")}})
	s.is(err, nil)
	s.is(st.Close(), nil)
	for _, w := range []store.Watcher{blocked, idle} {
		for range w.Events() {
		}
		s.is(w.Err(), store.ErrClosed)
	}
}
