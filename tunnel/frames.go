package tunnel

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mezusphere/mezu"
)

// frameType is the first byte of a frame. spec.md lists them.
type frameType uint8

const (
	frameRegister  frameType = 0x01
	frameWelcome   frameType = 0x02
	frameRefused   frameType = 0x03
	frameHeartbeat frameType = 0x04
	frameWant      frameType = 0x05
	frameMissed    frameType = 0x06
	frameCancel    frameType = 0x07
	frameClosed    frameType = 0x08
	frameDrain     frameType = 0x09
	frameDrained   frameType = 0x0a
	frameStatement frameType = 0x0b // DOCUMENT
	frameAck       frameType = 0x0c
	frameHello     frameType = 0x0d
	frameCurrent   frameType = 0x0e
	frameTaken     frameType = 0x0f
	framePing      frameType = 0x10
	framePong      frameType = 0x11
	frameShare     frameType = 0x12
	frameShared    frameType = 0x13
)

const (
	headSize  = 4  // type u8, length u24 big endian
	tokenSize = 16 // 128 random bits: nobody guesses another session's
	// maxJSON bounds the JSON of REGISTER, WELCOME and REFUSED.
	maxJSON = 4 << 10
	// maxStatementHead bounds the JSON before a statement's payload: a purpose,
	// a key id and a signature take less than 300 bytes.
	maxStatementHead = 1 << 10
	// maxDirectory bounds the id of a directory in CURRENT.
	maxDirectory = 64
	maxStatement = 2 + maxStatementHead + mezu.MaxSignedPayload
	// readStep is how much of a long frame is made room for at first, since a
	// length is only a claim.
	readStep = 64 << 10
)

// token names a session on its data connections.
type token [tokenSize]byte

// side is one end of the tunnel.
type side uint8

const (
	edgeSide side = 1 << iota
	warpgateSide
)

// frameRule is what spec.md allows of one type of frame.
type frameRule struct {
	name     string
	min, max int
	sender   side // who may send it
}

// rule is the rule of t; ok is false for an unknown type.
func (t frameType) rule() (r frameRule, ok bool) {
	switch t {
	case frameRegister:
		return frameRule{"REGISTER", 2, maxJSON, warpgateSide}, true
	case frameWelcome:
		return frameRule{"WELCOME", 2, maxJSON, edgeSide}, true
	case frameRefused:
		return frameRule{"REFUSED", 2, maxJSON, edgeSide}, true
	case frameHeartbeat:
		return frameRule{"HEARTBEAT", 0, 0, edgeSide | warpgateSide}, true
	case frameWant:
		return frameRule{"WANT", 4, 4, edgeSide}, true
	case frameMissed:
		return frameRule{"MISSED", 4, 4, warpgateSide}, true
	case frameCancel:
		return frameRule{"CANCEL", 8, 8, edgeSide}, true
	case frameClosed:
		return frameRule{"CLOSED", 8, 8, warpgateSide}, true
	case frameDrain:
		return frameRule{"DRAIN", 0, 0, edgeSide | warpgateSide}, true
	case frameDrained:
		return frameRule{"DRAINED", 0, 0, edgeSide}, true
	case frameStatement:
		return frameRule{"DOCUMENT", 2, maxStatement, edgeSide}, true
	case frameAck:
		return frameRule{"ACK", 16, 16, warpgateSide}, true
	case frameHello:
		return frameRule{"HELLO", tokenSize + 8, tokenSize + 8, warpgateSide}, true
	case frameCurrent:
		return frameRule{"CURRENT", 16, 16 + maxDirectory, edgeSide}, true
	case frameTaken:
		return frameRule{"TAKEN", 4, 4, warpgateSide}, true
	case framePing:
		return frameRule{"PING", 4, 4, warpgateSide}, true
	case framePong:
		return frameRule{"PONG", 4, 4, edgeSide}, true
	case frameShare:
		return frameRule{"SHARE", 0, 0, edgeSide}, true
	case frameShared:
		return frameRule{"SHARED", tokenSize, tokenSize, warpgateSide}, true
	}
	return frameRule{}, false
}

// String is the name in spec.md.
func (t frameType) String() string {
	if r, ok := t.rule(); ok {
		return r.name
	}
	return fmt.Sprintf("type %#02x", uint8(t))
}

