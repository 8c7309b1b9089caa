package mezu

// tokenTable marks the bytes of a token (RFC 9110, 5.6.2).
var tokenTable = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-32] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

// ValidHeaderName reports whether name is a token.
func ValidHeaderName[T string | []byte](name T) bool {
	if len(name) == 0 {
		return false
	}
	for i := 0; i < len(name); i++ {
		if !tokenTable[name[i]] {
			return false
		}
	}
	return true
}

// ValidHeaderValue reports whether value has only visible characters, spaces,
// tabs and bytes above 0x7f (RFC 9110, 5.5): no CR, LF, NUL or other control.
func ValidHeaderValue[T string | []byte](value T) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// Identity headers that the Warpgate writes to the workload.
const (
	HeaderUserID    = "X-Mezu-User-Id"
	HeaderUserEmail = "X-Mezu-User-Email"
	HeaderUserName  = "X-Mezu-User-Name"
	HeaderUserRoles = "X-Mezu-User-Roles"
	HeaderAssertion = "X-Mezu-Assertion"
	// HeaderRequestID names one request from the client to the workload and
	// back.
	HeaderRequestID = "X-Request-Id"
)

// ReservedHeader reports whether a header of this name is dropped when a client
// sends it, whatever its case.
func ReservedHeader[T string | []byte](name T) bool { return ClassifyHeader(name) == HeaderReserved }

// LookalikeHeader reports whether name becomes a reserved name when '_' and '.'
// are read as '-', as CGI-like servers do. Such a request is refused.
func LookalikeHeader[T string | []byte](name T) bool { return ClassifyHeader(name) == HeaderLookalike }

// HeaderClass is what a header's name makes of it.
type HeaderClass uint8

// Classes of headers, as ReservedHeader and LookalikeHeader have them.
const (
	HeaderPlain HeaderClass = iota
	HeaderReserved
	HeaderLookalike
)

// ClassifyHeader tells reserved names and those that pass for them from all others.
func ClassifyHeader[T string | []byte](name T) HeaderClass {
	if len(name) < reservedStart || !reservedStarts[startHash(reservedFold[name[0]], reservedFold[name[1]], reservedFold[name[2]], reservedFold[name[3]])] {
		return HeaderPlain
	}
	var buf [maxReservedLength]byte
	n := min(len(name), len(buf))
	changed := false
	for i := 0; i < n; i++ {
		c := name[i]
		buf[i] = reservedFold[c]
		changed = changed || c == '_' || c == '.'
	}
	lower := buf[:n]
	hit := len(name) <= maxReservedLength && reservedNames[string(lower)]
	for _, p := range reservedFamilies[lower[0]] {
		hit = hit || len(lower) >= len(p) && string(lower[:len(p)]) == p
	}
	switch {
	case !hit:
		return HeaderPlain
	case changed:
		return HeaderLookalike
	}
	return HeaderReserved
}
