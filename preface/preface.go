// Package preface is the typed heads that precede what an edge and a Warpgate send each
// other on a data connection (relay/spec.md): what kind of exchange begins, and what an edge
// says of it that the protocol behind it has no place for.
//
// What lives here: the kinds, and the bytes of each. What may not: HTTP or another protocol
// that comes behind, and connections. A new kind of stream is a kind here. It imports the
// domain only; relay, tunnel, daemon/forward and edgesvc/edge import it.
package preface

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"github.com/mezusphere/mezu"
)

// Kinds of the typed heads that precede what an edge and a Warpgate send each
// other on a data connection. spec.md describes their bytes.
const (
	KindRequest  = 1 // edge → Warpgate: an HTTP/1.1 request follows
	KindResponse = 2 // Warpgate → edge: an HTTP/1.1 response follows
	KindFailure  = 3 // Warpgate → edge: there is no response; nothing follows
	KindProbe    = 4 // edge → Warpgate: asks for a KindAlive
	KindAlive    = 5 // Warpgate → edge
	KindRest     = 6 // edge → Warpgate: the rest of a shared exchange's response goes here
)

const (
	// headerSize is what kind and length take.
	headerSize = 4
	// maxPayload bounds the payload: a grant of 2 KiB in its envelope, and the rest.
	maxPayload = 8 << 10
	// MaxRequestID is the longest request id.
	MaxRequestID = 128
)

// Request is what the edge says of a request beside its HTTP head.
type Request struct {
	// Client is the address of the end user as the edge saw it.
	Client netip.Addr
	// ID is the request id.
	ID string
	// Position is the bundle by which the edge judged.
	Position mezu.Position
	// Grant is the signed statement of the user's session in its compact form, empty if
	// there is none.
	Grant []byte
}

// AppendRequest writes the typed head of a request.
func AppendRequest(dst []byte, info *Request) []byte {
	start := len(dst)
	dst = append(dst, KindRequest, 0, 0, 0)
	addr := info.Client.AsSlice()
	dst = append(dst, byte(len(addr)))
	dst = append(dst, addr...)
	dst = append(dst, byte(len(info.ID)))
	dst = append(dst, info.ID...)
	dst = binary.BigEndian.AppendUint64(dst, info.Position.Epoch)
	dst = binary.BigEndian.AppendUint64(dst, info.Position.Revision)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(info.Grant)))
	dst = append(dst, info.Grant...)
	putLength(dst[start:])
	return dst
}

// AppendProbe writes the typed head of a probe.
func AppendProbe(dst []byte) []byte { return append(dst, KindProbe, 0, 0, 0) }

// AppendAlive writes the answer to a probe.
func AppendAlive(dst []byte) []byte { return append(dst, KindAlive, 0, 0, 0) }

// AppendRest writes the typed head that names the exchange whose response goes on here, by the
// number of its stream.
func AppendRest(dst []byte, number uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, KindRest, 0, 0, 4), number)
}

// ParseRest reads the payload of a KindRest.
func ParseRest(p []byte) (number uint32, err error) {
	if len(p) != 4 {
		return 0, fmt.Errorf("typed head of the rest of a response has %d bytes, 4 are expected", len(p))
	}
	return binary.BigEndian.Uint32(p), nil
}

// AppendResponse writes the typed head of a response.
func AppendResponse(dst []byte) []byte { return append(dst, KindResponse, 0, 0, 0) }

// Failure says why a Warpgate has no response to a request.
type Failure struct {
	Code   mezu.Code
	Detail string
	// Unsent says that nothing of the request reached a workload, so that it
	// may be tried elsewhere.
	Unsent bool
}

// maxFailureDetail keeps a failure inside one small frame.
const maxFailureDetail = 512

// AppendFailure writes a failure.
func AppendFailure(dst []byte, f *Failure) []byte {
	start := len(dst)
	detail := f.Detail[:min(len(f.Detail), maxFailureDetail)]
	dst = append(dst, KindFailure, 0, 0, 0)
	flags := byte(0)
	if f.Unsent {
		flags = 1
	}
	dst = append(dst, flags, byte(len(f.Code)))
	dst = append(dst, f.Code...)
	dst = append(dst, detail...)
	putLength(dst[start:])
	return dst
}

