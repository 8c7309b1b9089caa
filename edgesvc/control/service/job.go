package service

import (
	"context"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// SweepInterval is how often what has ended is removed. Nothing depends on it but
// room: every reader checks the time itself.
const SweepInterval = 10 * time.Minute

// job is recurring work that one control plane at a time does for the installation.
type job struct {
	// name says what it does, in a gerund: errors begin with it.
	name string
	// every is how often it runs. Jobs of one interval run together, in their order.
	every time.Duration
	// run does it. What it writes is refused once another control plane does the job.
	run func(context.Context) error
}

// recordJobs are those of no noun.
func (s *Records) recordJobs() []job {
	return []job{
		{name: "sweeping idempotency records", every: SweepInterval, run: s.sweepOnce},
		{name: "archiving the audit log", every: SweepInterval, run: s.audit.Archive},
	}
}

// sweep removes the records under a prefix that are over. A record that changed
// meanwhile stays.
func sweep[T any](ctx context.Context, s *Records, prefix string, over func(T) bool) error {
	return each(ctx, s, prefix, func(f found[T]) error {
		if !over(f.Value) {
			return nil
		}
		_, err := s.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Delete: true}}})
		return err
	})
}
