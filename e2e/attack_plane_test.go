package e2e

import (
	"crypto/tls"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// Paths that an admin listener alone answers, and those of the control plane's API.
var (
	adminPaths = []string{"/livez", "/readyz", "/metrics", "/debug/pprof/", "/debug/vars"}
	apiPaths   = []string{"/v1/organizations", "/v1/bootstrap", "/openapi.json", "/docs"}
)

// Neither the control plane nor what an admin listener shows is behind a public name,
// and the API's listener shows nothing of the admin's.
func attackA11(t *testing.T, a *target) {
	servicePaths := slices.Concat(adminPaths, apiPaths)
	for _, name := range []string{"localhost", "console.localhost", "api.localhost", "control.localhost", "mezusphere.localhost"} {
		c := a.dialName(t, name)
		for _, host := range []string{name, a.api, a.admin} {
			want := mezu.CodeUnknownHost
			if host != name {
				want = mezu.CodeWrongHost
			}
			for _, path := range servicePaths {
				c.send("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nX-Request-Id: refused-a11\r\n\r\n")
				if got := c.must("GET"); got.code != string(want) {
					t.Errorf("%s: Host %s, %s: answer is %d %s", name, host, path, got.status, got.code)
				}
			}
		}
	}
	c := a.dial(t)
	for _, path := range servicePaths {
		c.send("GET " + path + " HTTP/1.1\r\nHost: " + a.host + "\r\nX-Request-Id: refused-a11\r\n\r\n")
		if got := c.must("GET"); got.code != string(mezu.CodeNoRoute) {
			t.Errorf("the tenant's name, %s: answer is %d %s", path, got.status, got.code)
		}
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}, DisableKeepAlives: true}}
	for _, path := range adminPaths {
		resp, err := client.Get("https://" + a.api + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("the API answers %s with %d", path, resp.StatusCode)
		}
	}
}
