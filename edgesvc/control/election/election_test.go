package election_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) (store.Store, *testkit.Clock) {
	t.Helper()
	c := testkit.StillClock(time.Now())
	st, err := badger.Open(badger.Options{Dir: t.TempDir(), Now: c.Now, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st, c
}

func write(ctx context.Context, st store.Store, value string) error {
	_, err := st.Commit(ctx, store.Txn{Ops: []store.Op{{Key: "x", Value: []byte(value)}}})
	return err
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	st, c := open(t)
	a := election.Lease{Store: st, Name: "sweep", Holder: "a", Every: time.Minute, Now: c.Now}
	b := a
	b.Holder = "b"
	ran, err := a.Run(t.Context(), func(ctx context.Context, f *election.Fenced) error {
		if ran, err := b.Run(ctx, func(context.Context, *election.Fenced) error { return errors.New("two at once") }); ran || !errors.Is(err, election.ErrHeld) {
			t.Errorf("the second ran: %v, %v", ran, err)
		}
		return write(ctx, f, "a")
	})
	if !ran || err != nil {
		t.Fatalf("the first: %v, %v", ran, err)
	}
	never := func(context.Context, *election.Fenced) error { return errors.New("done again too early") }
	if ran, err := b.Run(t.Context(), never); ran || err != nil {
		t.Errorf("before its time: %v, %v", ran, err)
	}
	c.Advance(time.Minute)
	failed := errors.New("failed")
	if ran, err := b.Run(t.Context(), func(context.Context, *election.Fenced) error { return failed }); !ran || !errors.Is(err, failed) {
		t.Errorf("a job that fails: %v, %v", ran, err)
	}
	if ran, err := a.Run(t.Context(), func(ctx context.Context, f *election.Fenced) error { return write(ctx, f, "a") }); !ran || err != nil {
		t.Errorf("after one that failed: %v, %v", ran, err)
	}
}

// What comes due while a job runs may be behind it already: the next is due from its
// beginning on.
func TestDueFromTheBeginning(t *testing.T) {
	st, c := open(t)
	o := election.Lease{Store: st, Name: "sweep", Every: election.Term / 2, Now: c.Now}
	long := func(ctx context.Context, f *election.Fenced) error {
		c.Advance(election.Term / 2)
		return write(ctx, f, "a")
	}
	for i := range 2 {
		if ran, err := o.Run(t.Context(), long); !ran || err != nil {
			t.Errorf("job %d: %v, %v", i, ran, err)
		}
	}
}

// A holder that was paused until its lease was another's writes nothing, whatever it
// believes, and its successor's record looks like its own but for the content.
func TestPausedHolderCannotWrite(t *testing.T) {
	st, c := open(t)
	a := election.Lease{Store: st, Name: "sweep", Holder: "same"}
	b := a
	ran, err := a.Run(t.Context(), func(ctx context.Context, f *election.Fenced) error {
		if err := write(ctx, f, "a"); err != nil {
			t.Error(err)
		}
		c.Advance(election.Term)
		until(t, "the lease to end", func() bool {
			_, err := st.Get(ctx, "meta/lead/sweep")
			return errors.Is(err, store.ErrNotFound)
		})
		if err := write(ctx, f, "nobody's"); !errors.Is(err, election.ErrLost) {
			t.Errorf("writing without the lease: %v", err)
		}
		if ran, err := b.Run(ctx, func(ctx context.Context, g *election.Fenced) error {
			if err := write(ctx, g, "b"); err != nil {
				t.Error(err)
			}
			if err := write(ctx, f, "ghost"); !errors.Is(err, election.ErrLost) {
				t.Errorf("writing under another's lease: %v", err)
			}
			return nil
		}); !ran || err != nil {
			t.Errorf("the successor: %v, %v", ran, err)
		}
		return nil
	})
	if !ran || err != nil && !errors.Is(err, election.ErrLost) {
		t.Errorf("the paused: %v, %v", ran, err)
	}
	if r, err := st.Get(t.Context(), "x"); err != nil || string(r.Value) != "b" {
		t.Errorf("the record is %q, %v", r.Value, err)
	}
}

// A conflict of the job's own is no loss of the lease.
func TestOwnConflict(t *testing.T) {
	st, _ := open(t)
	_, err := election.Lease{Store: st, Name: "sweep"}.Run(t.Context(), func(ctx context.Context, f *election.Fenced) error {
		_, err := f.Commit(ctx, store.Txn{Checks: []store.Check{{Key: "x", Revision: 7}}})
		return err
	})
	if !errors.Is(err, store.ErrConflict) || errors.Is(err, election.ErrLost) {
		t.Errorf("error %v; want ErrConflict", err)
	}
}

// A holder whose lease ends while it works is told by its context.
func TestLostWhileWorking(t *testing.T) {
	st, c := open(t)
	ran, err := election.Lease{Store: st, Name: "sweep"}.Run(t.Context(), func(ctx context.Context, f *election.Fenced) error {
		c.Advance(election.Term)
		<-ctx.Done()
		return ctx.Err()
	})
	if !ran || !errors.Is(err, election.ErrLost) {
		t.Errorf("%v, %v; want ErrLost", ran, err)
	}
}