// readFrame reads one frame that from has sent. buf has a capacity of headSize at
// least, and the payload lies in it where it fits. The error is io.EOF only between frames, wraps ErrProtocol where the
// header breaks spec.md, and is the connection's own otherwise.
func readFrame(r io.Reader, from side, buf []byte) (frameType, []byte, error) {
	head := buf[:headSize]
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	t, length := frameType(head[0]), int(head[1])<<16|int(head[2])<<8|int(head[3])
	rule, ok := t.rule()
	switch {
	case !ok:
		return t, nil, fmt.Errorf("%w: frame of unknown %v", ErrProtocol, t)
	case rule.sender&from == 0:
		return t, nil, fmt.Errorf("%w: %v from the wrong side", ErrProtocol, t)
	case length < rule.min || length > rule.max:
		return t, nil, fmt.Errorf("%w: %v with %d bytes", ErrProtocol, t, length)
	}
	payload, err := readPayload(r, buf[:0], length)
	return t, payload, err
}

// readPayload reads length bytes into buf, which grows with what has come.
func readPayload(r io.Reader, buf []byte, length int) ([]byte, error) {
	for len(buf) < length {
		step := min(length-len(buf), max(readStep, len(buf)))
		if length <= cap(buf) {
			step = length - len(buf)
		}
		have := len(buf)
		buf = slices.Grow(buf, step)[:have+step]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}

// appendHead appends the header of a frame with length bytes of payload.
func appendHead(dst []byte, t frameType, length int) []byte {
	return append(dst, byte(t), byte(length>>16), byte(length>>8), byte(length))
}

// appendEmpty appends a frame without payload.
func appendEmpty(dst []byte, t frameType) []byte { return appendHead(dst, t, 0) }

// appendCount appends WANT, MISSED, TAKEN, PING or PONG.
func appendCount(dst []byte, t frameType, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, t, 4), n)
}

// appendNumber appends CANCEL or CLOSED.
func appendNumber(dst []byte, t frameType, number uint64) []byte {
	return binary.BigEndian.AppendUint64(appendHead(dst, t, 8), number)
}

// appendAck appends ACK.
func appendAck(dst []byte, p mezu.Position) []byte {
	dst = binary.BigEndian.AppendUint64(appendHead(dst, frameAck, 16), p.Epoch)
	return binary.BigEndian.AppendUint64(dst, p.Revision)
}

// decodeAck reads the payload of ACK.
func decodeAck(payload []byte) mezu.Position {
	return mezu.Position{Epoch: binary.BigEndian.Uint64(payload), Revision: binary.BigEndian.Uint64(payload[8:])}
}

// appendCurrent appends CURRENT.
func appendCurrent(dst []byte, t mezu.Told) []byte {
	dst = appendHead(dst, frameCurrent, 16+len(t.Directory))
	dst = binary.BigEndian.AppendUint64(dst, t.Position.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, t.Position.Revision)
	return append(dst, t.Directory...)
}

// decodeCurrent reads the payload of CURRENT.
func decodeCurrent(payload []byte) mezu.Told {
	return mezu.Told{Position: decodeAck(payload), Directory: printable(string(payload[16:]))}
}

// appendHello appends HELLO.
func appendHello(dst []byte, tok token, number uint64) []byte {
	dst = append(appendHead(dst, frameHello, tokenSize+8), tok[:]...)
	return binary.BigEndian.AppendUint64(dst, number)
}

// appendShared appends SHARED.
func appendShared(dst []byte, tok token) []byte {
	return append(appendHead(dst, frameShared, tokenSize), tok[:]...)
}

// decodeHello reads the payload of HELLO.
func decodeHello(payload []byte) (tok token, number uint64) {
	return token(payload[:tokenSize]), binary.BigEndian.Uint64(payload[tokenSize:])
}

// register is the payload of REGISTER.
type register struct {
	Protocol int           `json:"protocol"`
	Version  string        `json:"version"`
	Epoch    uint64        `json:"epoch"`
	Applied  mezu.Position `json:"applied"`
	Draining bool          `json:"draining,omitempty"`
	// Told is how far this edge has told the Warpgate of revocations. A Warpgate of
	// the version before says nothing, and knows neither CURRENT nor TAKEN.
	Told *mezu.Told `json:"told,omitempty"`
	// MaxConns is how many data connections the Warpgate has room for; zero: as many
	// as the edge allows.
	MaxConns int `json:"max_conns,omitempty"`
	// Shares says that the Warpgate knows SHARE. The edge may send it then.
	Shares bool `json:"shares,omitempty"`
}

