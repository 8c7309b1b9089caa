// Package relay carries one HTTP exchange from one connection to another: a
// strict parser of heads, framing of bodies, trailers, interim responses and
// upgrades (spec.md). It is the hot path of the edge and of the Warpgate.
//
// What lives here: reading and writing HTTP/1.1 (RFC 9112) without guessing, and
// what becomes of the fields of HTTP/2 by the same rules. Whatever two readers
// could understand differently is refused, and what goes out is written anew from
// parsed values, never copied as a block. What may not live here: frames of HTTP/2
// (package h2), routing, policy, identity, dialling, pools, listeners. It imports
// the domain, pipe and preface; h2, edgesvc/edge and daemon/forward import it.
package relay

import (
	"errors"
	"io"
	"sync"

	"github.com/mezusphere/mezu"
)

// Limits of one message. The sizes are those that Envoy advises for an edge
// (32 KiB of buffer a connection); servers behind rarely accept more.
const (
	// MaxHead bounds a request's or response's head.
	MaxHead = 32 << 10
	// MaxTarget bounds the request target; past it the answer is 414.
	MaxTarget = 16 << 10
	// MaxFields bounds the number of fields of a head or trailer section:
	// enough for real clients, few enough for a linear look.
	MaxFields = 256
	// MaxTrailer bounds a trailer section. It is a head's, so that a status which
	// another proxy took never fails to pass here: gRPC has its status and its
	// details in trailers.
	MaxTrailer = MaxHead
	// tunnelRoom and tunnelFields are how much larger a section may be on a
	// tunnel: the other end held it to the limits above and wrote it anew, with a
	// space in each field and some fields of its own (framing, Host, Connection).
	tunnelRoom   = 1 << 10
	tunnelFields = 4
	// MaxChunkLine bounds a chunk's size line with its extensions, which are
	// read and dropped.
	MaxChunkLine = 256
	// MaxChunkOverhead bounds the bytes of chunk lines that a body may spend
	// beyond its data, as a multiple of the data plus a constant: a body of
	// one-byte chunks with long extensions is an attack.
	maxChunkOverheadBase = 16 << 10
	// MaxInterim bounds the 1xx responses to one request that come at once, as many
	// hints as a large page has. Further ones may come at the rate of InterimRate a
	// second: progress that a person looks at. How long they may go on is for the
	// route's timeout to say.
	MaxInterim  = 64
	InterimRate = 10
	// tunnelInterims is how many times as many may come at once on a tunnel: the
	// other end held them to their rate, and the network may have held them up.
	tunnelInterims = 16
	// smallBuffer holds the usual head with a small body. The others are borrowed only while
	// bulk flows: recordBuffer holds all that one read of a TLS connection gives, bigBuffer what
	// is worth a system call of another one.
	smallBuffer  = 4 << 10
	recordBuffer = 16 << 10
	bigBuffer    = 32 << 10
)

// Errors of reading a message. Each is a *mezu.Error or one of these.
var (
	// ErrBody: the body is not framed as its head says; the message must not
	// be finished towards the other side. Rule says which rule it broke.
	ErrBody = errors.New("malformed message body")
	// ErrOverrun: more body than the limit of the route.
	ErrOverrun = &mezu.Error{Code: mezu.CodeBodyTooLarge, Detail: "the request body is larger than this route allows"}
)

func malformed(detail string) error { return &mezu.Error{Code: mezu.CodeNotCanonical, Detail: detail} }

// ErrMalformedResponse wraps every reason why a response was refused.
var ErrMalformedResponse = errors.New("malformed response")

var smallPool = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
var recordPool = sync.Pool{New: func() any { b := make([]byte, recordBuffer); return &b }}
var bigPool = sync.Pool{New: func() any { b := make([]byte, bigBuffer); return &b }}

// Reader reads messages from one connection through a buffer. It borrows the buffer while
// something is in it or about to come, so that an idle connection holds none. It is not safe
// for concurrent use. Heads that were read alias its buffer: they are valid until the body or
// the next head is read.
type Reader struct {
	// Tunnel says that the other end of a tunnel sends, see tunnelRoom.
	Tunnel bool

	records bool // src is TLS

	src  io.Reader
	buf  []byte
	home *[]byte // where buf came from; nil when grown
	pin  *[]byte // holds a head that is still needed, see Pin
	r, w int

	emptied bool // the empty line that may stand before a request was consumed
}

// Reset makes the reader read from src and drops what was buffered.
func (r *Reader) Reset(src io.Reader) {
	r.Release()
	r.src, r.emptied = src, false
}

// borrowBulk gives a buffer for bulk.
func (r *Reader) borrowBulk() *[]byte {
	if r.records {
		return recordPool.Get().(*[]byte)
	}
	return bigPool.Get().(*[]byte)
}

// returnBulk takes it back.
func returnBulk(b *[]byte) {
	if len(*b) == recordBuffer {
		recordPool.Put(b)
	} else {
		bigPool.Put(b)
	}
}

// Release gives the buffer back. What was in it is lost.
func (r *Reader) Release() {
	r.unpin()
	if r.home != nil {
		smallPool.Put(r.home)
	}
	r.buf, r.home, r.r, r.w = nil, nil, 0, 0
}

