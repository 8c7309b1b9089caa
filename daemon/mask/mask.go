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
// not copied.
package mask

import "github.com/mezusphere/mezu"

// Name reports whether a value of this name holds a secret by convention: in any case, its words
// together or parted by anything but letters and digits.
func Name(name string) bool { return false }

// Query masks the values of a query, with or without its question mark.
func Query(query string) (string, int) { return query, 0 }

// Field masks the value of a field of a head. In those of cookies, names and attributes stay; in
// those of addresses, all but the query.
func Field(name, value string) (string, int) { return value, 0 }

// Line masks the first line of a request, or its target alone.
func Line(line string) (string, int) { return line, 0 }

// Text masks what looks like a secret anywhere in a text.
func Text(text string) (string, int) { return text, 0 }

// Body masks a body, an event or a frame, whose content encoding is undone. mediaType is its
// Content-Type, if it has one. It may be cut anywhere. JSON stays JSON: a secret number, list or
// object becomes a string.
func Body(form mezu.BodyForm, mediaType string, body []byte) ([]byte, int) { return body, 0 }
