package relay

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
)

// Field is one header or trailer field. Name and Value alias the buffer of the
// Reader they came from, or are owned by whoever made them.
type Field struct {
	Name, Value []byte
	kind        fieldKind
}

// Is reports whether the field has this name, whatever its case.
func (f *Field) Is(name string) bool { return equalFold(f.Name, name) }

// Framing is how the end of a body is found.
type Framing uint8

// Framings. UntilClose exists for responses of workloads only.
const (
	NoBody Framing = iota
	Length
	Chunked
	UntilClose
)

// fieldKind classifies the fields that a relay has to know.
type fieldKind uint8

const (
	fieldOther fieldKind = iota
	fieldHost
	fieldConnection
	fieldContentLength
	fieldTransferEncoding
	fieldExpect
	fieldUpgrade
	fieldTE
	fieldTrailer
	fieldHopByHop // any other field that is of this connection alone
	fieldRequestID
	fieldReserved
	fieldLookalike
)

// kindOf classifies a name by length first, so that most fields cost one
// switch.
func kindOf(name []byte) fieldKind {
	switch len(name) {
	case 2:
		if equalFold(name, "te") {
			return fieldTE
		}
	case 4:
		if equalFold(name, "host") {
			return fieldHost
		}
	case 6:
		if equalFold(name, "expect") {
			return fieldExpect
		}
	case 7:
		if equalFold(name, "upgrade") {
			return fieldUpgrade
		}
		if equalFold(name, "trailer") {
			return fieldTrailer
		}
	case 10:
		if equalFold(name, "connection") {
			return fieldConnection
		}
		if equalFold(name, "keep-alive") {
			return fieldHopByHop
		}
	case 12:
		if equalFold(name, "x-request-id") {
			return fieldRequestID
		}
	case 14:
		if equalFold(name, "content-length") {
			return fieldContentLength
		}
		if equalFold(name, "http2-settings") {
			return fieldHopByHop
		}
	case 16:
		if equalFold(name, "proxy-connection") {
			return fieldHopByHop
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			return fieldTransferEncoding
		}
	case 18:
		if equalFold(name, "proxy-authenticate") {
			return fieldHopByHop
		}
	case 19:
		if equalFold(name, "proxy-authorization") {
			return fieldHopByHop
		}
	}
	switch mezu.ClassifyHeader(name) {
	case mezu.HeaderReserved:
		return fieldReserved
	case mezu.HeaderLookalike:
		return fieldLookalike
	}
	return fieldOther
}

// message is what request and response heads share.
type message struct {
	Fields  []Field
	Framing Framing
	// Length is the declared length when Framing is Length.
	Length int64

	minor      byte // HTTP/1.minor
	close      bool
	keepAlive  bool
	upgrade    []byte // value of Upgrade, when Connection names it
	hasUpgrade bool   // Connection: upgrade
	expect     bool
	listed     bool // Connection lists further names, which are hop-by-hop too
	host       []byte
	hosts      int
	chunked    bool
	hasLength  bool
	trailers   bool // TE: trailers
	requestID  []byte
	requestIDs int
}

func (m *message) reset() { *m = message{Fields: m.Fields[:0]} }

// RequestHead is a parsed request head. It aliases the Reader's buffer.
type RequestHead struct {
	message
	Method, Target []byte
}

// ResponseHead is a parsed response head. It aliases the Reader's buffer.
type ResponseHead struct {
	message
	Status int
	// Reason is the reason phrase; it is dropped in HTTP/2.
	Reason []byte
}

