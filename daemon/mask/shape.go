package mask

import (
	"encoding/base64"
	"strings"

	"github.com/mezusphere/mezu"
)

// Classes of bytes.
const (
	isWord   = 1 << iota // base64url: letters, digits, '-' and '_'
	isBase62             // letters and digits
	isToken              // token68 of RFC 9110: base64 of both kinds, '.', '~' and '='
	isAnchor             // where a shape may be
	isSign               // what stands between a name and a value, and begins an element
)

// classes are those of each byte.
var classes = func() (out [256]uint8) {
	for c := range 256 {
		b := byte(c)
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
			out[c] = isWord | isBase62 | isToken
		case b == '-' || b == '_':
			out[c] = isWord | isToken
		case strings.IndexByte("+/.~=", b) >= 0:
			out[c] = isToken
		}
	}
	for _, b := range []byte("J_-KSzD:. +%") {
		out[b] |= isAnchor
	}
	for _, b := range []byte("=:<") {
		out[b] |= isSign
	}
	return out
}()

// nextShape finds the next secret by its shape, from a place on. What it finds is the secret
// alone: "Bearer" and the address around a password are none. It looks at rare bytes of each shape,
// and from these backwards.
func nextShape[T text](s T, from int) (start, end int, ok bool) {
	// Where a key of a service account may end: each run of characters that is that long has one
	// at every such step.
	for i := from; i < len(s); i++ {
		c := s[i]
		if i%mezu.KeyLength == mezu.KeyLength-1 && classes[c]&isBase62 != 0 {
			if start, end, ok := keyAround(s, from, i); ok {
				// Something else may begin before it.
				if a, b, ok := shapeBetween(s, from, start); ok {
					return a, b, true
				}
				return start, end, true
			}
		}
		if classes[c]&isAnchor == 0 {
			continue
		}
		if start, end, ok := shapeAt(s, from, i); ok {
			return start, end, true
		}
	}
	return 0, 0, false
}

// shapeBetween is nextShape without keys of service accounts, for a stretch that was looked at.
func shapeBetween[T text](s T, from, to int) (start, end int, ok bool) {
	for i := from; i < to; i++ {
		if classes[s[i]]&isAnchor != 0 {
			if start, end, ok := shapeAt(s, from, i); ok {
				return start, end, true
			}
		}
	}
	return 0, 0, false
}

// keyAround finds a key of a service account in the run of characters around i.
func keyAround[T text](s T, from, i int) (start, end int, ok bool) {
	a, b := i, i+1
	for a > from && i-a < mezu.KeyLength && classes[s[a-1]]&isBase62 != 0 {
		a--
	}
	for b < len(s) && b-i < mezu.KeyLength && classes[s[b]]&isBase62 != 0 {
		b++
	}
	if b-a < mezu.KeyLength || b-a > mezu.KeyLength+2 { // two more: %3D before it
		return 0, 0, false
	}
	for ; a+mezu.KeyLength <= b; a++ {
		if mezu.ValidateKey(string(s[a:a+mezu.KeyLength])) == nil {
			return a, a + mezu.KeyLength, true
		}
	}
	return 0, 0, false
}

// shapeAt finds a secret by the anchor at i.
func shapeAt[T text](s T, from, i int) (start, end int, ok bool) {
	switch s[i] {
	case 'J':
		return jwtAt(s, from, i)
	case '_':
		return underscoreAt(s, from, i)
	case '-':
		return dashAt(s, from, i)
	case 'K': // AKIA
		return prefixAt(s, from, i, 1, "AKIA", isBase62, 16)
	case 'S': // ASIA
		return prefixAt(s, from, i, 1, "ASIA", isBase62, 16)
	case 'z':
		return prefixAt(s, from, i, 2, "AIza", isWord, 35)
	case '.':
		if start, end, ok = prefixAt(s, from, i, 4, "ya29.", isWord, 20); ok {
			return start, end, true
		}
		if start, end, ok = prefixAt(s, from, i, 3, "hvs.", isWord, 20); ok {
			return start, end, true
		}
		return prefixAt(s, from, i, 2, "SG.", isToken, 30)
	case ':':
		return passwordAt(s, i)
	case ' ', '+', '%':
		return schemeAt(s, from, i)
	}
	return 0, 0, false
}

