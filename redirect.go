package mezu

import (
	"net/url"
	"strings"
)

// Target is where a redirect leads, taken apart: Redirect.To with its placeholders.
type Target struct {
	// Origin is the scheme and the host that it names, such as https://www.example.com; if empty,
	// it is a path of the host that was asked.
	Origin string
	// Authority is the same host in its canonical form, with a port that isn't 443, if the scheme is
	// https.
	Authority string
	pieces    []targetPiece
}

// targetPiece is a text, or a placeholder in one of the parts of a URL.
type targetPiece struct {
	text string // if hole is none
	hole hole
	part byte // of the URL: '/' its path, '?' its query, '#' its fragment
}

// hole is what a placeholder stands for.
type hole uint8

const (
	noHole hole = iota
	pathHole
	queryHole
)

// placeholders are those that a redirect knows.
var placeholders = map[string]hole{"{path}": pathHole, "{query}": queryHole}

// ParseTarget reads Redirect.To: a URL with http or https, or a path. {path} is the path of the
// request, behind strip_prefix if there is one. {query} is its query without the question mark, and
// stands behind a ? or an &.
//
// Nothing of a request gets into the scheme or the host: both end before the first placeholder.
func ParseTarget(to string) (*Target, error) {
	bad := func(detail string, more ...any) (*Target, error) { return nil, Invalid("to", detail, more...) }
	for i := 0; i < len(to); i++ {
		if c := to[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`|", c) >= 0 {
			return bad("has a character that no URL has; escape it with %%")
		}
	}
	t := &Target{}
	rest := to
	switch {
	case strings.HasPrefix(to, "//"):
		return bad("names a host without a scheme; write https: before it")
	case strings.HasPrefix(to, "/"), strings.HasPrefix(to, "{path}"):
	default:
		scheme, behind, _ := strings.Cut(to, "://")
		end := strings.IndexAny(behind, "/?#{")
		if end < 0 {
			end = len(behind)
		}
		_, authority, err := CanonicalAuthority(behind[:end])
		if scheme != "http" && scheme != "https" || err != nil {
			return bad("is a URL such as https://www.example.com/, or a path")
		}
		if t.Origin = scheme + "://" + behind[:end]; scheme == "https" {
			t.Authority = authority
		}
		if rest = behind[end:]; strings.HasPrefix(rest, "{") && !strings.HasPrefix(rest, "{path}") {
			return bad("has a placeholder in its host")
		}
	}
	return t, t.parse(rest)
}

// parse reads what stands behind the origin.
func (t *Target) parse(rest string) error {
	part, begin := byte('/'), 0
	text := func(end int) {
		if end > begin {
			t.pieces = append(t.pieces, targetPiece{text: rest[begin:end], part: part})
		}
		begin = end
	}
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '?' && part == '/', c == '#' && part != '#':
			text(i)
			part = c
		case c == '{' || c == '}':
			text(i)
			name := rest[i : i+strings.IndexByte(rest[i:], '}')+1]
			hole := placeholders[name]
			switch {
			case hole == noHole:
				return Invalid("to", "knows the placeholders {path} and {query}, and no other; write %%7B for a brace")
			case hole == queryHole && (part != '?' || rest[i-1] != '?' && rest[i-1] != '&'):
				return Invalid("to", "has {query} elsewhere than behind a ? or an &")
			case hole == queryHole && i+len(name) < len(rest) && strings.IndexByte("&#", rest[i+len(name)]) < 0:
				// With an empty query the mark before it goes, and what follows would be of the path.
				return Invalid("to", "has something behind {query}; write an & between them")
			}
			t.pieces = append(t.pieces, targetPiece{hole: hole, part: part})
			begin = i + len(name)
			i = begin - 1
		}
	}
	text(len(rest))
	return nil
}

// Fill is where a request with a canonical path and a query, without its question mark, is sent.
// path is the path in it. Slashes don't meet where texts do: two at the beginning would name a host.
func (t *Target) Fill(requestPath, query string) (location, path string) {
	out := append(make([]byte, 0, len(t.Origin)+len(requestPath)+len(query)+MaxRouteHeaderLen/4), t.Origin...)
	begin := len(out)
	end := -1
	for i, p := range t.pieces {
		if p.part != '/' && end < 0 {
			end = len(out)
		}
		switch {
		case p.hole == queryHole && query == "":
			// The mark before it goes, or the one behind it.
			if i+1 == len(t.pieces) || !strings.HasPrefix(t.pieces[i+1].text, "&") {
				out = out[:len(out)-1]
			}
		case p.hole == queryHole:
			out = appendQuery(out, query)
		case p.hole == pathHole && p.part != '/':
			out = append(out, url.QueryEscape(requestPath)...)
		case p.hole == pathHole:
			out = joinPath(out, begin, requestPath)
		case p.part == '/':
			out = joinPath(out, begin, p.text)
		case query == "" && i > 0 && t.pieces[i-1].hole == queryHole:
			out = append(out, strings.TrimPrefix(p.text, "&")...)
		default:
			out = append(out, p.text...)
		}
	}
	if end < 0 {
		end = len(out)
	}
	if end = min(end, len(out)); end > begin {
		return string(out), string(out[begin:end])
	}
	return string(out), "/"
}

// joinPath appends a piece of a path, which begins at begin.
func joinPath(out []byte, begin int, piece string) []byte {
	if len(out) > begin && out[len(out)-1] == '/' {
		piece = strings.TrimLeft(piece, "/")
	}
	return append(out, piece...)
}

// appendQuery appends a query as it came, but for characters that no URL has.
func appendQuery(out []byte, query string) []byte {
	for i := 0; i < len(query); i++ {
		if c := query[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			out = appendEscape(out, c)
		} else {
			out = append(out, c)
		}
	}
	return out
}

// validate checks a redirect; nil is none.
func (d *Redirect) validate(field string) error {
	if d == nil {
		return nil
	}
	_, err := ParseTarget(d.To)
	return at(field, err)
}

// Next is the method with which a client follows a redirect that answered a request with this one
// (Fetch, 4.4).
func (d *Redirect) Next(method string) string {
	switch {
	case (d.Status == 0 || d.Status == 301 || d.Status == 302) && method == "POST", d.Status == 303 && method != "HEAD":
		return "GET"
	}
	return method
}
