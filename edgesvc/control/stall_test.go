package control_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// gate is a connection from which nothing is read once it is shut, until it opens.
type gate struct {
	net.Conn
	shut atomic.Bool
	open chan struct{}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.shut.Load() {
		<-g.open
	}
	return g.Conn.Read(p)
}

// stall opens a stream over a protocol and reads nothing of it but what shows that it
// has begun; of the connection, too, if gated says so.
func stall(in *controltest.Installation, protocol, path, token string, cert *tls.Certificate, gated bool) {
	in.T.Helper()
	config := &tls.Config{RootCAs: in.Roots, Time: in.TLSTime, NextProtos: []string{protocol}}
	if cert != nil {
		config.Certificates = []tls.Certificate{*cert}
	}
	conn, err := net.Dial("tcp", in.Plane.Addr())
	if err != nil {
		in.T.Fatal(err)
	}
	// What the kernel takes in the reader's place is soon full.
	if err := conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		in.T.Fatal(err)
	}
	g := &gate{Conn: conn, open: make(chan struct{})}
	req, err := http.NewRequestWithContext(in.T.Context(), "GET", "https://"+in.Plane.Addr()+path, nil)
	if err != nil {
		in.T.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	carrier := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2",
		DialContext: func(context.Context, string, string) (net.Conn, error) { return g, nil }}
	resp, err := carrier.RoundTrip(req)
	if err != nil {
		in.T.Fatal(err)
	}
	g.shut.Store(gated)
	in.T.Cleanup(func() {
		close(g.open)
		_ = resp.Body.Close()
		carrier.CloseIdleConnections()
	})
	if resp.StatusCode != http.StatusOK || (resp.ProtoMajor == 2) != (protocol == "h2") {
		in.T.Fatalf("%s, %s", resp.Status, resp.Proto)
	}
}

// K2: who has no right to a stream any more does not keep it by reading nothing of it:
// it ends within five seconds, also where a write waits for him.
func TestK2_StalledReader(t *testing.T) {
	t.Parallel()
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	headers := map[string]any{}
	for i := range mezu.MaxRouteHeaders {
		headers[fmt.Sprint("X-", i)] = strings.Repeat("x", mezu.MaxRouteHeaderLen)
	}
	routes := make([]map[string]any, 128)
	for i := range routes {
		routes[i] = map[string]any{"exact": fmt.Sprint("/", i), "headers": headers}
	}
	body, err := json.Marshal(map[string]any{"routes": routes})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v1/organizations/acme/projects/shop/environments/production/routes"
	// More than what is on the way between two sockets.
	fill := func() {
		for range 3 {
			if status, _, answer := in.Raw("PUT", path, token, "application/json", string(body)); status != http.StatusOK {
				t.Fatalf("%d: %s", status, answer)
			}
		}
	}
	for i, c := range []struct {
		operation, protocol string
		gated               bool
	}{
		{api.OpWatchRoutes.ID, "http/1.1", false}, {api.OpWatchRoutes.ID, "h2", false}, {api.OpWatchRoutes.ID, "h2", true}, {api.OpEdgeStream.ID, "http/1.1", false},
	} {
		t.Run(fmt.Sprint(c.operation, "/", c.protocol, "/", c.gated), func(t *testing.T) {
			over := func() int { return strings.Count(in.Log.String(), `msg="stream ended" operation=`+c.operation) }
			before := over()
			var end func()
			if c.operation == api.OpEdgeStream.ID {
				e, _ := in.Enrol(op, "edge-1")
				stall(in, c.protocol, api.OpEdgeStream.Path, "", e.Cert, c.gated)
				end = func() { controltest.Call[any](t, op, api.OpDeleteEdge, nil, e.ID) }
			} else {
				account, key := x.Account(fmt.Sprint("reader-", i), mezu.PermRoutesRead)
				stall(in, c.protocol, path+"/watch", key, nil, c.gated)
				end = func() { controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, account.ID) }
			}
			fill()
			if over() != before {
				t.Fatal("the stream has ended before its right did")
			}
			end()
			// Five seconds are promised, and a busy machine takes its own.
			controltest.EventuallyWithin(t, 20*time.Second, "the stream to end", func() bool { return over() > before })
		})
	}
}
