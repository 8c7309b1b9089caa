package manifest_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/manifest"
)

func TestParse_Tunnels(t *testing.T) {
	f, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(`project: shop
tunnels:                # stays on this machine
  web: {to: 3000, host_header: target, environment: staging}
  docs: {to: ./site, listing: true, spa: true}
  idp: {to: "https://localhost:8443", upstream_ca: ca.pem}
`))
	if err != nil {
		t.Fatal(err)
	}
	if web := f.Tunnels["web"]; web != (manifest.Tunnel{To: "3000", HostHeader: "target", Environment: "staging"}) {
		t.Errorf("%+v", web)
	}
	if docs := f.Tunnels["docs"]; docs.To != "./site" || !docs.Listing || !docs.SPA || f.Tunnels["idp"].UpstreamCA != "ca.pem" {
		t.Errorf("%+v", f.Tunnels)
	}
	// Nothing that is sent has them.
	body, err := json.Marshal(api.ApplyRequest{Manifest: f.Manifest})
	if err != nil || strings.Contains(string(body), "tunnel") || strings.Contains(string(body), "3000") {
		t.Errorf("%s %v", body, err)
	}
	at := f.ExplainTunnel("docs", "to", mezu.Invalid("", "is no folder"))
	if where, ok := errors.AsType[*manifest.Error](at); !ok || where.Line != 4 || where.Column != 10 {
		t.Errorf("%v", at)
	}
}

func TestParse_WrongTunnels(t *testing.T) {
	for text, want := range map[string]string{
		"tunnels:\n  web: {to: 3000, nonsense: 1}\n":              "2:19: tunnels.web.nonsense",
		"tunnels:\n  web: {host_header: target}\n":                "2:3: tunnels.web.to: a target is required",
		"tunnels:\n  Web: {to: 3000}\n":                           "2:3: tunnels.Web",
		"tunnels:\n  web: {to: true}\n":                           "2:9: tunnels.web.to: a boolean does not fit here",
		"tunnels:\n  web: {to: 1, environment: A}\n":              "2:16: tunnels.web.environment",
		"tunnels:\n  web: {to: 1}\n  web: {to: 2}\n":              "3:3: ",
		"tunnels: [3000]\n":                                       "1:1: tunnels",
		"tunnels:\n  web: {to: " + strings.Repeat("a", 200) + "}": "2:9: tunnels.web.to: has more than",
	} {
		if _, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
