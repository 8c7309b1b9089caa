package relay

import "fmt"

// Response makes the head of a response to a request with this method, to go on in HTTP/1.1 or
// HTTP/2. end says that the stream ends with it. Every error wraps ErrMalformedResponse: there
// is nobody whom an answer would help.
//
// Trailers have no place in HTTP/1.1 behind a body with a Content-Length. Where they are
// announced, or certain because it is gRPC, the body goes on in chunks.
func (s *Section) Response(h *ResponseHead, method string, end bool) error {
	if err := s.response(h, method, end); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformedResponse, err)
	}
	return nil
}

func (s *Section) response(h *ResponseHead, method string, end bool) error {
	h.reset()
	h.Status, h.Reason = 0, nil
	switch {
	case s.malformed != nil:
		return s.malformed
	case s.tooLarge:
		return errHeadTooLarge
	case s.refusal != nil:
		return s.refusal
	}
	status := s.pseudo[pseudoStatus]
	if len(status) != 3 {
		return asMalformed(malformed("«:status» is not three digits"))
	}
	for _, c := range status {
		if c < '0' || c > '9' {
			return asMalformed(malformed("«:status» is not three digits"))
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	switch {
	case h.Status < 100 || h.Status > 599:
		return malformed("the status is out of range")
	case h.Status == 101:
		return asMalformed(malformed("HTTP/2 has no 101"))
	case h.Status < 200 && end:
		return asMalformed(malformed("the stream ends with an interim response"))
	}
	s.joinCrumbs()
	fields := append(h.Fields, s.Fields...)
	h.message = s.message
	h.Fields, h.minor = fields, 1
	h.Reason = reasons[h.Status]
	return s.frameResponse(h, method, end)
}

// frameResponse finds how the body ends.
func (s *Section) frameResponse(h *ResponseHead, method string, end bool) error {
	s.content = 0
	h.Framing = NoBody
	switch {
	case h.Status < 200, h.Status == 204:
		if h.Length > 0 {
			h.hasLength, h.Length = false, 0 // as in HTTP/1.1: it has no body, whatever it says
		}
	case method == "HEAD", h.Status == 304:
	case end:
		if h.Length > 0 {
			return asMalformed(malformed("Content-Length is not the length of the body"))
		}
		h.hasLength = true
	case s.trails():
		s.content = -1
		if h.hasLength {
			s.content = h.Length
		}
		h.Framing, h.chunked, h.hasLength, h.Length = Chunked, true, false, 0
	case !h.hasLength:
		s.content = -1
		h.Framing, h.chunked = Chunked, true
	case h.Length > 0:
		s.content = h.Length
		h.Framing = Length
	}
	return nil
}

// trails reports whether trailers are to be expected.
func (s *Section) trails() bool {
	for i := range s.Fields {
		if f := &s.Fields[i]; f.kind == fieldTrailer && len(f.Value) > 0 {
			return true
		}
	}
	return isOfType(s.Fields, streamTypes[:1])
}

// Reason is the phrase that HTTP/1.1 has for a status, empty for one that has none.
func Reason(status int) string { return string(reasons[status]) }

// reasons are the phrases that HTTP/1.1 has for statuses. HTTP/2 has none.
var reasons = map[int][]byte{
	100: []byte("Continue"), 102: []byte("Processing"), 103: []byte("Early Hints"),
	200: []byte("OK"), 201: []byte("Created"), 202: []byte("Accepted"), 203: []byte("Non-Authoritative Information"), 204: []byte("No Content"),
	205: []byte("Reset Content"), 206: []byte("Partial Content"), 207: []byte("Multi-Status"), 208: []byte("Already Reported"), 226: []byte("IM Used"),
	300: []byte("Multiple Choices"), 301: []byte("Moved Permanently"), 302: []byte("Found"), 303: []byte("See Other"), 304: []byte("Not Modified"),
	305: []byte("Use Proxy"), 307: []byte("Temporary Redirect"), 308: []byte("Permanent Redirect"),
	400: []byte("Bad Request"), 401: []byte("Unauthorized"), 402: []byte("Payment Required"), 403: []byte("Forbidden"), 404: []byte("Not Found"),
	405: []byte("Method Not Allowed"), 406: []byte("Not Acceptable"), 407: []byte("Proxy Authentication Required"), 408: []byte("Request Timeout"),
	409: []byte("Conflict"), 410: []byte("Gone"), 411: []byte("Length Required"), 412: []byte("Precondition Failed"), 413: []byte("Request Entity Too Large"),
	414: []byte("Request URI Too Long"), 415: []byte("Unsupported Media Type"), 416: []byte("Requested Range Not Satisfiable"), 417: []byte("Expectation Failed"),
	418: []byte("I'm a teapot"), 421: []byte("Misdirected Request"), 422: []byte("Unprocessable Entity"), 423: []byte("Locked"), 424: []byte("Failed Dependency"),
	425: []byte("Too Early"), 426: []byte("Upgrade Required"), 428: []byte("Precondition Required"), 429: []byte("Too Many Requests"),
	431: []byte("Request Header Fields Too Large"), 451: []byte("Unavailable For Legal Reasons"),
	500: []byte("Internal Server Error"), 501: []byte("Not Implemented"), 502: []byte("Bad Gateway"), 503: []byte("Service Unavailable"),
	504: []byte("Gateway Timeout"), 505: []byte("HTTP Version Not Supported"), 506: []byte("Variant Also Negotiates"), 507: []byte("Insufficient Storage"),
	508: []byte("Loop Detected"), 510: []byte("Not Extended"), 511: []byte("Network Authentication Required"),
}
