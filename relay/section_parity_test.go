package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// both is a request that can be written in HTTP/1.1 and in HTTP/2.
type both struct {
	method, target, host string
	fields               [][2]string
	chunked              bool // has a body of unknown length
	webSocket            bool // asks for one
}

// bothOf takes the text of a request in HTTP/1.1 apart, naively. It is false for what has no
// form in HTTP/2: other versions, broken lines, no Host or two.
func bothOf(raw string) (b both, ok bool) {
	head, _, ok := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	line, isOne := strings.CutSuffix(lines[0], " HTTP/1.1")
	if !ok || !isOne || strings.ContainsAny(strings.Join(lines, ""), "\r\n") {
		return b, false
	}
	b.method, b.target, ok = strings.Cut(line, " ")
	hosts, upgrade, connection := 0, false, false
	for _, l := range lines[1:] {
		name, value, isField := strings.Cut(l, ":")
		value = strings.Trim(value, " \t")
		switch of := lower(name); {
		case !isField:
			return b, false
		case of == "host":
			b.host = value
			hosts++
		case of == "transfer-encoding" && strings.EqualFold(value, "chunked") && !b.chunked:
			b.chunked = true
		case of == "connection":
			// What it lists has no form in HTTP/2.
			connection = connection || strings.EqualFold(value, "upgrade")
			if !strings.EqualFold(value, "close") && !strings.EqualFold(value, "keep-alive") && !strings.EqualFold(value, "upgrade") {
				return b, false
			}
		case of == "upgrade":
			upgrade = strings.EqualFold(value, "websocket")
		case of == "keep-alive", of == "proxy-connection", of == "http2-settings":
		default:
			b.fields = append(b.fields, [2]string{name, value})
		}
	}
	b.webSocket = connection && upgrade && b.method == "GET" && !b.chunked
	return b, ok && hosts == 1 && !(b.chunked && len(b.values("content-length")) > 0)
}