// Pin keeps the head that was read last valid while the body is read. What comes from now on
// is read into another buffer.
func (r *Reader) Pin() {
	if r.buf == nil || r.pin != nil {
		return
	}
	rest := r.buf[r.r:r.w]
	r.pin, r.home, r.buf = r.home, nil, nil // a grown buffer stays for as long as the head does
	if len(rest) > smallBuffer {
		r.buf = make([]byte, len(rest))
	} else {
		r.borrow()
	}
	r.r, r.w = 0, copy(r.buf, rest)
}

// unpin gives the buffer of a head back.
func (r *Reader) unpin() {
	if r.pin != nil {
		smallPool.Put(r.pin)
		r.pin = nil
	}
}

// limit is the limit of a section here, max elsewhere.
func (r *Reader) limit(max int) int {
	if r.Tunnel {
		max += tunnelRoom
	}
	return max
}

// maxFields is the limit of fields in a section.
func (r *Reader) maxFields() int {
	if r.Tunnel {
		return MaxFields + tunnelFields
	}
	return MaxFields
}

// Buffered is how many bytes were read and not consumed.
func (r *Reader) Buffered() int { return r.w - r.r }

// Unread is what was read and not consumed. It is valid until the next read.
func (r *Reader) Unread() []byte { return r.buf[r.r:r.w] }

// Park gives the buffer back when it is empty; the reader stays usable.
func (r *Reader) Park() {
	if r.r == r.w {
		r.Release()
	}
}

// Rewind starts an empty buffer over, so that all of it is room. Heads read
// before are no longer valid.
func (r *Reader) Rewind() {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
}

// borrow makes sure that there is a buffer.
func (r *Reader) borrow() {
	if r.buf == nil {
		r.home = smallPool.Get().(*[]byte)
		r.buf = *r.home
	}
}

// Fill reads once from the source into free room behind the buffered bytes, and reports
// whether there was room. It does not move what is buffered, so that heads stay valid: it is
// used to notice that a peer went away.
func (r *Reader) Fill() (room bool, err error) {
	r.borrow()
	if r.w == len(r.buf) {
		return false, nil
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		err = nil
	}
	return true, err
}

// fillMore reads once, making room first: by starting over when empty, by moving
// what is left to the front, and by growing up to limit.
func (r *Reader) fillMore(limit int) error {
	r.borrow()
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		if r.r > 0 {
			copy(r.buf, r.buf[r.r:r.w])
			r.w, r.r = r.w-r.r, 0
		} else {
			if len(r.buf) >= limit {
				return errFull
			}
			grown := make([]byte, min(2*len(r.buf), limit))
			copy(grown, r.buf[:r.w])
			if r.home != nil {
				smallPool.Put(r.home)
				r.home = nil
			}
			r.buf = grown
		}
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

var errFull = errors.New("message section over its limit")

// Peek is peek for a typed head. A connection that its peer closed is io.EOF where nothing
// came, and errEnded behind that.
func (r *Reader) Peek(n int) ([]byte, error) {
	p, err := r.peek(n)
	if err == io.EOF && len(p) > 0 {
		err = errEnded
	}
	return p, err
}

// Discard consumes n bytes that Peek gave.
func (r *Reader) Discard(n int) (int, error) {
	r.r += n
	return n, nil
}

// peek returns at least n buffered bytes, reading as needed.
func (r *Reader) peek(n int) ([]byte, error) {
	for r.w-r.r < n {
		if err := r.fillMore(MaxHead); err != nil {
			return r.buf[r.r:r.w], err
		}
	}
	return r.buf[r.r:r.w], nil
}

// startsWith reads until what is buffered begins with prefix. It refuses the first byte that
// differs: otherwise garbage without an end of line would be waited for.
func (r *Reader) startsWith(prefix string) error {
	for {
		data := r.buf[r.r:r.w]
		n := min(len(data), len(prefix))
		if string(data[:n]) != prefix[:n] {
			return malformed("it does not begin with " + protocol)
		}
		if n == len(prefix) {
			return nil
		}
		if err := r.fillMore(MaxHead); err != nil {
			return unexpectedIf(n > 0, err)
		}
	}
}

// unexpectedIf is err, and io.EOF only where nothing had begun.
func unexpectedIf(begun bool, err error) error {
	if begun && err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// section reads lines up to and with an empty one and consumes them. Every line
// must end in CRLF. A section of the empty line alone is allowed when emptyOK.
// The limit is on the section as a whole. The result aliases the buffer.
func (r *Reader) section(limit int, emptyOK bool) ([]byte, error) {
	line := 0 // start of the line under way, relative to r.r
	seen := 0 // bytes looked at, relative to r.r
	for {
		data := r.buf[r.r:r.w]
		for seen < len(data) {
			i := indexLF(data[seen:])
			if i < 0 {
				seen = len(data)
				break
			}
			end := seen + i // of the LF
			if end == 0 || data[end-1] != '\r' {
				return nil, malformed("a line does not end in CRLF")
			}
			if end-1 == line {
				if line == 0 && !emptyOK {
					return nil, malformed("an empty line stands where a request is expected")
				}
				if end+1 > limit {
					return nil, errFull
				}
				out := data[:end+1]
				r.r += end + 1
				return out, nil
			}
			line = end + 1
			seen = end + 1
		}
		if len(data) >= limit {
			return nil, errFull
		}
		// What is buffered may move to the front, so positions stay relative.
		if err := r.fillMore(limit); err != nil {
			return nil, unexpectedIf(len(data) > 0, err)
		}
	}
}
