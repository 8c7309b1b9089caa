package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// sweepLease is held by the control plane that sweeps: one of those that share a store.
const sweepLease = "sweep"

// Sweep removes what has ended, if it is time for it; it says election.ErrHeld when another
// control plane is at it, or was and died. holder names this one. What it writes is fenced: once
// another sweeps, nothing is written any more.
func (s *Service) Sweep(ctx context.Context, holder string) error {
	var all error
	for _, every := range intervals(s.jobs()) {
		lease := election.Lease{Store: s.cfg.Store, Name: sweepLease, Holder: holder, Every: every, Now: s.records.Now}
		if every != record.SweepInterval {
			lease.Name += "-" + every.String()
		}
		_, err := lease.Run(ctx, func(ctx context.Context, fenced *election.Fenced) error {
			return runJobs(ctx, s.on(fenced).jobs(), every)
		})
		all = errors.Join(all, err)
	}
	return all
}

// jobs are those of all nouns, in the order in which they run.
func (s *Service) jobs() []record.Job {
	return slices.Concat(s.Access.Jobs(), s.Team.Jobs(), s.Configuration.Jobs(), s.Fleet.Jobs(), s.records.Jobs())
}

// intervals are how often some jobs run, each once.
func intervals(jobs []record.Job) []time.Duration {
	var out []time.Duration
	for _, j := range jobs {
		if !slices.Contains(out, j.Every) {
			out = append(out, j.Every)
		}
	}
	return out
}

// runJobs runs those of one interval; one's error does not keep the others from running.
func runJobs(ctx context.Context, jobs []record.Job, every time.Duration) error {
	var all error
	for _, j := range jobs {
		if j.Every != every {
			continue
		}
		if err := j.Run(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", j.Name, err))
		}
	}
	return all
}

// TakeOverKeys reads the authority anew and publishes what follows from it. Each control
// plane does, because each signs.
func (s *Service) TakeOverKeys(ctx context.Context) error {
	if err := s.records.Authority.Reload(ctx); err != nil {
		return err
	}
	if _, err := s.records.Anchor.AcceptKeyset(s.records.Authority.Keyset()); err != nil {
		return err
	}
	return s.openStream(ctx)
}
