package inspect

import (
	"bytes"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
)

// Record is an exchange as it is kept: raw, with nothing masked. It is a view of one moment and
// not changed any more; of an open exchange another call gives another one. Nobody changes what
// it points to.
type Record struct {
	// ID is of idDigits hexadecimal digits. Sequence, Revision and the rest are those of
	// mezu.Exchange.
	ID                 string
	Sequence, Revision uint64
	RequestID          string
	TunnelID, Tunnel   string
	Kind               mezu.ExchangeKind
	Depth              mezu.ExchangeDepth

	Method, Host string
	Path         string // canonical; as it came if it was refused for not being so
	Query        string // with its question mark
	Client       string

	Status  int
	Code    mezu.Code
	Cause   mezu.Cause
	Message string

	StartedAt         time.Time
	Duration          time.Duration // until the end, or until now
	BytesIn, BytesOut int64         // of bodies, or of the upgraded stream
	Timing            mezu.ExchangeTiming

	Route, User, Edge, Warpgate string
	Upstream                    string // the workload, empty if it went to none

	// Request is as it came from the edge, Sent as it went to the workload, Response as it
	// came from there and Returned as it went to the edge. What is empty was not there, or
	// not kept.
	Request, Sent, Response, Returned Message
	Interims                          []Message
	// RequestBody and ResponseBody are the bodies, as they came. Those of an upgraded
	// stream are empty.
	RequestBody, ResponseBody Body

	Open, Pinned bool
	ReplayOf     string

	frames *frames // nil if it has none
	tape   *Tape   // while it is open
	texts  []byte  // all heads and trailers
	size   int64   // what it takes, once it has ended
	grant  []byte  // that came with the request
	client netip.Addr
}

// kindByHeads is what an exchange is of which there are heads only.
func (r *Record) kindByHeads() mezu.ExchangeKind {
	request, answer := r.Request.Field("content-type"), r.Response.Field("content-type")
	switch {
	case r.Kind != mezu.ExchangeHTTP:
		return r.Kind
	case isGRPC(request) || isGRPC(answer):
		return mezu.ExchangeGRPC
	case isEvents(answer):
		return mezu.ExchangeEvents
	}
	return r.Kind
}

// isGRPC reports whether a media type is that of gRPC, or of gRPC-Web in bytes.
func isGRPC(kind string) bool {
	rest, ok := cutPrefixFold(kind, "application/grpc")
	if ok {
		if web, isWeb := cutPrefixFold(rest, "-web"); isWeb {
			rest = web
		}
	}
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' ')
}

// isEvents reports whether a media type is that of an event stream.
func isEvents(kind string) bool {
	rest, ok := cutPrefixFold(kind, "text/event-stream")
	return ok && (rest == "" || rest[0] == ';' || rest[0] == ' ')
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// statusOf is the status of a response's head.
func statusOf(head []byte) int {
	_, rest, _ := bytes.Cut(head, []byte(" "))
	n, _ := strconv.Atoi(string(rest[:min(len(rest), 3)]))
	return n
}

// Message is a head in the text of HTTP/1.1, whatever it came in, and its trailers. Both are
// lines with CRLF; that of a head ends with an empty one.
type Message struct {
	Head, Trailers []byte
}

// Line is the first line, without CRLF.
func (m *Message) Line() string {
	line, _, _ := bytes.Cut(m.Head, crlf)
	return string(line)
}

// declared is the length that the request's head says, zero if none.
func (r *Record) declared() int64 {
	n, _ := strconv.ParseInt(r.Request.Field("content-length"), 10, 64)
	return n
}

// target is method and target of a request.
func (m *Message) target() (method, target string) {
	method, rest, _ := strings.Cut(m.Line(), " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		rest = rest[:i]
	}
	return method, rest
}

// Fields are the fields of the head in their order.
func (m *Message) Fields() iter.Seq2[string, string] {
	_, rest, _ := bytes.Cut(m.Head, crlf)
	return fields(rest)
}

// TrailerFields are those of the trailers.
func (m *Message) TrailerFields() iter.Seq2[string, string] { return fields(m.Trailers) }

// Field is the first field of the head that has this name, in any case.
func (m *Message) Field(name string) string {
	_, lines, _ := bytes.Cut(m.Head, crlf)
	for len(lines) > 0 { // as Fields, without memory for each
		var line []byte
		line, lines, _ = bytes.Cut(lines, crlf)
		if len(line) > len(name)+1 && line[len(name)] == ':' && line[len(name)+1] == ' ' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return string(line[len(name)+2:])
		}
	}
	return ""
}

var crlf = []byte("\r\n")

// fields walks over lines.
func fields(lines []byte) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for len(lines) > 0 {
			var line []byte
			line, lines, _ = bytes.Cut(lines, crlf)
			name, value, ok := bytes.Cut(line, []byte(": "))
			if ok && !yield(string(name), string(value)) {
				return
			}
		}
	}
}

// GRPCStatus is the status of a gRPC call, once it is there.
func (r *Record) GRPCStatus() (status int, ok bool) {
	if r.Kind != mezu.ExchangeGRPC {
		return 0, false
	}
	text := r.Response.Field(grpcStatus) // if there are no messages
	for n, v := range r.Response.TrailerFields() {
		if strings.EqualFold(n, grpcStatus) {
			text = v
		}
	}
	status, err := strconv.Atoi(text)
	return status, err == nil
}

const grpcStatus = "grpc-status"

// Body is what is kept of a body.
type Body struct {
	// Size is how many bytes passed.
	Size   int64
	ended  bool // it came to its end
	kept   int
	pieces [][]byte
}

// Kept is how many of them, the first, are kept.
func (b *Body) Kept() int64 { return int64(b.kept) }

// Bytes are those. They may be shared and are not to be changed.
func (b *Body) Bytes() []byte {
	if len(b.pieces) == 1 {
		return b.pieces[0]
	}
	return bytes.Join(b.pieces, nil)
}

// Frame is a frame, event or message of an exchange.
type Frame struct {
	// Number counts those of both directions from one.
	Number int
	// Out says that it went from the workload to the client.
	Out bool
	frame.Raw
}

// FrameCount is how many frames there were.
func (r *Record) FrameCount() int { return r.frames.count() }

// Frames gives the kept frames behind the one with the number after, most at most, oldest first.
// first is the number of the oldest that is kept. Of an open exchange it gives those of now.
func (r *Record) Frames(after, most int) (page []Frame, total, first int) {
	return r.frames.page(after, most)
}

// Frame gives one frame, if it is kept.
func (r *Record) Frame(number int) (Frame, bool) {
	page, _, _ := r.frames.page(number-1, 1)
	if len(page) == 0 || page[0].Number != number {
		return Frame{}, false
	}
	return page[0], true
}
