package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// jobs are those of all nouns, in the order in which they run: what lists all documents, and
// the archive, come last.
func (s *Service) jobs() []record.Job {
	return slices.Concat(s.Access.Jobs(), s.Team.Jobs(), s.Logins.Jobs(), s.Programs.Jobs(), s.Fleet.Jobs(), s.Configuration.Jobs(), s.records.Jobs())
}

// Intervals are how often the jobs of the nouns run, each once.
func (s *Service) Intervals() []time.Duration {
	var out []time.Duration
	for _, j := range s.jobs() {
		if !slices.Contains(out, j.Every) {
			out = append(out, j.Every)
		}
	}
	return out
}

// RunJobs runs the jobs of one interval, which write through a layer over the store. The
// error of one does not keep the others from running.
func (s *Service) RunJobs(ctx context.Context, layer record.Layer, every time.Duration) error {
	var all error
	for _, j := range s.on(layer).jobs() {
		if j.Every != every {
			continue
		}
		if err := j.Run(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", j.Name, err))
		}
	}
	return all
}
