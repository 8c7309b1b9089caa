package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestQueueIsLeft: a client that leaves while its request waits for a data
// connection leaves the queue at once, not after the 10 s for which it might have
// waited, and who came behind it is served in its place.
func TestQueueIsLeft(t *testing.T) {
	t.Parallel()
	wl := newWorkload(t, false)
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--max-conns", "1")
	w.addGate("gate", wl.addr())
	const queued = "mezu_edge_requests_queued"
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		t.Run(name, func(t *testing.T) {
			ask := func(ctx context.Context, method, path string) <-chan error {
				done := make(chan error, 1)
				req, err := http.NewRequestWithContext(ctx, method, "https://"+w.host+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					resp, err := client.Do(req)
					if err == nil {
						if resp.Body.Close(); resp.StatusCode != 200 {
							err = fmt.Errorf("status %d", resp.StatusCode)
						}
					}
					done <- err
				}()
				return done
			}
			echoes, holds := wl.echoes.Load(), wl.holds.Load()
			holder := ask(t.Context(), "GET", "/hold")
			eventually(t, "the connection in use", func() error {
				if wl.holds.Load() == holds {
					return errors.New("not yet")
				}
				return nil
			})
			// Two that leave show that it was not the first one's time that ended.
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var left []<-chan error
			for i := range 2 {
				left = append(left, ask(ctx, "POST", "/left"))
				metricIs(t, e.admin, queued, float64(i+1))
			}
			behind := ask(t.Context(), "GET", "/behind")
			metricIs(t, e.admin, queued, 3)
			start := time.Now()
			leave()
			for _, done := range left {
				if err := <-done; err == nil {
					t.Error("one that left was served")
				}
			}
			metricIs(t, e.admin, queued, 1)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("they left after %v", took)
			}
			wl.release <- struct{}{}
			for _, done := range []<-chan error{holder, behind} {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			metricIs(t, e.admin, queued, 0)
			if n := wl.echoes.Load() - echoes; n != 1 {
				t.Errorf("the workload saw %d requests of those that waited", n)
			}
		})
	}
}
