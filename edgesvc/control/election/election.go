// Package lead has one of several control planes at a time do what only one should:
// whoever finds an office free takes it, does its job and leaves.
//
// The office is a record under a lease, so that it falls free when its holder dies. A
// holder that was paused and doesn't know that it lost its office can't do harm: every
// write goes through a store that adds a check of the office's record (a fence, as in
// Kleppmann, "How to do distributed locking", 2016), and the record of each term has
// other content.
//
// What lives here: offices, terms and the fenced store. What may not: the jobs. Only
// edgesvc/control and its folders import it.
package election

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// Term is how long an office stays taken after its holder was last heard of.
	Term = 15 * time.Second
	// keepEvery is how often a holder says that it lives: it may fail twice.
	keepEvery = Term / 3
	// leaveTime bounds how long leaving an office may take; if it can't be left, it
	// falls free by itself.
	leaveTime = 2 * time.Second
)

// prefix is where offices and what they did last lie in the store.
const (
	prefixOffice = "meta/lead/"
	prefixDone   = "meta/done/"
)

var (
	// ErrHeld: the job is due, and another holds the office, who may be dead. Term
	// later that shows.
	ErrHeld = errors.New("the office is held by another")
	// ErrLost: the office was lost to another, or its lease ended; the write did not
	// happen.
	ErrLost = errors.New("the office was lost")
)

// Held reports whether a record is that of an office which is held.
func Held(key string) bool { return strings.HasPrefix(key, prefixOffice) }

// Lease is one job of the installation.
type Lease struct {
	// Store has the office's record.
	Store store.Store
	// Name is the office's, one for all control planes.
	Name string
	// Holder is who this process is, for people who look into the store.
	Holder string
	// Every is the time from the beginning of one job to that of the next, whoever does
	// it; if zero, each call of Run does it.
	Every time.Duration
	// Now is the clock for Every; if nil, time.Now.
	Now func() time.Time
}

// term is the record of an office that is held.
type term struct {
	Holder string `json:"holder"`
	Nonce  string `json:"nonce"` // of this term alone
}

// Run does the job if it is due, and reports whether it did. It says ErrHeld when the job
// is due and another is at it. The job writes through the store that it is given and no
// other, and ends when its context does: that is when the office is lost. Of a job that
// failed nothing is remembered, and the next who comes does it.
func (o Lease) Run(ctx context.Context, job func(ctx context.Context, fenced *Fenced) error) (bool, error) {
	due, err := o.due(ctx)
	if err != nil || !due {
		return false, err
	}
	f, err := o.take(ctx)
	if err != nil {
		return false, err
	}
	begun := o.now()
	defer f.leave(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() { f.keep(ctx, cancel) })
	err = job(ctx, f)
	cancel(nil)
	keeping.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, ErrLost) {
		err = errors.Join(err, cause)
	}
	if err != nil {
		return true, fmt.Errorf("office %s: %w", o.Name, err)
	}
	return true, o.done(context.WithoutCancel(ctx), f, begun)
}

func (o Lease) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// due looks when the job that was done last began.
func (o Lease) due(ctx context.Context) (bool, error) {
	if o.Every == 0 {
		return true, nil
	}
	rec, err := o.Store.Get(ctx, prefixDone+o.Name)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at office %s: %w", o.Name, err)
	}
	var last time.Time
	if err := last.UnmarshalText(rec.Value); err != nil {
		return true, nil // the next done mends it
	}
	since := o.now().Sub(last)
	return since >= o.Every || since < 0, nil
}

// done notes that the job was done, and when it began: what came due while it ran it may
// have passed already.
func (o Lease) done(ctx context.Context, f *Fenced, begun time.Time) error {
	if o.Every == 0 {
		return nil
	}
	value, err := begun.UTC().MarshalText()
	if err != nil {
		return err
	}
	_, err = f.Commit(ctx, store.Txn{Ops: []store.Op{{Key: prefixDone + o.Name, Value: value}}})
	if err != nil {
		return fmt.Errorf("office %s: %w", o.Name, err)
	}
	return nil
}

// take takes the office. It says ErrHeld when another has it.
func (o Lease) take(ctx context.Context) (*Fenced, error) {
	key := prefixOffice + o.Name
	_, err := o.Store.Get(ctx, key)
	if err == nil {
		return nil, ErrHeld
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("looking at office %s: %w", o.Name, err)
	}
	value, err := json.Marshal(term{o.Holder, rand.Text()})
	if err != nil {
		return nil, err
	}
	lease, err := o.Store.Grant(ctx, Term)
	if err != nil {
		return nil, fmt.Errorf("taking office %s: %w", o.Name, err)
	}
	f := &Fenced{Store: o.Store, lease: lease, fence: store.Check{Key: key, Revision: 1, Value: value}}
	_, err = o.Store.Commit(ctx, store.Txn{
		Checks: []store.Check{{Key: key}},
		Ops:    []store.Op{{Key: key, Value: value, Lease: lease}},
	})
	if err != nil {
		f.leave(context.WithoutCancel(ctx))
		if errors.Is(err, store.ErrConflict) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("taking office %s: %w", o.Name, err)
	}
	return f, nil
}

// Fenced is the store as the holder of an office writes to it: every commit checks
// that the office is still held. A transaction may have one check less than others.
type Fenced struct {
	store.Store
	lease store.LeaseID
	fence store.Check
}

// Commit implements store.Store. It says ErrLost when the office is another's or
// nobody's.
func (f *Fenced) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	checks := make([]store.Check, 0, len(txn.Checks)+1)
	txn.Checks = append(append(checks, txn.Checks...), f.fence)
	pos, err := f.Store.Commit(ctx, txn)
	if !errors.Is(err, store.ErrConflict) {
		return pos, err
	}
	held, readErr := f.held(ctx)
	switch {
	case readErr != nil:
		return "", readErr
	case !held:
		return "", ErrLost
	}
	return "", err
}

func (f *Fenced) held(ctx context.Context) (bool, error) {
	rec, err := f.Store.Get(ctx, f.fence.Key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && rec.Revision == f.fence.Revision && bytes.Equal(rec.Value, f.fence.Value), err
}

// keep keeps the office until ctx ends; when the office is lost, or can't be kept for
// so long that it may be, it ends ctx.
func (f *Fenced) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	kept := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := f.Store.KeepAlive(ctx, f.lease)
		switch {
		case err == nil:
			kept = time.Now()
		case errors.Is(err, store.ErrLeaseExpired), time.Since(kept) > Term:
			cancel(ErrLost)
			return
		}
	}
}

// leave gives the office back. What fails here time mends.
func (f *Fenced) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	_ = f.Store.Revoke(ctx, f.lease)
}