func (b *both) text() string {
	var out strings.Builder
	out.WriteString(b.method + " " + b.target + " HTTP/1.1\r\nHost: " + b.host + "\r\n")
	for _, f := range b.fields {
		out.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	if b.chunked {
		out.WriteString("Transfer-Encoding: chunked\r\n")
	}
	if b.webSocket {
		out.WriteString("Connection: upgrade\r\nUpgrade: websocket\r\n")
	}
	return out.String() + "\r\n"
}

// sections are the fields, and whether the stream ends with them.
func (b *both) section() (fields pairs, end bool) {
	fields = pairs{":method", b.method, ":scheme", "https", ":authority", b.host, ":path", b.target}
	if b.webSocket {
		fields[1] = "CONNECT"
		fields = append(fields, ":protocol", "websocket")
	}
	for _, f := range b.fields {
		fields = append(fields, lower(f[0]), f[1])
	}
	return fields, !b.webSocket && !b.chunked && len(b.values("content-length")) == 0
}

// lower leaves all but ASCII as it is: there are other letters whose lower case is in ASCII.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// values are those of all lines of a field.
func (b *both) values(name string) (out []string) {
	for _, f := range b.fields {
		if lower(f[0]) == name {
			out = append(out, f[1])
		}
	}
	return out
}

// compare reads the request in both versions and says how the readings differ: both make the
// same request of it, or both refuse it. refusal is that of HTTP/2.
func (b *both) compare() (refusal, difference error) {
	var one relay.Request
	var head relay.RequestHead
	var names relay.Names
	var r relay.Reader
	r.Reset(strings.NewReader(b.text()))
	defer r.Release()
	err1 := r.ReadRequest(&head)
	if err1 == nil {
		err1 = head.Canonical(&one, &names)
	}
	fields, end := b.section()
	two, s, err2 := requested(fields, end)
	switch {
	case err1 != nil && err2 != nil:
		return err2, nil
	case err1 != nil:
		return nil, fmt.Errorf("HTTP/1.1 alone refuses it: %w", err1)
	case err2 != nil && b.mayRefuse(&one, s, err2):
		return err2, nil
	case err2 != nil:
		return err2, fmt.Errorf("HTTP/2 alone refuses it: %w", err2)
	}
	return nil, b.same(&one, &two)
}

// mayRefuse reports whether only HTTP/2 has a reason to refuse the request.
func (b *both) mayRefuse(one *relay.Request, s *relay.Section, err error) bool {
	te := slices.ContainsFunc(b.values("te"), func(v string) bool { return !strings.EqualFold(v, "trailers") })
	switch {
	case isMalformed(err) && (te || b.target[0] != '/'):
		return true
	case b.webSocket && one.Upgrade == "": // HTTP/1.1 leaves the upgrade out, and HTTP/2 can't
		return true
	case s.TooLarge(): // it counts more for a field
		return len(b.text()) > relay.MaxHead/2
	}
	return false
}

// same compares what the two made.
func (b *both) same(one, two *relay.Request) error {
	if ids := b.values("x-request-id"); len(ids) == 1 && preface.ValidRequestID([]byte(ids[0])) {
		if one.ID != ids[0] || two.ID != ids[0] {
			return fmt.Errorf("ids %q and %q", one.ID, two.ID)
		}
	} else if len(two.ID) != 25 || slices.Contains(ids, two.ID) {
		return fmt.Errorf("id %q", two.ID)
	}
	if b.webSocket {
		key := fieldsOf(two, "sec-websocket-key")
		if len(key) != 1 || len(key[0]) != 24 || slices.Contains(b.values("sec-websocket-key"), key[0]) {
			return fmt.Errorf("keys %q", key)
		}
	}
	x, y := *one, *two
	x.Fields, y.Fields, x.ID, y.ID = nil, nil, "", ""
	if len(b.values("trailer")) > 0 && len(b.values("content-length")) > 0 {
		// Announced trailers go on beside a length in HTTP/2 alone.
		if y.Announced != "" && y.Framing != relay.Chunked {
			return errors.New("trailers without chunks")
		}
		x.Framing, y.Framing, x.Length, y.Length, y.Announced = 0, 0, 0, 0, ""
	}
	if x.Announced = strings.ToLower(x.Announced); x.Announced != strings.ToLower(y.Announced) {
		return fmt.Errorf("announced are %q and %q", x.Announced, y.Announced)
	}
	y.Announced = x.Announced
	if got, want := fmt.Sprintf("%+v", y), fmt.Sprintf("%+v", x); got != want {
		return fmt.Errorf("HTTP/2 makes\n%s of it, HTTP/1.1\n%s", got, want)
	}
	if got, want := b.comparable(two.Fields), b.comparable(one.Fields); got != want {
		return fmt.Errorf("fields\n%q, HTTP/1.1\n%q", got, want)
	}
	return nil
}

// comparable are the fields with names in lower case, one Cookie, and no key of a WebSocket.
func (b *both) comparable(fields []relay.Field) string {
	var lines []string
	cookie := -1
	for _, f := range fields {
		name := string(bytes.ToLower(f.Name))
		switch {
		case b.webSocket && strings.NewReplacer("_", "-", ".", "-").Replace(name) == "sec-websocket-key":
			continue
		case name == "cookie" && cookie >= 0:
			lines[cookie] += "; " + string(f.Value)
			continue
		case name == "cookie":
			cookie = len(lines)
		}
		lines = append(lines, name+": "+string(f.Value))
	}
	return strings.Join(lines, "\n")
}

func fieldsOf(r *relay.Request, lower string) (values []string) {
	for i := range r.Fields {
		if r.Fields[i].Is(lower) {
			values = append(values, string(r.Fields[i].Value))
		}
	}
	return values
}

// TestSectionReadsAsHTTP11: random requests, proper and broken ones, are read alike in both
// versions.
func TestSectionReadsAsHTTP11(t *testing.T) {
	compared, accepted := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		raw := genRequest(t)
		for range rapid.IntRange(0, 2).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
			with := rapid.SampledFrom([]string{" ", "\t", "\x00", "\x01", ":", ",", "0", "\xff", "Content-Length: 3\r\n", "Host: b\r\n", "Cookie: x=y\r\n", "/..", "?", "#"}).Draw(t, "with")
			raw = raw[:at] + with + raw[at:]
		}
		b, ok := bothOf(raw)
		if !ok {
			return
		}
		refusal, err := b.compare()
		if err != nil {
			t.Fatalf("%q: %v", b.text(), err)
		}
		compared++
		if refusal == nil {
			accepted++
		}
	})
	if compared == 0 || accepted == 0 {
		t.Errorf("of %d that were compared %d were accepted", compared, accepted)
	}
}

