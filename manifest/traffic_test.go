package manifest_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/manifest"
)

// What an edge rewrites and answers is read from a file, shown by the API and taken back without a
// change.
func TestParse_RewritingAndAnswers(t *testing.T) {
	f, err := manifest.Parse(t.Context(), "mezu.yaml", []byte(`
organization: acme
project: shop
environments:
  production:
    allow_ips: [192.0.2.0/24]
    deny_ips: [192.0.2.7]
    maintenance: {message: "Back at noon.", retry_after: 15m, allow_ips: ["::1"]}
    routes:
      - {exact: /gone, respond: {status: 410, content_type: application/json, body: "{}"}}
      - {prefix: /old/, strip_prefix: /old, redirect: {to: "/new{path}?{query}", status: 308}}
      - prefix: /shop/
        strip_prefix: /shop
        request_headers: {set: {X-A: b}, remove: [X-B]}
        response_headers: {set: {X-Frame-Options: DENY}, remove: [Server]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := mezu.ManifestEnvironment{
		AllowIPs: []string{"192.0.2.0/24"}, DenyIPs: []string{"192.0.2.7"}, Maintenance: &mezu.Maintenance{Message: "Back at noon.", RetryAfter: mezu.Duration(900e9), AllowIPs: []string{"::1"}},
		Routes: []mezu.Route{
			{Exact: "/gone", Respond: &mezu.Respond{Status: 410, ContentType: "application/json", Body: "{}"}},
			{Prefix: "/old/", StripPrefix: "/old", Redirect: &mezu.Redirect{To: "/new{path}?{query}", Status: 308}},
			{Prefix: "/shop/", StripPrefix: "/shop", RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-A": "b"}, Remove: []string{"X-B"}}, ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-Frame-Options": "DENY"}, Remove: []string{"Server"}}},
		},
	}
	if got := f.Manifest.Environments["production"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	data, err := json.Marshal(f.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	var back mezu.Manifest
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if changes := f.Manifest.Changes(&back, true); len(changes) != 0 {
		t.Errorf("taken back it changes %+v", changes)
	}
	if changes := f.Manifest.Changes(&mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"production": {}}}, true); len(changes) != 6 {
		t.Errorf("against nothing it changes %+v", changes)
	}
}
