package filter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// chosen makes an exchange with the route that a table of one route chooses for a request.
func chosen(t testing.TB, route mezu.Route, method string, in ...string) *Exchange {
	t.Helper()
	route.Prefix = "/"
	table, err := policy.Compile(&mezu.Bundle{Position: mezu.Position{Epoch: 1, Revision: 1}, Environment: shop, Endpoint: "shop-acme", Enabled: true, Routes: []mezu.Route{route}})
	if err != nil {
		t.Fatal(err)
	}
	x := &Exchange{}
	x.Request = relay.Request{Method: method, Path: mezu.Path{Path: "/"}, Authority: "shop.edge.example", Fields: fields(in...)}
	d := table.Choose(&policy.Request{Method: method, Path: x.Request.Path, Carries: x.Request.Carries, Edge: true, Preflight: x.Preflight()})
	if d.Route == nil {
		t.Fatalf("%+v", d)
	}
	x.Choose(nil, &d)
	return x
}

// lines are fields as text.
func lines(in []relay.Field) (out []string) {
	for _, f := range in {
		out = append(out, string(f.Name)+": "+string(f.Value))
	}
	return out
}

// Preflights are answered by the edge, by what the route allows.
func TestCORS_Preflights(t *testing.T) {
	strict := mezu.Route{Methods: []string{"GET", "PUT"}, CORS: &mezu.CORS{AllowOrigins: []string{"https://a.example"}, AllowHeaders: []string{"Content-Type"}, AllowCredentials: true, MaxAge: mezu.Duration(10 * time.Minute)}}
	loose := mezu.Route{CORS: &mezu.CORS{AllowOrigins: []string{"*"}, AllowHeaders: []string{"*"}, AllowMethods: []string{"*"}}}
	for name, c := range map[string]struct {
		route mezu.Route
		in    []string
		code  mezu.Code
		want  string // a field of the answer
	}{
		"one":             {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "PUT"}, "", "Access-Control-Allow-Methods: GET, PUT"},
		"its age":         {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "PUT"}, "", "Access-Control-Max-Age: 600"},
		"its cookies":     {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "GET"}, "", "Access-Control-Allow-Credentials: true"},
		"its origin":      {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "GET"}, "", "Access-Control-Allow-Origin: https://a.example"},
		"its fields":      {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "content-type"}, "", "Access-Control-Allow-Headers: Content-Type"},
		"private network": {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Private-Network", "true"}, "", "Access-Control-Allow-Private-Network: true"},
		"another origin":  {strict, []string{"Origin", "https://b.example", "Access-Control-Request-Method", "GET"}, mezu.CodeForbidden, ""},
		"null":            {strict, []string{"Origin", "null", "Access-Control-Request-Method", "GET"}, mezu.CodeForbidden, ""},
		"two origins":     {strict, []string{"Origin", "https://a.example", "Origin", "https://a.example", "Access-Control-Request-Method", "GET"}, mezu.CodeForbidden, ""},
		"another field":   {strict, []string{"Origin", "https://a.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "content-type,x-a"}, mezu.CodeForbidden, ""},
		"everybody":       {loose, []string{"Origin", "https://b.example", "Access-Control-Request-Method", "PATCH", "Access-Control-Request-Headers", "x-a"}, "", "Access-Control-Allow-Origin: *"},
		"their methods":   {loose, []string{"Origin", "https://b.example", "Access-Control-Request-Method", "PATCH"}, "", "Access-Control-Allow-Methods: PATCH"},
		// Fetch: a star does not stand for Authorization.
		"a star and a token": {loose, []string{"Origin", "https://b.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"}, mezu.CodeForbidden, ""},
	} {
		x := chosen(t, c.route, "OPTIONS", c.in...)
		a, err := all().Before(x)
		if mezu.CodeOf(err) != c.code || c.code == "" && (a == nil || a.Status != 204) || x.Step != policy.StepPreflight {
			t.Errorf("%s: %v, %v at %s", name, a, err, x.Step)
			continue
		}
		h := &relay.ResponseHead{}
		if a != nil {
			for _, f := range a.Header {
				h.Fields = append(h.Fields, fields(f.Name, f.Value)...)
			}
		}
		all().Response(x, h, FromRoute)
		if got := lines(h.Fields); c.want != "" && !slices.Contains(got, c.want) || strings.Count(strings.Join(got, "\n"), "Access-Control-Allow-Origin") > 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
	// Without an Origin, a method or a route with cors it is an ordinary request.
	for _, in := range [][]string{{"Origin", "https://a.example"}, {"Access-Control-Request-Method", "GET"}, {"Origin", "https://a.example", "Access-Control-Request-Method", "GET", "Access-Control-Request-Method", "PUT"}} {
		if a, err := all().Before(chosen(t, mezu.Route{CORS: strict.CORS}, "OPTIONS", in...)); a != nil || err != nil {
			t.Errorf("%q: %v, %v", in, a, err)
		}
	}
	if a, err := all().Before(chosen(t, mezu.Route{}, "OPTIONS", "Origin", "https://a.example", "Access-Control-Request-Method", "GET")); a != nil || err != nil {
		t.Errorf("without cors: %v, %v", a, err)
	}
}

// Every response of a route with cors says who may read it, and the workload's word on that is
// dropped.
func TestCORS_Responses(t *testing.T) {
	named := mezu.Route{CORS: &mezu.CORS{AllowOrigins: []string{"https://a.example", "https://*.example.com"}, ExposeHeaders: []string{"X-Total"}}}
	open := mezu.Route{CORS: &mezu.CORS{AllowOrigins: []string{"*"}}}
	const expose = "Access-Control-Expose-Headers: X-Request-Id, Retry-After, RateLimit"
	for name, c := range map[string]struct {
		route    mezu.Route
		in, says []string
		want     string
	}{
		"allowed":      {named, []string{"Origin", "https://a.example"}, nil, "Access-Control-Allow-Origin: https://a.example\n" + expose + ", X-Total\nVary: Origin"},
		"below":        {named, []string{"Origin", "https://b.example.com"}, nil, "Access-Control-Allow-Origin: https://b.example.com\n" + expose + ", X-Total\nVary: Origin"},
		"another":      {named, []string{"Origin", "https://evil.example"}, []string{"access-control-allow-origin", "*", "Access-Control-Allow-Credentials", "true"}, "Vary: Origin"},
		"two":          {named, []string{"Origin", "https://a.example", "Origin", "https://a.example"}, nil, "Vary: Origin"},
		"no page":      {named, nil, []string{"Vary", "Accept"}, "Vary: Accept\nVary: Origin"},
		"varies":       {named, nil, []string{"Vary", "Accept, origin"}, "Vary: Accept, origin"},
		"by all":       {named, nil, []string{"Vary", "*"}, "Vary: *"},
		"everybody":    {open, []string{"Origin", "https://b.example"}, nil, "Access-Control-Allow-Origin: *\n" + expose},
		"everybody's":  {open, nil, nil, "Access-Control-Allow-Origin: *\n" + expose},
		"without cors": {mezu.Route{}, []string{"Origin", "https://a.example"}, []string{"Access-Control-Allow-Origin", "*"}, "Access-Control-Allow-Origin: *"},
	} {
		x := chosen(t, c.route, "GET", c.in...)
		h := &relay.ResponseHead{}
		h.Fields = fields(c.says...)
		all().Response(x, h, FromWorkload)
		if got := strings.Join(lines(h.Fields), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

// T10: a WebSocket of another site's page is refused where the route asks who its users are, logged in
// or not, unless the route's cors names the origin.
func TestT10_WebSocketsOfOtherOrigins(t *testing.T) {
	names, all2 := &mezu.CORS{AllowOrigins: []string{"https://a.example"}}, &mezu.CORS{AllowOrigins: []string{"*"}}
	for name, c := range map[string]struct {
		auth   mezu.AuthMode
		cors   *mezu.CORS
		origin string
		passes bool
	}{
		"public":          {mezu.AuthNone, nil, "https://evil.example", true},
		"its own":         {mezu.AuthRequired, nil, "https://shop.edge.example", true},
		"a program":       {mezu.AuthRequired, nil, "", true},
		"another":         {mezu.AuthOptional, nil, "https://evil.example", false},
		"null":            {mezu.AuthRequired, names, "null", false},
		"one it names":    {mezu.AuthRequired, names, "https://a.example", true},
		"one it does not": {mezu.AuthRequired, names, "https://evil.example", false},
		"any":             {mezu.AuthRequired, all2, "https://evil.example", false},
	} {
		var in []string
		if c.origin != "" {
			in = []string{"Origin", c.origin}
		}
		x := chosen(t, mezu.Route{Auth: c.auth, CORS: c.cors}, "GET", in...)
		x.Request.Upgrade = "websocket"
		_, err := all().Before(x)
		want := mezu.CodeForbidden
		if c.passes {
			want = ""
		}
		if mezu.CodeOf(err) != want || !c.passes && x.Step != policy.StepSize {
			t.Errorf("%s: %v at %s", name, err, x.Step)
		}
	}
}

// What CORS adds to a response costs no memory.
func TestCORS_AllocatesNothing(t *testing.T) {
	x := chosen(t, mezu.Route{CORS: &mezu.CORS{AllowOrigins: []string{"https://*.example.com"}, AllowCredentials: false}}, "GET", "Origin", "https://b.example.com")
	chain, h := all(), &relay.ResponseHead{}
	h.Fields = append(make([]relay.Field, 0, 16), fields("Content-Type", "text/html", "Access-Control-Allow-Origin", "*", "Vary", "Accept")...)
	given := slices.Clone(h.Fields)
	d := policy.Decision{Route: x.Route}
	if n := testing.AllocsPerRun(100, func() {
		h.Fields = append(h.Fields[:0], given...)
		x.Choose(nil, &d)
		chain.Before(x)
		chain.Response(x, h, FromWorkload)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCORS(b *testing.B) {
	x := chosen(b, mezu.Route{CORS: &mezu.CORS{AllowOrigins: []string{"https://*.example.com", "https://a.example"}}}, "GET", "Origin", "https://b.example.com")
	chain, h := all(), &relay.ResponseHead{}
	h.Fields = append(make([]relay.Field, 0, 16), fields("Content-Type", "text/html", "Vary", "Accept")...)
	given := slices.Clone(h.Fields)
	d := policy.Decision{Route: x.Route}
	b.ReportAllocs()
	for b.Loop() {
		h.Fields = append(h.Fields[:0], given...)
		x.Choose(nil, &d)
		chain.Before(x)
		chain.Response(x, h, FromWorkload)
	}
}
