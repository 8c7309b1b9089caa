// Package mask hides secrets in what is shown of requests and responses: by the names of
// fields, parameters, cookies and members, and by the shape of tokens and keys wherever they
// are. It is closed on doubt: what can't be parsed is searched by a scanner that needs no
// grammar.
//
// What lives here: which names and shapes are secret, and masking in each kind of text. What may
// not: what is recorded and who may see it unmasked. It is linked into the sidecar, so it imports
// little. daemon/forward masks the queries that it tells of with it, daemon/inspect and
// daemon/rest all that they give away.
//
// All functions put mezu.Mask in the place of each secret as a whole, keep everything else byte
// for byte, and return how many they have masked. Input without a secret is returned as it is,
// not copied. true, false, null and what is empty are no secrets.
package mask

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/mezusphere/mezu"
)

// text is what can be masked: generic, so that neither kind is copied to be looked at.
type text interface{ ~string | ~[]byte }

// edit is a text of which parts are replaced.
type edit[T text] struct {
	in   T
	out  []byte
	done int // bytes of in that are in out
	n    int // parts that were masked
}

// hide puts the mask in the place of in[from:to], in quotes if need be. Parts come in order.
func (e *edit[T]) hide(from, to int, quote string) {
	if from < e.done { // a part of it is hidden
		from = e.done
	}
	if to <= from || string(e.in[from:to]) == mezu.Mask || isHarmless(e.in[from:to]) {
		return
	}
	e.replace(from, to, quote+mezu.Mask+quote)
	e.n++
}

// replace puts with in the place of in[from:to].
func (e *edit[T]) replace(from, to int, with string) {
	e.out = append(e.out, e.in[e.done:from]...)
	e.out = append(e.out, with...)
	e.done = to
}

// result is the text with all replacements.
func (e *edit[T]) result() (T, int) {
	if e.done == 0 {
		return e.in, 0
	}
	return T(append(e.out, e.in[e.done:]...)), e.n
}

// isHarmless reports whether a value holds nothing.
func isHarmless[T text](value T) bool {
	switch string(value) {
	case "", "true", "false", "null", "undefined", "nil", "None", "True", "False":
		return true
	}
	return false
}

// separators are between the parameters of a query.
const separators = "&;"

// Query masks the values of a query, with or without its question mark.
func Query(query string) (string, int) {
	e := edit[string]{in: query}
	at := 0
	if strings.HasPrefix(query, "?") {
		at = 1
	}
	hidePairs(&e, at, len(query), separators)
	return e.result()
}

// hidePairs masks the values of name=value between at and end.
func hidePairs[T text](e *edit[T], at, end int, seps string) {
	for at <= end {
		stop := at
		for stop < end && strings.IndexByte(seps, e.in[stop]) < 0 {
			stop++
		}
		eq := at
		for eq < stop && e.in[eq] != '=' {
			eq++
		}
		switch {
		case eq == stop: // a name alone, or a value alone
			if hasSecret(e.in[at:stop]) {
				e.hide(at, stop, "")
			}
		case isQueryName(e.in[at:eq]) || hasSecret(e.in[eq+1:stop]):
			e.hide(eq+1, stop, "")
		}
		at = stop + 1
	}
}

// longSecret is the length from which a value without a blank or a dot is taken for a secret.
const longSecret = 40

// hasSecret reports whether the value of a parameter looks like a secret: many characters of one
// word, or one that has a secret in it once it is decoded.
func hasSecret[T text](value T) bool {
	if len(value) == 0 {
		return false
	}
	plain, encoded := true, false
	for i := range len(value) {
		switch value[i] {
		case '%':
			plain, encoded = false, true
		case '+', '.', ' ', '/', ',', ':':
			plain, encoded = false, encoded || value[i] == '+'
		}
	}
	if plain && len(value) >= longSecret || len(value) >= 3 && string(value[:3]) == "eyJ" {
		return true
	}
	if _, _, ok := nextShape(value, 0); ok {
		return true
	}
	if !encoded {
		return false
	}
	decoded, err := url.QueryUnescape(string(value))
	if err != nil {
		return false
	}
	_, _, ok := nextShape(decoded, 0)
	return ok
}

