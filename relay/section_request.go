package relay

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"strings"

	"github.com/mezusphere/mezu"
)

// Request brings the section into the form that RequestHead.Canonical makes of HTTP/1.1. end
// says that the stream ends with it. names are those of the connection: one goroutine at a time
// may use them.
//
// Framing is NoBody where the stream ends or Content-Length is 0, even if DATA is to follow: a
// single byte of it is against Content. It is Length where there is a Content-Length, unless
// trailers are announced, for which HTTP/1.1 has no place behind such a body; else Chunked.
//
// A WebSocket (RFC 8441) becomes the GET with an upgrade that HTTP/1.1 has, with a key of its
// own. AcceptsKey judges the answer.
func (s *Section) Request(req *Request, names *Names, end bool) error {
	err := s.request(req, names, end)
	if err != nil && req.Path.Path == "" {
		req.Spoilt = spoiltPath(s.pseudo[pseudoPath])
		if len(req.Method) > mezu.MaxMethodLength || !mezu.ValidHeaderName(req.Method) {
			req.Method = ""
		}
	}
	return err
}

func (s *Section) request(req *Request, names *Names, end bool) error {
	*req = Request{Method: method(s.pseudo[pseudoMethod]), Fields: req.Fields[:0], ID: requestID(s.requestID), Trailers: s.trailers}
	s.joinCrumbs()
	for i := range s.Fields {
		if s.Fields[i].kind == fieldOther {
			req.Fields = append(req.Fields, s.Fields[i])
		}
	}
	switch {
	case s.malformed != nil:
		return s.malformed
	case s.tooLong:
		return errTargetTooLong
	case s.tooLarge:
		return errHeadTooLarge
	}
	if err := s.complete(); err != nil {
		return err
	}
	if err := s.frame(req, end); err != nil {
		return err
	}
	if s.refusal != nil {
		return s.refusal
	}
	switch {
	case !mezu.ValidHeaderName(s.pseudo[pseudoMethod]):
		return malformed("the method is not a token")
	case s.hosts > 1 || s.hosts == 0 && !s.came(pseudoAuthority):
		return malformed("a request has exactly one Host field")
	case s.came(pseudoProtocol):
		if err := s.webSocket(req); err != nil {
			return err
		}
	default:
		if err := mezu.ValidateMethod(req.Method); err != nil {
			return errMethod
		}
	}
	return s.address(req, names)
}

func (s *Section) came(pseudo int) bool { return s.has&(1<<pseudo) != 0 }

// complete checks that the pseudo-fields are those of a request (RFC 9113, 8.3.1 and 8.5; RFC
// 8441, 4).
func (s *Section) complete() error {
	const whole = 1<<pseudoMethod | 1<<pseudoScheme | 1<<pseudoPath
	connect := string(s.pseudo[pseudoMethod]) == "CONNECT"
	path := s.pseudo[pseudoPath]
	switch {
	case connect && !s.came(pseudoProtocol):
		if s.has != 1<<pseudoMethod|1<<pseudoAuthority {
			return asMalformed(malformed("CONNECT has «:authority» and neither «:scheme» nor «:path»"))
		}
		return nil
	case s.has&whole != whole:
		return asMalformed(malformed("one of «:method», «:scheme» and «:path» is missing"))
	case s.came(pseudoProtocol) && (!connect || !s.came(pseudoAuthority)):
		return asMalformed(malformed("«:protocol» is not of a CONNECT with «:authority»"))
	case len(s.pseudo[pseudoMethod]) == 0, len(s.pseudo[pseudoScheme]) == 0, len(path) == 0:
		return asMalformed(malformed("one of «:method», «:scheme» and «:path» is empty"))
	case path[0] == '/':
		return nil
	case string(path) == "*" && string(s.pseudo[pseudoMethod]) == "OPTIONS":
		s.refuse(errTarget) // as in HTTP/1.1: it names no path
		return nil
	}
	return asMalformed(malformed("«:path» does not start with '/'"))
}

