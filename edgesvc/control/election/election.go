// Package election makes sure that a job is done by one control plane at a time, of all
// that share a store: the one that holds the lease of the job.
//
// A Lease is a record of the store that ends by itself when its holder dies. A holder
// that was paused may not know that it has lost its lease. It can do no harm: every write
// goes through a store that adds a check of the lease's record (a fence, as in Kleppmann,
// "How to do distributed locking", 2016), and the record has another content in each
// term.
//
// What lives here: leases, their terms and the fenced store. What may not: the jobs. Only
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
	// Term is how long a lease lasts after its holder last renewed it.
	Term = 15 * time.Second
	// renewEvery is how often a holder renews its lease: two attempts in a row may fail.
	renewEvery = Term / 3
	// releaseTime bounds how long releasing a lease may take. One that can't be released
	// ends by itself.
	releaseTime = 2 * time.Second
)

// Keys of the store.
const (
	prefixHeld = "meta/lead/" // leases that are held, by name
	prefixDone = "meta/done/" // when the job was last begun, by the lease's name
)

var (
	// ErrHeld: the job is due, but another holds the lease. If that one is dead, the
	// lease ends within Term.
	ErrHeld = errors.New("the lease is held by another")
	// ErrLost: the lease has ended, or is another's; the write did not happen.
	ErrLost = errors.New("the lease was lost")
)

// Held reports whether key is that of a lease which is held.
func Held(key string) bool { return strings.HasPrefix(key, prefixHeld) }

// Lease is the right to do one job of the installation.
type Lease struct {
	// Store has the lease's record.
	Store store.Store
	// Name is the job's, the same at all control planes.
	Name string
	// Holder is the name of this process, for people who look into the store.
	Holder string
	// Every is the time from the beginning of one job to that of the next, whoever does
	// it; if zero, each call of Run does it.
	Every time.Duration
	// Now is the clock for Every; if nil, time.Now.
	Now func() time.Time
}

// term is the record of a lease that is held.
type term struct {
	Holder string `json:"holder"`
	Nonce  string `json:"nonce"` // of this term alone
}

// Run takes the lease and does the job if it is due, and reports whether it did. It says
// ErrHeld when the job is due and another holds the lease. The job writes through the
// store that it is given and no other. Its context ends when the lease is lost, and it
// ends then too. A job that failed counts as not done: the next call does it again.
func (l Lease) Run(ctx context.Context, job func(ctx context.Context, fenced *Fenced) error) (bool, error) {
	due, err := l.due(ctx)
	if err != nil || !due {
		return false, err
	}
	f, err := l.acquire(ctx)
	if err != nil {
		return false, err
	}
	begun := l.now()
	defer f.release(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { f.renew(ctx, cancel) })
	err = job(ctx, f)
	cancel(nil)
	renewing.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, ErrLost) {
		err = errors.Join(err, cause)
	}
	if err != nil {
		return true, fmt.Errorf("lease %s: %w", l.Name, err)
	}
	return true, l.done(context.WithoutCancel(ctx), f, begun)
}

func (l Lease) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// due reports whether Every has passed since the last job that was done began.
func (l Lease) due(ctx context.Context) (bool, error) {
	if l.Every == 0 {
		return true, nil
	}
	rec, err := l.Store.Get(ctx, prefixDone+l.Name)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at lease %s: %w", l.Name, err)
	}
	var last time.Time
	if err := last.UnmarshalText(rec.Value); err != nil {
		return true, nil // done overwrites the record
	}
	since := l.now().Sub(last)
	return since >= l.Every || since < 0, nil
}

// done notes when the job began. The end would not do: what came due while the job ran,
// it may already have passed by.
func (l Lease) done(ctx context.Context, f *Fenced, begun time.Time) error {
	if l.Every == 0 {
		return nil
	}
	value, err := begun.UTC().MarshalText()
	if err != nil {
		return err
	}
	_, err = f.Commit(ctx, store.Txn{Ops: []store.Op{{Key: prefixDone + l.Name, Value: value}}})
	if err != nil {
		return fmt.Errorf("lease %s: %w", l.Name, err)
	}
	return nil
}

// acquire takes the lease, or says ErrHeld when another has it.
func (l Lease) acquire(ctx context.Context) (*Fenced, error) {
	key := prefixHeld + l.Name
	_, err := l.Store.Get(ctx, key)
	if err == nil {
		return nil, ErrHeld
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("looking at lease %s: %w", l.Name, err)
	}
	value, err := json.Marshal(term{l.Holder, rand.Text()})
	if err != nil {
		return nil, err
	}
	id, err := l.Store.Grant(ctx, Term)
	if err != nil {
		return nil, fmt.Errorf("acquiring lease %s: %w", l.Name, err)
	}
	f := &Fenced{Store: l.Store, id: id, fence: store.Check{Key: key, Revision: 1, Value: value}}
	_, err = l.Store.Commit(ctx, store.Txn{
		Checks: []store.Check{{Key: key}},
		Ops:    []store.Op{{Key: key, Value: value, Lease: id}},
	})
	if err != nil {
		f.release(context.WithoutCancel(ctx))
		if errors.Is(err, store.ErrConflict) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("acquiring lease %s: %w", l.Name, err)
	}
	return f, nil
}

// Fenced is the store as the holder of a lease writes to it: every commit also checks
// that the lease is still held. A transaction may therefore have one check less than
// store.MaxChecks.
type Fenced struct {
	store.Store
	id    store.LeaseID
	fence store.Check
}

// Commit implements store.Store. It says ErrLost when the lease is not held any more.
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

// renew renews the lease until ctx ends. It ends ctx itself when the lease is lost, or
// couldn't be renewed for so long that it may be.
func (f *Fenced) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := f.Store.KeepAlive(ctx, f.id)
		switch {
		case err == nil:
			renewed = time.Now()
		case errors.Is(err, store.ErrLeaseExpired), time.Since(renewed) > Term:
			cancel(ErrLost)
			return
		}
	}
}

// release gives the lease back. An error needs no care: the lease ends by itself.
func (f *Fenced) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	_ = f.Store.Revoke(ctx, f.id)
}
