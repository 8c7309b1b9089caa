package mux

import "encoding/binary"

// Kinds of frames. spec.md of package tunnel lists them.
const (
	kindBegin   = 1 // E → W: an exchange begins, and its first bytes
	kindData    = 2 // both: more of it
	kindCancel  = 3 // E → W: the stream is over, whatever it does
	kindEnd     = 4 // W → E: the stream is over behind what came before
	kindRefused = 5 // W → E: there is no room for the stream
	kindMove    = 6 // W → E: the rest of the response wants a connection of its own
)

const (
	headSize = 7 // kind u8, stream u32, length u16, big endian
	// maxPayload has a full frame fill one record of TLS.
	maxPayload = 16<<10 - headSize
)

// appendFrame appends one frame.
func appendFrame(dst []byte, kind byte, id uint32, payload []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, kind), id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	return append(dst, payload...)
}

// parseFrame takes the first frame off b; ok is false if it isn't whole.
func parseFrame(b []byte) (kind byte, id uint32, payload, rest []byte, ok bool) {
	if len(b) < headSize {
		return 0, 0, nil, b, false
	}
	n := headSize + int(binary.BigEndian.Uint16(b[5:]))
	if len(b) < n {
		return 0, 0, nil, b, false
	}
	return b[0], binary.BigEndian.Uint32(b[1:]), b[headSize:n], b[n:], true
}
