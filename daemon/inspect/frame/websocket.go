package frame

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Opcodes of RFC 6455, 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	// maxHead is the longest head of a frame: two bytes, a length of eight and a key.
	maxHead = 14
	// maxControl bounds a control frame (RFC 6455, 5.5).
	maxControl = 125
	// brokenShown is how much of what is no frame is shown.
	brokenShown = 64
)

// webSocket is a parser.
type webSocket struct {
	out     bool
	deflate *inflater // nil if the extension was not agreed on
	broken  bool

	// The frame.
	head   [maxHead]byte
	headed int // bytes of head that are there
	length int // of the head; zero until its first two bytes are there
	left   uint64
	op     byte
	final  bool
	key    [4]byte
	keyAt  int

	control []byte // content of a control frame

	// The message, of one frame or several.
	open       bool
	text       bool
	compressed bool
	data       []byte
	size, sent int64
}

// NewWebSocket reads frames of RFC 6455. extensions is the Sec-WebSocket-Extensions of the 101
// response, out the direction: from the workload to the client.
func NewWebSocket(extensions string, out bool) Parser {
	return &webSocket{out: out, deflate: newInflater(extensions, out)}
}

func (w *webSocket) Held() int {
	n := cap(w.data) + cap(w.control)
	if w.deflate != nil {
		n += cap(w.deflate.window)
	}
	return n
}

func (w *webSocket) Write(at time.Time, piece []byte, emit func(Raw)) {
	for len(piece) > 0 && !w.broken {
		if w.length == 0 || w.headed < w.length {
			n := w.readHead(piece)
			piece = piece[n:]
			if w.length == 0 || w.headed < w.length {
				continue
			}
			if problem := w.begin(); problem != "" {
				w.fail(at, problem, piece, emit)
				return
			}
		}
		n := int(min(uint64(len(piece)), w.left))
		w.content(piece[:n])
		piece = piece[n:]
		if w.left -= uint64(n); w.left == 0 {
			w.end(at, emit)
		}
	}
}

// readHead takes bytes of a head, and says how many.
func (w *webSocket) readHead(piece []byte) (taken int) {
	want := 2
	if w.length > 0 {
		want = w.length
	}
	taken = copy(w.head[w.headed:want], piece)
	if w.headed += taken; w.headed == 2 && w.length == 0 {
		w.length = 2
		switch w.head[1] & 127 {
		case 126:
			w.length += 2
		case 127:
			w.length += 8
		}
		if w.head[1]&128 != 0 {
			w.length += 4
		}
	}
	return taken
}

// begin reads a head that is there. It says what is wrong with it.
func (w *webSocket) begin() (problem string) {
	h := w.head[:w.length]
	w.final, w.op = h[0]&128 != 0, h[0]&15
	masked := h[1]&128 != 0
	switch w.left = uint64(h[1] & 127); w.left {
	case 126:
		w.left = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		w.left = binary.BigEndian.Uint64(h[2:])
	}
	w.keyAt, w.key = 0, [4]byte{}
	if masked {
		copy(w.key[:], h[w.length-4:])
	}
	rsv := h[0] & 0x70
	switch {
	case w.left>>63 != 0:
		return "a frame of more than 63 bits of length"
	case masked == w.out:
		if masked {
			return "a masked frame of a server"
		}
		return "an unmasked frame of a client"
	case w.op >= opClose:
		switch {
		case w.op > opPong:
			return "a control frame of an unknown kind, " + strconv.Itoa(int(w.op))
		case rsv != 0 || !w.final || w.left > maxControl:
			return "a control frame that is compressed, in fragments or too long"
		}
		w.control = nil
		return ""
	case w.op > opBinary:
		return "a frame of an unknown kind, " + strconv.Itoa(int(w.op))
	case w.op == opContinuation && !w.open:
		return "a fragment of no message"
	case w.op != opContinuation && w.open:
		return "a message within another one"
	case rsv != 0 && (rsv != 0x40 || w.deflate == nil || w.op == opContinuation):
		return "bits of an extension that was not agreed on"
	}
	if w.op != opContinuation {
		w.open, w.text, w.compressed = true, w.op == opText, rsv != 0
		w.data, w.size, w.sent = nil, 0, 0
	}
	w.sent += int64(w.length) + int64(w.left)
	return ""
}