func putLength(head []byte) {
	n := len(head) - headerSize
	head[1], head[2], head[3] = byte(n>>16), byte(n>>8), byte(n)
}

// ErrMalformed wraps the reason why what came is no typed head.
var ErrMalformed = errors.New("malformed typed head")

// Source is what typed heads are read from. A bufio.Reader is one, if its buffer holds the
// largest of them.
type Source interface {
	// Peek gives the next n bytes, or more, without consuming them. With fewer it gives an
	// error, which is io.EOF if the source ended.
	Peek(n int) ([]byte, error)
	// Discard consumes n bytes, which Peek gave.
	Discard(n int) (int, error)
}

// Read reads a typed head. The payload is valid until src is read again. io.EOF says that
// src ended where a typed head would begin.
func Read(src Source) (kind byte, payload []byte, err error) {
	if _, err := src.Peek(1); err != nil {
		return 0, nil, err
	}
	p, err := src.Peek(headerSize)
	if err != nil {
		return 0, nil, inside(err)
	}
	kind = p[0]
	n := int(p[1])<<16 | int(p[2])<<8 | int(p[3])
	if n > maxPayload {
		return 0, nil, fmt.Errorf("%w: kind %d, %d bytes, over the limit of %d", ErrMalformed, kind, n, maxPayload)
	}
	if p, err = src.Peek(headerSize + n); err != nil {
		return 0, nil, inside(err)
	}
	payload = p[headerSize : headerSize+n]
	src.Discard(headerSize + n) // never fails: they were peeked
	return kind, payload, nil
}

// inside is the error of a source that failed inside a typed head.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var errShort = errors.New("typed head of a request is cut short")

// ParseRequest reads the payload of a KindRequest. Nothing in the result aliases p. The
// memory of info.Grant is used again.
func ParseRequest(p []byte, info *Request) error {
	take := func(n int) []byte {
		if n > len(p) {
			return nil
		}
		out := p[:n:n]
		p = p[n:]
		return out
	}
	one := take(1)
	if one == nil {
		return errShort
	}
	if n := int(one[0]); n == 0 {
		info.Client = netip.Addr{}
	} else {
		raw := take(n)
		addr, ok := netip.AddrFromSlice(raw)
		if raw == nil || !ok {
			return fmt.Errorf("typed head of a request has a malformed client address")
		}
		info.Client = addr.Unmap()
	}
	if one = take(1); one == nil {
		return errShort
	}
	id := take(int(one[0]))
	if !ValidRequestID(id) {
		return fmt.Errorf("typed head of a request has a malformed request id")
	}
	info.ID = string(id)
	rest := take(18)
	if rest == nil {
		return errShort
	}
	info.Position = mezu.Position{Epoch: binary.BigEndian.Uint64(rest), Revision: binary.BigEndian.Uint64(rest[8:])}
	n := int(binary.BigEndian.Uint16(rest[16:]))
	if n != len(p) {
		return fmt.Errorf("typed head of a request does not end with its grant")
	}
	info.Grant = append(info.Grant[:0], p...)
	return nil
}

// ParseFailure reads the payload of a KindFailure. A code outside the closed set
// is refused: a Warpgate can't make an edge answer with words of its own.
func ParseFailure(p []byte) (*Failure, error) {
	if len(p) < 2 || len(p) < 2+int(p[1]) {
		return nil, fmt.Errorf("failure is cut short")
	}
	f := &Failure{Unsent: p[0]&1 != 0, Code: mezu.Code(p[2 : 2+int(p[1])])}
	if !f.Code.Known() {
		return nil, fmt.Errorf("failure has an unknown code")
	}
	detail := p[2+int(p[1]):]
	if len(detail) > maxFailureDetail || !mezu.ValidHeaderValue(detail) {
		return nil, fmt.Errorf("failure has a malformed detail")
	}
	f.Detail = string(detail)
	return f, nil
}

// ValidRequestID reports whether b may be a request id: letters, digits, dots, dashes and
// underscores, 128 at most.
func ValidRequestID(b []byte) bool {
	if len(b) == 0 || len(b) > MaxRequestID {
		return false
	}
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
