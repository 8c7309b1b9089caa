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

// TestP20_Crowd: bodies of which a byte comes now and then, and readers that take nothing of a
// response, are ended by the route's idle_timeout however many they are. A body costs the edge little
// memory, and others are served beside them.
func TestP20_Crowd(t *testing.T) {
	t.Parallel()
	crowd := 200
	if os.Getenv(soakVariable) != "" && !raceEnabled {
		crowd = slowCrowd
	}
	needDescriptors(t, uint64(3*crowd))
	const response = 8 << 20 // more than the system takes of it
	for name, say := range map[string]string{
		"bodies":  "POST /sum HTTP/1.1\r\nHost: %s\r\nContent-Length: 30000\r\n\r\nx",
		"readers": fmt.Sprintf("GET /bytes/%d HTTP/1.1\r\nHost: %%s\r\n\r\n", response),
	} {
		t.Run(name, func(t *testing.T) {
			n := crowd
			if name == "readers" {
				n = min(n, 1000) // each fills buffers of the system on the way; bench measures the edge's
			}
			w := newWorld(t, 0, mezu.Route{Prefix: "/", IdleTimeout: mezu.Duration(3 * time.Second)})
			e := w.addEdge("edge-1", "--environment-share", "100") // all of them are of one environment
			w.addGate("gate", newWorkload(t, false).addr())
			one, two := w.http(e), w.http2(e)
			before := e.resident()
			var conns sync.Map
			var dialling sync.WaitGroup
			var next atomic.Int64
			for range 64 {
				dialling.Go(func() {
					for next.Add(1) <= int64(n) {
						raw, err := net.Dial("tcp", e.https)
						if err != nil {
							t.Error(err)
							return
						}
						raw.(*net.TCPConn).SetReadBuffer(4 << 10)
						c := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
						if _, err := fmt.Fprintf(c, say, w.host); err != nil {
							t.Error(err)
							raw.Close()
							return
						}
						conns.Store(c, nil)
					}
				})
			}
			t.Cleanup(func() { conns.Range(func(c, _ any) bool { c.(*tls.Conn).NetConn().Close(); return true }) })
			var most int64
			beside := func() float64 {
				most = max(most, e.resident())
				for _, c := range []*http.Client{one, two} {
					resp, err := c.Get("https://" + w.host + "/echo")
					if err != nil {
						t.Fatal(err)
					}
					if body := readAll(t, resp); resp.StatusCode != 200 {
						t.Fatalf("beside them: %d %s", resp.StatusCode, body)
					}
				}
				return measured(t, e.admin, `mezu_edge_connections{http="1.1"}`)
			}
			for next.Load() < int64(n) {
				beside()
			}
			dialling.Wait()
			eventually(t, "all of them to be gone", func() error {
				if n := beside(); n > 3 { // ours, and a probe
					return fmt.Errorf("%v are there", n)
				}
				return nil
			})
			if each := (most - before) / int64(n); n == slowCrowd && each > 64<<10 {
				t.Errorf("each costs the edge %d KiB", each>>10)
			}
			if name == "bodies" {
				told := 0
				conns.Range(func(c, _ any) bool {
					if resp, err := http.ReadResponse(bufio.NewReader(c.(io.Reader)), nil); err == nil && resp.StatusCode == 408 {
						told++
					}
					return true
				})
				if told < n*9/10 {
					t.Errorf("%d of %d bodies were answered with 408", told, n)
				}
			}
		})
	}
}
