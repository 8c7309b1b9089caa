package tunnel_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/gather"
	"github.com/mezusphere/mezu/tunnel"
)

func TestMain(m *testing.M) {
	if playFleet() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test; a healthy run needs a fraction of it.
const patience = time.Minute

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

// authority is a throw-away CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

// issue makes a certificate for a peer.
func (a *authority) issue(t testing.TB, id mezu.Identity) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, URIs: []*url.URL{id.URI()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// serverTLS asks for a certificate of the authority.
func (a *authority) serverTLS(cert *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, ClientCAs: a.pool,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{mezu.ProtocolControl, mezu.ProtocolData},
	}
}

// clientTLS accepts any peer of the authority; its name is the Link's to check.
func (a *authority) clientTLS(cert *tls.Certificate) func(string) *tls.Config {
	return func(alpn string) *tls.Config {
		return &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, NextProtos: []string{alpn},
			ServerName: mezu.TunnelServerName, InsecureSkipVerify: true,
			VerifyConnection: func(cs tls.ConnectionState) error {
				_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: a.pool})
				return err
			},
		}
	}
}

func newEdgeID() mezu.Identity {
	return mezu.Identity{Role: mezu.PeerEdge, ID: mezu.NewID(mezu.PrefixEdge, time.Now())}
}

var environment = mezu.NewID(mezu.PrefixEnvironment, time.Now())

func newWarpgateID() mezu.Identity {
	return mezu.Identity{
		Role: mezu.PeerWarpgate, ID: mezu.NewID(mezu.PrefixWarpgate, time.Now()), Environment: environment,
		Organization: mezu.NewID(mezu.PrefixOrganization, time.Now()), Project: mezu.NewID(mezu.PrefixProject, time.Now()),
	}
}

// testEdge is a Hub behind a real TLS listener.
type testEdge struct {
	*tunnel.Hub
	t        testing.TB
	id       mezu.Identity
	ca       *authority
	address  string
	config   *tls.Config
	accepted atomic.Int64
	ended    chan error // of ServeControl
	refused  chan error // of ServeData
	dead     context.CancelFunc
}

// startEdge starts one at address (":0" on loopback if empty).
func startEdge(t testing.TB, ca *authority, address string, c tunnel.HubConfig) *testEdge {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	e := &testEdge{t: t, id: newEdgeID(), ca: ca, address: ln.Addr().String(), ended: make(chan error, 2000), refused: make(chan error, 100)}
	c.Edge = func() string { return e.id.ID }
	e.Hub = tunnel.NewHub(c)
	e.config = ca.serverTLS(ca.issue(t, e.id))
	ctx, cancel := context.WithCancel(context.Background())
	var conns sync.WaitGroup
	e.dead = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		e.Hub.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { e.serve(ctx, conn) })
		}
	})
	t.Cleanup(e.dead)
	return e
}

func (e *testEdge) serve(ctx context.Context, raw net.Conn) {
	conn := tls.Server(gather.New(raw), e.config)
	hs, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := conn.HandshakeContext(hs); err != nil {
		raw.Close()
		return
	}
	e.accepted.Add(1)
	id, err := mezu.ParseIdentity(conn.ConnectionState().PeerCertificates[0].URIs[0])
	if err != nil {
		raw.Close()
		return
	}
	if conn.ConnectionState().NegotiatedProtocol == mezu.ProtocolControl {
		e.ended <- e.ServeControl(ctx, conn, id)
		return
	}
	if err := e.ServeData(conn, id); err != nil {
		e.refused <- err
	}
}

func (e *testEdge) info() mezu.EdgeInfo {
	return mezu.EdgeInfo{ID: e.id.ID, Name: "edge", TunnelAddress: e.address}
}

// sessions is how many Warpgates take exchanges.
func (e *testEdge) sessions() int {
	var all []*tunnel.Session
	for s := e.PickBut(environment, nil); s != nil; s = e.PickBut(environment, nil, all...) {
		all = append(all, s)
	}
	return len(all)
}

// session waits for a session that PickBut finds.
func (e *testEdge) session() *tunnel.Session {
	e.t.Helper()
	var s *tunnel.Session
	eventually(e.t, "a session", func() bool { s = e.PickBut(environment, nil); return s != nil })
	return s
}

// checkout takes a connection of s for a client whose address is unknown.
func checkout(t testing.TB, s *tunnel.Session) *tunnel.Conn {
	t.Helper()
	return checkoutFor(t, s, 0)
}

