package tunnel

import "time"

// LinkStatus is what a Link's tunnel is doing at one moment.
type LinkStatus struct {
	State LinkState
	// Since is when the tunnel went up, or when it was last lost: tries in between don't
	// count.
	Since time.Time
	// Err is why there is no tunnel, or why the edge is to be left; nil while there is one.
	Err error
	// Conns is how many data connections there are.
	Conns int
	// RoundTrip is that of the control connection as TCP measures it: on the first
	// connection that was dialled, which may lead to a proxy. It is zero while there is no
	// tunnel, and where the system doesn't tell.
	RoundTrip time.Duration
}

// note takes a change of state.
func (s *LinkStatus) note(state LinkState, err error, now time.Time) {
	if up := state == LinkConnected; up != (s.State == LinkConnected) || state == LinkDraining {
		s.Since = now
	}
	if s.State = state; err != nil || state == LinkConnected {
		s.Err = err
	}
}

// Status is that of now.
func (l *Link) Status() LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	for _, r := range l.live {
		s.Conns += r.conns()
	}
	if s.State != LinkConnected || len(l.live) == 0 {
		return s
	}
	s.RoundTrip = roundTrip(l.live[len(l.live)-1].out.conn)
	if l.draining {
		s.State = LinkDraining
	}
	return s
}

// conns is how many data connections there are.
func (r *registration) conns() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open)
}
