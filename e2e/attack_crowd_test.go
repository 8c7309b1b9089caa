package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// ofOneAddress is how many connections of a crowd have one address: hardly more are allowed at once.
const ofOneAddress = 500

// TestP20_Crowd: bodies of which a byte comes now and then, and readers that take nothing of a
// response, are ended by the route's idle_timeout however many they are. Each costs the edge little
// memory, and small requests of another address are answered beside them.
func TestP20_Crowd(t *testing.T) {
	t.Parallel()
	crowd, idle := 200, 3*time.Second
	if os.Getenv(soakVariable) != "" && !raceEnabled {
		crowd, idle = slowCrowd, 45*time.Second // all are to be there at once
	}
	needDescriptors(t, uint64(3*crowd))
	const response = 8 << 20 // more than the system takes of it
	for name, c := range map[string]struct {
		say  string
		cost int64 // of each, with what the garbage collector leaves lying; what it is, is measured by bench
	}{
		"bodies":  {"POST /sum HTTP/1.1\r\nHost: %s\r\nContent-Length: 30000\r\n\r\nx", 64 << 10},
		"readers": {fmt.Sprintf("GET /bytes/%d HTTP/1.1\r\nHost: %%s\r\n\r\n", response), 192 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 0, mezu.Route{Prefix: "/", IdleTimeout: mezu.Duration(idle)})
			// All of them are of one environment, and of few addresses, to which the limits apply.
			e := w.addEdge("edge-1", "--environment-share", "100", "--unlimited-addresses", "192.0.2.1", "--address-handshake-burst", "1000")
			w.addGate("gate", newWorkload(t, false).addr())
			one, two := w.http(e), w.http2(e)
			var slowest time.Duration
			beside := func() float64 {
				for _, c := range []*http.Client{one, two} {
					began := time.Now()
					resp, err := c.Get("https://" + w.host + "/echo")
					if err != nil {
						t.Fatal(err)
					}
					if body := readAll(t, resp); resp.StatusCode != 200 {
						t.Fatalf("beside them: %d %s", resp.StatusCode, body)
					}
					slowest = max(slowest, time.Since(began))
				}
				return measured(t, e.admin, `mezu_edge_connections{http="1.1"}`)
			}
			beside()
			before := e.resident()
			var conns sync.Map
			var dialling sync.WaitGroup
			var next, in atomic.Int64
			// begin has one of them begin. A reader is there when its response has begun.
			begin := func(n int64) error {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n/ofOneAddress))}, Timeout: patience}
				raw, err := d.Dial("tcp", e.https)
				if err != nil {
					return err
				}
				conn := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
				conns.Store(conn, nil)
				raw.(*net.TCPConn).SetReadBuffer(4 << 10)
				raw.SetDeadline(time.Now().Add(patience))
				if _, err := fmt.Fprintf(conn, c.say, w.host); err != nil || name == "bodies" {
					return err
				}
				status := make([]byte, len("HTTP/1.1 200"))
				if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 200" {
					conn.Close()
					return fmt.Errorf("%q, %v", status, err)
				}
				return nil
			}
			for range 128 {
				dialling.Go(func() {
					for n := next.Add(1); n <= int64(crowd); n = next.Add(1) {
						if err := begin(n); err != nil {
							t.Log(err)
						} else {
							in.Add(1)
						}
					}
				})
			}
			t.Cleanup(func() { conns.Range(func(c, _ any) bool { c.(*tls.Conn).NetConn().Close(); return true }) })
			for next.Load() < int64(crowd) {
				beside()
			}
			dialling.Wait()
			there := beside()
			each := (e.resident() - before) / in.Load()
			t.Logf("%d came in, %v are there at once; each costs the edge %d KiB", in.Load(), there, each>>10)
			if in.Load() < int64(crowd*9/10) {
				t.Errorf("%d of %d came in", in.Load(), crowd)
			}
			if crowd == slowCrowd && each > c.cost {
				t.Errorf("each costs the edge %d KiB", each>>10)
			}
			for end := time.Now().Add(idle + patience); beside() > 3; { // ours, and a probe
				if time.Now().After(end) {
					t.Fatal("some are still there")
				}
			}
			t.Logf("beside them a small request took %v at most", slowest)
			if name == "bodies" {
				told := 0
				conns.Range(func(c, _ any) bool {
					c.(*tls.Conn).SetDeadline(time.Now().Add(patience))
					if resp, err := http.ReadResponse(bufio.NewReader(c.(io.Reader)), nil); err == nil && resp.StatusCode == 408 {
						told++
					}
					return true
				})
				if told < crowd*9/10 {
					t.Errorf("%d of %d bodies were answered with 408", told, crowd)
				}
			}
		})
	}
}
