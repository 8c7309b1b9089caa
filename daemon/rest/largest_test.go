//go:build unix

package rest_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// TestLargestTunnelFits: a tunnel of which everything is as long as it may be, each byte of a
// path written as six, fits in one event beside its links.
func TestLargestTunnelFits(t *testing.T) {
	path := "/" + strings.Repeat("\x01", mezu.MaxTunnelPath-1)
	target := "[fe80::1%" + strings.Repeat("x", mezu.MaxTunnelTarget-len("[fe80::1%]:80")) + "]:80"
	large := spec("dev")
	large.API, large.CAFile = strings.Repeat("\x01", mezu.MaxTunnelPath), path
	large.TunnelTarget = mezu.TunnelTarget{Target: path, UpstreamCA: path, AllowTargets: slices.Repeat([]string{target}, mezu.MaxTunnelTargets)}
	if err := large.Validate(); err != nil {
		t.Fatal(err)
	}
	var line bytes.Buffer
	must(t, json.NewEncoder(&line).Encode(local.Event{Event: mezu.Event{Event: local.EventTunnel}, Record: &mezu.Tunnel{TunnelSpec: large}}))
	if line.Len() > local.MaxEvent*3/4 { // the rest is for links
		t.Errorf("%d bytes", line.Len())
	}
}
