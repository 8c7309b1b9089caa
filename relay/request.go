package relay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/preface"
)

// Request is the one canonical form of a request between a listener and the
// bytes sent on: route, policy, logs and the next hop all read it, whatever
// version of HTTP it came in.
type Request struct {
	Method string
	// Host is the canonical host that names the environment; Authority is the
	// same with a port that isn't the scheme's, which the workload sees.
	Host, Authority string
	Path            mezu.Path
	// Spoilt is the path as it came of a request that is refused because it has no canonical form,
	// as far as it came; nothing may be judged by it.
	Spoilt string
	// Query is the raw query with its question mark, or empty.
	Query string
	// Fields are the end-to-end fields, without Host, framing, hop-by-hop and
	// reserved ones. They may alias the buffer of the Reader.
	Fields []Field
	// Framing and Length describe the body; a body of unknown length is Chunked.
	Framing Framing
	Length  int64
	// Upgrade is "websocket" or empty.
	Upgrade string
	// Expect says that the client waits for 100 Continue.
	Expect bool
	// Trailers says that the client accepts trailers (TE: trailers).
	Trailers bool
	// Announced lists the names of the trailers that the client says will follow
	// the body (RFC 9110, 6.6.2), those that may stand in one. HTTP/2 servers are
	// known to drop any that were not announced.
	Announced string
	// ID is the request id: the client's when it is well-formed, else a new
	// one.
	ID string
}

// Names keeps the last host of a connection, so that requests that repeat it
// need no new strings. If zero, it is empty.
type Names struct {
	raw       []byte
	host      string
	authority string
}

// Refusals of both versions of HTTP.
var (
	errTarget        = malformed("the request target is neither a path nor a URL")
	errLookalike     = malformed("a field name passes for a reserved one")
	errMethod        = error(&mezu.Error{Code: mezu.CodeNotImplemented, Detail: "the method is not carried by this edge"})
	errTargetTooLong = error(&mezu.Error{Code: mezu.CodeURITooLong, Detail: fmt.Sprintf("the request target is longer than %d bytes", MaxTarget)})
)

// Canonical brings a parsed head into req. Refusals are *mezu.Error with the
// code to answer. req.Fields is reused.
func (h *RequestHead) Canonical(req *Request, names *Names) error {
	*req = Request{Method: method(h.Method), Framing: h.Framing, Length: h.Length, Fields: req.Fields[:0], ID: requestID(h.requestID)}
	if err := req.takeFields(h); err != nil {
		return err
	}
	if err := mezu.ValidateMethod(req.Method); err != nil {
		return errMethod
	}
	target, err := h.originForm()
	if err != nil {
		return err
	}
	path := target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path = target[:i]
		req.Query = string(target[i:])
		if strings.IndexByte(req.Query, '#') >= 0 {
			return malformed("the request target has a fragment")
		}
	}
	if req.Path, err = mezu.CanonicalPath(string(path)); err != nil {
		return err
	}
	if err := names.take(h.host); err != nil {
		return err
	}
	req.Host, req.Authority = names.host, names.authority
	req.Expect = h.expect && h.Framing != NoBody && h.minor == 1
	req.Trailers = h.trailers
	if h.hasUpgrade && h.minor == 1 && req.Framing == NoBody && req.Method == "GET" && h.Upgrade() == "websocket" {
		// The workload judges the version: it can answer 426 and say which one it speaks.
		if _, ok := req.version(); ok {
			req.Upgrade = "websocket"
		}
	}
	return nil
}

// spoil notes what the line of a request says that is refused, unless its path has a canonical form.
func (r *Request) spoil(h *RequestHead) {
	if r.Path.Path != "" {
		return
	}
	r.Method, r.Spoilt = "", spoiltPath(h.Target)
	if len(h.Method) <= mezu.MaxMethodLength {
		r.Method = method(h.Method)
	}
}

// spoiltPath is the path of a target, whatever that is: without a query or whatever stands before a
// path, in which there may be secrets.
func spoiltPath(target []byte) string {
	path, _, _ := bytes.Cut(target, []byte{'?'})
	if rest, ok := cutSchemeFold(path); ok {
		_, path, _ = bytes.Cut(rest, []byte{'/'})
		path = append([]byte{'/'}, path...)
	}
	return string(path[:min(len(path), MaxTarget)])
}