// welcome is the payload of WELCOME.
type welcome struct {
	Protocol    int    `json:"protocol"`
	Edge        string `json:"edge"`
	Token       []byte `json:"token"`
	MaxConns    int    `json:"max_conns"`
	HeartbeatMS int64  `json:"heartbeat_ms"`
	DeadMS      int64  `json:"dead_ms"`
	// Window is how many revocations may be under way; zero at an edge that knows
	// no TAKEN.
	Window int `json:"window,omitempty"`
	// Pings says that the edge answers PING; one of the version before knows none.
	Pings bool `json:"pings,omitempty"`
}

// refused is the payload of REFUSED.
type refused struct {
	Code         mezu.Code `json:"code"`
	Detail       string    `json:"detail,omitempty"`
	Hint         string    `json:"hint,omitempty"`
	RetryAfterMS int64     `json:"retry_after_ms,omitempty"`
	Permanent    bool      `json:"permanent,omitempty"`
}

// appendJSON appends REGISTER, WELCOME or REFUSED. Its values are short by
// construction or were checked before.
func appendJSON(dst []byte, t frameType, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding %v: %w", t, err)
	}
	if len(text) > maxJSON {
		return nil, fmt.Errorf("encoding %v: %d bytes are over the limit of %d", t, len(text), maxJSON)
	}
	return append(appendHead(dst, t, len(text)), text...), nil
}

// decodeJSON reads the JSON payload of t. Unknown fields are ignored: newer peers
// add some.
func decodeJSON(t frameType, payload []byte, value any) error {
	if err := json.Unmarshal(payload, value); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrProtocol, t, err)
	}
	return nil
}

// appendRefused appends REFUSED with what of e may leave the process.
func appendRefused(dst []byte, e *mezu.Error, retryAfter time.Duration, permanent bool) []byte {
	frame, err := appendJSON(dst, frameRefused, refused{e.Code, e.Detail, e.Hint, retryAfter.Milliseconds(), permanent})
	if err != nil { // a detail as long as that says nothing
		return appendRefused(dst, &mezu.Error{Code: e.Code}, retryAfter, permanent)
	}
	return frame
}

// decodeRefused reads the payload of REFUSED. What ends in logs and terminals is
// made printable.
func decodeRefused(payload []byte) (*RefusedError, error) {
	var r refused
	if err := decodeJSON(frameRefused, payload, &r); err != nil {
		return nil, err
	}
	if !r.Code.Known() {
		r.Code = mezu.CodeUnavailable
	}
	wait := time.Duration(min(max(r.RetryAfterMS, 0), int64(time.Hour/time.Millisecond))) * time.Millisecond
	return &RefusedError{&mezu.Error{Code: r.Code, Detail: printable(r.Detail), Hint: printable(r.Hint)}, wait, r.Permanent}, nil
}

// printable replaces what could drive a terminal or break a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// statementHead makes the beginning of a DOCUMENT frame, up to its payload, which
// is sent from where it lies.
func statementHead(doc mezu.Signed) ([]byte, error) {
	payload := len(doc.Payload)
	doc.Payload = nil
	head, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encoding a document: %w", err)
	}
	if len(head) > maxStatementHead || payload > mezu.MaxSignedPayload {
		return nil, fmt.Errorf("encoding a document: a %s of %d + %d bytes is over the limit", doc.Purpose, len(head), payload)
	}
	frame := appendHead(make([]byte, 0, headSize+2+len(head)), frameStatement, 2+len(head)+payload)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(head)))
	return append(frame, head...), nil
}

// decodeStatement reads the payload of DOCUMENT. The statement's payload aliases it.
func decodeStatement(payload []byte) (mezu.Signed, error) {
	var doc mezu.Signed
	length := int(binary.BigEndian.Uint16(payload))
	if length > maxStatementHead || 2+length > len(payload) {
		return doc, fmt.Errorf("%w: DOCUMENT with a head of %d bytes", ErrProtocol, length)
	}
	if err := decodeJSON(frameStatement, payload[2:2+length], &doc); err != nil {
		return doc, err
	}
	doc.Payload = payload[2+length:]
	return doc, nil
}
