package rest_test

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
	over := func(operation string) int {
		return strings.Count(in.Log.String(), `msg="stream ended" operation=`+operation)
	}
	readers := []struct {
		operation, protocol string
		gated               bool
	}{
		{api.OpWatchRoutes.ID, "http/1.1", false}, {api.OpWatchRoutes.ID, "h2", false}, {api.OpWatchRoutes.ID, "h2", true}, {api.OpEdgeStream.ID, "http/1.1", false},
	}
	// All of them at once, for each takes its five seconds.
	var ends []func()
	want := map[string]int{}
	for i, c := range readers {
		want[c.operation]++
		if c.operation == api.OpEdgeStream.ID {
			e, _ := in.Enrol(op, "edge-1")
			stall(in, c.protocol, api.OpEdgeStream.Path, "", e.Cert, c.gated)
			ends = append(ends, func() { controltest.Call[any](t, op, api.OpDeleteEdge, nil, e.ID) })
		} else {
			account, key := x.Account(fmt.Sprint("reader-", i), mezu.PermRoutesRead)
			stall(in, c.protocol, path+"/watch", key, nil, c.gated)
			ends = append(ends, func() { controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, account.ID) })
		}
	}
	// More than what is on the way between two sockets.
	for range 3 {
		if status, _, answer := in.Raw("PUT", path, token, "application/json", string(body)); status != http.StatusOK {
			t.Fatalf("%d: %s", status, answer)
		}
	}
	for operation := range want {
		if n := over(operation); n != 0 {
			t.Fatalf("%d streams of %s have ended before their right did", n, operation)
		}
	}
	for _, end := range ends {
		end()
	}
	for _, c := range readers {
		t.Run(fmt.Sprint(c.operation, "/", c.protocol, "/", c.gated), func(t *testing.T) {
			// Five seconds are promised, and a busy machine takes its own.
			controltest.EventuallyWithin(t, 20*time.Second, "the streams to end", func() bool { return over(c.operation) == want[c.operation] })
		})
	}
}
