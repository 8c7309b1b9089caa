package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
)

// newSizes is a workload that answers /N with N bytes, and a POST with a digest of its body.
func newSizes(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "%x", sha256.Sum256(body))
			return
		}
		n, _ := strconv.Atoi(r.URL.Path[1:])
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", r.URL.Path[1:])
		}
		for n > 0 { // in pieces that each stand alone
			piece := min(n, 10_000)
			w.Write(bytes.Repeat([]byte{byte('a' + n%26)}, piece))
			n -= piece
			if r.URL.Query().Has("flush") {
				w.(http.Flusher).Flush()
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// sized is what newSizes answers.
func sized(n int) []byte {
	var all []byte
	for n > 0 {
		piece := min(n, 10_000)
		all = append(all, bytes.Repeat([]byte{byte('a' + n%26)}, piece)...)
		n -= piece
	}
	return all
}

// TestScaleShared: small and large exchanges beside one another, over both versions of HTTP,
// share a connection to the Warpgate or move to one of their own, and each arrives whole.
func TestScaleShared(t *testing.T) {
	t.Parallel()
	f := newSizes(t)
	w := newWorld(t, 1, mezu.Route{Prefix: "/", Upstream: f.Listener.Addr().String()})
	w.addGate("gate", f.Listener.Addr().String())
	e := w.edges[0]
	base := "https://" + w.host
	sizes := []int{0, 1, 1000, 16_000, 32_000, 33_000, 40_000, 300_000}
	var wg sync.WaitGroup
	for i := range 24 {
		client := w.http(e)
		if i%2 == 0 {
			client = w.http2(e)
		}
		wg.Go(func() {
			for round := range 40 {
				n := sizes[(i+round)%len(sizes)]
				url := fmt.Sprintf("%s/%d?%s", base, n, []string{"length", "flush", "plain"}[round%3])
				resp, err := client.Get(url)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 200 || !bytes.Equal(got, sized(n)) {
					t.Errorf("%s over HTTP/%d: %d, %d bytes, %v", url, resp.ProtoMajor, resp.StatusCode, len(got), err)
				}
				body := sized(n)
				resp, err = client.Post(base+"/", "text/plain", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := fmt.Sprintf("%x", sha256.Sum256(body)); err != nil || string(got) != want {
					t.Errorf("a body of %d bytes over HTTP/%d: %s, %v", n, resp.ProtoMajor, got, err)
				}
			}
		})
	}
	wg.Wait()
	shared, moved := measured(t, e.admin, "mezu_edge_shared_exchanges_total"), measured(t, e.admin, "mezu_edge_moved_responses_total")
	if shared < 100 || moved < 10 {
		t.Errorf("%v exchanges shared a connection, %v of their responses moved", shared, moved)
	}
}
