package warpgate

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// Repeat is a request that is sent once more without an edge.
type Repeat = forward.Repeat

// Replay judges and carries a request as one that an edge sends; nobody gets the response but
// tape, which is closed. It returns when the exchange has ended and ctx with it, and is refused if
// the Warpgate does not serve.
func (g *Warpgate) Replay(ctx context.Context, r *Repeat, tape Tape) error {
	s := g.session.Load()
	if s == nil || !s.begin() {
		tape.Close()
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the tunnel is not open", Hint: "mezu tunnel list"}
	}
	defer s.tasks.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.hard, cancel)()
	s.server.Replay(ctx, r, tape)
	return nil
}

// begin counts one of the tasks, unless the drain has begun.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Add(1)
	}
	return !s.closed
}