// TestRow9_Carries: every line of a field counts, in both versions alike.
func TestRow9_Carries(t *testing.T) {
	for _, c := range []struct {
		fields []string
		want   bool
	}{
		{nil, false}, {[]string{"X-Tier", "gold"}, true}, {[]string{"x-tier", "gold"}, true}, {[]string{"X-Tier", "free"}, false}, {[]string{"X-Tier", "Gold"}, false},
		{[]string{"X-Tier", "gold", "X-Tier", "gold"}, true}, {[]string{"X-Tier", "gold", "X-Tier", "free"}, false}, {[]string{"X-Tier", "free", "X-Tier", "gold"}, false}, {[]string{"X-Tier", "gold", "X-Tier", ""}, false},
		{[]string{"X-Tier", "gold, free"}, false}, {[]string{"X-Tier", "gold,gold"}, false}, {[]string{"X-Tier", "gold", "X_Tier", "gold"}, false}, {[]string{"X_Tier", "gold"}, false}, {[]string{"X-Tierx", "free", "X-Tier", "gold"}, true},
	} {
		raw := "GET / HTTP/1.1\r\nHost: a\r\n"
		for i := 0; i < len(c.fields); i += 2 {
			raw += c.fields[i] + ": " + c.fields[i+1] + "\r\n"
		}
		var one relay.Request
		var head relay.RequestHead
		var names relay.Names
		var r relay.Reader
		r.Reset(strings.NewReader(raw + "\r\n"))
		if err := errors.Join(r.ReadRequest(&head), head.Canonical(&one, &names)); err != nil {
			t.Fatal(err)
		}
		b, _ := bothOf(raw + "\r\n")
		fields, end := b.section()
		two, _, err := requested(fields, end)
		if err != nil {
			t.Fatal(err)
		}
		for i, req := range []*relay.Request{&one, &two} {
			if req.Carries("x-tier", "gold") != c.want {
				t.Errorf("%q: %v in HTTP/%d", c.fields, !c.want, i+1)
			}
		}
	}
}

// TestRow9_RepeatedFieldsAreNoTruth: of two request ids neither is taken, and TE is a
// list over all its lines, in both versions.
func TestRow9_RepeatedFieldsAreNoTruth(t *testing.T) {
	var one relay.Request
	var head relay.RequestHead
	var names relay.Names
	var r relay.Reader
	r.Reset(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: first\r\nX-Request-Id: second\r\nTE: trailers\r\nTE: gzip\r\n\r\n"))
	if err := errors.Join(r.ReadRequest(&head), head.Canonical(&one, &names)); err != nil {
		t.Fatal(err)
	}
	two, _, err := requested(of("x-request-id", "first", "x-request-id", "second", "te", "trailers", "te", "trailers"), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []*relay.Request{&one, &two} {
		if req.ID == "first" || req.ID == "second" || req.ID == "" || !req.Trailers {
			t.Errorf("id %q, trailers %v", req.ID, req.Trailers)
		}
	}
}

// inBoth reports whether the request has a text of HTTP/1.1 that says the same.
func (b *both) inBoth() bool {
	if strings.ContainsAny(b.method+b.target+b.host, "\r\n") {
		return false
	}
	for _, f := range b.fields {
		switch lower(f[0]) {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings":
			return false
		}
		if strings.ContainsAny(f[0]+f[1], "\r\n") || f[0] == "" || f[0][0] == ':' {
			return false
		}
	}
	return true
}

// compareResponse says how what HTTP/2 makes of a response differs from what HTTP/1.1 does. chunked
// says that its body follows and has no length.
func compareResponse(method, status string, fields [][2]string, chunked bool) error {
	b := both{fields: fields, chunked: chunked}
	lengths := b.values("content-length")
	text := "HTTP/1.1 " + status + " \r\n"
	section := pairs{":status", status}
	for _, f := range fields {
		text += f[0] + ": " + f[1] + "\r\n"
		section = append(section, lower(f[0]), f[1])
	}
	end := len(lengths) == 0 && !chunked
	if chunked = chunked && len(lengths) == 0; chunked {
		text += "Transfer-Encoding: chunked\r\n"
	} else if end && method != "HEAD" && status != "304" {
		text += "Content-Length: 0\r\n"
	}
	var one, two relay.ResponseHead
	var r relay.Reader
	r.Reset(strings.NewReader(text + "\r\n"))
	defer r.Release()
	err1 := r.ReadResponse(&one, method)
	s := sectionOf(relay.SectionResponse, section)
	err2 := s.Response(&two, method, end && !strings.HasPrefix(status, "1"))
	switch {
	case (err1 == nil) != (err2 == nil):
		return fmt.Errorf("%v in HTTP/1.1, %w in HTTP/2", err1, err2)
	case err1 != nil:
		return nil
	case one.Status != two.Status:
		return fmt.Errorf("status %d in HTTP/1.1, %d in HTTP/2", one.Status, two.Status)
	}
	if one.Framing == relay.Length && two.Framing == relay.Chunked && s.Content() == one.Length {
		return nil // for the sake of trailers
	}
	lines := func(h *relay.ResponseHead) string {
		two.Reason, one.Reason = nil, nil
		return strings.ToLower(string(h.Append(nil, relay.Hop{})))
	}
	if x, y := lines(&one), lines(&two); x != y || one.Framing != two.Framing || one.Framing == relay.Length && one.Length != two.Length || one.DeclaredLength() != two.DeclaredLength() || one.Streams() != two.Streams() {
		return fmt.Errorf("HTTP/1.1 makes\n%q of it, framing %d, HTTP/2\n%q, framing %d", x, one.Framing, y, two.Framing)
	}
	return nil
}
