package tunnel

import "time"

// TestOnlyPatient has the edge take as long as it likes to answer after a wake.
func (l *Link) TestOnlyPatient() {
	l.proof = func(time.Duration) time.Duration { return time.Hour }
}

// Outstanding is how many exchanges are under way or wait for a connection.
func (s *Session) Outstanding() int { return s.outstanding() }
