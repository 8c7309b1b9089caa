package mezu

import (
	"strings"
	"unicode/utf8"
)

// Path is a path in canonical form.
type Path struct {
	// Path is what is matched and forwarded.
	Path string
	// EncodedSlash says that Path holds %2F or %5C; the chosen route must
	// allow that.
	EncodedSlash bool
}

// CanonicalPath brings a request path (without its query) into the one form
// that is matched, logged and forwarded: unreserved characters decoded, other
// escapes in capitals, dot segments resolved, slashes merged. It refuses with
// CodeNotCanonical what cannot be brought there without guessing: control
// characters and NUL, raw or escaped, a raw backslash, a broken escape, bytes that
// are not UTF-8, and any path that has both an encoded slash and a dot segment
// once it is decoded. Canonical paths without escapes are returned as they are,
// without allocation.
func CanonicalPath(raw string) (Path, error) {
	if raw == "" || raw[0] != '/' {
		return Path{}, notCanonical("the path does not start with '/'")
	}
	if plainPath(raw) {
		return Path{Path: raw}, nil
	}
	return canonicalise(raw)
}

// canonicalise is CanonicalPath without the short cut.
func canonicalise(raw string) (Path, error) {
	decoded, slash, err := decodeUnreserved(raw)
	if err != nil {
		return Path{}, err
	}
	// This is checked before dot segments are resolved. Resolving one could remove the
	// encoded slash, and with it the reason to refuse.
	if slash && hasDotSegment(decoded) {
		return Path{}, notCanonical("the path has a dot segment beside an encoded slash")
	}
	return Path{Path: resolveSegments(decoded), EncodedSlash: slash}, nil
}

func notCanonical(detail string) error { return &Error{Code: CodeNotCanonical, Detail: detail} }

// pathPlain marks the bytes that are canonical wherever they stand in a path. '/' is not
// among them, because it depends on what follows.
var pathPlain = func() (t [256]bool) {
	for c := 0x21; c < 0x7f; c++ {
		t[c] = true
	}
	for _, c := range `%\/?#` {
		t[c] = false
	}
	return t
}()

// plainPath reports whether raw is canonical without further work: it has no escape, nothing
// to refuse, and no segment that is empty, "." or "..", except an empty last one.
func plainPath(raw string) bool {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if pathPlain[c] {
			continue
		}
		if c != '/' || !plainSegment(raw[i+1:]) {
			return false
		}
	}
	return true
}

// plainSegment reports whether the segment at the start of rest, which follows a slash, is
// kept when dot segments and double slashes are resolved.
func plainSegment(rest string) bool {
	if rest == "" {
		return true
	}
	if rest[0] == '.' {
		rest = rest[1:]
		if rest != "" && rest[0] == '.' {
			rest = rest[1:]
		}
		return rest != "" && rest[0] != '/'
	}
	return rest[0] != '/'
}

// decodeUnreserved decodes escapes of unreserved characters, puts the others in
// capitals and refuses what has no canonical form.
func decodeUnreserved(raw string) (path string, slash bool, err error) {
	out := make([]byte, 0, len(raw)+8)
	full := make([]byte, 0, len(raw)) // everything decoded, to be checked as UTF-8
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '%':
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", false, notCanonical("the path has a broken escape")
			}
			d := unhex(raw[i+1])<<4 | unhex(raw[i+2])
			i += 2
			if d < 0x20 || d == 0x7f {
				return "", false, notCanonical("the path has an escaped control character")
			}
			full = append(full, d)
			if isUnreserved(d) {
				out = append(out, d)
				continue
			}
			slash = slash || d == '/' || d == '\\'
			out = appendEscape(out, d)
		case c == '\\':
			return "", false, notCanonical("the path has a backslash")
		case c == '?' || c == '#':
			return "", false, notCanonical("the path has a query or fragment mark")
		case c <= 0x20 || c == 0x7f:
			return "", false, notCanonical("the path has a space or control character")
		case c >= 0x80:
			// Raw non-ASCII is no URI, yet common; its one form is escaped.
			full = append(full, c)
			out = appendEscape(out, c)
		default:
			full = append(full, c)
			out = append(out, c)
		}
	}
	if !utf8.Valid(full) {
		return "", false, notCanonical("the path is not UTF-8")
	}
	return string(out), slash, nil
}

// resolveSegments merges slashes and resolves dot segments (RFC 3986, 5.2.4); a
// ".." at the root stays at the root.
func resolveSegments(path string) string {
	segments := strings.Split(path[1:], "/")
	kept := make([]string, 0, len(segments))
	directory := false // the path ends in a slash
	for _, s := range segments {
		directory = false
		switch s {
		case "", ".":
			directory = true
		case "..":
			directory = true
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		return "/"
	}
	out := "/" + strings.Join(kept, "/")
	if directory {
		out += "/"
	}
	return out
}

// hasDotSegment reports whether a path has a dot segment when %2F and %5C are
// read as separators too. Dots themselves are decoded already.
func hasDotSegment(path string) bool {
	s := strings.NewReplacer("%2F", "/", "%5C", "/").Replace(path)
	for part := range strings.SplitSeq(s, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

func appendEscape(out []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(out, '%', digits[c>>4], digits[c&15])
}

// MaxReturnPath bounds a path to return to after a login, with its query.
const MaxReturnPath = 2 << 10

// ReturnPath is where a visitor returns to after a login: a path of the same host with
// perhaps a query, if it is its own canonical form, and else "/". What is relative, names a
// host, has a fragment, or would be read differently by somebody else is never followed. The
// pages of mezu.ReservedPath are no place to return to, but for the account.
func ReturnPath(to string) string {
	path, query, hasQuery := strings.Cut(to, "?")
	canonical, err := CanonicalPath(path)
	switch {
	case len(to) > MaxReturnPath, err != nil, canonical.Path != path, hasQuery && !plainQuery(query):
		return "/"
	case strings.HasPrefix(path+"/", ReservedPath) && path != ReservedPath+"account":
		return "/"
	}
	return to
}

// plainQuery reports whether a query has nothing but characters that a URL may have as they
// are (RFC 3986, 3.4). Browsers send a few more, which are escaped here and there.
func plainQuery(q string) bool {
	for i := 0; i < len(q); i++ {
		if c := q[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"#<>\\`", c) >= 0 {
			return false
		}
	}
	return true
}