// ReadRequest reads a request head. Refusals are *mezu.Error with the code to
// answer; other errors are of the connection: io.EOF when it ended before the
// first byte.
func (r *Reader) ReadRequest(h *RequestHead) error {
	h.reset()
	if !r.Tunnel {
		if err := r.skipEmptyLine(); err != nil {
			return err
		}
	}
	section, err := r.section(r.limit(MaxHead), false)
	if err != nil {
		h.glimpse(r.buf[r.r:r.w])
		if errors.Is(err, errFull) {
			if bytes.IndexByte(r.buf[r.r:r.w], '\n') < 0 {
				return errTargetTooLong
			}
			return errHeadTooLarge
		}
		return err
	}
	line, rest := cutLine(section)
	if err := h.takeLine(line); err != nil {
		h.glimpse(line)
		return err
	}
	if err := h.parseFields(rest, r.maxFields()); err != nil {
		return err
	}
	if h.hosts != 1 {
		return malformed("a request has exactly one Host field")
	}
	switch {
	case h.chunked && (h.hasLength || h.minor == 0):
		return malformed("Transfer-Encoding stands beside Content-Length or in HTTP/1.0")
	case h.chunked:
		h.Framing = Chunked
	case h.hasLength && h.Length > 0:
		h.Framing = Length
	default:
		h.Framing = NoBody
	}
	return nil
}

// takeLine takes the request line apart.
func (h *RequestHead) takeLine(line []byte) (err error) {
	sp1 := bytes.IndexByte(line, ' ')
	sp2 := bytes.LastIndexByte(line, ' ')
	if sp1 <= 0 || sp2 <= sp1+1 {
		return malformed("the request line is not «method target version»")
	}
	h.Method, h.Target = line[:sp1], line[sp1+1:sp2]
	if !mezu.ValidHeaderName(h.Method) {
		return malformed("the method is not a token")
	}
	if len(h.Target) > MaxTarget {
		return errTargetTooLong
	}
	for _, c := range h.Target {
		if c <= ' ' || c == 0x7f {
			return malformed("the request target has a space or control character")
		}
	}
	h.minor, err = version(line[sp2+1:])
	return err
}

// glimpse takes method and target from the beginning of a head that is refused, as far as they
// came: for people, who look for what they have sent. Nothing may be judged by it.
func (h *RequestHead) glimpse(head []byte) {
	h.Method, h.Target = nil, nil
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok || !mezu.ValidHeaderName(method) {
		return
	}
	target, _, _ := bytes.Cut(rest, []byte{' '})
	h.Method, h.Target = method, bytes.TrimSuffix(target, []byte{'\r'})
}

// EmptyLine consumes an empty line before a request, if nothing else has come yet. Old clients
// send one behind a body; it begins no request (RFC 9112, 2.2). Only one is accepted.
func (r *Reader) EmptyLine() {
	if !r.emptied && string(r.buf[r.r:r.w]) == "\r\n" {
		r.r, r.emptied = r.w, true
	}
}

// skipEmptyLine does the same before whatever follows, and waits for its end once it
// has begun.
func (r *Reader) skipEmptyLine() error {
	if r.emptied || r.r < r.w && r.buf[r.r] != '\r' {
		r.emptied = false
		return nil
	}
	p, err := r.peek(1)
	if err != nil || p[0] != '\r' {
		return err
	}
	if p, err = r.peek(2); err != nil {
		return unexpectedIf(true, err)
	}
	if p[1] == '\n' {
		r.r += 2
	}
	return nil
}

var errHeadTooLarge error = &mezu.Error{Code: mezu.CodeHeaderTooLarge, Detail: fmt.Sprintf("the header fields are larger than %d KiB or more than %d", MaxHead>>10, MaxFields)}

// ReadResponse reads a response head to a request with this method. The error of a malformed
// head wraps ErrMalformedResponse, and is returned as soon as what came can't be the beginning
// of a response. Other errors are of the connection. A status of 1xx is returned like any
// other: the caller reads on after it.
func (r *Reader) ReadResponse(h *ResponseHead, method string) error {
	h.reset()
	err := r.startsWith(protocol)
	var section []byte
	if err == nil {
		section, err = r.section(r.limit(MaxHead), false)
	}
	if err != nil {
		var refused *mezu.Error
		if errors.Is(err, errFull) {
			err = errHeadTooLarge
		}
		if errors.As(err, &refused) {
			return fmt.Errorf("%w: %w", ErrMalformedResponse, err)
		}
		return err
	}
	if err := h.parse(section, method, r.maxFields()); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformedResponse, err)
	}
	return nil
}

