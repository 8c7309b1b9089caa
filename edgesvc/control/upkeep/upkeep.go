// Package upkeep is what a control plane does again and again while it runs: what has
// ended is swept, keys are followed, records are sealed anew, edges that fall silent are
// written down.
//
// What lives here: when and how often. What may not: what is done then, which is package
// service's. Only control imports it.
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// Upkeep is the recurring work, and what it is done on.
type Upkeep struct {
	Service *service.Service
	Store   *sealed.Store
	// Holder names this control plane among those that share the store.
	Holder string
	// Renew renews the API's certificate if it is old.
	Renew func() error
	// CertificateEnd is when the API's certificate ends, if nothing here renews it; zero if
	// something does.
	CertificateEnd func() time.Time
	// WriteCA writes the CA's roots for clients of this machine: a rotation may have
	// changed them.
	WriteCA func() error
	// SealRotated gets a value when records are to be sealed anew at once.
	SealRotated <-chan struct{}
	Log         *slog.Logger
	// Now is the clock.
	Now func() time.Time
}

// Run works until ctx ends.
func (u Upkeep) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, work := range []func(context.Context){u.maintain, u.countDenials, u.tidy, u.keepSealed, u.followKeys, u.followEdges, u.followAssertionKeys, u.followEdgeKeys, u.noticeEndings} {
		running.Go(func() { work(ctx) })
	}
	running.Wait()
}

// maintain finishes and sweeps, and keeps certificates and keys in force.
func (u Upkeep) maintain(ctx context.Context) {
	tick := time.NewTicker(service.SweepInterval)
	defer tick.Stop()
	for {
		if err := u.Service.TakeOverKeys(ctx); err != nil && ctx.Err() == nil {
			u.Log.Error("taking over rotated keys", "error", err)
		}
		// Two control planes may finish the same change: it does no harm.
		if err := u.Service.FinishTasks(ctx); err != nil && ctx.Err() == nil {
			u.Log.Error("finishing changes", "error", err)
		}
		if err := u.Renew(); err != nil {
			u.Log.Error("renewing the API's certificate", "error", err)
		}
		if ctx.Err() == nil {
			if err := u.WriteCA(); err != nil {
				u.Log.Error("maintaining", "error", err)
			}
		}
		if err := u.sweep(ctx); err != nil && ctx.Err() == nil {
			u.Log.Error("sweeping", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweepTries, half a term apart, outlast the lease of a control plane that died, which the
// store may notice a little late.
const sweepTries = 5

// sweep removes what has ended, unless another control plane does. If that one died at
// it, its lease ends after a term, and this one takes its place.
func (u Upkeep) sweep(ctx context.Context) error {
	for range sweepTries {
		err := u.runJobs(ctx)
		if !errors.Is(err, election.ErrHeld) {
			return err
		}
		if err := backoff.Sleep(ctx, election.Term/2); err != nil {
			return err
		}
	}
	return nil
}

// sweepLease is held by the control plane that sweeps: one of those that share a store.
const sweepLease = "sweep"

// runJobs runs what is due; it says election.ErrHeld when another control plane is at it,
// or was and died. What it writes is fenced: once another sweeps, nothing is written any
// more. Jobs of another interval than the sweep's have a lease of their own.
func (u Upkeep) runJobs(ctx context.Context) error {
	var all error
	for _, every := range u.Service.Intervals() {
		lease := election.Lease{Store: u.Store, Name: sweepLease, Holder: u.Holder, Every: every, Now: u.Now}
		if every != service.SweepInterval {
			lease.Name += "-" + every.String()
		}
		_, err := lease.Run(ctx, func(ctx context.Context, fenced *election.Fenced) error {
			return u.Service.RunJobs(ctx, fenced, every)
		})
		all = errors.Join(all, err)
	}
	return all
}

// countDenials writes down what was counted of denied attempts. Each process has counts
// of its own.
func (u Upkeep) countDenials(ctx context.Context) {
	u.every(ctx, service.DenialWindow, "writing down denied attempts", func(ctx context.Context) error { return u.Service.FlushDenials(ctx, false) })
}

// tidy deletes what documents left behind. Each process knows of its own.
func (u Upkeep) tidy(ctx context.Context) {
	u.every(ctx, service.TidyInterval, "tidying documents", u.Service.TidyDocuments)
}

// every does something whenever an interval has passed, and logs what goes wrong.
func (u Upkeep) every(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := do(ctx); err != nil && ctx.Err() == nil {
				u.Log.Error(what, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
