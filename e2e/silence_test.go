package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// TestSilence_Row20: the route's bounds decide at both ends, over both versions of
// HTTP: who ends an exchange that is silent in both directions, and nothing else.
func TestSilence_Row20(t *testing.T) {
	t.Parallel()
	const hush = 600 * time.Millisecond
	cut, reached := make(chan struct{}, 100), make(chan struct{}, 100)
	upstream := rawWorkload(t, func(c net.Conn, in *bufio.Reader, r *http.Request) {
		switch r.URL.Path {
		case "/brief/speaks": // and never listens
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			tick := time.NewTicker(hush / 4)
			defer tick.Stop()
			for range 8 {
				<-tick.C
				io.WriteString(c, "1\r\nx\r\n")
			}
		case "/brief/floods":
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
			io.Copy(c, pattern{})
			cut <- struct{}{}
			return
		case "/untaken":
			reached <- struct{}{}
		}
		<-t.Context().Done() // it takes nothing more
	})
	w := newWorld(t, 1, open, mezu.Route{Prefix: "/brief/", IdleTimeout: mezu.Duration(hush), Timeout: mezu.Duration(2 * hush)})
	g := w.addGate("gate", upstream)
	e := w.edges[0]
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		t.Run(name, func(t *testing.T) {
			t.Run("only the workload speaks", func(t *testing.T) {
				body, hold := io.Pipe()
				resp, err := client.Post("https://"+w.host+"/brief/speaks", "text/plain", io.MultiReader(strings.NewReader("x"), body))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				defer hold.Close()
				if got, err := io.ReadAll(resp.Body); string(got) != "xxxxxxxx" || err == nil {
					t.Errorf("the client has %q, %v", got, err)
				}
			})
			t.Run("the workload does not listen", func(t *testing.T) {
				resp, err := client.Post("https://"+w.host+"/brief/untaken", "text/plain", pattern{})
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, resp); !strings.Contains(got, string(mezu.CodeWorkloadTimeout)) {
					t.Errorf("the answer is %d %s", resp.StatusCode, got)
				}
			})
			t.Run("the client takes nothing", func(t *testing.T) {
				for len(cut) > 0 {
					<-cut
				}
				resp, err := client.Get("https://" + w.host + "/brief/floods")
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				select {
				case <-cut:
				case <-time.After(patience):
					t.Error("the workload is never told")
				}
			})
		})
	}
	t.Run("a hung Warpgate", func(t *testing.T) {
		defer g.pause()()
		start := time.Now()
		resp, err := w.http(e).Get("https://" + w.host + "/brief/hung")
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); !strings.Contains(got, string(mezu.CodeWorkloadTimeout)) || time.Since(start) > 2*hush+3*time.Second {
			t.Errorf("the answer is %d %s after %v", resp.StatusCode, got, time.Since(start))
		}
	})
	t.Run("SIGTERM twice", func(t *testing.T) {
		body, hold := io.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := w.http(e).Post("https://"+w.host+"/untaken", "text/plain", io.MultiReader(io.LimitReader(pattern{}, 64<<20), body)); err == nil {
				resp.Body.Close()
			}
		}()
		<-reached
		eventually(t, "end of the Warpgate", func() error {
			g.signal(syscall.SIGTERM) // the second one that is not the first again
			select {
			case <-g.gone:
				return nil
			default:
				return errors.New("it is still there")
			}
		})
		hold.Close()
		<-ended
	})
}
