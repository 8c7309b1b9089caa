package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// torrent is a workload that sends as fast as it is read, and one that never reads.
type torrent struct {
	*httptest.Server
	sent atomic.Int64 // towards all clients
	free chan struct{}
}

// torrentSize is what a client gets of /flood if it reads on.
const torrentSize = 256 << 20

func newTorrent(t *testing.T) *torrent {
	f := &torrent{free: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/flood", f.send)
	mux.HandleFunc("/deaf", func(w http.ResponseWriter, r *http.Request) {
		<-f.free // without a look at the body
		io.Copy(io.Discard, r.Body)
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func (f *torrent) send(w http.ResponseWriter, _ *http.Request) {
	piece := make([]byte, 64<<10)
	w.Header().Set("Content-Length", fmt.Sprint(torrentSize))
	for sent := 0; sent < torrentSize; sent += len(piece) {
		n, err := w.Write(piece)
		f.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// settled waits until a count that rises stands still.
func settled(t *testing.T, what string, count func() int64) int64 {
	t.Helper()
	last, since := int64(-1), time.Now()
	eventually(t, what+" to stand still", func() error {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		if still := time.Since(since); still < 500*time.Millisecond {
			return fmt.Errorf("at %d for %v", last, still)
		}
		return nil
	})
	return last
}

// TestT7StalledPeers: clients and a workload that do not read hold up nobody else
// and cost no more than buffers; when they read on, nothing is lost.
func TestT7StalledPeers(t *testing.T) {
	f, other := newTorrent(t), newWorkload(t, false)
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/flood", Upstream: f.Listener.Addr().String()}, mezu.Route{Prefix: "/deaf", Upstream: f.Listener.Addr().String()})
	g := w.addGate("gate", other.addr(), "--allow-target", f.Listener.Addr().String())
	e := w.edges[0]
	base := "https://" + w.host
	clients := map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)}
	for _, client := range clients {
		getSeen(t, client, "GET", base+"/warm", nil)
	}
	edgeBase, gateBase := e.resident(), g.resident()

	downloads := map[string]*http.Response{}
	uploads := make(chan error, len(clients))
	var given atomic.Int64
	for name, client := range clients {
		resp, err := client.Get(base + "/flood")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		downloads[name] = resp
		go func() {
			resp, err := client.Post(base+"/deaf", "text/plain", countingReader{io.LimitReader(pattern{}, torrentSize), &given})
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode != 200 {
					err = fmt.Errorf("status %d", resp.StatusCode)
				}
			}
			uploads <- err
		}()
	}
	down, up := settled(t, "the downloads", f.sent.Load), settled(t, "the uploads", given.Load)
	if limit := int64(torrentSize); down >= limit || up >= limit {
		t.Fatalf("nothing stalls: %d and %d bytes went", down, up)
	}
	// On the same connection of HTTP/2, and on the same tunnel.
	for name, client := range clients {
		each(t, 200, 8, func(i int) error {
			resp, err := client.Get(fmt.Sprint(base, "/beside/", i))
			if err != nil {
				return fmt.Errorf("over %s: %w", name, err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				return fmt.Errorf("over %s: status %d, %w", name, resp.StatusCode, err)
			}
			return nil
		})
	}
	edgeMore, gateMore := e.peak()-edgeBase, g.peak()-gateBase
	t.Logf("with two stalled downloads at %s and two uploads at %s: edge + %s, warpgate + %s", mib(down), mib(up), mib(edgeMore), mib(gateMore))
	if bound := int64(32 << 20); !raceEnabled && (edgeMore > bound || gateMore > bound) {
		t.Errorf("that is more than %s", mib(bound))
	}
	close(f.free)
	for name, resp := range downloads {
		if n, err := io.Copy(io.Discard, resp.Body); n != torrentSize || err != nil {
			t.Errorf("the download over %s ends after %d bytes: %v", name, n, err)
		}
	}
	for range clients {
		if err := <-uploads; err != nil {
			t.Errorf("an upload that was stalled: %v", err)
		}
	}
}
