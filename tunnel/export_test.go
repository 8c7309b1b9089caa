package tunnel

// Outstanding is how many exchanges are under way or wait for a connection.
func (s *Session) Outstanding() int { return s.outstanding() }
