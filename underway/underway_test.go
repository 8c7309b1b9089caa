package underway

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaits(t *testing.T) {
	s := &Set{}
	now := time.Now()
	check := func(want, them string) {
		t.Helper()
		if what, are := s.Waits(now); what != want || are != them {
			t.Errorf("%q %q, want %q %q", what, are, want, them)
		}
	}
	check("", "")
	all := make([]Request, 40)
	for i := range all {
		s.Init(&all[i], func() {})
		all[i].End() // which did not begin
	}
	all[0].Begin("GET", "/ws", now.Add(-41*time.Second-time.Millisecond))
	check("1 request under way (GET /ws, 41 s)", "it")
	all[1].Begin("GET", "/events", now.Add(-3*time.Minute-12*time.Second))
	check("2 requests under way (GET /events, 3 m 12 s; GET /ws, 41 s)", "them")
	for i := range all[2:] {
		all[2+i].Begin("POST", fmt.Sprint("/", i), now.Add(-time.Duration(i)*time.Millisecond))
	}
	check("40 requests under way (GET /events, 3 m 12 s; GET /ws, 41 s; POST /37, 0 s; and 37 more)", "them")
	for i := range all {
		if i != 1 && i != 20 {
			all[i].End()
			all[i].End()
		}
	}
	check("2 requests under way (GET /events, 3 m 12 s; POST /18, 0 s)", "them")
	all[1].End()
	all[20].End()
	check("", "")
	all[3].Begin("GET", "/"+strings.Repeat("ä", 100), now.Add(-2*time.Hour))
	check("1 request under way (GET /"+strings.Repeat("ä", 29)+"…, 2 h 0 m)", "it")
}

// TestCutStreams: streams are cut once, also those that begin later, and nothing that has ended.
func TestCutStreams(t *testing.T) {
	s := &Set{}
	cuts := make([]int, 4)
	all := make([]Request, len(cuts))
	for i := range all {
		s.Init(&all[i], func() { cuts[i]++ })
		all[i].Begin("GET", "/", time.Now())
	}
	all[0].Stream()
	all[1].Stream()
	all[1].End()
	if all[0].Ending() {
		t.Error("it ends before it is to")
	}
	s.Mark()
	if !all[0].Ending() || all[2].Ending() {
		t.Error("streams end, and nothing else")
	}
	s.CutStreams()
	s.CutStreams()
	all[2].Stream()
	all[2].Stream()
	if got := fmt.Sprint(cuts); got != "[1 0 1 0]" {
		t.Errorf("cut were %s", got)
	}
	if !all[0].End() || !all[0].Ending() || all[0].End() || all[3].End() {
		t.Error("End says something else")
	}
	if all[0].Ending() {
		t.Error("what did not begin is a stream because the one before was")
	}
	all[0].Begin("GET", "/next", time.Now())
	if all[0].Ending() || all[0].End() {
		t.Error("the next request is no stream because one before was")
	}
}

// TestAllocatesNothing: each request is begun and ended, whether somebody asks for it or not.
func TestAllocatesNothing(t *testing.T) {
	s := &Set{}
	var r Request
	s.Init(&r, func() {})
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { r.Begin("GET", "/", now); r.Stream(); r.End() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestConcurrently: requests begin and end while others are cut and named.
func TestConcurrently(t *testing.T) {
	s := &Set{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			var r Request
			under := false
			s.Init(&r, func() {
				if !under {
					t.Error("cut is called of what is not under way")
				}
			})
			for i := range 500 {
				under = true
				r.Begin("GET", "/", time.Now())
				if i%2 == 0 {
					r.Stream()
				}
				r.End()
				under = false
			}
		})
	}
	for range 100 {
		s.Waits(time.Now())
		s.CutStreams()
	}
	all.Wait()
	if what, _ := s.Waits(time.Now()); what != "" {
		t.Error(what)
	}
}

func TestFollow(t *testing.T) {
	s := &Set{}
	ctx, end := context.WithCancel(t.Context())
	ticks, said := make(chan time.Time), make(chan string, 1)
	now := time.Now()
	var r, other Request
	s.Init(&r, func() {})
	s.Init(&other, func() {})
	r.Begin("GET", "/ws", now)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow(ctx, ticks, func() time.Time { return now }, func(what, _ string) { said <- what })
	}()
	if got := <-said; got != "1 request under way (GET /ws, 0 s)" {
		t.Error(got)
	}
	ticks <- now // nothing has changed
	other.Begin("GET", "/b", now.Add(time.Millisecond))
	ticks <- now
	if got := <-said; !strings.HasPrefix(got, "2 requests") {
		t.Error(got)
	}
	other.End()
	ticks <- now
	if got := <-said; !strings.HasPrefix(got, "1 request ") {
		t.Error(got)
	}
	ticks <- now
	ticks <- now
	if len(said) > 0 {
		t.Error(<-said)
	}
	end()
	<-done
}
