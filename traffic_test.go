package mezu_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// What a route or an environment asks of its traffic is refused with the name of the field. A stored
// route with such a value is warned of, and is closed.
func TestTraffic_Refuses(t *testing.T) {
	second := mezu.Duration(1e9)
	cors := func(c mezu.CORS) mezu.Route {
		if c.AllowOrigins == nil {
			c.AllowOrigins = []string{"https://a.example"}
		}
		return mezu.Route{CORS: &c}
	}
	from := func(origin string) mezu.Route { return cors(mezu.CORS{AllowOrigins: []string{origin}}) }
	waf := func(s mezu.WAFSettings) mezu.Route { return mezu.Route{WAFSettings: &s} }
	signed := func(r mezu.Route) mezu.Route {
		if r.AuthMethods == nil {
			r.AuthMethods = []string{"webhook:stripe"}
		}
		return r
	}
	for _, c := range []struct {
		field string
		route mezu.Route
	}{
		{"cors.allow_origins[0]", from("null")}, {"cors.allow_origins[0]", from("https://a.example/")}, {"cors.allow_origins[0]", from("https://a.example/x")},
		{"cors.allow_origins[0]", from("https://a.example:443")}, {"cors.allow_origins[0]", from("http://a.example:80")}, {"cors.allow_origins[0]", from("https://A.example")},
		{"cors.allow_origins[0]", from("https://*..com")}, {"cors.allow_origins[0]", from("https://[::0001]")}, {"cors.allow_origins[0]", from("https://127.1")}, {"cors.allow_origins[0]", from("https://a\"b.c")}, {"cors.allow_origins[0]", from("http://10.0.0.0x1:81")},
		{"cors.allow_origins[0]", from("a.example")}, {"cors.allow_origins[0]", from("https://*.example")}, {"cors.allow_origins[0]", from("https://*")},
		{"cors.allow_origins[0]", from("https://a.*.example.com")}, {"cors.allow_origins[0]", from("http://*.example.com")}, {"cors.allow_origins[0]", from("https://*.*.com")},
		{"cors.allow_origins[0]", from("https://a.example.")}, {"cors.allow_origins[0]", from("https://a@b.example")}, {"cors.allow_origins[0]", from("https://a.example?x")},
		{"cors.allow_origins[0]", from("https://a.example:")}, {"cors.allow_origins[0]", from("https://a.example:099")}, {"cors.allow_origins[0]", from("https://ä.example")},
		{"cors.allow_origins[0]", from("https://")}, {"cors.allow_origins[0]", from("")},
		{"cors.allow_methods[0]", cors(mezu.CORS{AllowMethods: []string{"GET, POST"}})}, {"cors.allow_methods[1]", cors(mezu.CORS{AllowMethods: []string{"PUT", "patch"}})}, {"cors.allow_methods[0]", cors(mezu.CORS{AllowMethods: []string{"TRACE"}})},
		{"cors.allow_headers[1]", cors(mezu.CORS{AllowHeaders: []string{"X-A", "X B"}})},
		{"cors.expose_headers[0]", cors(mezu.CORS{ExposeHeaders: []string{"X:A"}})}, {"cors.max_age", cors(mezu.CORS{MaxAge: -second})},
		{"cors.allow_origins", cors(mezu.CORS{AllowOrigins: []string{"*"}, AllowCredentials: true})},
		{"cors.allow_origins", cors(mezu.CORS{AllowOrigins: []string{"https://*.example.com"}, AllowCredentials: true})},
		{"cors.allow_methods", cors(mezu.CORS{AllowMethods: []string{"*"}, AllowCredentials: true})},
		{"cors.allow_headers", cors(mezu.CORS{AllowHeaders: []string{"*"}, AllowCredentials: true})},
		{"cors.expose_headers", cors(mezu.CORS{ExposeHeaders: []string{"*"}, AllowCredentials: true})},
		{"rate_limit.burst", mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, Per: second, By: "ip", Burst: -1}}},
		{"rate_limit.burst", mezu.Route{RateLimit: &mezu.RateLimit{Requests: 1, Per: second, By: "ip", Burst: mezu.MaxRateRequests + 1}}},
		{"waf_settings.paranoia", waf(mezu.WAFSettings{Paranoia: mezu.MaxParanoia + 1})}, {"waf_settings.threshold", waf(mezu.WAFSettings{Threshold: mezu.MaxWAFThreshold + 1})},
		{"waf_settings.body", waf(mezu.WAFSettings{Body: mezu.MaxWAFBody + 1})}, {"waf_settings.exclude", waf(mezu.WAFSettings{Exclude: make([]mezu.WAFExclusion, mezu.MaxWAFExclusions+1)})},
		{"waf_settings.exclude[0].rule", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 900_000}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: `ARGS:a",deny`}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "ARGS:" + strings.Repeat("x", mezu.MaxWAFTarget)}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "TX:x"}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "REQUEST_URI:x"}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "REQUEST_FILENAME:*"}}})},
		{"waf_settings.exclude[0].target", waf(mezu.WAFSettings{Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "REQUEST_BODY:a"}}})},
		{"respond.status", mezu.Route{Respond: &mezu.Respond{Status: 101}}}, {"respond.status", mezu.Route{Respond: &mezu.Respond{Status: 600}}},
		{"respond.body", mezu.Route{Respond: &mezu.Respond{Body: strings.Repeat("x", mezu.MaxRespondBody+1)}}}, {"respond.body", mezu.Route{Respond: &mezu.Respond{Status: 204, Body: "x"}}},
		{"respond.content_type", mezu.Route{Respond: &mezu.Respond{ContentType: "a\r\nb"}}}, {"respond", mezu.Route{Respond: &mezu.Respond{}, Redirect: &mezu.Redirect{To: "/x"}}},
		{"auth_methods", signed(mezu.Route{Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:a", "session"}})}, {"auth", signed(mezu.Route{})},
		{"auth", signed(mezu.Route{Auth: mezu.AuthOptional})}, {"auth_methods", signed(mezu.Route{Auth: mezu.AuthRequired, Roles: []string{"staff"}})},
	} {
		c.route.Prefix = "/"
		refused(t, c.field, c.route.Validate(), c.field)
		warnings := mezu.Warnings(t.Context(), []mezu.Route{c.route})
		if len(warnings) == 0 || !strings.Contains(strings.Join(warnings, "\n"), c.field) {
			t.Errorf("%s: stored, warnings %q", c.field, warnings)
		}
	}
	for _, c := range []struct {
		field string
		env   mezu.Environment
	}{
		{"maintenance.message", mezu.Environment{Maintenance: &mezu.Maintenance{Message: strings.Repeat("x", mezu.MaxMaintenanceMessage+1)}}},
		{"maintenance.retry_after", mezu.Environment{Maintenance: &mezu.Maintenance{RetryAfter: mezu.MaxRetryAfter + 1}}},
		{"maintenance.retry_after", mezu.Environment{Maintenance: &mezu.Maintenance{RetryAfter: 1}}},
		{"maintenance.allow_ips[0]", mezu.Environment{Maintenance: &mezu.Maintenance{AllowIPs: []string{"x"}}}},
		{"allow_ips", mezu.Environment{AllowIPs: []string{}}}, {"deny_ips[0]", mezu.Environment{DenyIPs: []string{"10.0.0.0/99"}}},
		{"waf_settings.paranoia", mezu.Environment{WAFSettings: &mezu.WAFSettings{Paranoia: -1}}},
	} {
		c.env.Name = "production"
		refused(t, c.field, c.env.Validate(), c.field)
	}
}

// Routes between which a preflight can't choose are named.
func TestTraffic_WarnsOfDifferentCORS(t *testing.T) {
	c := &mezu.CORS{AllowOrigins: []string{"https://a.example"}}
	beta := map[string]string{"X-Beta": "1"}
	for name, routes := range map[string][2]mezu.Route{
		"beta and rest differ in cors: a preflight whose request may have either gets 403": {{Name: "beta", Prefix: "/", Headers: beta, CORS: c}, {Name: "rest", Prefix: "/"}},
		"":               {{Name: "beta", Prefix: "/", Headers: beta, CORS: c}, {Name: "rest", Prefix: "/", CORS: &mezu.CORS{AllowOrigins: []string{"https://a.example"}}}},
		"-other path":    {{Name: "beta", Prefix: "/", Headers: beta, CORS: c}, {Name: "rest", Prefix: "/x/"}},
		"-other methods": {{Name: "beta", Prefix: "/", Headers: beta, Methods: []string{"GET"}, CORS: c}, {Name: "rest", Prefix: "/", Methods: []string{"PUT"}}},
		"-no conditions": {{Name: "read", Prefix: "/", Methods: []string{"GET"}, CORS: c}, {Name: "rest", Prefix: "/"}},
	} {
		want := []string{name}
		if name == "" || name[0] == '-' {
			want = nil
		}
		if got := mezu.Warnings(t.Context(), routes[:]); !slices.Equal(got, want) {
			t.Errorf("%s: %q", name, got)
		}
		routes[0].ID, routes[1].ID = "rte_1", "rte_2"
		if got := routes[1].Warnings(t.Context(), routes[:]); !slices.Equal(got, want) {
			t.Errorf("%s, written alone: %q", name, got)
		}
	}
}

func TestTraffic_Accepts(t *testing.T) {
	for _, origin := range []string{"*", "https://a.example", "http://localhost:5173", "https://*.example.com", "https://*.example.com:8443", "https://[2001:db8::1]:8443", "http://127.0.0.1:8080",
		"chrome-extension://abcdefghijklmnop", "https://xn--4ca.example"} {
		r := mezu.Route{Prefix: "/", CORS: &mezu.CORS{AllowOrigins: []string{origin}, AllowMethods: []string{"PUT", "*"}, AllowHeaders: []string{"*", "Authorization"}, MaxAge: mezu.MaxCORSAge}}
		accepted(t, origin, r.Validate())
	}
	accepted(t, "everything", (&mezu.Route{Prefix: "/", Auth: mezu.AuthRequired, AuthMethods: []string{"webhook:stripe"}, RateLimit: &mezu.RateLimit{Requests: mezu.MaxRateRequests, Per: mezu.MaxRatePer, By: "ip", Burst: 1},
		WAFSettings: &mezu.WAFSettings{Paranoia: 4, Threshold: 10, Body: mezu.MaxWAFBody, Exclude: []mezu.WAFExclusion{{Rule: 942_100, Target: "ARGS:comment"}, {Rule: 920_350}, {Rule: 941_100, Target: "REQUEST_COOKIES"}}}}).Validate())
	accepted(t, "an answer", (&mezu.Route{Exact: "/", Respond: &mezu.Respond{Status: 410, ContentType: "application/json", Body: "{}"}}).Validate())
	e := mezu.Environment{Name: "production", AllowIPs: []string{"192.0.2.0/24"}, DenyIPs: []string{"192.0.2.7"}, Maintenance: &mezu.Maintenance{Message: "back at noon", RetryAfter: mezu.Duration(60e9), AllowIPs: []string{"::1"}}}
	accepted(t, "an environment", e.Validate())
	if m := e.Manifest(); m.Maintenance != e.Maintenance || m.Environment("production").Maintenance != e.Maintenance {
		t.Errorf("%+v", m)
	}
}
