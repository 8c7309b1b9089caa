package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// fill writes n records "p/0000"….
func (s *suite) fill(prefix string, n int) {
	s.Helper()
	for i := 0; i < n; i += store.MaxOps {
		var ops []store.Op
		for j := i; j < min(n, i+store.MaxOps); j++ {
			ops = append(ops, put(fmt.Sprintf("%s%04d", prefix, j), fmt.Sprint(j)))
		}
		s.commit(ops...)
	}
}

func keys(records []store.Record) []string {
	var k []string
	for _, r := range records {
		k = append(k, r.Key)
	}
	return k
}

func testListOrder(s *suite) {
	for _, key := range []string{"b/2", "b/10", "b", "b/", "a", "c", "b0", "b/\xff", "b/\x00", "B/1"} {
		s.commit(put(key, key))
	}
	got, _ := s.all("b/", 0)
	if want := []string{"b/", "b/\x00", "b/10", "b/2", "b/\xff"}; !slices.Equal(keys(got), want) {
		s.Errorf("List = %q; want %q", keys(got), want)
	}
	for _, r := range got {
		if string(r.Value) != r.Key || r.Revision != 1 {
			s.Errorf("record %+v", r)
		}
	}
	if got, _ := s.all("none", 0); len(got) != 0 {
		s.Errorf("List = %q; want nothing", keys(got))
	}
	if got, _ := s.all("", 2); len(got) != 10 || !slices.IsSorted(keys(got)) {
		s.Errorf("List = %q; want all", keys(got))
	}
}

func testListPages(s *suite) {
	s.fill("p/", 25)
	s.commit(put("p", "before"), put("q", "after"))
	for _, limit := range []int{1, 2, 5, 24, 25, 26} {
		if got, _ := s.all("p/", limit); len(got) != 25 || !slices.IsSorted(keys(got)) {
			s.Errorf("limit %d: %q", limit, keys(got))
		}
	}
	page, err := s.List(s.ctx, "p/", "", 25)
	if err != nil || page.Next != "" {
		s.Errorf("a page with the last record has Next %q, %v", page.Next, err)
	}
	// A token survives the record that it names.
	page, err = s.List(s.ctx, "p/", "", 10)
	s.is(err, nil)
	s.commit(del("p/0009"), put("p/0009a", "new"), del("p/0010"))
	page, err = s.List(s.ctx, "p/", page.Next, 2)
	s.is(err, nil)
	if want := []string{"p/0009a", "p/0011"}; !slices.Equal(keys(page.Records), want) {
		s.Errorf("after the token %q; want %q", keys(page.Records), want)
	}
}

func testListLimits(s *suite) {
	s.fill("p/", store.MaxPage+1)
	for limit, want := range map[int]int{0: store.DefaultPage, -1: store.DefaultPage, 1: 1, store.MaxPage: store.MaxPage, store.MaxPage + 1: store.MaxPage} {
		page, err := s.List(s.ctx, "p/", "", limit)
		if err != nil || len(page.Records) != want || page.Next == "" {
			s.Errorf("limit %d: %d records, next %q, %v; want %d", limit, len(page.Records), page.Next, err, want)
		}
	}
}

func testListBytes(s *suite) {
	value := strings.Repeat("v", store.MaxTxnBytes/2)
	const n = 2*store.MaxPageBytes/(store.MaxTxnBytes/2) + 3
	for i := range n {
		s.commit(put(fmt.Sprintf("p%02d", i), value))
	}
	page, err := s.List(s.ctx, "p", "", store.MaxPage)
	if err != nil || len(page.Records) == 0 || len(page.Records) == n || page.Next == "" {
		s.Errorf("%d of %d large records in one page, %v", len(page.Records), n, err)
	}
	if got, _ := s.all("p", store.MaxPage); len(got) != n {
		s.Errorf("%d records; want %d", len(got), n)
	}
}

func testListToken(s *suite) {
	s.fill("p/", 3)
	page, err := s.List(s.ctx, "p/", "", 1)
	s.is(err, nil)
	_, err = s.List(s.ctx, "q/", page.Next, 1)
	s.is(err, store.ErrInvalid)
	_, err = s.List(s.ctx, "p/", "\x00 no token", 1)
	s.is(err, store.ErrInvalid)
}

// A record that exists throughout a listing appears in it exactly once, while
// others around it come and go.
func testListWhileWriting(s *suite) {
	const stable = 200
	s.fill("p/", stable)
	ctx, cancel := context.WithCancel(s.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("p/%04dx", (i*37)%stable)
			op := put(key, "noise")
			if i%3 == 0 {
				op = del(key)
			}
			// The stable records change too, but stay.
			if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{op, put(fmt.Sprintf("p/%04d", (i*53)%stable), fmt.Sprint(i))}}); err != nil {
				s.Error(err)
				return
			}
		}
	})
	for range 10 {
		got, _ := s.all("p/", 7)
		seen := make(map[string]int)
		for _, r := range got {
			seen[r.Key]++
		}
		for i := range stable {
			if n := seen[fmt.Sprintf("p/%04d", i)]; n != 1 {
				s.Errorf("record %d appears %d times", i, n)
			}
		}
		if !slices.IsSorted(keys(got)) {
			s.Error("listing is out of order")
		}
	}
	cancel()
	wg.Wait()
}

// A listing and the watch from its position make a true copy, whatever is written
// meanwhile.
func testListThenWatch(s *suite) {
	const keySpace, writes = 40, 300
	s.fill("p/", keySpace)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range writes / 4 {
				key := fmt.Sprintf("p/%04d", (i*7+worker*11)%keySpace)
				op := put(key, fmt.Sprint(worker, i))
				if i%5 == 0 {
					op = del(key)
				}
				if _, err := s.Commit(s.ctx, store.Txn{Ops: []store.Op{op}}); err != nil {
					s.Error(err)
					return
				}
			}
		})
	}
	got, from := s.all("p/", 3)
	w := s.watch("p/", from)
	wg.Wait()
	end := s.commit(put("p/end", ""))
	replica := make(map[string]store.Record)
	for _, r := range got {
		replica[r.Key] = r
	}
	for {
		e := s.event(w)
		for _, ch := range e.Changes {
			if ch.Deleted {
				delete(replica, ch.Key)
				continue
			}
			replica[ch.Key] = ch.Record
		}
		if e.Position == end {
			break
		}
	}
	now, _ := s.all("p/", 0)
	if len(now) != len(replica) {
		s.Errorf("replica has %d records, store %d", len(replica), len(now))
	}
	for _, r := range now {
		if c := replica[r.Key]; c.Revision != r.Revision || string(c.Value) != string(r.Value) {
			s.Errorf("replica has %+v, store %+v", c, r)
		}
	}
}
