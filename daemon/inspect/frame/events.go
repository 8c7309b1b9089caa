package frame

import (
	"bytes"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// maxField is the longest name of a field that has a meaning.
	maxField = 5 // event
	// maxEventName bounds the type of an event.
	maxEventName = 256
	// nameMessage is the type of an event that has none.
	nameMessage = "message"
)

// events is a parser of event streams, as the HTML standard reads them (9.2.6).
type events struct {
	begun   bool // it has read a byte
	bom     int  // bytes of a byte order mark at the begin
	after   bool // the last byte was CR: a LF belongs to it
	inValue bool // behind the colon
	value   bool // behind what follows it: a blank there is none of the value
	unknown bool // the line is none that is read
	ended   bool

	field   [maxField]byte
	fielded int

	name []byte
	data []byte
	size int64
	sent int64
	some bool // there was data
}

// NewEvents reads an event stream as browsers do. Comments are no events.
func NewEvents() Parser { return &events{} }

func (e *events) Held() int { return cap(e.data) + cap(e.name) }

// mark is the byte order mark, which may be before the first line.
const mark = "\ufeff"

func (e *events) Write(at time.Time, piece []byte, emit func(Raw)) {
	if e.ended {
		return
	}
	for len(piece) > 0 {
		c := piece[0]
		if !e.begun {
			if c == mark[e.bom] {
				piece = piece[1:]
				if e.bom++; e.bom == len(mark) {
					e.begun = true
				}
				continue
			}
			e.begun = true
			e.unknown = e.bom > 0 // a part of one is a field that nobody knows
		}
		if e.after {
			e.after = false
			if c == '\n' {
				piece = piece[1:]
				continue
			}
		}
		if c == '\n' || c == '\r' {
			e.sent++
			e.after = c == '\r'
			piece = piece[1:]
			e.line(at, emit)
			continue
		}
		n := bytes.IndexAny(piece, "\r\n")
		if n < 0 {
			n = len(piece)
		}
		e.sent += int64(n)
		e.part(piece[:n])
		piece = piece[n:]
	}
}

// part takes a part of a line.
func (e *events) part(piece []byte) {
	for len(piece) > 0 && !e.inValue && !e.unknown {
		c := piece[0]
		piece = piece[1:]
		switch {
		case c == ':' && e.fielded == 0: // a comment
			e.unknown = true
		case c == ':':
			e.inValue = true
			e.begin()
		case e.fielded == maxField:
			e.unknown = true
		default:
			e.field[e.fielded] = c
			e.fielded++
		}
	}
	if len(piece) == 0 || e.unknown {
		return
	}
	if !e.value {
		e.value = true
		if piece[0] == ' ' {
			piece = piece[1:]
		}
	}
	switch string(e.field[:e.fielded]) {
	case "data":
		e.size += int64(len(piece))
		e.data = appendKept(e.data, piece, mezu.MaxKeptFrame)
	case "event":
		e.name = appendKept(e.name, piece, maxEventName)
	}
}

// begin begins the value of a field.
func (e *events) begin() {
	switch string(e.field[:e.fielded]) {
	case "data":
		if e.some {
			e.size++
			e.data = appendKept(e.data, []byte{'\n'}, mezu.MaxKeptFrame)
		}
		e.some = true
	case "event":
		e.name = e.name[:0]
	}
}

// line ends a line, and an event with an empty one.
func (e *events) line(at time.Time, emit func(Raw)) {
	empty := e.fielded == 0 && !e.unknown && !e.inValue
	if !empty && !e.inValue && !e.unknown { // a field without a colon has an empty value
		e.begin()
	}
	e.fielded, e.inValue, e.value, e.unknown = 0, false, false, false
	if empty {
		e.event(at, "", emit)
	}
}

// event emits an event. One without data is none.
func (e *events) event(at time.Time, problem string, emit func(Raw)) {
	f := Raw{At: at, Kind: mezu.FrameEvent, Name: nameMessage, Size: e.size, Sent: e.sent, Data: e.data, Problem: problem}
	if len(e.name) > 0 {
		f.Name = string(e.name)
	}
	some := e.some && e.size > 0
	e.name, e.data, e.size, e.sent, e.some = nil, nil, 0, 0, false
	if !some {
		return
	}
	if f.Problem == "" {
		f.Problem = problemOfText(f.Data, f.Size)
	}
	emit(f)
}

func (e *events) Close(at time.Time, emit func(Raw)) {
	if !e.ended {
		e.event(at, problemCut, emit)
		e.ended = true
	}
}
