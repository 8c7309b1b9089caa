package mezu

// forbiddenMethods are refused on the public side: they steer the proxy itself
// (CONNECT) or echo secrets (TRACE, TRACK).
var forbiddenMethods = map[string]bool{"CONNECT": true, "TRACE": true, "TRACK": true}

// MaxMethodLength covers every registered method with room for private ones.
const MaxMethodLength = 32

// ValidateMethod checks that a method is a token in capitals that the edge
// carries. Methods are case-sensitive (RFC 9110, 9.1), and a lower-case «get»
// is refused because workloads disagree about it.
func ValidateMethod(m string) error {
	if m == "" || len(m) > MaxMethodLength {
		return Invalid("", "a method has 1 to %d characters", MaxMethodLength)
	}
	for i := 0; i < len(m); i++ {
		if c := m[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return Invalid("", "a method has capital letters only, not %q", m)
		}
	}
	if forbiddenMethods[m] {
		return Invalid("", "%s is never carried", m)
	}
	return nil
}

// IdempotentMethod reports whether repeating the method has the effect of doing
// it once (RFC 9110, 9.2.2).
func IdempotentMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}
