package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestAddressLimits: what the flags of an edge say of one address holds, is counted by limit, and
// does not concern those that have none.
func TestAddressLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	e := w.addEdge("edge-1", "--address-connections", "5", "--address-handshakes", "1", "--address-handshake-burst", "20",
		"--address-requests", "1", "--address-request-burst", "10", "--unlimited-addresses", "127.0.0.1,192.0.2.0/24")
	w.addGate("gate", newWorkload(t, false).addr())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Timeout: patience}
	var in []*tls.Conn
	for range 40 {
		raw, err := d.Dial("tcp", e.https)
		if err != nil {
			t.Skipf("this system has one loopback address only: %v", err)
		}
		t.Cleanup(func() { raw.Close() })
		raw.SetDeadline(time.Now().Add(patience))
		c := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
		if c.Handshake() == nil {
			in = append(in, c)
		}
	}
	if len(in) != 5 {
		t.Errorf("%d connections came in", len(in))
	}
	status := map[int]int{}
	r := bufio.NewReader(in[0])
	for range 15 {
		fmt.Fprintf(in[0], "GET /echo HTTP/1.1\r\nHost: %s\r\n\r\n", w.host)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		status[resp.StatusCode]++
	}
	if status[200] < 10 || status[429] == 0 || status[200]+status[429] != 15 {
		t.Errorf("its requests got %v", status)
	}
	for _, limit := range []string{"connections", "handshakes", "requests"} {
		if measured(t, e.admin, fmt.Sprintf("mezu_edge_connections_limited_total{limit=%q}", limit)) == 0 {
			t.Errorf("nothing is counted of %s", limit)
		}
	}
	if n := measured(t, e.admin, `mezu_edge_filter_refusals_total{code="rate_limited",step="load"}`); n != float64(status[429]) {
		t.Errorf("%v of them are counted for the step", n)
	}
	for range 30 {
		served(t, w, e)
	}
}