// Field masks the value of a field of a head. In those of cookies, names and attributes stay; in
// those of addresses, all but the query.
func Field(name, value string) (string, int) {
	switch {
	case strings.EqualFold(name, "Cookie"):
		e := edit[string]{in: value}
		hideCookies(&e)
		return e.result()
	case strings.EqualFold(name, "Set-Cookie"):
		e := edit[string]{in: value}
		end := len(value)
		if i := strings.IndexByte(value, ';'); i >= 0 {
			end = i
		}
		e.hide(strings.IndexByte(value[:end], '=')+1, end, "")
		return e.result()
	case strings.EqualFold(name, "Sec-WebSocket-Protocol"): // browsers have no other place for a token
		e := edit[string]{in: value}
		hidePairs(&e, 0, len(value), ", ")
		return e.result()
	case Name(name):
		e := edit[string]{in: value}
		e.hide(0, len(value), "")
		return e.result()
	}
	return Line(value)
}

// hideCookies masks the value of each cookie.
func hideCookies(e *edit[string]) {
	for at := 0; at < len(e.in); {
		stop := len(e.in)
		if i := strings.IndexByte(e.in[at:], ';'); i >= 0 {
			stop = at + i
		}
		from := at
		if i := strings.IndexByte(e.in[at:stop], '='); i >= 0 {
			from += i + 1
		}
		for from < stop && e.in[from] == ' ' {
			from++
		}
		e.hide(from, stop, "")
		at = stop + 1
	}
}

// Line masks the first line of a request, or its target alone: its queries, and what looks like a
// secret.
func Line(line string) (string, int) {
	n := 0
	if strings.ContainsAny(line, "?#") {
		e := edit[string]{in: line}
		for at := 0; at < len(line); {
			i := strings.IndexAny(line[at:], "?#")
			if i < 0 {
				break
			}
			from := at + i + 1
			end := from
			for end < len(line) && strings.IndexByte(" \t\"<>", line[end]) < 0 {
				end++
			}
			hidePairs(&e, from, end, "&;#?")
			at = end
		}
		line, n = e.result()
	}
	line, more := Text(line)
	return line, n + more
}

// Text masks what looks like a secret anywhere in a text.
func Text(text string) (string, int) {
	e := edit[string]{in: text}
	hideShapes(&e, 0, len(text))
	return e.result()
}

// hideShapes masks what looks like a secret between from and to.
func hideShapes[T text](e *edit[T], from, to int) {
	for at := from; at < to; {
		start, end, ok := nextShape(e.in[:to], at)
		if !ok {
			return
		}
		e.hide(start, end, "")
		at = end
	}
}

// sample is how much of binary data is looked at to tell whether it is text.
const sample = 1 << 10

// Body masks a body, an event or a frame, whose content encoding is undone. mediaType is its
// Content-Type, if it has one. It may be cut anywhere. JSON stays JSON: a secret number, list or
// object becomes a string.
func Body(form mezu.BodyForm, mediaType string, body []byte) ([]byte, int) {
	switch form {
	case mezu.BodyEmpty:
		return body, 0
	case mezu.BodyJSON:
		return maskJSON(body, 0)
	case mezu.BodyFields:
		e := edit[[]byte]{in: body}
		hidePairs(&e, 0, len(body), separators)
		return e.result()
	case mezu.BodyMultipart:
		return maskMultipart(mediaType, body, 0)
	case mezu.BodyBinary:
		if bytes.IndexByte(body[:min(len(body), sample)], 0) < 0 { // it may be text for all that
			break
		}
		e := edit[[]byte]{in: body}
		hideShapes(&e, 0, len(body))
		return e.result()
	}
	// A frame or a text that is JSON, whatever it is called.
	if beginsJSON(body) {
		return maskJSON(body, 0)
	}
	return maskLoose(body)
}