// content takes bytes of a frame's content.
func (w *webSocket) content(piece []byte) {
	into, most := &w.data, mezu.MaxKeptFrame
	if w.compressed {
		most = maxCompressed
	}
	if w.op >= opClose {
		into, most = &w.control, maxControl
	} else {
		w.size += int64(len(piece))
	}
	from := len(*into)
	*into = appendKept(*into, piece, most)
	if !w.out {
		kept := (*into)[from:]
		for i := range kept {
			kept[i] ^= w.key[(w.keyAt+i)&3]
		}
		w.keyAt = (w.keyAt + len(piece)) & 3
	}
}

// end ends a frame, and a message with its last one.
func (w *webSocket) end(at time.Time, emit func(Raw)) {
	length := w.length
	w.headed, w.length = 0, 0
	if w.op >= opClose {
		kind := map[byte]mezu.FrameKind{opClose: mezu.FrameClose, opPing: mezu.FramePing, opPong: mezu.FramePong}[w.op]
		emit(Raw{At: at, Kind: kind, Size: int64(len(w.control)), Sent: int64(length + len(w.control)), Data: w.control})
		w.control = nil
		return
	}
	if w.final {
		w.message(at, "", emit)
	}
}

// message emits the message.
func (w *webSocket) message(at time.Time, problem string, emit func(Raw)) {
	f := Raw{At: at, Kind: mezu.FrameBinary, Size: w.size, Sent: w.sent, Data: w.data, Problem: problem}
	if w.text {
		f.Kind = mezu.FrameText
	}
	if w.compressed {
		f.Data = nil
		switch {
		case problem != "":
			w.deflate.lose()
		case w.size > maxCompressed:
			w.deflate.lose()
			f.Problem = problemLarge
		default:
			f.Data, f.Size, f.Problem = w.deflate.inflate(w.data)
		}
	}
	if w.text && f.Problem == "" {
		f.Problem = problemOfText(f.Data, f.Size)
	}
	w.open, w.data = false, nil
	emit(f)
}

// fail emits what is no frame, once. piece is behind its head.
func (w *webSocket) fail(at time.Time, problem string, piece []byte, emit func(Raw)) {
	data := append([]byte(nil), w.head[:w.length]...)
	data = appendKept(data, piece, brokenShown)
	w.drop()
	emit(Raw{At: at, Kind: mezu.FrameBroken, Size: int64(len(data)), Sent: int64(len(data)), Data: data, Problem: problem})
}

// drop gives back what the parser holds. It reads nothing more.
func (w *webSocket) drop() {
	w.broken, w.open = true, false
	w.data, w.control, w.deflate = nil, nil, nil
}

func (w *webSocket) Close(at time.Time, emit func(Raw)) {
	if w.broken {
		return
	}
	if inFrame := w.headed > 0; w.open {
		if inFrame && w.length > 0 && w.headed == w.length && w.op < opClose {
			w.sent -= int64(w.left) // what didn't come
		}
		w.message(at, problemCut, emit)
	} else if inFrame {
		data := append([]byte(nil), w.head[:w.headed]...)
		emit(Raw{At: at, Kind: mezu.FrameBroken, Size: int64(len(data)), Sent: int64(len(data)), Data: data, Problem: problemCut})
	}
	w.drop()
}

// parameters of permessage-deflate, for one direction.
type parameters struct {
	noTakeover bool
	window     int // in bytes
}

// Window bits of RFC 7692, 7.1.2.
const (
	leastBits = 8
	mostBits  = 15
)

// agreed reads the extensions that were agreed on. ok is false if permessage-deflate is none.
func agreed(extensions string, out bool) (p parameters, ok bool) {
	p.window = 1 << mostBits
	for extension := range strings.SplitSeq(extensions, ",") {
		name, rest, _ := strings.Cut(extension, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "permessage-deflate") {
			continue
		}
		side := "client_"
		if out {
			side = "server_"
		}
		for parameter := range strings.SplitSeq(rest, ";") {
			name, value, _ := strings.Cut(parameter, "=")
			name, value = strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(value), `"`)
			switch name {
			case side + "no_context_takeover":
				p.noTakeover = true
			case side + "max_window_bits":
				if bits, err := strconv.Atoi(value); err == nil && bits >= leastBits && bits <= mostBits {
					p.window = 1 << bits
				}
			}
		}
		return p, true
	}
	return p, false
}
