package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// peer asks net/http's server of HTTP/2 what it makes of fields.
type peer struct {
	addr string
	seen chan *http.Request
	conn net.Conn
	fr   *http2.Framer
	enc  *hpack.Encoder
	buf  bytes.Buffer
	next uint32
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	p := &peer{seen: make(chan *http.Request, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	srv := &http.Server{
		Protocols:                    new(http.Protocols),
		MaxHeaderBytes:               relay.MaxHead,
		DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.seen <- &http.Request{Method: r.Method, Host: r.Host, RequestURI: r.RequestURI, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), ContentLength: r.ContentLength}
			w.WriteHeader(http.StatusNoContent)
		}),
	}
	srv.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan struct{})
	go func() { defer close(ended); srv.Serve(l) }()
	t.Cleanup(func() {
		p.hangUp()
		srv.Close()
		<-ended
	})
	return p
}

func (p *peer) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func (p *peer) dial() error {
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return err
	}
	p.conn, p.fr, p.next = conn, http2.NewFramer(conn, conn), 1
	p.enc = hpack.NewEncoder(&p.buf)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	return p.fr.WriteSettings()
}

// ask gives the request that reaches a handler, or nil if none does.
func (p *peer) ask(fields pairs, end bool) (*http.Request, error) {
	if p.conn == nil {
		if err := p.dial(); err != nil {
			return nil, err
		}
	}
	p.conn.SetDeadline(time.Now().Add(patience))
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		p.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	id := p.next
	p.next += 2
	if err := p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.buf.Bytes(), EndStream: end, EndHeaders: true}); err != nil {
		return nil, err
	}
	for {
		f, err := p.fr.ReadFrame()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		if err != nil {
			p.hangUp()
			return nil, nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				p.fr.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			p.hangUp()
			return nil, nil
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return nil, nil
			}
		case *http2.HeadersFrame:
			if f.StreamID != id {
				continue
			}
			if !end {
				p.fr.WriteRSTStream(id, http2.ErrCodeCancel)
			}
			select {
			case r := <-p.seen:
				return r, nil
			default:
				return nil, nil // it was answered before any handler saw it
			}
		}
	}
}

// compareWithPeer says how what becomes of fields differs from what net/http's server sees.
func compareWithPeer(p *peer, fields pairs, end bool) error {
	ours, s, err := requested(fields, end)
	theirs, failed := p.ask(fields, end)
	switch {
	case failed != nil:
		return failed
	case err != nil && theirs == nil:
		return nil
	case err != nil:
		if isMalformed(err) && !oursAlone(fields, theirs) {
			return fmt.Errorf("net/http takes it: %w", err)
		}
		return nil
	case theirs == nil && (s.Protocol() != "" || theirsAlone(fields)):
		return nil
	case theirs == nil:
		return fmt.Errorf("net/http refuses it: %+v", ours)
	}
	host, _ := mezu.CanonicalHost(theirs.Host)
	raw, query, _ := strings.Cut(theirs.RequestURI, "?")
	path, _ := mezu.CanonicalPath(raw)
	if theirs.Method != ours.Method || host != ours.Host || path != ours.Path || query != strings.TrimPrefix(ours.Query, "?") {
		return fmt.Errorf("net/http sees %s %s %s, we %+v", theirs.Method, theirs.Host, theirs.RequestURI, ours)
	}
	length := s.Content()
	if end {
		length = 0
	}
	if theirs.ContentLength != length {
		return fmt.Errorf("net/http sees a body of %d bytes, we %d", theirs.ContentLength, length)
	}
	announced := []string{}
	ours.AnnouncedNames(func(name string) { announced = append(announced, name) })
	for _, name := range announced {
		if _, ok := theirs.Trailer[http.CanonicalHeaderKey(name)]; !ok {
			return fmt.Errorf("net/http hears of no trailer %s", name)
		}
	}
	return compareHeader(&ours, theirs.Header)
}

// compareHeader says how fields differ from a header map.
func compareHeader(ours *relay.Request, theirs http.Header) error {
	told := http.Header{}
	for _, f := range ours.Fields {
		told.Add(string(f.Name), string(f.Value))
	}
	for name, values := range told {
		want := theirs[name]
		if name == "Cookie" {
			values, want = spaceless(values), spaceless(want)
		}
		if !slices.EqualFunc(values, want, func(a, b string) bool { return a == strings.Trim(b, " \t") }) {
			return fmt.Errorf("%s: net/http sees %q, we %q", name, want, values)
		}
	}
	for name := range theirs {
		switch name {
		case "Te", "Expect", "Host", "Content-Length", "X-Request-Id", "Proxy-Authorization", "Proxy-Authenticate":
			continue
		}
		if _, ok := told[name]; !ok && !mezu.ReservedHeader(name) {
			return fmt.Errorf("net/http alone sees %s", name)
		}
	}
	return nil
}

// spaceless joins what is the same but for blanks.
func spaceless(values []string) []string {
	return []string{strings.NewReplacer(" ", "", "\t", "").Replace(strings.Join(values, ";"))}
}

// oursAlone reports whether fields are malformed by a rule that net/http's server leaves out.
func oursAlone(fields pairs, theirs *http.Request) bool {
	for i := 0; i < len(fields); i += 2 {
		switch fields[i] {
		case "http2-settings", "te", "content-length", ":protocol":
			return true
		}
		if v := fields[i+1]; strings.Trim(v, " \t") != v {
			return true
		}
	}
	return theirs.Method == "CONNECT" || theirs.RequestURI == "" || theirs.RequestURI[0] != '/'
}

// theirsAlone reports whether net/http's server has a reason of its own to refuse fields: it takes
// a scheme in capitals for another one, and a path apart as a URL.
func theirsAlone(fields pairs) bool {
	for i := 0; i < len(fields); i += 2 {
		switch v := fields[i+1]; fields[i] {
		case ":scheme":
			if v != strings.ToLower(v) {
				return true
			}
		case ":path":
			if _, err := url.ParseRequestURI(v); err != nil {
				return true
			}
		}
	}
	return false
}

// FuzzSectionBesidePeer: fields in any order become what net/http's server of HTTP/2 sees, if
// both take them.
func FuzzSectionBesidePeer(f *testing.F) {
	for _, fields := range []pairs{
		of("accept", "*/*", "cookie", "a=b", "x", "y", "cookie", "c=d"), with("POST", "content-length", "5", "expect", "100-continue", "trailer", "x-sum"), of("x", "a\x01"), of("Accept", "x"),
		of("connection", "close"), of("te", "gzip"), of("host", "b"), {":method", "CONNECT", ":authority", "a:443"}, {":method", "GET", "accept", "x", ":path", "/"}, {":path", "*", ":method", "OPTIONS", ":scheme", "http", "host", "a"},
		{":method", "GET", ":scheme", "https", ":authority", "A:80", ":path", "/a/..//%41?%zz"},
	} {
		for _, end := range []bool{false, true} {
			f.Add(strings.Join(fields, "\n"), end)
		}
	}
	p := newPeer(f)
	f.Fuzz(func(t *testing.T, text string, end bool) {
		fields := pairs(strings.Split(text, "\n"))
		if len(fields)%2 != 0 || len(text) > 8<<10 {
			return
		}
		if err := compareWithPeer(p, fields, end); err != nil {
			t.Fatalf("%q: %v", fields, err)
		}
	})
}
