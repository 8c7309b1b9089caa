// Package follow brings to the dashboard what the control plane tells of the place where it
// looks, for as long as it looks there.
//
// What lives here: a source that begins anew when the place is another, or when somebody wants
// it. What may not: what is followed, which cmd/mezu knows. Screens of tui import it.
package follow

import (
	"context"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/tui/screen"
)

// againWithin bounds the pauses between two tries.
const againWithin = 5 * time.Second

// Follower calls see with what it follows as it is, and whenever it has changed, until ctx ends
// or it fails.
type Follower[T any] func(ctx context.Context, scope screen.Scope, see func(T)) error

// Got is what was followed, as it is now.
type Got[T any] struct {
	Scope screen.Scope
	Value T
}

// Failed says that it could not be followed. It is tried again.
type Failed[T any] struct {
	Scope screen.Scope
	Err   error
}

// Subject is what is followed. Nothing is asked before somebody wants it.
type Subject[T any] struct {
	do Follower[T]

	mu      sync.Mutex
	scope   screen.Scope
	wanted  bool
	changed backoff.Bell
}

// New makes it.
func New[T any](do Follower[T]) *Subject[T] { return &Subject[T]{do: do} }

// Move has it followed at another place.
func (s *Subject[T]) Move(scope screen.Scope) {
	s.set(func() bool {
		other := s.scope != scope
		s.scope = scope
		return other
	})
}

// Want has it followed from now on.
func (s *Subject[T]) Want() {
	s.set(func() bool {
		first := !s.wanted
		s.wanted = true
		return first
	})
}

// Again has it asked for at once, because something was changed that a stream does not tell.
func (s *Subject[T]) Again() { s.set(func() bool { return s.wanted }) }

func (s *Subject[T]) set(change func() bool) {
	s.mu.Lock()
	rings := change()
	s.mu.Unlock()
	if rings {
		s.changed.Ring()
	}
}

func (s *Subject[T]) now() (screen.Scope, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scope, s.wanted
}

// Source follows it until its context ends.
func (s *Subject[T]) Source(ctx context.Context, send func(tea.Msg)) {
	pause := backoff.Backoff{Last: againWithin}
	for ctx.Err() == nil {
		rung := s.changed.Rung()
		scope, wanted := s.now()
		if !wanted {
			select {
			case <-rung:
			case <-ctx.Done():
			}
			continue
		}
		err := s.follow(ctx, rung, scope, func(v T) {
			pause.Reset()
			send(Got[T]{scope, v})
		})
		select {
		case <-ctx.Done():
			return
		case <-rung:
			continue
		default:
		}
		send(Failed[T]{scope, err})
		pause.Because(err)
		if pause.WaitOr(ctx, rung) != nil {
			return
		}
	}
}

// follow follows it at one place, until rung is closed.
func (s *Subject[T]) follow(ctx context.Context, rung <-chan struct{}, scope screen.Scope, see func(T)) error {
	ctx, end := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-rung:
			end()
		case <-ctx.Done():
		}
	})
	defer waiting.Wait()
	defer end()
	return s.do(ctx, scope, see)
}
