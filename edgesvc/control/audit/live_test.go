package audit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/audit"
)

// deny tries an operation n times and reports how often the place was asked for.
func (in *installation) deny(caller, operation string, n int) (located int) {
	in.t.Helper()
	for range n {
		rec := in.log.Begin(mezu.AuditActor{Kind: "member", ID: caller}, operation)
		err := in.log.Denied(in.t.Context(), rec, func(r *mezu.AuditRecord) error {
			located++
			r.Organization = org
			return nil
		})
		if err != nil {
			in.t.Fatal(err)
		}
	}
	return located
}

func (in *installation) flush(all bool) {
	in.t.Helper()
	if err := in.log.FlushDenials(in.t.Context(), all); err != nil {
		in.t.Fatal(err)
	}
}

// denied sums the records of denial: how many there are, and how many attempts they
// stand for.
func (in *installation) denied(caller string) (records, attempts int) {
	in.t.Helper()
	for _, r := range in.all(audit.Query{Scope: org, Actor: caller, Outcome: mezu.AuditDenied}, 1000) {
		records++
		attempts += max(1, r.Count)
	}
	return records, attempts
}

// Of one caller at one operation ten attempts a minute are records, the rest a count; no
// attempt is lost, and neither is another caller's or operation's.
func TestDenialsAreCapped(t *testing.T) {
	in := install(t)
	if n := in.deny("mbr_a", "delete-project", 500); n != audit.DenialRecords+1 {
		t.Errorf("the store was asked %d times for the place", n)
	}
	in.deny("mbr_a", "delete-route", 3)
	in.deny("mbr_b", "delete-project", 4)
	if records, attempts := in.denied("mbr_a"); records != audit.DenialRecords+3 || attempts != records {
		t.Errorf("at once: %d records of %d attempts", records, attempts)
	}
	in.flush(false)
	if records, _ := in.denied("mbr_a"); records != audit.DenialRecords+3 {
		t.Errorf("a count before the minute is over: %d records", records)
	}
	in.set(start.Add(audit.DenialWindow))
	in.deny("mbr_a", "delete-project", 5) // not flushed yet: counted with the rest
	in.flush(false)
	if records, attempts := in.denied("mbr_a"); records != audit.DenialRecords+3+1 || attempts != 508 {
		t.Errorf("after a minute: %d records of %d attempts", records, attempts)
	}
	in.deny("mbr_a", "delete-project", 2)
	if records, attempts := in.denied("mbr_a"); records != audit.DenialRecords+3+1+2 || attempts != 510 {
		t.Errorf("in the next minute: %d records of %d attempts", records, attempts)
	}
	if records, attempts := in.denied("mbr_b"); records != 4 || attempts != 4 {
		t.Errorf("of another: %d records of %d attempts", records, attempts)
	}
	in.deny("mbr_a", "delete-project", 20)
	in.flush(true) // as at the end of the process
	if _, attempts := in.denied("mbr_a"); attempts != 530 {
		t.Errorf("at the end: %d attempts", attempts)
	}
}

// Many callers together can't turn refusals into a flood of writes.
func TestDenialsOfManyAreCapped(t *testing.T) {
	in := install(t)
	const callers = 100
	for n := range callers {
		in.deny(fmt.Sprint("mbr_", n), "delete-project", 12)
	}
	all := func() (records, attempts int) {
		for _, r := range in.all(audit.Query{Scope: org}, 1000) {
			records++
			attempts += max(1, r.Count)
		}
		return records, attempts
	}
	if records, _ := all(); records != 600 {
		t.Errorf("%d records in a minute", records)
	}
	in.set(start.Add(audit.DenialWindow))
	in.flush(false)
	if records, attempts := all(); attempts != 12*callers || records != 600+callers {
		t.Errorf("%d records of %d attempts", records, attempts)
	}
}

// follower collects what a watch sends.
type follower struct {
	mu      sync.Mutex
	got     []mezu.AuditRecord
	allowed error
	alive   chan struct{} // closed at the first sign of life
	once    sync.Once
}

func (f *follower) ids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ids(f.got)
}

// follow begins a watch and returns what ends it, and what it ended with.
func (in *installation) follow(f *follower, q audit.Query, after string) (stop func(), ended <-chan error) {
	in.t.Helper()
	f.alive = make(chan struct{})
	ctx, cancel := context.WithCancel(in.t.Context())
	end := make(chan error, 1)
	go func() {
		end <- in.log.Follow(ctx, q, after, audit.Follower{
			Send: func(r mezu.AuditRecord) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.got = append(f.got, r)
				return nil
			},
			KeepAlive: func() error { f.once.Do(func() { close(f.alive) }); return nil },
			Allowed: func(context.Context) error {
				f.mu.Lock()
				defer f.mu.Unlock()
				return f.allowed
			},
		})
	}()
	select {
	case <-f.alive:
	case <-time.After(patience):
		in.t.Fatal("the watch doesn't begin")
	}
	return cancel, end
}

const patience = time.Minute

