package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// message is one HTTP/1.1 request as a reader without any leniency sees it. The
// attack tests read with it what they send and what the workload received; it
// shares no code with the programs.
type message struct {
	method, target, version string
	fields                  [][2]string // in order, values trimmed
	body                    string
	chunked                 bool
}

// Errors of readMessage: of the head, and of the body behind a good head. io.EOF
// is the end between messages, io.ErrUnexpectedEOF the end inside one.
var (
	errBadHead   = errors.New("malformed head")
	errBadBody   = errors.New("malformed body")
	errBadMethod = errors.New("method that is not carried")
)

// get is the value of a field, which must not be repeated.
func (m *message) get(name string) string {
	for _, f := range m.fields {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// count is how often a field stands.
func (m *message) count(name string) (n int) {
	for _, f := range m.fields {
		if strings.EqualFold(f[0], name) {
			n++
		}
	}
	return n
}

// path is the target without its query.
func (m *message) path() string {
	p, _, _ := strings.Cut(m.target, "?")
	return p
}

// String is for messages of tests.
func (m *message) String() string {
	return fmt.Sprintf("%s %s %v body %q", m.method, m.target, m.fields, m.body)
}

// readMessage reads one request. After errBadMethod the message was read whole.
func readMessage(r *bufio.Reader, atHead func(*message)) (*message, error) {
	m, err := readHead(r)
	if err != nil {
		return m, err
	}
	if atHead != nil {
		atHead(m)
	}
	switch {
	case m.chunked:
		m.body, err = readChunks(r)
	case m.count("Content-Length") == 1:
		n := 0
		for _, c := range m.get("Content-Length") {
			n = n*10 + int(c-'0')
		}
		var b bytes.Buffer
		if _, err = io.CopyN(&b, r, int64(n)); err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		m.body = b.String()
	}
	if err == nil && !carried(m.method) {
		err = errBadMethod
	}
	return m, err
}

// carried reports whether a method may reach a workload.
func carried(method string) bool {
	switch method {
	case "CONNECT", "TRACE", "TRACK":
		return false
	}
	return strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// line reads up to CRLF.
func line(r *bufio.Reader, bad error) (string, error) {
	s, err := r.ReadString('\n')
	switch {
	case err == io.EOF && s == "":
		return "", io.EOF
	case err != nil:
		return "", io.ErrUnexpectedEOF
	case !strings.HasSuffix(s, "\r\n"):
		return "", fmt.Errorf("%w: line %q does not end in CRLF", bad, s)
	}
	s = strings.TrimSuffix(s, "\r\n")
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", fmt.Errorf("%w: control character in %q", bad, s)
		}
	}
	return s, nil
}

func readHead(r *bufio.Reader) (*message, error) {
	first, err := line(r, errBadHead)
	if err == nil && first == "" {
		// One empty line may stand before a request (RFC 9112, 2.2): there is one
		// reading of it.
		first, err = line(r, errBadHead)
	}
	if err != nil {
		return nil, err
	}
	parts := strings.Split(first, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return nil, fmt.Errorf("%w: request line %q", errBadHead, first)
	}
	m := &message{method: parts[0], target: parts[1], version: parts[2]}
	if m.fields, err = readFields(r, errBadHead); err != nil {
		return nil, err
	}
	return m, m.judge()
}

// readFields reads field lines up to the empty one.
func readFields(r *bufio.Reader, bad error) (fields [][2]string, err error) {
	for {
		l, err := line(r, bad)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil || l == "" {
			return fields, err
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok || !isToken(name) {
			return nil, fmt.Errorf("%w: field line %q", bad, l)
		}
		fields = append(fields, [2]string{name, strings.Trim(value, " \t")})
	}
}

// judge checks what tells one message from two, and where it goes.
func (m *message) judge() error {
	lengths, codings := m.count("Content-Length"), m.count("Transfer-Encoding")
	switch {
	case m.count("Host") != 1 || m.get("Host") == "":
		return fmt.Errorf("%w: %d Host fields", errBadHead, m.count("Host"))
	case lengths > 1 || codings > 1 || lengths+codings > 1:
		return fmt.Errorf("%w: %d lengths and %d codings", errBadHead, lengths, codings)
	case codings == 1 && (!strings.EqualFold(m.get("Transfer-Encoding"), "chunked") || m.version == "HTTP/1.0"):
		return fmt.Errorf("%w: coding %q", errBadHead, m.get("Transfer-Encoding"))
	case lengths == 1:
		v := m.get("Content-Length")
		if v == "" || len(v) > 18 || strings.Trim(v, "0123456789") != "" {
			return fmt.Errorf("%w: length %q", errBadHead, v)
		}
	}
	if e := m.get("Expect"); m.count("Expect") > 0 && !strings.EqualFold(e, "100-continue") {
		return fmt.Errorf("%w: Expect %q", errBadHead, e)
	}
	m.chunked = codings == 1
	return nil
}

// readChunks reads a chunked body with its trailer section.
func readChunks(r *bufio.Reader) (string, error) {
	var body bytes.Buffer
	for {
		l, err := line(r, errBadBody)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return body.String(), err
		}
		digits, rest := l, ""
		if i := strings.IndexAny(l, "; \t"); i >= 0 {
			digits, rest = l[:i], strings.Trim(l[i:], " \t")
		}
		if digits == "" || len(digits) > 15 || strings.Trim(digits, "0123456789abcdefABCDEF") != "" || rest != "" && rest[0] != ';' {
			return body.String(), fmt.Errorf("%w: chunk line %q", errBadBody, l)
		}
		n := int64(0)
		fmt.Sscanf(digits, "%x", &n)
		if n == 0 {
			_, err := readFields(r, errBadBody)
			return body.String(), err
		}
		if _, err := io.CopyN(&body, r, n); err != nil {
			return body.String(), io.ErrUnexpectedEOF
		}
		end := make([]byte, 2)
		if _, err := io.ReadFull(r, end); err != nil {
			return body.String(), io.ErrUnexpectedEOF
		}
		if string(end) != "\r\n" {
			return body.String(), fmt.Errorf("%w: chunk ends in %q", errBadBody, end)
		}
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
