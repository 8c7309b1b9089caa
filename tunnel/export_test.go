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
