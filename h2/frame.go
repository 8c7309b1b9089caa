package h2

import "encoding/binary"

// frame is the header of a frame that came.
type frame struct {
	kind   frameType
	flags  uint8
	id     uint32
	length int // of the payload
}

func parseHeader(b []byte) frame {
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   frameType(b[3]),
		flags:  b[4],
		id:     binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// appendHeader appends the header of a frame whose payload follows.
func appendHeader(dst []byte, kind frameType, flags uint8, id uint32, length int) []byte {
	dst = append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags)
	return binary.BigEndian.AppendUint32(dst, id)
}

func appendReset(dst []byte, id uint32, code Code) []byte {
	dst = appendHeader(dst, frameReset, 0, id, 4)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

func appendWindow(dst []byte, id uint32, n int64) []byte {
	dst = appendHeader(dst, frameWindow, 0, id, 4)
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

func appendPing(dst []byte, flags uint8, data [8]byte) []byte {
	dst = appendHeader(dst, framePing, flags, 0, len(data))
	return append(dst, data[:]...)
}

func appendGoAway(dst []byte, last uint32, code Code, why string) []byte {
	dst = appendHeader(dst, frameGoAway, 0, 0, 8+len(why))
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, why...)
}

type setting struct {
	id    uint16
	value uint32
}

func appendSettings(dst []byte, all ...setting) []byte {
	dst = appendHeader(dst, frameSettings, 0, 0, 6*len(all))
	for _, s := range all {
		dst = binary.BigEndian.AppendUint16(dst, s.id)
		dst = binary.BigEndian.AppendUint32(dst, s.value)
	}
	return dst
}

// appendBlock appends a block of fields as HEADERS and as many CONTINUATION frames as it needs.
func appendBlock(dst []byte, id uint32, block []byte, end bool, most int) []byte {
	kind, flags := frameHeaders, uint8(0)
	if end {
		flags = flagEnd
	}
	for {
		part := block[:min(len(block), most)]
		block = block[len(part):]
		if len(block) == 0 {
			flags |= flagEndHeaders
		}
		dst = appendHeader(dst, kind, flags, id, len(part))
		dst = append(dst, part...)
		if len(block) == 0 {
			return dst
		}
		kind, flags = frameContinuation, 0
	}
}
