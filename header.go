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

// SessionCookie is the name of the cookie that holds session and grant.
const SessionCookie = "__Host-mezu_session"

// reservedExact are headers, in lower case, by which a workload or a framework
// may learn who the client is, where it came from, or which method or path is
// meant. No client may set them; the Warpgate writes what is true.
var reservedExact = map[string]bool{
	"forwarded": true, "x-real-ip": true, "x-client-ip": true, "x-cluster-client-ip": true, "true-client-ip": true,
	"cf-connecting-ip": true, "fastly-client-ip": true, "x-rewrite-url": true, "x-http-method": true,
	"x-http-method-override": true, "x-method-override": true, "x-auth-user": true, "x-remote-user": true,
	"remote-user": true, "x-user": true, "x-host": true,
}

// reservedPrefixes are families of such headers.
var reservedPrefixes = []string{"x-mezu-", "x-forwarded-", "x-original-", "x-auth-request-"}

// maxReservedLength is longer than any name of reservedExact and any prefix;
// longer names can only be reserved by their prefix.
const maxReservedLength = 64

// reservedFirst marks the first letters of reserved names, so that the usual
// header costs one look.
var reservedFirst = func() (t [256]bool) {
	for n := range reservedExact {
		t[n[0]], t[n[0]-32] = true, true
	}
	for _, n := range reservedPrefixes {
		t[n[0]], t[n[0]-32] = true, true
	}
	return t
}()

// ReservedHeader reports whether a header of this name is dropped when a client
// sends it, whatever its case.
func ReservedHeader[T string | []byte](name T) bool { return classify(name) == headerReserved }

// LookalikeHeader reports whether name becomes a reserved name when '_' and '.'
// are read as '-', as CGI-like servers do. Such a request is refused.
func LookalikeHeader[T string | []byte](name T) bool { return classify(name) == headerLookalike }

type headerClass uint8

const (
	headerPlain headerClass = iota
	headerReserved
	headerLookalike
)

func classify[T string | []byte](name T) headerClass {
	if len(name) == 0 || !reservedFirst[name[0]] {
		return headerPlain
	}
	var buf [maxReservedLength]byte
	n := min(len(name), len(buf))
	changed := false
	for i := 0; i < n; i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 32
		case c == '_' || c == '.':
			c, changed = '-', true
		}
		buf[i] = c
	}
	lower := buf[:n]
	hit := len(name) <= maxReservedLength && reservedExact[string(lower)]
	for _, p := range reservedPrefixes {
		hit = hit || len(lower) >= len(p) && string(lower[:len(p)]) == p
	}
	switch {
	case !hit:
		return headerPlain
	case changed:
		return headerLookalike
	}
	return headerReserved
}
