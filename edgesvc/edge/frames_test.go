package edge_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/testkit/frames"
)

// target is an edge with a Warpgate whose workload records what reaches it, for clients
// that say anything in frames.
type target struct {
	*world
	host    string
	two     bool                          // the workload speaks HTTP/2
	wire    wire                          // what reached the workload, byte for byte
	asked   atomic.Int64                  // requests that reached it
	running atomic.Int64                  // of them, now
	most    atomic.Int64                  // of them, at once
	wrote   atomic.Int64                  // bytes of endless responses
	freed   chan string                   // gets the path of each request for …/hold and …/endless whose client has left
	release atomic.Pointer[chan struct{}] // closed when …/later may answer and …/stuck may end
	block   [32 << 10]byte                // of bodies
	browser *browser                      // another client
}

// dial shakes hands with the edge, to speak one of these protocols. The connection is closed at the end
// of the test.
func (a *target) dial(protocols ...string) *tls.Conn {
	a.t.Helper()
	conn, err := tls.Dial("tcp", a.edge.HTTPSAddr(), &tls.Config{RootCAs: a.in.Roots, ServerName: strings.Split(a.host, ":")[0], NextProtos: protocols})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	return conn
}

// newTarget starts one whose workload speaks HTTP/1.1, or HTTP/2 if two.
func newTarget(t *testing.T, two bool, routes ...mezu.Route) *target {
	t.Helper()
	a := &target{world: &world{t: t, in: controltest.InstallWithStore(t), log: &testkit.Buffer{}}, two: two, freed: make(chan string, 10_000)}
	a.again(t)
	a.op = a.in.Operator()
	a.pool = a.in.Pool(a.op)
	a.env = controltest.Call[mezu.Environment](t, a.op, api.OpGetEnvironment, nil, a.pool.Path()...)
	controltest.Call[api.RoutesState](t, a.op, api.OpReplaceRoutes, api.RoutesReplace{Routes: append([]mezu.Route{{Prefix: "/"}}, routes...)}, a.pool.Path()...)
	at, err := url.Parse(a.env.URL)
	if err != nil {
		t.Fatal(err)
	}
	a.host = at.Host
	a.edge = a.startEdge("edge-1")
	server := httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	upstream := server.Listener.Addr().String()
	if two {
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		upstream = "h2c://" + upstream
	}
	server.Listener = recorded{server.Listener, &a.wire}
	server.Start()
	t.Cleanup(server.Close)
	a.startWarpgateOf(upstream)
	a.browser = a.world.browser()
	a.browser.client.Timeout = frames.Patience
	return a
}

// again makes a target ready for another test.
func (a *target) again(t *testing.T) {
	a.t = t
	release := make(chan struct{})
	a.release.Store(&release)
	a.most.Store(0)
	a.wrote.Store(0)
	a.wire.reset()
	for len(a.freed) > 0 {
		<-a.freed
	}
}

// let has what waits at …/later and …/stuck go on.
func (a *target) let() { close(*a.release.Load()) }

// each runs tests on a target, one after the other.
func (a *target) each(t *testing.T, tests map[string]func(t *testing.T, a *target)) {
	t.Helper()
	defer a.again(t)
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			a.again(t)
			tests[name](t, a)
			if a.t = t; !t.Failed() {
				a.quiet()
			}
		})
	}
}

// wire keeps the first of what was read of connections.
type wire struct {
	mu sync.Mutex
	b  []byte
}

func (w *wire) take(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	const enough = 1 << 20
	w.b = append(w.b, p[:min(len(p), enough-len(w.b))]...)
}

func (w *wire) reset() { w.mu.Lock(); defer w.mu.Unlock(); w.b = w.b[:0] }

func (w *wire) String() string { w.mu.Lock(); defer w.mu.Unlock(); return string(w.b) }

// recorded keeps what is read of its connections.
type recorded struct {
	net.Listener
	wire *wire
}

func (l recorded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &recordedConn{c, l.wire}, err
}

type recordedConn struct {
	net.Conn
	wire *wire
}

func (c *recordedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.take(p[:n])
	return n, err
}

func (a *target) serve(w http.ResponseWriter, r *http.Request) {
	a.asked.Add(1)
	now := a.running.Add(1)
	defer a.running.Add(-1)
	for most := a.most.Load(); now > most && !a.most.CompareAndSwap(most, now); most = a.most.Load() {
	}
	last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch last {
	case "hold": // until the client leaves
		io.Copy(io.Discard, r.Body) // net/http notices nothing before
		<-r.Context().Done()
		a.freed <- r.URL.Path
	case "events": // the first of a stream, and then nothing
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		a.freed <- r.URL.Path
	case "echo": // a WebSocket's bytes
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(both, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		both.Flush()
		io.Copy(conn, both)
	case "stuck": // takes nothing
		<-*a.release.Load()
	case "silent": // a head, and then nothing
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		a.freed <- r.URL.Path
	case "later", "endless":
		if last == "later" {
			<-*a.release.Load()
		}
		for block := a.block[:]; ; {
			n, err := w.Write(block)
			a.wrote.Add(int64(n))
			if err != nil {
				a.freed <- r.URL.Path
				return
			}
		}
	case "status": // that of the query
		io.Copy(io.Discard, r.Body)
		n, _ := strconv.Atoi(r.URL.RawQuery)
		w.WriteHeader(n)
	case "big":
		n, _ := strconv.Atoi(r.URL.RawQuery)
		w.Header().Set("Content-Length", r.URL.RawQuery)
		for block := a.block[:]; n > 0; n -= len(block) {
			if _, err := w.Write(block[:min(n, len(block))]); err != nil {
				return
			}
		}
	case "early": // answers, and takes nothing
		http.NewResponseController(w).EnableFullDuplex()
		body := strings.Repeat("no", 50_000)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(413)
		io.WriteString(w, body)
	default:
		if r.ContentLength != 0 {
			http.NewResponseController(w).EnableFullDuplex()
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			a.freed <- r.URL.Path
			return
		}
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, n)
	}
}