// run is where a run of bytes of a class ends.
func run[T text](s T, at int, class uint8) int {
	for at < len(s) && classes[s[at]]&class != 0 {
		at++
	}
	return at
}

// hasAt reports whether s has want at a place, which may lie before its begin.
func hasAt[T text](s T, from, at int, want string) bool {
	return at >= from && len(s)-at >= len(want) && string(s[at:at+len(want)]) == want
}

// fresh reports whether no word goes on to a place: it is the begin, or something else is before
// it, such as an escaped character.
func fresh[T text](s T, from, at int) bool {
	return at <= from || classes[s[at-1]]&isWord == 0 || escaped(s, from, at)
}

// escaped reports whether an escaped byte is before a place: %3D, \n or \u003d.
func escaped[T text](s T, from, at int) bool {
	return at-3 >= from && s[at-3] == '%' && unhex(s[at-1]) >= 0 && unhex(s[at-2]) >= 0 ||
		at-2 >= from && s[at-2] == '\\' || at-6 >= from && s[at-6] == '\\' && s[at-5] == 'u'
}

// prefixAt finds a secret with a prefix, in which s[i] is the byte at offset, and at least so many
// characters of a class behind it. One at the end of the text may be cut, and needs half of them.
func prefixAt[T text](s T, from, i, offset int, prefix string, class uint8, least int) (start, end int, ok bool) {
	start = i - offset
	if !hasAt(s, from, start, prefix) || !fresh(s, from, start) {
		return 0, 0, false
	}
	body := start + len(prefix)
	end = run(s, body, class)
	if n := end - body; n < least && (end < len(s) || n < least/2) {
		return 0, 0, false
	}
	return start, end, true
}

// Lengths of JWTs and parts of them.
const (
	leastJWT  = 20 // what begins like one and is as long, without a dot, may be cut or opaque
	leastPart = 4
)

// jwtAt finds a JWT, whose first member makes it begin with "eyJ".
func jwtAt[T text](s T, from, i int) (start, end int, ok bool) {
	start = i - 2
	if !hasAt(s, from, start, "eyJ") {
		return 0, 0, false
	}
	end = run(s, i, isWord)
	if end+1 < len(s) && s[end] == '.' && run(s, end+1, isWord)-end-1 >= leastPart {
		for end+1 < len(s) && s[end] == '.' && classes[s[end+1]]&isWord != 0 {
			end = run(s, end+1, isWord)
		}
		return start, end, true
	}
	if end-start >= leastJWT && fresh(s, from, start) {
		return start, end, true
	}
	return 0, 0, false
}

// underscoreAt finds secrets whose prefix ends in an underscore.
func underscoreAt[T text](s T, from, i int) (start, end int, ok bool) {
	// mezu_, mezujoin_ and the like: the kinds of package mezu have letters only.
	a := i
	for a > from && i-a < len(mezu.TokenRefresh) && s[a-1] >= 'a' && s[a-1] <= 'z' {
		a--
	}
	for ; a+4 <= i; a++ {
		if string(s[a:a+4]) == "mezu" && fresh(s, from, a) {
			return prefixAt(s, from, i, i-a, string(s[a:i+1]), isWord, leastToken)
		}
	}
	for _, p := range [...]struct {
		prefix string
		least  int
	}{{"ghp_", 30}, {"gho_", 30}, {"ghu_", 30}, {"ghs_", 30}, {"ghr_", 30}, {"github_pat_", 22}, {"npm_", 30},
		{"sk_live_", 10}, {"sk_test_", 10}, {"rk_live_", 10}, {"rk_test_", 10}, {"whsec_", 16}} {
		n := len(p.prefix) - 1
		if start, end, ok = prefixAt(s, from, i, n, p.prefix, isWord, p.least); ok {
			if p.prefix == "whsec_" { // standard base64
				end = run(s, end, isToken)
			}
			return start, end, true
		}
	}
	return 0, 0, false
}

// leastToken is a half of what our own tokens have behind their prefix: longer than a word that
// happens to be there.
const leastToken = 20

