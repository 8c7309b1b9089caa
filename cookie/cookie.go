// Package cookie keeps our cookies apart from those of workloads: ours never go to a
// workload, and none of ours is ever taken from one. That of a tunnel goes as far as its
// Warpgate.
//
// What lives here: what counts as a cookie of ours in a Cookie field, and which fields of a
// workload's response would set or clear one. What may not: what is in them (package grant),
// messages (package relay). edgesvc/edge and daemon import it: a Warpgate does both again,
// whatever the edge has done. What serves the control plane's own pages reads cookies by it.
package cookie

import (
	"bytes"

	"github.com/mezusphere/mezu"
)

// Jar takes our cookies out of the Cookie fields of one request. It is reused for the next:
// Reset first. What it gives aliases the fields and its own memory.
type Jar struct {
	ours []pair
	kept []byte
}

type pair struct{ name, value []byte }

// Reset empties it.
func (j *Jar) Reset() { j.ours, j.kept = j.ours[:0], j.kept[:0] }

// Take gives the value of a Cookie field without cookies of ours. It is empty if nothing is
// left of the field. All other cookies are in it as they came, byte for byte and in order.
//
// Servers read the field in many ways, so that whatever any of them takes for a cookie of
// ours is one: with our prefix in any case, behind blanks, quotes or a sign that begins no
// name, with characters that PHP turns into others, or behind a comma or blank inside of
// another cookie's value.
func (j *Jar) Take(value []byte) []byte {
	if ours(value, true) < 0 {
		return value
	}
	from, others := len(j.kept), 0
	for rest, first, more := value, true, true; more; first = false {
		var segment []byte
		segment, rest, more = bytes.Cut(rest, []byte{';'})
		if mine(segment) {
			j.note(segment)
			continue
		}
		switch {
		case others > 0:
			j.kept = append(j.kept, ';')
		case !first:
			segment = bytes.TrimLeft(segment, blanks)
		}
		j.keep(segment)
		others++
	}
	return j.kept[from:len(j.kept):len(j.kept)]
}

const blanks = " \t"

// note notes a cookie that has exactly a name of ours.
func (j *Jar) note(segment []byte) {
	name, value, ok := bytes.Cut(bytes.Trim(segment, blanks), []byte{'='})
	if ok && bytes.HasPrefix(name, []byte(mezu.CookiePrefix)) {
		j.ours = append(j.ours, pair{name, value})
	}
}

// keep keeps a cookie of others, without those of ours inside its value.
func (j *Jar) keep(segment []byte) {
	for {
		at := ours(segment, false)
		if at < 0 {
			j.kept = append(j.kept, segment...)
			return
		}
		before := bytes.TrimRight(segment[:at], blanks+",")
		j.kept = append(j.kept, before...)
		comma := bytes.IndexByte(segment[at:], ',')
		if comma < 0 {
			return
		}
		segment = segment[at+comma:]
	}
}

// Get gives the value of the cookie of ours with this name, nil if there is none. If there
// are two, somebody else may have set one of them, and none counts.
func (j *Jar) Get(name string) (value []byte) {
	n := 0
	for i := range j.ours {
		if string(j.ours[i].name) == name {
			value = j.ours[i].value
			n++
		}
	}
	if n != 1 {
		return nil
	}
	return value
}

// Names calls visit with the name of each cookie of ours that was taken, repeated ones
// included.
func (j *Jar) Names(visit func(name []byte)) {
	for i := range j.ours {
		visit(j.ours[i].name)
	}
}

// ours finds where the first cookie of ours begins: behind a separator, or with the text if
// begins is true.
func ours(text []byte, begins bool) int {
	for i, c := range text {
		kind := kinds[c]
		if begins && kind == beginning && mine(text[i:]) {
			return i
		}
		begins = kind == separator
	}
	return -1
}

// Kinds of bytes.
const (
	separator = iota + 1
	beginning // may begin a cookie of ours
)

// kinds are the kinds of all bytes. As for separators, browsers write the semicolon, RFC 2109
// had the comma, and Python's http.cookies takes blanks.
var kinds = func() (t [256]uint8) {
	for i := range t {
		if c := byte(i); skipped(c) || c == '%' || folded(c) == prefix[0] {
			t[i] = beginning
		}
	}
	t[';'], t[','], t[' '], t['\t'] = separator, separator, separator, separator
	return t
}()

// prefix is mezu.CookiePrefix as folded brings names together.
const prefix = "__host-mezu_"

// mine reports whether a cookie that begins here has our prefix for some server.
func mine(text []byte) bool {
	for len(text) > 0 && skipped(text[0]) {
		text = text[1:]
	}
	for i := range len(prefix) {
		if len(text) == 0 {
			return false
		}
		c, size := text[0], 1
		if c == '%' && len(text) > 2 && hex(text[1]) < 16 && hex(text[2]) < 16 {
			c, size = hex(text[1])<<4|hex(text[2]), 3 // PHP decoded names until 7.4.11
		}
		if folded(c) != prefix[i] {
			return false
		}
		text = text[size:]
	}
	return true
}

// skipped reports whether some server drops the byte before a name: blanks, of Unicode too,
// quotes, the sign of RFC 2965's attributes, the equals sign of a cookie without a name.
func skipped(c byte) bool {
	switch c {
	case ' ', '\t', '=', '$', '"', '\'':
		return true
	}
	return c >= 0x80
}

// folded is a byte of a name in lower case, and as PHP makes a variable of it.
func folded(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == '.', c == ' ', c == '+', c == '[':
		return '_'
	}
	return c
}

// hex is the value of a hexadecimal digit, 16 if it is none.
func hex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
