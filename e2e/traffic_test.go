package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mezusphere/mezu"
)

// everythingOn is a route on which the edge does all that it can to traffic.
func everythingOn() mezu.Route {
	return mezu.Route{
		Prefix: "/", WAF: mezu.WAFBlock, WAFSettings: &mezu.WAFSettings{Paranoia: 2, Threshold: 10},
		RateLimit: &mezu.RateLimit{Requests: mezu.MaxRateRequests, Per: mezu.Duration(time.Second), By: mezu.LimitByIP},
		CORS:      &mezu.CORS{AllowOrigins: []string{"https://app.example.com"}, AllowMethods: []string{"PUT"}, AllowCredentials: true},
	}
}

// TestTraffic_Streams: with all policy on, what streams still does. Calls of gRPC, the first byte of
// an event stream and the echo of a WebSocket wait for nothing else.
func TestTraffic_Streams(t *testing.T) {
	t.Parallel()
	t.Run("gRPC", func(t *testing.T) {
		wl := newGRPCWorkload(t)
		w := newWorld(t, 1, everythingOn())
		w.addGate("gate", "h2c://"+wl.addr)
		c := w.grpc(t, w.edges[0])
		grpcUnary(t, c, wl)
		grpcDown(t, c, wl)
		grpcUp(t, c, wl)
		grpcPingPong(t, c, wl)
		grpcError(t, c, wl)
	})
	wl := newWorkload(t, false)
	w := newWorld(t, 0, everythingOn())
	e := w.addEdgeIn([]string{"TMPDIR=" + filepath.Join(w.dir, "nowhere")}, "edge-1") // as in a container whose root is read-only
	w.addGate("gate", wl.addr())
	for version, client := range map[string]*http.Client{"HTTP/1.1": w.http(e), "HTTP/2": w.http2(e)} {
		t.Run("event stream over "+version, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", "https://"+w.host+"/events", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", "https://app.example.com")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			// The second event is not released yet.
			lines := bufio.NewReader(resp.Body)
			if line, err := lines.ReadString('\n'); line != "data: first\n" || err != nil {
				t.Errorf("%q, %v", line, err)
			}
			if resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || resp.Header.Get("RateLimit") == "" {
				t.Errorf("%v", resp.Header)
			}
		})
		t.Run("a body over "+version, func(t *testing.T) {
			for name, c := range map[string]struct {
				kind, body string
				status     int
			}{
				"JSON":            {"application/json", `{"note": "two eggs"}`, 200},
				"an attack":       {"application/json", `{"note": "1' UNION SELECT password FROM users -- "}`, 403},
				"8 MiB of octets": {"application/octet-stream", strings.Repeat("x", 8<<20), 200},
			} {
				resp, err := client.Post("https://"+w.host+"/sum", c.kind, strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != c.status || err != nil || c.status == 200 && !strings.HasPrefix(string(text), fmt.Sprint(len(c.body), " ")) {
					t.Errorf("%s: %s %.100s %v", name, resp.Status, text, err)
				}
			}
		})
	}
	t.Run("WebSocket", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, _, err := websocket.Dial(ctx, "wss://"+w.host+"/ws", &websocket.DialOptions{HTTPClient: w.http(e)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		c.SetReadLimit(1 << 20)
		for _, sent := range [][]byte{[]byte("<script>alert(1)</script>"), bytes.Repeat([]byte("x"), 1<<19)} {
			if err := c.Write(ctx, websocket.MessageText, sent); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d bytes came back, %v", len(got), err)
			}
		}
	})
}
