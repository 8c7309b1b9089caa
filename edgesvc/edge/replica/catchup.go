package replica

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// An edge that starts compares what is on its disk with what the control plane has before it
// lets Warpgates in. The disk may have lost a revocation, or be an older copy, and a Warpgate
// that was revoked must not be let in because of that. These bound the wait; after it the
// edge goes on with what the disk has.
const (
	// awayAfter is how long the control plane may be away, refuse, or not begin to answer.
	// It isn't zero because an edge that starts together with it on one machine is the
	// quicker of the two. It isn't long because nobody is served meanwhile, and a control
	// plane whose store has lost its majority takes seconds to say so.
	awayAfter = time.Second
	// silentAfter is how long the control plane may take to send everything.
	silentAfter = 10 * time.Second
)

// catchUp is whether what is here may be served: the comparison with what the control plane
// has.
type catchUp struct {
	had    bool // there was something on the disk to go on with
	begun  atomic.Pointer[time.Time]
	open   chan struct{} // closed when Warpgates may be let in
	opened sync.Once
	// compared: the replica was in step with the control plane since the start. isAway: it
	// was waited for in vain. differs: see Metrics.
	compared, isAway, differs atomic.Bool
	// known is what was different even after everything had come. As long as nothing else
	// is, asking for everything again is no use. Only the goroutine of the stream uses it.
	known []difference
}

// difference is a kind of statement of which the control plane has others than are here.
type difference struct {
	kind string
	// by is what only one side has; empty for a kind of which there is one statement.
	by api.StatementSet
	// detail is for people.
	detail string
}

// String is the difference in words.
func (d difference) String() string { return d.kind + d.detail }

func (s *catchUp) init() { s.open = make(chan struct{}) }

// begin starts the clocks. It calls away if the control plane doesn't answer in time, or
// doesn't send everything in time. The returned function stops them.
func (s *catchUp) begin(answers func() bool, away func()) (end func()) {
	now := time.Now()
	s.begun.Store(&now)
	first := time.AfterFunc(awayAfter, func() {
		if !answers() {
			away()
		}
	})
	last := time.AfterFunc(silentAfter, away)
	return func() {
		first.Stop()
		last.Stop()
	}
}

// failed is called when a stream ended or could not be opened.
func (s *catchUp) failed(away func()) {
	if begun := s.begun.Load(); begun != nil && time.Since(*begun) >= awayAfter {
		away()
	}
}

// inStep notes that everything up to the present is here.
func (s *catchUp) inStep() {
	s.compared.Store(true)
	s.opened.Do(func() { close(s.open) })
}

// away goes on without the control plane.
func (r *Replica) away() {
	r.catchUp.opened.Do(func() {
		r.catchUp.isAway.Store(true)
		r.log.Error("the control plane can't be asked whether this edge's disk has all that it said; serving what is there", "detail", strings.Join(r.doubts(), "; "))
		close(r.catchUp.open)
	})
}

// Await returns when Warpgates may be let in: all revocations have come, or the control plane
// was waited for in vain. It returns ctx's error if ctx ends before.
func (r *Replica) Await(ctx context.Context) error {
	select {
	case <-r.catchUp.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unready says why what is here can't be served, or nothing: it is in step with the control plane,
// or it is what an earlier process had and the control plane can't be reached now.
func (r *Replica) Unready() string {
	switch away := r.catchUp.isAway.Load(); {
	case r.catchUp.compared.Load() || away && r.catchUp.had:
		return ""
	case away:
		return "the control plane can't be reached, and there are no bundles of before on its disk"
	}
	return "not in step with the control plane yet"
}

// Unsaved is how many files of what is in force the disk did not take.
func (r *Replica) Unsaved() int {
	n := r.dir.Failed()
	if r.trust() != nil {
		if _, failed := r.revoked.Unwritten(); failed {
			n++
		}
	}
	return n
}

// Doubts say, in a sentence each, in what the edge may not be up to date; none if it is.
func (r *Replica) Doubts() []string {
	if r.catchUp.compared.Load() && !r.catchUp.differs.Load() {
		return nil
	}
	return r.doubts()
}

func (r *Replica) doubts() (out []string) {
	if !r.catchUp.compared.Load() {
		out = append(out, "not compared with the control plane since the start: what its disk lost, or was changed meanwhile, is not known")
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, lost := range r.state.lost {
		out = append(out, "missing on its disk and not fetched yet: "+lost)
	}
	if r.catchUp.differs.Load() {
		out = append(out, "it has other statements than the control plane says that it must have")
	}
	return out
}

// differences are the kinds of statements that are not as the control plane says. One of
// the version before says nothing, so there are none.
func (r *Replica) differences(want *api.StreamState) (kinds []difference) {
	if want == nil {
		return nil
	}
	signed, _ := r.trust().Keyset()
	if sha256.Sum256(signed.Payload) != want.Keyset {
		kinds = append(kinds, difference{kind: "keyset"})
	}
	r.mu.RLock()
	var edges mezu.Position
	if r.state.edges != nil {
		edges = r.state.edges.Position
	}
	served := r.state.served
	r.mu.RUnlock()
	if edges != want.Edges {
		kinds = append(kinds, difference{kind: "edges", detail: fmt.Sprintf(" (at %s, not %s)", edges, want.Edges)})
	}
	if served != want.Bundles {
		kinds = append(kinds, difference{"bundles", served.Without(want.Bundles), numbers(served, want.Bundles)})
	}
	if have := r.revocationsAt(want.At); have != want.Revocations {
		kinds = append(kinds, difference{"revocations", have.Without(want.Revocations), numbers(have, want.Revocations)})
	}
	return kinds
}

func numbers(have, want api.StatementSet) string {
	return fmt.Sprintf(" (%d, not %d)", have.Count, want.Count)
}

// revocationsAt sums up the revocations in force at a moment.
func (r *Replica) revocationsAt(at time.Time) (set api.StatementSet) {
	r.trust().Revocations(at, func(rev mezu.Revocation) bool {
		set.CountRevocation(rev, 1)
		return true
	})
	return set
}