// client makes one and says what every client says first.
func (a *target) client(o frames.Options) *frames.Conn {
	a.t.Helper()
	return frames.Client(a.t, a.dial("h2"), o)
}

// request is the fields of a request.
func (a *target) request(method, path string, more ...string) []string {
	return append([]string{":method", method, ":scheme", "https", ":authority", a.host, ":path", path}, more...)
}

// get asks for a path on a stream of its own.
func (a *target) get(c *frames.Conn, stream uint32, path string, more ...string) {
	c.Headers(stream, true, a.request("GET", path, more...)...)
}

// alive fails the test if other clients are not served.
func (a *target) alive() {
	a.t.Helper()
	if got := a.browser.get("/alive"); got.StatusCode != 200 || got.body != "GET /alive 0" {
		a.t.Errorf("another client gets %s %.100q", got.Status, got.body)
	}
}

// quiet waits until the workload serves nobody.
func (a *target) quiet() {
	a.t.Helper()
	controltest.EventuallyWithin(a.t, frames.Patience, "the workload to serve nobody", func() bool { return a.running.Load() == 0 })
}

// live is the memory of this process that is in use: what the last collection has left, and
// stacks.
func live() int64 {
	runtime.GC() // twice: pools give up what they had before the first
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64())
}

// unmoved waits until a count stays as it is.
func unmoved(t *testing.T, what string, count func() int64) {
	t.Helper()
	const looks = 10
	last, same := int64(-1), 0
	controltest.EventuallyWithin(t, frames.Patience, what, func() bool {
		now := count()
		if same++; now != last {
			last, same = now, 0
		}
		return same == looks
	})
}

// flat fails the test if the memory in use grows by more than so many bytes while
// something is done.
func (a *target) flat(most int64, do func()) {
	a.t.Helper()
	debug.FreeOSMemory()
	before := live()
	var peak int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			peak = max(peak, live()-before)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	do()
	close(stop)
	wg.Wait()
	if peak > most {
		a.t.Errorf("memory grew by %d KiB", peak>>10)
	}
}

// within is five times the second in which a flood is to be noticed.
const within = 5 * time.Second

// flood says something again and again until the edge has had enough. It fails the test
// unless that is a GOAWAY with ENHANCE_YOUR_CALM, soon, at the cost of nobody else and of
// no memory. say writes the frames of round i, first those of the beginning.
func (a *target) flood(o frames.Options, first func(w *http2.Framer), say func(w *http2.Framer, i int)) *frames.Conn {
	a.t.Helper()
	const (
		memory = 24 << 20 // a connection's 4 MiB each way, and its 100 streams at both ends
		batch  = 32
		rounds = 400_000
	)
	o.NoPong = true // what would be sent may wait behind the flood
	c := a.client(o)
	if !o.Silent && !c.Acked(1) {
		a.t.Fatalf("the edge's HTTP/2 does not begin: %v", c)
	}
	a.flat(memory, func() {
		var beside sync.WaitGroup
		defer beside.Wait()
		begin := time.Now()
		beside.Go(func() {
			for range 3 {
				a.alive()
			}
		})
		c.SetWriteDeadline(begin.Add(within))
		if first != nil {
			c.Send(first)
		}
		for i := 0; i < rounds && !c.Gone(); i += batch {
			if c.Send(func(w *http2.Framer) {
				for j := range batch {
					say(w, i+j)
				}
			}) != nil {
				break
			}
		}
		code, at, err := c.Away(time.Until(begin.Add(within)))
		switch {
		case err != nil:
			a.t.Errorf("the flood goes on: %v (%v)", err, c)
		case code != http2.ErrCodeEnhanceYourCalm:
			a.t.Errorf("the flood was ended with %v", code)
		case at.Sub(begin) > within:
			a.t.Errorf("the flood was ended after %v", at.Sub(begin))
		}
	})
	c.Close()
	a.alive()
	return c
}

// kill ends a connection as the death of a machine's process does: with an RST of TCP.
func kill(c *frames.Conn) {
	c.Conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
	c.Conn.(*tls.Conn).NetConn().Close()
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	controltest.EventuallyWithin(t, frames.Patience, what, cond)
}
