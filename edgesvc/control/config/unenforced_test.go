package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/policy"
)

// What this version does not enforce yet is kept, its route is closed, and its author
// is told in the same answer, by field.
func TestUnenforcedFields(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	judged := func(path string) mezu.Code {
		t.Helper()
		_, out := in.Register(key, "")
		b := controltest.DecodeBundle(t, out.Bundle)
		table, err := policy.Compile(&b)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := mezu.CanonicalPath(path)
		if err != nil {
			t.Fatal(err)
		}
		return table.Decide(&policy.Request{Method: "GET", Path: canonical}).Code
	}
	fields := map[string]any{
		"auth_methods": []string{"basic"}, "waf": "block", "rate_limit": map[string]any{"requests": 1, "per": "1s", "by": "ip"},
		"cors": map[string]any{"allow_origins": []string{"https://a.example"}}, "strip_prefix": "/x", "redirect": map[string]any{"to": "/"},
		"request_headers": map[string]any{"remove": []string{"X-A"}}, "response_headers": map[string]any{"set": map[string]any{"X-A": "b"}},
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		value := fields[field]
		exact := "/" + field
		plain := controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": exact, "name": strings.ReplaceAll(field, "_", "-")}, x.Path()...)
		if len(plain.Warnings) != 0 || judged(exact) != "" {
			t.Errorf("%s: a plain route: %q, %q", field, plain.Warnings, judged(exact))
		}
		got := controltest.Call[api.RouteWritten](t, op, api.OpUpdateRoute, map[string]any{field: value}, x.Path(plain.ID)...)
		if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], ": "+field+" is not enforced") {
			t.Errorf("%s: warnings %q", field, got.Warnings)
		}
		if code := judged(exact); code != mezu.CodeRouteUnavailable {
			t.Errorf("%s: the route answers %q", field, code)
		}
		if shown := controltest.Call[mezu.Route](t, op, api.OpGetRoute, nil, x.Path(plain.ID)...); len(shown.Unenforced()) != 1 {
			t.Errorf("%s was not kept: %+v", field, shown)
		}
		controltest.Call[any](t, op, api.OpDeleteRoute, nil, x.Path(plain.ID)...)
		if made := controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": exact, field: value}, x.Path()...); len(made.Warnings) != 1 {
			t.Errorf("%s: warnings at creation %q", field, made.Warnings)
		}
	}
	// The environment's own default likewise, wherever no route says otherwise.
	controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": "/plain"}, x.Path()...)
	controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": "/off", "waf": "off"}, x.Path()...)
	env := controltest.Call[api.EnvironmentWritten](t, op, api.OpUpdateEnvironment, map[string]any{"waf": "detect"}, x.Path()...)
	if len(env.Warnings) != 1 || !strings.HasPrefix(env.Warnings[0], "waf is not enforced") || env.WAF != mezu.WAFDetect {
		t.Errorf("the environment: %+v", env)
	}
	if judged("/plain") != mezu.CodeRouteUnavailable || judged("/off") != "" {
		t.Errorf("/plain answers %q, /off %q", judged("/plain"), judged("/off"))
	}
	state := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if len(state.Warnings) != len(fields)+1 || !strings.HasPrefix(state.Warnings[0], "waf is not enforced") {
		t.Errorf("listed warnings: %q", state.Warnings)
	}
	made := controltest.Call[api.EnvironmentWritten](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging", "waf": "block"}, x.Org, x.Prj)
	if len(made.Warnings) != 1 {
		t.Errorf("created: %+v", made)
	}
}