// checkoutFor takes a connection of s.
func checkoutFor(t testing.TB, s *tunnel.Session, client tunnel.Address) *tunnel.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := s.Checkout(ctx, client)
	if err != nil {
		t.Fatalf("checking out: %v", err)
	}
	return c
}

// exchange has text echoed.
func exchange(c net.Conn, text string) error {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		return err
	}
	answer := make([]byte, len(text)+1)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if string(answer) != text+"\n" {
		return fmt.Errorf("answer %q to %q", answer, text)
	}
	return nil
}

// echo answers each line with itself. "hang" is answered when ctx ends.
func echo(ctx context.Context, conn net.Conn) {
	r := bufio.NewReaderSize(conn, 64)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "hang") {
			<-ctx.Done()
			return
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

var lastEpoch atomic.Uint64

func nextEpoch() uint64 { return lastEpoch.Add(1) }

// linkState is one call of LinkConfig.State.
type linkState struct {
	state tunnel.LinkState
	err   error
}

// testLink is a running Link.
type testLink struct {
	*tunnel.Link
	id     mezu.Identity
	states chan linkState
	stop   func() error
}

// startLink runs a Link to e; zero fields of c get a test's values.
func startLink(t testing.TB, e *testEdge, id mezu.Identity, c tunnel.LinkConfig) *testLink {
	t.Helper()
	l := &testLink{id: id, states: make(chan linkState, 10_000)}
	if c.Edge == (mezu.EdgeInfo{}) {
		c.Edge = e.info()
	}
	if c.TLS == nil {
		c.TLS = e.ca.clientTLS(e.ca.issue(t, id))
	}
	if c.Epoch == nil {
		c.Epoch = nextEpoch
	}
	if c.Serve == nil {
		c.Serve = echo
	}
	c.Version = "test"
	c.State = func(s tunnel.LinkState, err error) { l.states <- linkState{s, err} }
	l.Link = tunnel.NewLink(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			t.Error("Run did not return after its context ended")
			return nil
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

// await waits for a state and gives its error.
func (l *testLink) await(t testing.TB, want tunnel.LinkState) error {
	t.Helper()
	for {
		got := receive(t, "link state "+want.String(), l.states)
		if got.state == want {
			return got.err
		}
	}
}

// relay forwards TCP to target and can stop doing so without closing anything.
type relay struct {
	address string
	mu      sync.Mutex
	open    *sync.Cond
	stalled int // connections up to this one are; they count from 1
	count   int
	refuses bool // new connections are closed
	refused int
	closed  bool
}

func startRelay(t testing.TB, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: ln.Addr().String()}
	r.open = sync.NewCond(&r.mu)
	var all sync.WaitGroup
	var conns []net.Conn
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			r.mu.Lock()
			conns = append(conns, in, out)
			if r.refuses {
				r.refused++
				in.Close()
				out.Close()
			}
			r.count++
			number := r.count
			r.mu.Unlock()
			all.Go(func() { r.copy(number, out, in) })
			all.Go(func() { r.copy(number, in, out) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		r.closed = true
		for _, c := range conns {
			c.Close()
		}
		r.open.Broadcast()
		r.mu.Unlock()
		all.Wait()
	})
	return r
}

func (r *relay) copy(number int, dst, src net.Conn) {
	buf := make([]byte, 4<<10)
	for {
		n, err := src.Read(buf)
		r.mu.Lock()
		for number <= r.stalled && !r.closed {
			r.open.Wait()
		}
		r.mu.Unlock()
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				src.Close()
				return
			}
		}
		if err != nil {
			dst.Close()
			return
		}
	}
}

// stall stops forwarding; connections stay open.
func (r *relay) stall() { r.stallTo(math.MaxInt) }

// stallThose stalls the connections that there are.
func (r *relay) stallThose() {
	r.mu.Lock()
	r.stalled = r.count
	r.mu.Unlock()
}

// thaw ends that.
func (r *relay) thaw() { r.stallTo(0) }

func (r *relay) stallTo(number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = number
	r.open.Broadcast()
}

// refuse closes new connections from now on, and gives how many it closed.
func (r *relay) refuse() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses = true
	return r.refused
}

// marshalKey and parseKey carry a private key to another process.
func marshalKey(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parseKey(der []byte) (any, error) { return x509.ParsePKCS8PrivateKey(der) }