func await(t *testing.T, what string, met func() bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A watch that is resumed by the last id, again and again and over the archive, misses
// nothing, whatever is written meanwhile; what it repeats has ids that are known.
func TestFollowResumes(t *testing.T) {
	in := install(t)
	q := audit.Query{Scope: org}
	begun := start.Add(-20 * 24 * time.Hour)
	first := record(begun, 1)
	in.write(first)
	const total = 300
	var written []string
	var writing sync.WaitGroup
	more := make(chan struct{}, total)
	writing.Go(func() {
		for n := range total {
			<-more
			// Over twelve days, so that some are archived while others are written, and
			// not quite in the order of their ids.
			at := begun.Add(time.Duration(n+1)*time.Hour - time.Duration(n%3)*5*time.Second)
			r := record(at, 1)
			written = append(written, r.ID)
			in.write(r, record(at, 11)) // the other one is another scope's
		}
	})
	seen := map[string]bool{}
	last := first.ID
	for round := range 6 {
		f := &follower{}
		stop, ended := in.follow(f, q, last)
		for range total / 6 {
			more <- struct{}{}
		}
		want := (round + 1) * total / 6
		if round%2 == 0 { // leave in the middle
			want -= total / 12
		}
		await(t, "records", func() bool {
			// What is written while a watch begins may come twice.
			known := maps.Clone(seen)
			for _, id := range f.ids() {
				known[id] = true
			}
			return len(known) >= want
		})
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for _, r := range f.got {
			if audit.ScopeOf(r) != org {
				t.Fatal("A7: it sent another scope's")
			}
			seen[r.ID] = true
			last = r.ID
		}
		in.archive()
	}
	writing.Wait()
	for _, id := range written {
		if !seen[id] {
			t.Errorf("missed %s", id)
		}
	}
	if len(seen) != total {
		t.Errorf("%d records, not %d", len(seen), total)
	}
	if n, _ := in.stored(org); n == total {
		t.Error("nothing was archived meanwhile")
	}
}

// A7: each record passes the filter and the question whether its reader still may have
// it; the watch ends before the first that he may not.
func TestA7_FollowIsCut(t *testing.T) {
	in := install(t)
	f := &follower{}
	stop, ended := in.follow(f, audit.Query{Scope: org, Project: "prj_a"}, "")
	defer stop()
	mine, other := record(start, 4), record(start, 5)
	mine.Project, other.Project = "prj_a", "prj_b"
	in.write(other)
	in.write(mine)
	await(t, "the record", func() bool { return len(f.ids()) > 0 })
	refused := errors.New("not any more")
	f.mu.Lock()
	f.allowed = refused
	f.mu.Unlock()
	late := mine
	late.ID = mezu.NewAuditID(start)
	in.write(late)
	select {
	case err := <-ended:
		if !errors.Is(err, refused) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("goes on")
	}
	if got := f.ids(); !slices.Equal(got, []string{mine.ID}) {
		t.Errorf("sent %v", got)
	}
}

// Sides hold no identity and have a bound.
func TestSide(t *testing.T) {
	in := install(t)
	side := func(v any) string {
		t.Helper()
		data, _, err := in.log.Side(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got := side(nil); got != "" {
		t.Errorf("nothing is %s", got)
	}
	m := map[string]any{"email": "ana@acme.example", "role": "viewer", "profile": map[string]any{"name": "Ana", "tags": []string{"x", ""}, "n": 12345678901234567}, "users": []any{map[string]any{"email": "b@acme.example"}}}
	got := side(m)
	for _, part := range []string{"ana@", "Ana", `"x"`, "b@acme"} {
		if strings.Contains(got, part) {
			t.Errorf("%s shows %s", got, part)
		}
	}
	if !strings.Contains(got, `"role":"viewer"`) || !strings.Contains(got, in.log.Mask("ana@acme.example")) || !strings.Contains(got, "12345678901234567") {
		t.Errorf("%s", got)
	}
	if in.log.Mask("ana@acme.example") == in.log.Mask("b@acme.example") {
		t.Error("two people look the same")
	}
	mask := in.log.Mask("x")
	in.restart()
	if in.log.Mask("x") != mask {
		t.Error("after a restart people look otherwise")
	}
	if install(t).log.Mask("x") == mask {
		t.Error("two installations mask alike")
	}
	data, cut, err := in.log.Side(mezu.Organization{DisplayName: strings.Repeat("x", audit.MaxSide)})
	if err != nil || !cut || len(data) > 200 || !strings.Contains(string(data), `"sha256"`) {
		t.Errorf("%s %v %v", data, cut, err)
	}
	// Records of one process sort as they came, also within one microsecond.
	last := ""
	for range 1000 {
		rec := in.log.Begin(mezu.AuditActor{}, "x")
		if at, err := mezu.AuditIDTime(rec.ID); err != nil || !at.Equal(rec.Time) || rec.ID <= last || rec.ID < mezu.AuditIDAt(in.now()) {
			t.Fatalf("%s of %s after %s: %v", rec.ID, rec.Time, last, err)
		}
		last = rec.ID
	}
}

// A query whose end is far ahead, as of who writes a year for «no end», is one up to now.
func TestRead_UntilTheFarFuture(t *testing.T) {
	in := install(t)
	in.write(record(in.now(), 1), record(in.now().Add(time.Second), 2))
	for _, year := range []int{2200, 9999} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		page, err := in.log.Read(ctx, audit.Query{Scope: org, Until: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}, "", 10)
		if err != nil || len(page.Records) != 2 {
			t.Errorf("until %d: %d records, %v", year, len(page.Records), err)
		}
	}
}
