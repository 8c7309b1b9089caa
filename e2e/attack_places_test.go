package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// from makes a client's connections come from another address of this machine.
func from(c *http.Client, addr, local string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}
	return c
}

// served asks for something small in both versions of HTTP.
func served(t *testing.T, w *world, e *edgeNode, clients ...*http.Client) {
	t.Helper()
	for _, c := range append(clients, w.http(e), w.http2(e)) {
		resp, err := c.Post("https://"+w.host+"/echo", "text/plain", strings.NewReader("small"))
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp); resp.StatusCode != 200 {
			t.Fatalf("beside the others: %d %s", resp.StatusCode, body)
		}
	}
}

// TestRow7_SlowSmallBodiesHoldNoPlace: 11 connections of HTTP/2 with 100 POSTs each of
// which a byte has come, and some of HTTP/1.1, took every data connection of a Warpgate.
// Until they are whole they take none: a Warpgate with four serves others beside them,
// of the same address.
func TestRow7_SlowSmallBodiesHoldNoPlace(t *testing.T) {
	t.Parallel()
	const conns, streams, slow1 = 11, 100, 20
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--max-conns", "4")
	w.addGate("gate", newWorkload(t, false).addr())
	a := &target{world: w, edge: e}
	var last *h2raw
	for range conns {
		last = a.dialHTTP2(t)
		for i := range streams {
			stream := uint32(2*i + 1)
			fields := a.request2("POST", "/slow", "slow")
			if i%2 == 0 {
				fields = append(fields, "content-length", "5")
			}
			if err := last.headers(stream, false, fields); err != nil {
				t.Fatal(err)
			}
			if err := last.f.WriteData(stream, false, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	var ones []*tls.Conn
	for i := range slow1 {
		c := w.raw(e)
		framing := "Content-Length: 5\r\n\r\nx"
		if i%2 == 0 {
			framing = "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
		}
		if i%4 > 1 {
			framing = "X-Much: " + strings.Repeat("m", 5000) + "\r\n" + framing // the body doesn't fit behind the head
		}
		fmt.Fprintf(c, "POST /slow HTTP/1.1\r\nHost: %s\r\n%s", w.host, framing)
		ones = append(ones, c)
	}
	eventually(t, "all to be held", func() error {
		if n := measured(t, e.admin, "mezu_edge_held_body_bytes"); n < (conns*streams+slow1/2)*8<<10 {
			return fmt.Errorf("%v bytes", n)
		}
		return nil
	})
	start := time.Now()
	for range 3 {
		served(t, w, e)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("others were served within %v", took)
	}
	if n := measured(t, e.admin, "mezu_edge_requests_queued"); n != 0 {
		t.Errorf("%v requests wait", n)
	}
	// What becomes whole in the end is served as it came.
	for _, stream := range []uint32{1, 3} {
		if err := last.f.WriteData(stream, true, []byte("tail")); err != nil {
			t.Fatal(err)
		}
		if got := last.outcome(stream); got != "200" {
			t.Errorf("stream %d: %s", stream, got)
		}
	}
	for i, rest := range []string{"4\r\ntail\r\n0\r\n\r\n", "tail", "4\r\ntail\r\n0\r\n\r\n", "tail"} {
		io.WriteString(ones[i], rest)
		resp, err := http.ReadResponse(bufio.NewReader(ones[i]), nil)
		if err != nil {
			t.Fatal(err)
		}
		var got seen
		if decode(t, resp, &got); got.Body != "xtail" || got.Method != "POST" {
			t.Errorf("the workload saw %+v", got)
		}
	}
}

// TestRow7_SlowBodiesAreEnded: a body that comes too slowly is answered with 408 in its
// time whatever its length, in both versions, and its place is free again. A streaming
// call may take its time.
func TestRow7_SlowBodiesAreEnded(t *testing.T) {
	t.Parallel()
	tk := newWorkload(t, false)
	w := newWorld(t, 0, mezu.Route{Prefix: "/", IdleTimeout: mezu.Duration(time.Second)})
	e := w.addEdge("edge-1", "--max-conns", "8")
	w.addGate("gate", tk.addr())
	const trickle = 100 * time.Millisecond
	clients := map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)}
	send := func(client *http.Client, kind string, length int64, pieces int, piece string) (int, string, error) {
		out, in := io.Pipe()
		go func() {
			for range pieces {
				if _, err := io.WriteString(in, piece); err != nil {
					return
				}
				<-time.After(trickle)
			}
			in.Close()
		}()
		req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://"+w.host+"/sum", out)
		req.ContentLength = length
		req.Header.Set("Content-Type", kind)
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	var all sync.WaitGroup
	for name, client := range clients {
		for _, length := range []int64{1 << 10, 1 << 20, -1} {
			all.Go(func() {
				status, body, err := send(client, "text/plain", length, 1<<10, "x")
				if err != nil || status != 408 || !strings.Contains(body, "request_timeout") {
					t.Errorf("%s, length %d: %d %q, %v", name, length, status, body, err)
				}
			})
		}
		all.Go(func() {
			if status, body, err := send(client, "text/plain", -1, 20, strings.Repeat("x", 300)); err != nil || status != 200 {
				t.Errorf("%s, fast enough: %d %q, %v", name, status, body, err)
			}
		})
	}
	for name, client := range clients {
		all.Go(func() {
			if status, body, err := send(client, "application/grpc+proto", -1, 20, "x"); err != nil || status != 200 {
				t.Errorf("%s, a streaming call: %d %q, %v", name, status, body, err)
			}
		})
	}
	all.Wait()
	for range 5 { // more than there are places
		served(t, w, e)
	}
}

// TestRow7_EventStreamsBeyondTheOldCap: 1,025 event streams filled a Warpgate. By default
// there is room for them and for others.
func TestRow7_EventStreamsBeyondTheOldCap(t *testing.T) {
	const streams = 1025
	needDescriptors(t, 3*streams)
	c := startCrowd(t)
	w := newWorld(t, 1, open)
	w.addGate("gate", c.addr)
	e := w.edges[0]
	if most := measured(t, e.admin, "mezu_edge_data_connections_max"); most <= streams {
		t.Skipf("memory and descriptors carry %v here", most)
	}
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer leave()
	for range streams/100 + 1 {
		client := w.http2(e)
		for range 100 {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+w.host+"/hold", nil)
				if resp, err := client.Do(req); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
	}
	eventually(t, "all to be held", func() error {
		if n := c.ask(t, "/held"); len(n) < 4 || n < fmt.Sprint(streams) {
			return fmt.Errorf("%s are", n)
		}
		return nil
	})
	for _, client := range []*http.Client{w.http(e), w.http2(e)} {
		resp, err := client.Get("https://" + w.host + "/held")
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, resp); resp.StatusCode != 200 {
			t.Errorf("beside them: %d", resp.StatusCode)
		}
	}
}

// TestRow7_OneAddressHoldsItsShare: one address's event streams take nearly all places
// while nobody else wants any; another is served beside them, and gets places of them when
// it wants more than what is left.
func TestRow7_OneAddressHoldsItsShare(t *testing.T) {
	t.Parallel()
	const all, greedy = 10, 16
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--max-conns", fmt.Sprint(all))
	wl := newWorkload(t, false)
	w.addGate("gate", wl.addr())
	ctx, leave := context.WithCancel(t.Context())
	var streams sync.WaitGroup
	defer streams.Wait()
	defer leave()
	begun, cut := make(chan string, 100), make(chan string, 100)
	listen := func(name string, client *http.Client) {
		streams.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+w.host+"/events", nil)
			resp, err := client.Do(req)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				return
			}
			in := bufio.NewReader(resp.Body)
			if line, _ := in.ReadString('\n'); strings.HasPrefix(line, "data: first") {
				begun <- name
			}
			io.Copy(io.Discard, in)
			cut <- name
		})
	}
	local := "127.0.0.2"
	if _, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}).Dial("tcp", e.https); err != nil {
		t.Skip("this machine has one address on loopback")
	}
	other1, other2 := from(w.http(e), e.https, local), from(w.http2(e), e.https, local)
	for range greedy {
		listen("greedy", other2)
	}
	for range all - 1 {
		receiveName(t, begun, "greedy")
	}
	served(t, w, e) // in the one place that is left
	const modest = 3
	for range modest {
		listen("modest", w.http(e))
	}
	for range modest - 1 { // in that one, and in places of the greedy's
		receiveName(t, begun, "modest")
	}
	receiveName(t, cut, "greedy")
	if n := measured(t, e.admin, "mezu_edge_places_reclaimed_total"); n < 1 || n > all/2 {
		t.Errorf("%v exchanges were ended", n)
	}
	leave()
	streams.Wait()
	served(t, w, e, other1)
}

// receiveName waits for a name.
func receiveName(t *testing.T, names <-chan string, want string) {
	t.Helper()
	select {
	case got := <-names:
		if got != want {
			t.Fatalf("%s came, not %s", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no %s came", want)
	}
}
