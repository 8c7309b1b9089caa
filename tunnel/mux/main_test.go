package mux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/gather"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// patience bounds every wait of a test. A healthy run needs a fraction of it.
	patience = time.Minute
	// soon is a deadline that passes while a test waits for it.
	soon = 5 * time.Millisecond
	// small is the size of a socket's buffer for writes where a test fills it. One for reads of
	// that size would have the system drop segments, and wait for long before it sends them again.
	small = 64 << 10
)

var errTest = errors.New("the test ends the connection")

// eventually waits for cond.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waiting in vain: %s", what)
		}
		<-ticker.C
	}
}

// receive waits for a value of ch.
func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("waiting in vain: %s", what)
		panic("unreachable")
	}
}

// later calls f in a goroutine, and gives what it returns.
func later[T any](f func() T) <-chan T {
	ch := make(chan T, 1)
	go func() { ch <- f() }()
	return ch
}

// certificate is one for both ends of all connections.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// secured is a connection over loopback with TLS 1.3, and a gather.Conn below both ends. The
// sockets' buffers for writes have this size, unless it is zero.
func secured(buffer int) (edge, gate *tls.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	accepted, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	if buffer > 0 {
		for _, c := range []net.Conn{dialled, accepted} {
			c.(*net.TCPConn).SetWriteBuffer(buffer)
		}
	}
	edge = tls.Server(gather.New(accepted), &tls.Config{
		Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
	})
	gate = tls.Client(gather.New(dialled), &tls.Config{InsecureSkipVerify: true})
	shaken := later(edge.Handshake)
	return edge, gate, errors.Join(gate.Handshake(), <-shaken)
}

// connection is secured for a test, at whose end both ends are closed.
func connection(t testing.TB, buffer int) (edge, gate *tls.Conn) {
	t.Helper()
	edge, gate, err := secured(buffer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		edge.NetConn().Close()
		gate.NetConn().Close()
	})
	return edge, gate
}

// running is one end, which runs until the test ends.
type running struct {
	*Conn
	t     testing.TB
	ended chan struct{}
	why   error // that Run returned, once ended is closed
}

// start makes an end and runs it. What c leaves open gets values for a test.
func start(t testing.TB, c Config) *running {
	t.Helper()
	if c.Stall == 0 {
		c.Stall = patience
	}
	if c.Context == nil {
		c.Context = context.Background()
	}
	if c.Admit == nil {
		c.Admit = func() bool { return true }
	}
	if c.Leave == nil {
		c.Leave = func() {}
	}
	if c.Streams == 0 {
		c.Streams = 1000
	}
	conn, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Conn: conn, t: t, ended: make(chan struct{})}
	go func() {
		r.why = conn.Run()
		conn.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() {
		conn.Close(errTest)
		r.wait()
	})
	return r
}

// wait waits until the end has ended with all that it started, and says why.
func (r *running) wait() error {
	r.t.Helper()
	receive(r.t, "the end of a connection with all that it started", r.ended)
	return r.why
}

// ends is an edge and a Warpgate.
type ends struct {
	edge, gate *running
	t          testing.TB
	mu         sync.Mutex
	rests      []*restPair
}

// restPair is a connection for the rest of a response.
type restPair struct {
	edge, gate net.Conn
	detach     func()
}

// between connects both ends.
func between(t testing.TB, buffer int, gate Config) *ends {
	t.Helper()
	a, b := connection(t, buffer)
	gate.Conn = b
	e := &ends{t: t}
	e.edge, e.gate = start(t, Config{Conn: a, Stall: gate.Stall}), start(t, gate)
	t.Cleanup(func() {
		for _, r := range e.rests {
			r.edge.Close()
			r.gate.Close()
		}
	})
	return e
}

// bare closes the socket below TLS. A farewell could wait.
type bare struct{ *tls.Conn }

func (c bare) Close() error { return c.NetConn().Close() }

// rest gives a connection for the rest of a response, and names the stream to the Warpgate.
func (e *ends) rest(_ context.Context, number uint32) (net.Conn, error) {
	a, b, err := secured(0)
	if err != nil {
		return nil, err
	}
	r := &restPair{edge: bare{a}, gate: bare{b}}
	e.mu.Lock()
	e.rests = append(e.rests, r)
	e.mu.Unlock()
	if r.detach = e.gate.Attach(number, r.gate); r.detach == nil {
		return nil, fmt.Errorf("stream %d waits for no connection", number)
	}
	return r.edge, nil
}

// lastRest is what rest gave last.
func (e *ends) lastRest() *restPair {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rests[len(e.rests)-1]
}

// open opens a stream whose responses may move.
func (e *ends) open() *Stream {
	s := e.edge.Open(e.rest, nil)
	e.t.Cleanup(func() { s.Close() })
	return s
}

// pattern is n bytes that differ from seed to seed, and from place to place.
func pattern(seed uint32, n int) []byte {
	p := make([]byte, n)
	x := seed*2654435761 + 1
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// check reports whether p is the pattern of seed.
func check(what string, p []byte, seed uint32) error {
	for i, b := range pattern(seed, len(p)) {
		if p[i] != b {
			return fmt.Errorf("%s: byte %d of %d is another one", what, i, len(p))
		}
	}
	return nil
}

// readEnd reads until an error comes, and gives that and what came before.
func readEnd(s io.Reader) (string, error) {
	b, err := io.ReadAll(s)
	if err == nil {
		err = io.EOF
	}
	return string(b), err
}
