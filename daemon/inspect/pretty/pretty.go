// Package pretty makes text for people of bodies and frames. No control character, escape
// sequence or formatting character of others is in it, so that it drives no terminal.
//
// What lives here: what form a body has, its lines, its hex dump, and the one line that a list
// shows of a frame. What may not: masks and decompression, which come before. daemon/inspect and
// daemon/rest import it.
package pretty

import "github.com/mezusphere/mezu"

// Form says how a body is shown, by its Content-Type, and by how it begins where that says little
// or something else.
func Form(mediaType string, body []byte) mezu.BodyForm { return mezu.BodyText }

// Body gives a body as lines, local.MaxPretty bytes at most. One that is not of its form to the
// end, or is cut, is shown as far as it is, the rest as text. problem says why not all is shown.
func Body(form mezu.BodyForm, mediaType string, body []byte) (text []byte, problem string) {
	return nil, ""
}

// Hex gives bytes as a dump of offset, hexadecimal digits and ASCII, local.MaxPretty bytes at
// most.
func Hex(body []byte) (text []byte, problem string) { return nil, "" }

// Line is one line of the content of a frame, mezu.MaxFrameLine bytes at most: its text with
// blanks for line ends, or hexadecimal digits if it is binary. That of a closing frame is its
// code and reason.
func Line(kind mezu.FrameKind, content []byte) string { return "" }
