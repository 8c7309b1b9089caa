package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mezusphere/mezu"
)

// TestRestarts_HTTP2LosesNothing: an edge restarts again and again beside a second one, under a load
// of HTTP/2. Whoever heeds GOAWAY, as every client does, loses no request.
func TestRestarts_HTTP2LosesNothing(t *testing.T) {
	restarts, least := 2, int64(2_000)
	if os.Getenv(soakVariable) != "" {
		restarts, least = 20, 100_000
	}
	w := newWorld(t, 2, mezu.Route{Prefix: "/"})
	wl := newWorkload(t, false)
	w.addGate("gate", wl.addr())
	first, second := w.edges[0], w.edges[1]
	// The first edge gets connections from when it has its tunnel until it takes none, as from a
	// balancer that looks.
	var ready atomic.Bool
	ready.Store(true)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if ready.Load() {
			if conn, err := dialTo(first.https)(ctx, network, addr); err == nil {
				return conn, nil
			}
			ready.Store(false)
		}
		return dialTo(second.https)(ctx, network, addr)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	stop := make(chan struct{})
	var done atomic.Int64
	var over [2]atomic.Int64 // by edge, since the load began
	var wg sync.WaitGroup
	for range 4 {
		tr := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: w.roots}, Protocols: protocols}
		t.Cleanup(tr.CloseIdleConnections)
		client := &http.Client{Transport: tr, Timeout: patience}
		for range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					var resp *http.Response
					var err error
					if n%4 == 3 {
						resp, err = client.Post("https://"+w.host+"/restarts", "text/plain", strings.NewReader("a body"))
					} else {
						resp, err = client.Get("https://" + w.host + "/restarts")
					}
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						if err == nil && (resp.StatusCode != 200 || resp.ProtoMajor != 2) {
							err = fmt.Errorf("%s %s", resp.Proto, resp.Status)
						}
					}
					if err != nil {
						t.Errorf("after %d requests: %v", done.Load(), err)
						return
					}
					done.Add(1)
					if ready.Load() {
						over[0].Add(1)
					} else {
						over[1].Add(1)
					}
					if n%50 == 49 {
						tr.CloseIdleConnections() // so that some go to the first edge again
					}
				}
			})
		}
	}
	served := func(n int64) {
		eventually(t, "requests to be served", func() error {
			if got := done.Load(); got < n && !t.Failed() {
				return fmt.Errorf("%d of %d", got, n)
			}
			return nil
		})
	}
	for i := range restarts {
		served(least * int64(i+1) / int64(restarts+1))
		first.down(false)
		ready.Store(false)
		first.run()
		metricIs(t, first.admin, "mezu_edge_warpgates", 1)
		w.reachable(first)
		ready.Store(true)
	}
	served(least)
	close(stop)
	wg.Wait()
	t.Logf("%d requests over %d restarts, of which %d while the first edge was away", done.Load(), restarts, over[1].Load())
	if over[1].Load() == 0 {
		t.Error("no request came while the first edge was away")
	}
}