// frame finds how the body ends.
func (s *Section) frame(req *Request, end bool) error {
	switch {
	case string(s.pseudo[pseudoMethod]) == "CONNECT":
		if s.hasLength && s.Length > 0 {
			return asMalformed(malformed("CONNECT has a Content-Length"))
		}
		return nil // what follows is not content
	case end && s.hasLength && s.Length > 0:
		return asMalformed(malformed("Content-Length is not the length of the body"))
	case end, s.hasLength && s.Length == 0:
		return nil
	}
	req.Framing = Chunked
	for i := range s.Fields {
		if f := &s.Fields[i]; f.kind == fieldTrailer {
			for name := range bytes.SplitSeq(f.Value, []byte{','}) {
				req.announce(trimOWS(name))
			}
		}
	}
	if s.hasLength && req.Announced == "" {
		req.Framing, req.Length = Length, s.Length
	}
	req.Expect = s.expect
	return nil
}

// address finds out what the request asks for, and where.
func (s *Section) address(req *Request, names *Names) error {
	if v := s.pseudo[pseudoScheme]; !equalFold(v, "https") && !equalFold(v, "http") {
		return malformed("«:scheme» is neither https nor http")
	}
	target := string(s.pseudo[pseudoPath])
	path := target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, req.Query = target[:i], target[i:]
	}
	for i := 0; i < len(req.Query); i++ {
		if c := req.Query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return malformed("the query has a space, a control character or a fragment")
		}
	}
	var err error
	if req.Path, err = mezu.CanonicalPath(path); err != nil {
		return err
	}
	host := s.host
	if s.came(pseudoAuthority) {
		host = s.pseudo[pseudoAuthority]
	}
	if err := names.take(host); err != nil {
		return err
	}
	req.Host, req.Authority = names.host, names.authority
	if s.hosts == 1 && !bytes.Equal(host, s.host) {
		if _, other, err := mezu.CanonicalAuthority(string(s.host)); err != nil || other != req.Authority {
			return malformed("the request names two hosts")
		}
	}
	return nil
}

// Names of WebSocket's fields in lower case.
const (
	webSocketKey    = "sec-websocket-key"
	webSocketAccept = "sec-websocket-accept"
)

// webSocket makes an upgrade of HTTP/1.1 of an extended CONNECT.
func (s *Section) webSocket(req *Request) error {
	if s.Protocol() != "websocket" {
		return &mezu.Error{Code: mezu.CodeNotImplemented, Detail: "the protocol is not carried by this edge"}
	}
	kept := req.Fields[:0]
	for _, f := range req.Fields {
		if !alike(f.Name, webSocketKey) {
			kept = append(kept, f)
		}
	}
	var nonce [16]byte
	rand.Read(nonce[:])
	name := s.addName(webSocketKey)
	begin := len(s.text.bytes)
	s.text.bytes = base64.StdEncoding.AppendEncode(s.text.bytes, nonce[:])
	req.Fields = append(kept, Field{Name: name, Value: s.text.bytes[begin:len(s.text.bytes):len(s.text.bytes)]})
	if _, ok := req.version(); !ok {
		return malformed("Sec-WebSocket-Version is no version of WebSocket")
	}
	req.Method, req.Upgrade = "GET", "websocket"
	return nil
}

// Protocol is the protocol of an extended CONNECT (RFC 8441), or empty.
func (s *Section) Protocol() string {
	p := s.pseudo[pseudoProtocol]
	if equalFold(p, "websocket") {
		return "websocket"
	}
	return string(p)
}

// AcceptsKey reports whether the response to an upgrade was made for the key of its request
// (RFC 6455, 4.1). Where the client has no key, because it speaks HTTP/2, somebody else must
// ask that.
func AcceptsKey(h *ResponseHead, r *Request) bool {
	key, accept := only(r.Fields, webSocketKey), only(h.Fields, webSocketAccept)
	if key == nil || accept == nil {
		return false
	}
	sum := sha1.Sum(append(append([]byte(nil), key...), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:]) == string(accept)
}

// only is the value of a field that is there once, or nil.
func only(fields []Field, lower string) (value []byte) {
	for i := range fields {
		if f := &fields[i]; f.Is(lower) {
			if value != nil {
				return nil
			}
			value = f.Value
		}
	}
	return value
}