// takeFields takes the end-to-end fields. It comes first, so that a refusal for another reason
// can be answered in the form that the client's fields ask for.
func (r *Request) takeFields(h *RequestHead) error {
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.kind {
		case fieldOther:
			if h.listed && h.isListed(f.Name) {
				continue
			}
			r.Fields = append(r.Fields, *f)
		case fieldLookalike:
			return errLookalike
		case fieldTrailer:
			for name := range bytes.SplitSeq(f.Value, []byte{','}) {
				if name = trimOWS(name); !h.listed || !h.isListed(name) {
					r.announce(name)
				}
			}
		}
	}
	return nil
}

// announce adds the name of a trailer, if it may be one.
func (r *Request) announce(name []byte) {
	if r.Framing != Chunked || !mayTrail(name) {
		return
	}
	if r.Announced != "" {
		r.Announced += ", "
	}
	r.Announced += string(name)
}

// AnnouncedNames calls add for each name of Announced.
func (r *Request) AnnouncedNames(add func(name string)) {
	if r.Announced == "" {
		return
	}
	for name := range strings.SplitSeq(r.Announced, ", ") {
		add(name)
	}
}

// originForm is the target as path and query. An absolute form must name the same host as the
// Host field. RFC 9112, 3.2.2 would prefer the absolute form; then two readers could see two
// hosts.
func (h *RequestHead) originForm() ([]byte, error) {
	t := h.Target
	if t[0] == '/' {
		return t, nil
	}
	rest, ok := cutSchemeFold(t)
	if !ok {
		return nil, errTarget
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	a, err1 := mezu.CanonicalHost(string(rest[:end]))
	b, err2 := mezu.CanonicalHost(string(h.host))
	if err1 != nil || err2 != nil || a != b {
		return nil, malformed("the URL of the request and its Host differ")
	}
	if end == len(rest) {
		return []byte{'/'}, nil
	}
	if rest[end] == '?' {
		return append([]byte{'/'}, rest[end:]...), nil
	}
	return rest[end:], nil
}

func cutSchemeFold(t []byte) ([]byte, bool) {
	for _, s := range []string{"https://", "http://"} {
		if len(t) > len(s) && equalFold(t[:len(s)], s) {
			return t[len(s):], true
		}
	}
	return nil, false
}

func (n *Names) take(raw []byte) error {
	if len(n.raw) > 0 && bytes.Equal(n.raw, raw) {
		return nil
	}
	host, authority, err := mezu.CanonicalAuthority(string(raw))
	if err != nil {
		n.raw = n.raw[:0]
		return err
	}
	n.raw = append(n.raw[:0], raw...)
	n.host, n.authority = host, authority
	return nil
}

// method gives the usual methods without an allocation.
func method(b []byte) string {
	for _, m := range [...]string{"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if string(b) == m {
			return m
		}
	}
	return string(b)
}

// requestID keeps a well-formed id and makes one otherwise.
func requestID(raw []byte) string {
	if preface.ValidRequestID(raw) {
		return string(raw)
	}
	return NewRequestID()
}

// NewRequestID makes a request id of 125 random bits in lower-case base32.
func NewRequestID() string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var out [25]byte
	a, b := rand.Uint64(), rand.Uint64()
	for i := range 12 {
		out[i] = alphabet[a&31]
		a >>= 5
	}
	for i := 12; i < len(out); i++ {
		out[i] = alphabet[b&31]
		b >>= 5
	}
	out[24] = alphabet[(a^b)&31]
	return string(out[:])
}

func hasToken(v []byte, lower string) bool {
	for part := range bytes.SplitSeq(v, []byte{','}) {
		if equalFold(trimOWS(part), lower) {
			return true
		}
	}
	return false
}

// Carries reports whether the request has a field, by its name in lower case, and every line
// of it has exactly this value. All lines count, because it can't be known which one a
// workload goes by. A line is not split at commas, because not every field is a list. A field
// whose name differs in '_' or '.' for '-' makes it false, too: to some workloads it is the
// same field.
func (r *Request) Carries(lower, value string) bool {
	found := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case !alike(f.Name, lower):
		case !f.Is(lower) || string(f.Value) != value:
			return false
		default:
			found = true
		}
	}
	return found
}

// version is the version of WebSocket that the request asks for, if the field is there once
// and under no other name.
func (r *Request) version() (value []byte, ok bool) {
	const lower = "sec-websocket-version"
	for i := range r.Fields {
		f := &r.Fields[i]
		if !alike(f.Name, lower) {
			continue
		}
		if ok || !f.Is(lower) || !isVersion(f.Value) {
			return nil, false
		}
		value, ok = f.Value, true
	}
	return value, ok
}

