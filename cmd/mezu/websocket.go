package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// Limits of the demo's WebSocket.
const (
	// maxFrame bounds one frame: all of it is read before it is sent back.
	maxFrame = 1 << 20
	// socketIdle is how long a silent connection is kept.
	socketIdle = 10 * time.Minute
)

// Opcodes of frames (RFC 6455, 5.2).
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xa
)

// echoFrames sends every data frame back as it is and answers pings, until the
// peer closes, goes silent or breaks the protocol.
func echoFrames(conn net.Conn, in *bufio.Reader) {
	for {
		conn.SetDeadline(time.Now().Add(socketIdle))
		first, payload, err := readFrame(in)
		if err != nil {
			return
		}
		switch first & 0x0f {
		case opContinue, opText, opBinary:
		case opPing:
			first = 0x80 | opPong
		case opPong:
			continue
		case opClose:
			writeFrame(conn, 0x80|opClose, payload) // the connection ends either way
			return
		default:
			return
		}
		if writeFrame(conn, first, payload) != nil {
			return
		}
	}
}

// readFrame reads one frame of a client, which is always masked (RFC 6455, 5.1),
// and gives its first byte and the payload.
func readFrame(in *bufio.Reader) (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1] & 0x7f)
	var extended [8]byte
	switch length {
	case 126:
		_, err = io.ReadFull(in, extended[6:])
		length = binary.BigEndian.Uint64(extended[:])
	case 127:
		_, err = io.ReadFull(in, extended[:])
		length = binary.BigEndian.Uint64(extended[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if head[0]&0x70 != 0 || head[1]&0x80 == 0 || length > maxFrame {
		return 0, nil, io.ErrUnexpectedEOF
	}
	var mask [4]byte
	if _, err := io.ReadFull(in, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(in, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	return head[0], payload, nil
}

// writeFrame writes one frame, unmasked as a server does.
func writeFrame(out io.Writer, first byte, payload []byte) error {
	frame := make([]byte, 0, len(payload)+10)
	frame = append(frame, first)
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	_, err := out.Write(append(frame, payload...))
	return err
}
