package relay

import "strconv"

// Text holds the bytes of fields of a message, so that the next one needs no new memory. If
// zero, it is empty.
type Text struct{ bytes []byte }

// maxKeptText is how much of a Text the next message gets: what browsers send takes half
// of it.
const maxKeptText = 4 << 10

func (t *Text) reset() {
	if t.bytes = t.bytes[:0]; cap(t.bytes) > maxKeptText {
		t.bytes = nil
	}
}

// add copies s; what was added before stays where it is.
func (t *Text) add(s string) []byte {
	n := len(t.bytes)
	t.bytes = append(t.bytes, s...)
	return t.bytes[n:len(t.bytes):len(t.bytes)]
}

// addInt is add for a number.
func (t *Text) addInt(n int64) []byte {
	begin := len(t.bytes)
	t.bytes = strconv.AppendInt(t.bytes, n, 10)
	return t.bytes[begin:len(t.bytes):len(t.bytes)]
}