// maySwitch reports whether a 101 answers the request: an upgrade in a version of
// WebSocket that everybody reads alike.
func (r *Request) maySwitch() bool {
	v, _ := r.version()
	return r.Upgrade != "" && string(v) == "13"
}

// isVersion reports whether v is a version of WebSocket (RFC 6455, 4.1): a number of
// one byte.
func isVersion(v []byte) bool {
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
		if n > 255 {
			return false
		}
	}
	return len(v) > 0 && (v[0] != '0' || len(v) == 1)
}

// alike compares with a lower-case name in the way of servers that make variables of fields:
// for them '_', '.' and '-' are the same.
func alike(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if c != lower[i] && loosely(c) != loosely(lower[i]) {
			return false
		}
	}
	return true
}

func loosely(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == '_' || c == '.':
		return '-'
	}
	return c
}

// Append serialises the head for the next hop, with framing made from the
// parsed values.
func (r *Request) Append(dst []byte) []byte {
	dst = r.appendLine(dst, r.Path.Path, r.Authority)
	dst = appendFields(dst, r.Fields)
	return r.appendEnd(dst)
}

func (r *Request) appendLine(dst []byte, path, host string) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, path...)
	dst = append(dst, r.Query...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	return append(dst, "\r\n"...)
}

func (r *Request) appendEnd(dst []byte) []byte {
	switch {
	case r.Framing == Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case r.Framing == Length:
		dst = appendLength(dst, r.Length)
	case r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		// RFC 9110, 8.6: methods that anticipate content say that there is none.
		dst = append(dst, "Content-Length: 0\r\n"...)
	}
	if r.Upgrade != "" {
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(dst, r.Upgrade...)
		dst = append(dst, "\r\n"...)
	}
	if r.Trailers {
		dst = append(dst, "TE: trailers\r\n"...)
	}
	if r.Announced != "" {
		dst = append(dst, "Trailer: "...)
		dst = append(dst, r.Announced...)
		dst = append(dst, "\r\n"...)
	}
	if r.Expect {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// Forwarded is what a Warpgate tells its workload about a request, from the
// typed head of the tunnel alone.
type Forwarded struct {
	// Client is the end user's address; if zero, none is told.
	Client netip.Addr
	ID     string
	// Host is the Host that the workload sees; if empty, the client's.
	Host string
	// Path is the path that the workload sees; if empty, the client's. Prefix is what was cut off it,
	// told as X-Forwarded-Prefix; if empty, nothing was.
	Path, Prefix string
	// Asked and Proto are what X-Forwarded-Host and X-Forwarded-Proto say; if empty, the
	// client's host and https.
	Asked, Proto string
	// Identity are further fields, whose values the Warpgate has verified.
	Identity []Field
}

func (f *Forwarded) proto() string {
	if f.Proto != "" {
		return f.Proto
	}
	return "https"
}

// PathOf is the path that the workload sees.
func (f *Forwarded) PathOf(r *Request) string {
	if f.Path != "" {
		return f.Path
	}
	return r.Path.Path
}

func (f *Forwarded) asked(r *Request) string {
	if f.Asked != "" {
		return f.Asked
	}
	return r.Authority
}

// AppendForwarded serialises the head for the workload. Canonical has dropped reserved fields
// of the client. Those of the Warpgate are written here, so that no Connection field of the
// client can name them.
func (r *Request) AppendForwarded(dst []byte, f *Forwarded) []byte {
	host := r.Authority
	if f.Host != "" {
		host = f.Host
	}
	dst = r.appendLine(dst, f.PathOf(r), host)
	dst = appendFields(dst, r.Fields)
	if f.Client.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = f.Client.AppendTo(dst)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "X-Forwarded-Proto: "...)
	dst = append(dst, f.proto()...)
	dst = append(dst, "\r\nX-Forwarded-Host: "...)
	dst = append(dst, f.asked(r)...)
	if f.Prefix != "" {
		dst = append(dst, "\r\nX-Forwarded-Prefix: "...)
		dst = append(dst, f.Prefix...)
	}
	dst = append(dst, "\r\nX-Request-Id: "...)
	dst = append(dst, f.ID...)
	dst = append(dst, "\r\n"...)
	dst = appendFields(dst, f.Identity)
	return r.appendEnd(dst)
}

// HasPath reports whether the request target is exactly this path, with or
// without a query: a peer that sends canonical requests sends it so.
func (h *RequestHead) HasPath(path string) bool {
	t := h.Target
	return len(t) >= len(path) && string(t[:len(path)]) == path && (len(t) == len(path) || t[len(path)] == '?')
}