// dashAt finds secrets with a dash in their prefix, and private keys.
func dashAt[T text](s T, from, i int) (start, end int, ok bool) {
	for _, p := range [...]struct {
		prefix string
		offset int
		least  int
	}{{"sk-", 2, 20}, {"xoxb-", 4, 20}, {"xoxp-", 4, 20}, {"xoxa-", 4, 20}, {"xoxr-", 4, 20}, {"xoxs-", 4, 20}, {"xapp-", 4, 20},
		{"glpat-", 5, 16}, {"AGE-SECRET-KEY-", 3, 30}} {
		if start, end, ok = prefixAt(s, from, i, p.offset, p.prefix, isWord, p.least); ok {
			return start, end, true
		}
	}
	return pemAt(s, i)
}

// pemLine bounds the first line of a PEM block.
const pemLine = 64

// pemAt finds the content of a private key in PEM, whose line ends may be escaped.
func pemAt[T text](s T, i int) (start, end int, ok bool) {
	const begin, mark, stop = "-----BEGIN ", "PRIVATE KEY-----", "-----END "
	if !hasAt(s, 0, i, begin) {
		return 0, 0, false
	}
	head := s[i:min(len(s), i+pemLine)]
	at := index(head, mark)
	if at < 0 {
		return 0, 0, false
	}
	start = i + at + len(mark)
	if n := index(s[start:], stop); n >= 0 {
		return start, start + n, n > 0
	}
	return start, len(s), start < len(s)
}

// index is strings.Index of either kind of text. It looks for texts that begin with rare bytes.
func index[T text](s T, want string) int {
	for i := 0; i+len(want) <= len(s); i++ {
		if s[i] == want[0] && string(s[i:i+len(want)]) == want {
			return i
		}
	}
	return -1
}

// maxUserInfo bounds name and password in an address.
const maxUserInfo = 1 << 10

// passwordAt finds the password in scheme://name:password@host.
func passwordAt[T text](s T, i int) (start, end int, ok bool) {
	if !hasAt(s, 0, i, "://") {
		return 0, 0, false
	}
	for at := i + 3; at < len(s) && at-i < maxUserInfo; at++ {
		switch c := s[at]; {
		case c == ':' && start == 0:
			start = at + 1
		case c == '@':
			return start, at, start > 0 && start < at
		case c <= ' ' || strings.IndexByte("/?#\"'<>\\,", c) >= 0:
			return 0, 0, false
		}
	}
	return 0, 0, false
}

// schemeAt finds credentials behind "Bearer" or "Basic", in any case, and a blank, which may be
// encoded for a query. What follows must look like some: prose has these words too.
func schemeAt[T text](s T, from, i int) (start, end int, ok bool) {
	at := i + 1
	if s[i] == '%' {
		if !hasAt(s, from, i, "%20") {
			return 0, 0, false
		}
		at = i + 3
	}
	if i < from+5 || s[i-1]|0x20 != 'r' && s[i-1]|0x20 != 'c' {
		return 0, 0, false
	}
	for at < len(s) && s[at] == ' ' {
		at++
	}
	end = run(s, at, isToken)
	switch {
	case end == at:
		return 0, 0, false
	case behind(s, from, i, "bearer"):
		plain := end
		for plain > at && s[plain-1] == '=' { // of base64; of a parameter before a quote
			plain--
		}
		return at, end, looksRandom(s[at:plain])
	case behind(s, from, i, "basic"):
		return at, end, isBasic(s[at:end], end == len(s))
	}
	return 0, 0, false
}

// behind reports whether a word in lower case, in any case, ends before i.
func behind[T text](s T, from, i int, word string) bool {
	if i-len(word) < from {
		return false
	}
	for j := range len(word) {
		if s[i-len(word)+j]|0x20 != word[j] {
			return false
		}
	}
	return true
}

// Lengths of what follows "Bearer".
const (
	leastOpaque = 6
	longWord    = 20
)

// looksRandom reports whether credentials are no word of a sentence.
func looksRandom[T text](s T) bool {
	if len(s) < leastOpaque {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c == '_' || c == '+' || c == '~' || i > 0 && c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return len(s) >= longWord
}

// maxBasic bounds what is decoded. Longer ones are no prose.
const maxBasic = 512

// isBasic reports whether it is a name and a password.
func isBasic[T text](s T, cut bool) bool {
	if len(s) > maxBasic {
		return true
	}
	text := strings.TrimRight(string(s), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(text[:len(text)&^3])
	if err != nil {
		return false
	}
	if rest, err := base64.RawStdEncoding.DecodeString(text); err == nil {
		decoded = rest
	}
	return strings.IndexByte(string(decoded), ':') >= 0 || cut && looksRandom(s)
}
