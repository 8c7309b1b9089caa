package relay

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/mezusphere/mezu"
)

// Text holds the bytes of a request's fields, so that a stream's next request needs no
// new memory. If zero, it is empty.
type Text struct{ bytes []byte }

// maxKeptText is how much of a Text the next request gets: what browsers send takes half
// of it.
const maxKeptText = 4 << 10

func (t *Text) reset() {
	if t.bytes = t.bytes[:0]; cap(t.bytes) > maxKeptText {
		t.bytes = nil
	}
}

// add copies s; what was added before stays where it is.
func (t *Text) add(s string) []byte {
	n := len(t.bytes)
	t.bytes = append(t.bytes, s...)
	return t.bytes[n:len(t.bytes):len(t.bytes)]
}

// CanonicalHTTP brings a request that net/http's server of HTTP/2 has read into
// the same form as Canonical does. That server has checked pseudo-headers,
// field names and the length of the body; the path is taken raw.
// req.Fields is reused; they alias text.
func CanonicalHTTP(in *http.Request, req *Request, text *Text) error {
	err := canonicalHTTP(in, req, text)
	if err != nil && req.Path.Path == "" {
		req.Spoilt = spoiltPath([]byte(in.RequestURI))
	}
	return err
}

func canonicalHTTP(in *http.Request, req *Request, text *Text) error {
	*req = Request{Method: in.Method, Fields: req.Fields[:0]}
	text.reset()
	if !lengthFits(in) {
		return malformed("Content-Length is not the length of the body")
	}
	switch {
	case in.ContentLength > 0:
		req.Framing, req.Length = Length, in.ContentLength
	case in.ContentLength < 0:
		req.Framing = Chunked
	}
	if err := req.takeHeader(in.Header, text); err != nil {
		return err
	}
	for name := range in.Trailer { // net/http has taken them out of the header
		req.announce([]byte(name))
	}
	if err := mezu.ValidateMethod(in.Method); err != nil {
		return errMethod
	}
	target := in.RequestURI
	if len(target) > MaxTarget {
		return errTargetTooLong
	}
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
	if hosts := in.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && hosts[0] != in.Host {
		return malformed("the request names two hosts")
	}
	req.Host, req.Authority, err = mezu.CanonicalAuthority(in.Host)
	return err
}

// lengthFits reports whether Content-Length, if it is there, is the length that net/http goes
// by. net/http compares that length with the body as it comes. But it ignores a Content-Length
// that is malformed, repeated, or on a stream without a body.
func lengthFits(in *http.Request) bool {
	lengths := in.Header["Content-Length"]
	if len(lengths) == 0 {
		return true
	}
	n, ok := parseLength([]byte(lengths[0]))
	return ok && len(lengths) == 1 && n == in.ContentLength
}

// takeHeader takes the end-to-end fields of a header map.
func (r *Request) takeHeader(header http.Header, text *Text) error {
	r.ID = ""
	if ids := header[mezu.HeaderRequestID]; len(ids) == 1 {
		r.ID = ids[0]
	}
	r.ID = requestID([]byte(r.ID))
	count := 0
	for name, values := range header {
		kind := kindOf([]byte(name))
		if kind == fieldLookalike {
			return errLookalike
		}
		for _, v := range values {
			if count++; count > MaxFields {
				return errHeadTooLarge
			}
			switch kind {
			case fieldOther:
				if name == "Cookie" {
					// RFC 9113, 8.2.3: what HTTP/2 has split into several Cookie fields is one in HTTP/1.1.
					v = strings.Join(values, "; ")
				}
				if !mezu.ValidHeaderValue(v) {
					return malformed("a field value has a control character")
				}
				r.Fields = append(r.Fields, Field{Name: text.add(name), Value: text.add(v)})
			case fieldTE:
				r.Trailers = r.Trailers || hasToken([]byte(v), "trailers")
			case fieldExpect:
				r.Expect = r.Framing != NoBody && strings.EqualFold(v, "100-continue")
			}
			if name == "Cookie" {
				break
			}
		}
	}
	return nil
}

// TrailerFields turns a trailer map into fields that may be sent on.
func TrailerFields(trailer http.Header) []Field {
	var out []Field
	for name, values := range trailer {
		if !mayTrail([]byte(name)) {
			continue
		}
		for _, v := range values {
			if mezu.ValidHeaderValue(v) {
				out = append(out, Field{Name: []byte(name), Value: []byte(v)})
			}
		}
	}
	return out
}

// ResponseFrom makes a response head of one that net/http has read, to be sent on
// in HTTP/1.1. It refuses what the strict parser would, by the same rules.
func ResponseFrom(in *http.Response, method string, h *ResponseHead) error {
	refuse := func(rule error) error { return fmt.Errorf("%w: %w", ErrMalformedResponse, rule) }
	h.reset()
	if in.StatusCode < 100 || in.StatusCode > 599 {
		return refuse(malformed("the status line is out of range"))
	}
	size := 0
	h.minor, h.Status, h.Reason = 1, in.StatusCode, []byte(http.StatusText(in.StatusCode))
	for name, values := range in.Header {
		kind := kindOf([]byte(name))
		for _, v := range values {
			size += len(name) + len(v) + fieldFrame
			switch {
			case len(h.Fields) == MaxFields || size > MaxHead:
				return refuse(errHeadTooLarge)
			case !mezu.ValidHeaderName(name):
				return refuse(malformedField("a field line has no proper name", []byte(name)))
			case !mezu.ValidHeaderValue(v):
				return refuse(malformedField("a field value has a control character", []byte(name)))
			}
			h.Fields = append(h.Fields, Field{Name: []byte(name), Value: []byte(v), kind: kind})
			switch kind {
			case fieldUpgrade:
				h.upgrade = []byte(v)
			case fieldConnection:
				h.noteConnection([]byte(v))
			}
		}
	}
	switch {
	case in.StatusCode < 200, in.StatusCode == 204, in.StatusCode == 304, method == "HEAD":
		h.Framing = NoBody
		// net/http says 0 where there is no body, too.
		h.hasLength, h.Length = len(in.Header["Content-Length"]) > 0 && in.ContentLength >= 0, in.ContentLength
	case in.ContentLength >= 0 && len(in.Trailer) == 0:
		h.hasLength, h.Length, h.Framing = true, in.ContentLength, Length
		if in.ContentLength == 0 {
			h.Framing = NoBody
		}
	default:
		h.Framing, h.chunked = Chunked, true
	}
	return nil
}
