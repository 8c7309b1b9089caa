package relay_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that has gone wrong.
const patience = time.Minute

// message is one request as it was understood.
type message struct {
	req     relay.Request
	body    string
	trailer string
	err     error // of head or body; nil when it was whole
}

// understand reads one request, brings it into canonical form and reads its body.
func understand(src io.Reader) (m message) {
	var r relay.Reader
	r.Reset(src)
	defer r.Release()
	return understandNext(&r)
}

func understandNext(r *relay.Reader) (m message) {
	var h relay.RequestHead
	var names relay.Names
	if m.err = r.ReadRequest(&h); m.err != nil {
		return m
	}
	if m.err = h.Canonical(&m.req, &names); m.err != nil {
		return m
	}
	m.req.Fields = cloneFields(m.req.Fields) // they alias the buffer until the body is read
	m.body, m.trailer, m.err = drain(r, m.req.Framing, m.req.Length, 0)
	return m
}

func cloneFields(in []relay.Field) []relay.Field {
	var out []relay.Field
	for _, f := range in {
		f.Name, f.Value = bytes.Clone(f.Name), bytes.Clone(f.Value)
		out = append(out, f)
	}
	return out
}

// drain reads a body to its end.
func drain(r *relay.Reader, framing relay.Framing, length, limit int64) (data, trailer string, err error) {
	var b relay.Body
	b.Reset(r, framing, length, limit)
	defer b.Close()
	var out bytes.Buffer
	for {
		p, err := b.Next()
		if err == io.EOF {
			if len(p) > 0 || !b.Done() {
				return "", "", errors.New("the end came with data or before the body was done")
			}
			return out.String(), fieldLines(b.Trailer()), nil
		}
		if err != nil {
			return out.String(), "", err
		}
		if len(p) == 0 {
			return "", "", errors.New("an empty piece is no piece")
		}
		out.Write(p)
	}
}

func fieldLines(fields []relay.Field) string {
	var b strings.Builder
	for _, f := range fields {
		b.Write(f.Name)
		b.WriteString(": ")
		b.Write(f.Value)
		b.WriteByte('\n')
	}
	return b.String()
}

// splitReader gives its data in pieces of random size.
type splitReader struct {
	data []byte
	rand *rand.Rand
}

func (s *splitReader) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1+s.rand.IntN(1+s.rand.IntN(3000)))], s.data)
	s.data = s.data[n:]
	return n, nil
}

// streamed is a body that comes piece by piece from elsewhere, as those of HTTP/2 do. No trailers
// follow it.
type streamed struct {
	r     io.Reader
	piece [4 << 10]byte
	ended bool
}

func (s *streamed) Next() ([]byte, error) {
	for !s.ended {
		n, err := s.r.Read(s.piece[:])
		s.ended = err == io.EOF
		if n > 0 {
			return s.piece[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, io.EOF
}

func (s *streamed) Ready() bool { return s.ended }

func (s *streamed) Trailer() []relay.Field { return nil }

func code(err error) mezu.Code { return mezu.CodeOf(err) }

// cutShort reports whether a response had begun and could not be finished.
func cutShort(err error) bool { return errors.As(err, new(*mezu.Cut)) }

// pair is the two ends of a TCP connection on loopback.
func pair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled := make(chan net.Conn, 1)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a, b = (<-dialled).(*net.TCPConn), accepted.(*net.TCPConn)
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// receive waits for a value.
func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("no %s within %s", what, patience)
	}
	return v
}
