package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mezusphere/mezu"
)

// maxDescriptors is what each process must get by with at the largest scale.
const maxDescriptors = 20_000

// readAll reads and closes a response's body.
func readAll(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

func kibEach(bytes int64, n int) string {
	return fmt.Sprintf("%.1f KiB", float64(bytes)/float64(n)/(1<<10))
}

// TestBulkInBoundedMemory carries 256 MiB each way, five times the bound, and in the soak
// 1 GiB: all of it arrives, through buffers that do not grow with it.
func TestBulkInBoundedMemory(t *testing.T) {
	wl := newWorkload(t, false)
	w := newWorld(t, 1, open)
	g := w.addGate("gate", wl.addr())
	e := w.edges[0]
	const bound = 48 << 20
	size := int64(256 << 20)
	switch {
	case os.Getenv(soakVariable) != "":
		size = 1 << 30
	case raceEnabled: // each byte takes much longer
		size = 64 << 20
	}
	for _, c := range []struct {
		name   string
		client *http.Client
		size   int64
	}{{"h1", w.http(e), size}, {"h2", w.http2(e), min(size, 256<<20)}} {
		t.Run(c.name, func(t *testing.T) {
			edgeBase, gateBase := e.resident(), g.resident()
			bulk(t, c.client, "https://"+w.host, c.size)
			edgeMore, gateMore := e.peak()-edgeBase, g.peak()-gateBase
			t.Logf("%s each way: edge %s + %s, warpgate %s + %s", mib(c.size), mib(edgeBase), mib(edgeMore), mib(gateBase), mib(gateMore))
			if edgeMore > bound || gateMore > bound {
				t.Errorf("memory grew by %s at the edge and %s at the Warpgate, the bound is %s", mib(edgeMore), mib(gateMore), mib(bound))
			}
		})
	}
}

// client1 is a client's connection of HTTP/1.1 with little memory.
type client1 struct {
	*tls.Conn
	in *bufio.Reader
}

func (w *world) dial1(e *edgeNode, patience time.Duration) (*client1, error) {
	conn, err := tls.Dial("tcp", e.https, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	return &client1{conn, bufio.NewReaderSize(conn, 1<<10)}, nil
}

// send sends a request without a body.
func (c *client1) get(host, path string) error {
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	return err
}

// answer reads a response and its body.
func (c *client1) answer() (*http.Response, string, error) {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// needDescriptors skips where the test process may not have so many. Go has raised
// the soft limit to the hard one.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Cur < n {
		l.Cur = l.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur < n {
			t.Skipf("needs %d descriptors, the limit is %d (%v)", n, l.Max, err)
		}
	}
}

// TestTenThousandSlowRequests holds as many requests at once, over two edges and
// two Warpgates, and answers each.
func TestTenThousandSlowRequests(t *testing.T) {
	if raceEnabled {
		t.Skip("ten thousand handshakes and goroutines under the race detector take longer than they teach; CI runs it without")
	}
	const total, dialers = 10_000, 64
	const long = 3 * time.Minute // for all of it
	needDescriptors(t, total+1000)
	wl := startCrowd(t)
	w := newWorld(t, 0, open)
	var all []*process
	for i := range 2 {
		all = append(all, w.addEdge(fmt.Sprintf("edge-%d", i+1), "--max-conns", "4096", "--environment-share", "100").process)
	}
	for i := range 2 {
		all = append(all, w.addGate(fmt.Sprintf("gate-%d", i+1), wl.addr).process)
	}
	var base []int64
	for _, p := range all {
		base = append(base, p.resident())
	}
	began := time.Now()
	clients := make([]*client1, total)
	each(t, total, dialers, func(i int) (err error) {
		if clients[i], err = w.dial1(w.edges[i%2], long); err == nil {
			err = clients[i].get(w.host, "/hold")
		}
		return err
	})
	eventually(t, "all requests at the workload", func() error {
		if n := wl.ask(t, "/held"); n != fmt.Sprint(total) {
			return fmt.Errorf("%s of %d are there", n, total)
		}
		return nil
	})
	t.Logf("%d requests under way after %v", total, time.Since(began).Round(100*time.Millisecond))
	for i, p := range append(all, wl.process) {
		n := p.descriptors()
		if n >= maxDescriptors {
			t.Errorf("%s has %d descriptors open", p.name, n)
		}
		if i < len(all) {
			now := p.resident()
			t.Logf("%s: %d descriptors, %s → %s, %s a request", p.name, n, mib(base[i]), mib(now), kibEach(now-base[i], total/2))
		}
	}
	wl.ask(t, "/release")
	each(t, total, dialers, func(i int) error {
		for try, path := range []string{"", "/held"} { // the second one proves that the connection is good for more
			if try > 0 {
				if err := clients[i].get(w.host, path); err != nil {
					return err
				}
			}
			if resp, body, err := clients[i].answer(); err != nil || resp.StatusCode != 200 || try == 0 && body != "held" {
				return fmt.Errorf("answer %d of client %d is %v %q, %v", try, i, resp, body, err)
			}
		}
		return clients[i].Close()
	})
}

// each calls do for 0 to n-1, so many at once, and fails the test with the first
// few errors.
func each(t *testing.T, n, workers int, do func(int) error) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	next := make(chan int)
	for range workers {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					faults = append(faults, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	if len(faults) > 0 {
		t.Fatalf("%d of %d failed: %v", len(faults), n, errors.Join(faults[:min(3, len(faults))]...))
	}
}

// TestOverloaded asks for more at once than the cap of data connections: what is
// within is served, the rest learns when to come again.
func TestOverloaded(t *testing.T) {
	const limit, excess = 64, 20
	wl := newWorkload(t, false)
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--max-conns", fmt.Sprint(limit), "--client-share", "100")
	w.addGate("gate", wl.addr())
	began := time.Now()
	type result struct {
		resp *http.Response
		body string
		err  error
		took time.Duration
	}
	results := make(chan result, limit+excess)
	for range limit + excess {
		c, err := w.dial1(e, 2*patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.get(w.host, "/hold"); err != nil {
			t.Fatal(err)
		}
		go func() {
			resp, body, err := c.answer()
			results <- result{resp, body, err, time.Since(began)}
		}()
	}
	for range excess {
		r := <-results
		if r.err != nil || r.resp.StatusCode != 503 || r.resp.Header.Get("Retry-After") == "" {
			t.Fatalf("an answer over the cap is %v %q, %v", r.resp, r.body, r.err)
		}
		var problem struct{ Code mezu.Code }
		if json.Unmarshal([]byte(r.body), &problem); problem.Code != mezu.CodeOverloaded {
			t.Errorf("the code over the cap is %q in %s", problem.Code, r.body)
		}
		if limit := 10*time.Second + 5*time.Second; r.took > limit { // and something for a busy machine
			t.Errorf("the answer took %v, the limit is %v", r.took, limit)
		}
	}
	for range limit {
		wl.release <- struct{}{}
		if r := <-results; r.err != nil || r.resp.StatusCode != 200 || r.body != "held" {
			t.Fatalf("an answer within the cap is %v %q, %v", r.resp, r.body, r.err)
		}
	}
	if got := getSeen(t, w.http(e), "GET", "https://"+w.host+"/after", nil); got.URI != "/after" {
		t.Errorf("the workload saw %+v", got)
	}
}

// TestIdleWebSockets holds many sockets at once and uses each once more.
func TestIdleWebSockets(t *testing.T) {
	const bound = 160 << 10 // with what the garbage collector leaves lying; what it is, is measured by bench
	n := 2000
	if raceEnabled {
		n = 200
	}
	needDescriptors(t, 3*uint64(n))
	wl := newWorkload(t, false)
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--max-conns", "4096")
	g := w.addGate("gate", wl.addr())
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	client := w.http(e)
	edgeBase, gateBase := e.resident(), g.resident()
	sockets := make([]*websocket.Conn, n)
	each(t, n, 32, func(i int) (err error) {
		sockets[i], _, err = websocket.Dial(ctx, "wss://"+w.host+"/ws", &websocket.DialOptions{HTTPClient: client})
		return err
	})
	edgeMore, gateMore := e.resident()-edgeBase, g.resident()-gateBase
	t.Logf("%d idle WebSockets: %s each at the edge, %s at the Warpgate", n, kibEach(edgeMore, n), kibEach(gateMore, n))
	if !raceEnabled && edgeMore+gateMore > int64(n)*bound {
		t.Errorf("that is more than %s together", kibEach(bound, 1))
	}
	each(t, n, 32, func(i int) error {
		sent := strings.Repeat("x", i%300)
		if err := sockets[i].Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			return err
		}
		if _, got, err := sockets[i].Read(ctx); err != nil || string(got) != sent {
			return fmt.Errorf("socket %d echoes %q, %w", i, got, err)
		}
		return sockets[i].CloseNow()
	})
}
