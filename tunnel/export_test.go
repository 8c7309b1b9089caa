package tunnel

import (
	"net"
	"time"
)

// TestOnlyPatient has the edge take as long as it likes to answer after a wake.
func (l *Link) TestOnlyPatient() {
	l.proof = func(time.Duration) time.Duration { return time.Hour }
}

// Outstanding is how many exchanges are under way or wait for a connection.
func (s *Session) Outstanding() int { return s.outstanding() }

// RoundTrip is the round-trip time of c as a LinkStatus has it.
func RoundTrip(c net.Conn) time.Duration { return roundTrip(c) }

// AddressGone reports whether this machine has c's local address no longer.
func AddressGone(c net.Conn) bool { return addressGone(c) }

// LosesSegments has the next look at the path of the shared connection find that it lost many.
func (s *Session) LosesSegments() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sharing.path.lost -= 1 << 20
	s.sharing.looked = -1
}

// TriesPathAgain ends the time for which a path that lost segments is left.
func (s *Session) TriesPathAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sharing.from = 0
	s.sharing.looked = -1
	s.sharing.window = s.hub.step.Load() - s.hub.steps(lossyPause)
}

// Streams is how many streams the shared connection has.
func (s *Session) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sharing.open
}

// Idle is how many data connections are idle.
func (s *Session) Idle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle)
}

// Moving is how many responses wait for a connection of their own.
func (s *Session) Moving() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moving.length
}

// CanShare says that connections can be shared on this system.
const CanShare = canShare

// Fill leaves no room for exchanges that share connections.
func (r *Room) Fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shared = r.limit
}
