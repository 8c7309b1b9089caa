package record

import (
	"context"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// SweepInterval is how often what has ended is removed. Nothing depends on it but
// room: every reader checks the time itself.
const SweepInterval = 10 * time.Minute

// Job is recurring work that one control plane at a time does for the installation.
type Job struct {
	// Name says what it does, in a gerund: errors begin with it.
	Name string
	// Every is how often it runs, at most once in SweepInterval. Jobs of one interval run together, in their order.
	Every time.Duration
	// Run does it. What it writes is refused once another control plane does the job.
	Run func(context.Context) error
}

// Jobs are those of no noun.
func (s *Records) Jobs() []Job {
	return []Job{
		{Name: "sweeping idempotency records", Every: SweepInterval, Run: s.sweepIdempotency},
		{Name: "sweeping the outbox", Every: SweepInterval, Run: s.sweepMail},
		{Name: "archiving the audit log", Every: SweepInterval, Run: s.Audit.Archive},
	}
}

// Sweep removes the records under a prefix that are over. A record that changed
// meanwhile stays.
func Sweep[T any](ctx context.Context, s *Records, prefix string, over func(T) bool) error {
	return Each(ctx, s, prefix, func(f Record[T]) error {
		if !over(f.Value) {
			return nil
		}
		_, err := s.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Delete: true}}})
		return err
	})
}
