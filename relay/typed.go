package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
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
)

// maxTyped bounds a typed head: a grant of 2 KiB in its envelope and the rest.
const maxTyped = 8 << 10

// typedHeader is kind and length.
const typedHeader = 4

// RequestInfo is what the edge says about a request beside its HTTP head.
type RequestInfo struct {
	// Client is the address of the end user as the edge saw it.
	Client netip.Addr
	// ID is the request id.
	ID string
	// Position is the bundle by which the edge judged.
	Position mezu.Position
	// Grant is the signed statement of the user's session, or nil.
	Grant []byte
}

// AppendRequestInfo writes the typed head of a request.
func AppendRequestInfo(dst []byte, info *RequestInfo) []byte {
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
	n := len(head) - typedHeader
	head[1], head[2], head[3] = byte(n>>16), byte(n>>8), byte(n)
}

// ErrTyped wraps the reason why what came is no typed head.
var ErrTyped = errors.New("malformed typed head")

// ReadTyped reads a typed head. The payload aliases the buffer.
func (r *Reader) ReadTyped() (kind byte, payload []byte, err error) {
	if _, err := r.peek(1); err != nil {
		return 0, nil, err // io.EOF: the connection ended between exchanges
	}
	p, err := r.peek(typedHeader)
	if err != nil {
		return 0, nil, unexpected(err, Length)
	}
	kind = p[0]
	n := int(p[1])<<16 | int(p[2])<<8 | int(p[3])
	if n > maxTyped {
		return 0, nil, fmt.Errorf("%w: kind %d, %d bytes, over the limit of %d", ErrTyped, kind, n, maxTyped)
	}
	if p, err = r.peek(typedHeader + n); err != nil {
		return 0, nil, unexpected(err, Length)
	}
	r.r += typedHeader + n
	return kind, p[typedHeader : typedHeader+n], nil
}

var errShort = errors.New("typed head of a request is cut short")

// ParseRequestInfo reads the payload of a KindRequest. Nothing in the result
// aliases p.
func ParseRequestInfo(p []byte, info *RequestInfo) error {
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
	if len(id) == 0 || len(id) > MaxRequestID || !wellFormedID(id) {
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
	info.Grant = nil
	if n > 0 {
		info.Grant = append([]byte(nil), p...)
	}
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