func (h *ResponseHead) parse(section []byte, method string, maxFields int) error {
	line, rest := cutLine(section)
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' {
		return malformed("the status line is not «version status reason»")
	}
	var err error
	if h.minor, err = version(line[:8]); err != nil {
		return err
	}
	h.Status = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return malformed("the status is not a number")
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	h.Reason = nil
	if len(line) > 12 {
		if line[12] != ' ' {
			return malformed("the status is not a number of three digits")
		}
		h.Reason = line[13:]
	}
	if h.Status < 100 || h.Status > 599 || !mezu.ValidHeaderValue(h.Reason) {
		return malformed("the status line is out of range")
	}
	if err := h.parseFields(rest, maxFields); err != nil {
		return err
	}
	bodiless := h.Status < 200 || h.Status == 204
	switch {
	case bodiless && (h.chunked || h.hasLength && h.Length > 0):
		// It ends with its head, whatever the head says (RFC 9112, 6.3, case 1). If a
		// body follows nevertheless, nobody may take it for the next response.
		h.Framing, h.chunked, h.hasLength, h.close = NoBody, false, false, true
	case h.chunked && (h.hasLength || h.minor == 0):
		return malformed("Transfer-Encoding stands beside Content-Length or in HTTP/1.0")
	case bodiless, method == "HEAD", h.Status == 304:
		h.Framing = NoBody
	case h.chunked:
		h.Framing = Chunked
	case h.hasLength && h.Length == 0:
		h.Framing = NoBody
	case h.hasLength:
		h.Framing = Length
	default:
		h.Framing = UntilClose
	}
	return nil
}

// KeepAlive reports whether the connection carries another message after this
// one.
func (m *message) KeepAlive() bool {
	if m.minor == 0 {
		return m.keepAlive && !m.close
	}
	return !m.close
}

// endlessTypes begin the media types of responses that go on for as long as somebody listens:
// events, calls in which both sides speak, and pictures that replace one another.
var endlessTypes = append([]string{"text/event-stream", "multipart/x-mixed-replace"}, streamTypes...)

// Streams reports whether the response has no end to wait for: it is of another protocol, or of a
// media type that goes on. That the length of a body isn't known says nothing: it may be a download.
func (h *ResponseHead) Streams() bool {
	return h.Status == 101 || (h.Framing == Chunked || h.Framing == UntilClose) && isOfType(h.Fields, endlessTypes)
}

// DeclaredLength is the value of Content-Length that goes on, or -1 if none does. In a response
// to HEAD it is the length of a body that does not come. A response that never has a body has
// none (RFC 9110, 8.6).
func (h *ResponseHead) DeclaredLength() int64 {
	if h.hasLength && h.Status >= 200 && h.Status != 204 {
		return h.Length
	}
	return -1
}

// Upgrade is the protocol of an upgrade, in lower case ("websocket"), or empty.
func (m *message) Upgrade() string {
	if !m.hasUpgrade || m.upgrade == nil {
		return ""
	}
	if equalFold(m.upgrade, "websocket") {
		return "websocket"
	}
	return string(bytes.ToLower(m.upgrade))
}

// cutLine splits off the first line, without its CRLF.
func cutLine(b []byte) (line, rest []byte) {
	i := indexLF(b)
	return b[:i-1], b[i+1:]
}

func indexLF(b []byte) int { return bytes.IndexByte(b, '\n') }

// protocol is how every response begins.
const protocol = "HTTP/1."

func version(b []byte) (byte, error) {
	if len(b) == 8 && string(b[:7]) == protocol && (b[7] == '0' || b[7] == '1') {
		return b[7] - '0', nil
	}
	return 0, malformed("the version is neither HTTP/1.1 nor HTTP/1.0")
}

