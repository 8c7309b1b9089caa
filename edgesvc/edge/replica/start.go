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

// How long a start waits for the control plane before it goes on with what is on the
// disk, which may have lost something or be an older one: a Warpgate that was revoked
// must not be let in because of that.
const (
	// awayAfter is how long the control plane may refuse, not be there or not begin to
	// answer: an edge that starts with it on one machine is the quicker of the two, and
	// one whose store has lost its majority takes seconds to say so, in which nobody
	// would be served.
	awayAfter = time.Second
	// silentAfter is how long it may take to say everything once it has begun.
	silentAfter = 10 * time.Second
)

// start is the way from what is on the disk to what is to be served.
type start struct {
	had    bool // there was something on the disk to go on with
	begun  atomic.Pointer[time.Time]
	open   chan struct{} // closed when Warpgates may be let in
	opened sync.Once
	// compared: the replica was in step with the control plane in this life; isAway:
	// it was waited for in vain; differs: see Metrics.
	compared, isAway, differs atomic.Bool
	// rest is what was different even after everything had come. As long as it is just
	// that, asking again brings nothing. Only the goroutine of the stream uses it.
	rest []difference
}

// difference is one kind of statement of which something else is here than the control
// plane says.
type difference struct {
	kind string
	// by is what only one side has; empty of a kind that is one statement.
	by api.StatementSet
	// detail is for people.
	detail string
}

// String is the difference in words.
func (d difference) String() string { return d.kind + d.detail }

func (s *start) init() { s.open = make(chan struct{}) }

// begin starts the clock; away is called if the control plane doesn't answer in time, or
// doesn't come to an end. The returned function ends that.
func (s *start) begin(answers func() bool, away func()) (end func()) {
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

// failed notes that a stream ended or could not be opened.
func (s *start) failed(away func()) {
	if begun := s.begun.Load(); begun != nil && time.Since(*begun) >= awayAfter {
		away()
	}
}

// inStep notes that all that is current is here.
func (s *start) inStep() {
	s.compared.Store(true)
	s.opened.Do(func() { close(s.open) })
}

// away goes on without the control plane.
func (r *Replica) away() {
	r.start.opened.Do(func() {
		r.start.isAway.Store(true)
		r.log.Error("the control plane can't be asked whether this edge's disk has all that it said; serving what is there", "detail", strings.Join(r.doubts(), "; "))
		close(r.start.open)
	})
}

// Await returns when Warpgates may be let in: what ends them has come, or the control
// plane was waited for in vain. It returns ctx's error if that ends before.
func (r *Replica) Await(ctx context.Context) error {
	select {
	case <-r.start.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready reports whether what is here can be served: it is in step with the control plane,
// or was in an earlier life and the control plane can't be reached now.
func (r *Replica) Ready() bool {
	return r.start.compared.Load() || r.start.isAway.Load() && r.start.had
}

// Doubts say what is not known to be as the control plane said it, a sentence each;
// none when all is.
func (r *Replica) Doubts() []string {
	if r.start.compared.Load() && !r.start.differs.Load() {
		return nil
	}
	return r.doubts()
}

func (r *Replica) doubts() (out []string) {
	if !r.start.compared.Load() {
		out = append(out, "not compared with the control plane since the start: what its disk lost, or was changed meanwhile, is not known")
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, lost := range r.state.lost {
		out = append(out, "missing on its disk and not fetched yet: "+lost)
	}
	if r.start.differs.Load() {
		out = append(out, "it has other statements than the control plane says that it must have")
	}
	return out
}

// differences names what is not as the control plane says. A control plane of the version
// before says nothing.
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

// revocationsAt is the set of those in force at a moment.
func (r *Replica) revocationsAt(at time.Time) (set api.StatementSet) {
	r.trust().Revocations(at, func(rev mezu.Revocation) bool {
		set.CountRevocation(rev, 1)
		return true
	})
	return set
}
