package edge

import (
	"net"
	"testing"
)

// Nobody is told of an address that means all of a machine's.
func TestReached(t *testing.T) {
	e := &Edge{cfg: Config{Host: "edge.example.com"}}
	for listener, want := range map[string]string{"[::]:443": "edge.example.com:443", "0.0.0.0:8443": "edge.example.com:8443", "192.0.2.1:443": "192.0.2.1:443"} {
		if got := e.reached(listener); got != want {
			t.Errorf("%s: %s, want %s", listener, got, want)
		}
	}
	e.cfg.Host = ""
	host, port, err := net.SplitHostPort(e.reached("[::]:443"))
	if ip := net.ParseIP(host); err != nil || host == "" || port != "443" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		t.Errorf("%q %q, %v", host, port, err)
	}
}