// parseFields reads at most maxFields field lines up to the empty line that ends
// b.
func (m *message) parseFields(b []byte, maxFields int) error {
	for {
		i := indexLF(b)
		line := b[:i-1]
		b = b[i+1:]
		if len(line) == 0 {
			return nil
		}
		if len(m.Fields) == maxFields {
			return errHeadTooLarge
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !mezu.ValidHeaderName(line[:colon]) {
			name, _, _ := bytes.Cut(line, []byte{':'})
			return malformedField("a field line has no proper name", name)
		}
		value := trimOWS(line[colon+1:])
		if !mezu.ValidHeaderValue(value) {
			return malformedField("a field value has a control character", line[:colon])
		}
		f := Field{Name: line[:colon], Value: value}
		f.kind = kindOf(f.Name)
		if f.kind != fieldOther {
			if err := m.note(&f); err != nil {
				return err
			}
		}
		m.Fields = append(m.Fields, f)
	}
}

// note takes in a field that steers the message itself.
func (m *message) note(f *Field) error {
	switch f.kind {
	case fieldHost:
		m.host = f.Value
		m.hosts++
	case fieldContentLength:
		if m.hasLength {
			return malformed("Content-Length is repeated")
		}
		n, ok := parseLength(f.Value)
		if !ok {
			return malformed("Content-Length is not a number")
		}
		m.hasLength, m.Length = true, n
	case fieldTransferEncoding:
		if m.chunked || !equalFold(f.Value, "chunked") {
			return malformed("Transfer-Encoding is not exactly «chunked»")
		}
		m.chunked = true
	case fieldExpect:
		if !equalFold(f.Value, "100-continue") {
			return malformed("Expect is not «100-continue»")
		}
		m.expect = true
	case fieldUpgrade:
		m.upgrade = f.Value
	case fieldTE:
		m.trailers = m.trailers || hasToken(f.Value, "trailers")
	case fieldRequestID:
		m.requestID = f.Value
		if m.requestIDs++; m.requestIDs > 1 {
			m.requestID = nil // neither of them
		}
	case fieldConnection:
		m.noteConnection(f.Value)
	}
	return nil
}

func (m *message) noteConnection(v []byte) {
	for len(v) > 0 {
		var option []byte
		if i := bytes.IndexByte(v, ','); i >= 0 {
			option, v = trimOWS(v[:i]), v[i+1:]
		} else {
			option, v = trimOWS(v), nil
		}
		switch {
		case len(option) == 0, equalFold(option, "te"):
		case equalFold(option, "close"):
			m.close = true
		case equalFold(option, "keep-alive"):
			m.keepAlive = true
		case equalFold(option, "upgrade"):
			m.hasUpgrade = true
		default:
			m.listed = true
		}
	}
}

// hopByHop reports whether a field is of this connection alone.
func (m *message) hopByHop(f *Field) bool {
	switch f.kind {
	case fieldConnection, fieldTransferEncoding, fieldContentLength, fieldUpgrade, fieldTE, fieldTrailer, fieldHopByHop, fieldExpect:
		return true
	}
	return m.listed && m.isListed(f.Name)
}

// isListed reports whether a Connection field names it.
func (m *message) isListed(name []byte) bool {
	for i := range m.Fields {
		c := &m.Fields[i]
		if c.kind != fieldConnection {
			continue
		}
		for option := range bytes.SplitSeq(c.Value, []byte{','}) {
			if bytes.EqualFold(trimOWS(option), name) {
				return true
			}
		}
	}
	return false
}

// maxLengthDigits keeps a length inside int64.
const maxLengthDigits = 18

func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > maxLengthDigits {
		return 0, false
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares with a lower-case ASCII name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := 0; i < len(lower); i++ {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// HTTP10 reports whether the sender speaks HTTP/1.0.
func (m *message) HTTP10() bool { return m.minor == 0 }

// HasHead reports whether a head is buffered to its end, so that reading it will not block.
func (r *Reader) HasHead() bool { return bytes.Contains(r.buf[r.r:r.w], []byte("\r\n\r\n")) }
