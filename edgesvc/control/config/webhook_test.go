package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
)

func TestWebhooks(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	made := controltest.Call[mezu.Webhook](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	if made.Secrets != 0 || made.ID == "" || made.Revision != 1 {
		t.Errorf("made %+v", made)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "slack"}, x.Path()...)
	for _, c := range []struct {
		field string
		body  map[string]any
	}{
		{"provider", map[string]any{"name": "x", "provider": "none"}},
		{"hmac.header", map[string]any{"name": "x", "provider": "hmac"}},
		{"hmac.template", map[string]any{"name": "x", "provider": "hmac", "hmac": map[string]any{"header": "X-Sig", "template": "x"}}},
		{"secrets", map[string]any{"name": "x", "provider": "stripe", "secrets": 1}},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateWebhook, c.body, x.Path()...); e.Field != c.field {
			t.Errorf("%v: %+v", c.body, e)
		}
	}
	set := func(body map[string]any, ref string) int {
		t.Helper()
		return controltest.Call[mezu.Webhook](t, op, api.OpSetWebhookSecret, body, x.Path(ref)...).Secrets
	}
	for _, body := range []map[string]any{{}, {"secret": ""}, {"secret": " a"}, {"secret": "a\n"}} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpSetWebhookSecret, body, x.Path("pay")...); e.Field != "secret" {
			t.Errorf("%v: %+v", body, e)
		}
	}
	one, two, three := in.Secret("whsec_first_of_them"), in.Secret("whsec_second_of_them"), in.Secret("whsec_third_of_them")
	for i, step := range []struct {
		body map[string]any
		want int
	}{
		{map[string]any{"secret": one}, 1}, {map[string]any{"secret": one}, 1}, {map[string]any{"secret": two}, 2}, {map[string]any{"secret": three}, 2},
		{map[string]any{"only": true}, 1}, {map[string]any{"secret": one}, 2}, {map[string]any{"secret": two, "only": true}, 1},
	} {
		if got := set(step.body, []string{"pay", made.ID}[i%2]); got != step.want {
			t.Errorf("step %d: %d secrets", i, got)
		}
	}
	for _, path := range []string{"", "/pay"} {
		if _, _, body := in.Raw("GET", "/v1/organizations/acme/projects/shop/environments/production/webhooks"+path, token, "", ""); bytes.Contains([]byte(body), []byte("whsec")) {
			t.Errorf("serves %s", body)
		}
	}
	got := controltest.Call[mezu.Webhook](t, op, api.OpUpdateWebhook, map[string]any{"tolerance": "1m"}, x.Path("pay")...)
	if got.Secrets != 1 || got.Tolerance.String() != "1m" {
		t.Errorf("changed: %+v", got)
	}
	// Another provider has other secrets.
	if got := controltest.Call[mezu.Webhook](t, op, api.OpUpdateWebhook, map[string]any{"provider": "standard"}, x.Path("pay")...); got.Secrets != 0 {
		t.Errorf("changed: %+v", got)
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpSetWebhookSecret, map[string]any{"secret": "whsec_%"}, x.Path("pay")...); e.Field != "secret" {
		t.Errorf("%+v", e)
	}
	if err := op.Do(t.Context(), api.Call{Operation: api.OpUpdateWebhook, Params: x.Path("pay"), Body: map[string]any{}, IfMatch: 1}, nil); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Errorf("an old revision: %v", err)
	}
	controltest.Call[any](t, op, api.OpDeleteWebhook, nil, x.Path("pay")...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetWebhook, nil, x.Path("pay")...)
	in.Secret("whsec_padding_for_the_scan")
	in.ScanAudit()
}

func TestWebhooks_AreBounded(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	for i := range mezu.MaxWebhooks {
		controltest.Call[mezu.Webhook](t, op, api.OpCreateWebhook, map[string]any{"name": fmt.Sprintf("w%02d", i), "provider": "github"}, x.Path()...)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateWebhook, map[string]any{"name": "more", "provider": "github"}, x.Path()...)
	var names []string
	for w, err := range api.Matching[mezu.Webhook](t.Context(), op, api.OpListWebhooks, url.Values{"page_size": {"7"}}, x.Path()...) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, w.Name)
	}
	if len(names) != mezu.MaxWebhooks || !slices.IsSorted(names) || len(slices.Compact(names)) != mezu.MaxWebhooks {
		t.Errorf("listed %q", names)
	}
}

func sealingKey(t *testing.T) *edgepart.Key {
	t.Helper()
	k, err := edgepart.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestEdgePart: secrets reach the edges that have registered a key, encrypted to it, those that
// join later too, and no edge that was removed. What is sent holds none in the clear.
func TestEdgePart(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	first, second := sealingKey(t), sealingKey(t)
	e1, enrolled := in.EnrolSealing(op, "edge-1", first.Public())
	stream := controltest.OpenStream(t, in.Client("", e1.Cert), mezu.Position{})
	f := controltest.NewFollower(t, enrolled)
	f.Until(stream, "everything", func() bool { return f.Synced })
	if len(f.Parts) != 0 {
		t.Errorf("parts without webhooks: %v", f.Parts)
	}
	env := x.Environment.ID
	secret := in.Secret("whsec_nobody_reads_this")
	has := func(k *edgepart.Key, edge string, want ...string) func() bool {
		return func() bool {
			p := f.Parts[env]
			if p == nil {
				return false
			}
			if text, err := json.Marshal(p); err != nil || bytes.Contains(text, []byte("whsec")) {
				t.Fatalf("%s, %v", text, err)
			}
			content, err := k.Open(p, edge)
			if err != nil {
				return len(want) == 1 && want[0] == "nothing"
			}
			var got []string
			for _, w := range content.Webhooks {
				got = append(got, append([]string{w.Name}, w.Secrets...)...)
			}
			return slices.Equal(got, want)
		}
	}
	controltest.Call[mezu.Webhook](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	controltest.Call[mezu.Webhook](t, op, api.OpSetWebhookSecret, map[string]any{"secret": secret}, x.Path("pay")...)
	f.Until(stream, "the secret", has(first, e1.ID, "pay", secret))
	if has(second, e1.ID, "pay", secret)() {
		t.Error("another key opens it")
	}

	e2, _ := in.EnrolSealing(op, "edge-2", second.Public())
	f.Until(stream, "the secret for an edge that joined", has(second, e2.ID, "pay", secret))
	if !has(first, e1.ID, "pay", secret)() {
		t.Error("the first edge lost it")
	}
	controltest.Call[any](t, op, api.OpDeleteEdge, nil, "edge-2")
	f.Until(stream, "a part without the edge that was removed", has(second, e2.ID, "nothing"))
	if !has(first, e1.ID, "pay", secret)() {
		t.Error("the first edge lost it")
	}

	// An edge of the version before has no key; one that renews registers it.
	old, _ := in.Enrol(op, "edge-3")
	third := sealingKey(t)
	controltest.Call[any](t, in.Client("", old.Cert), api.OpRenewEdge, api.RenewRequest{CSR: old.CSR, SealingKey: third.Public()})
	f.Until(stream, "the secret for an edge that renewed", has(third, old.ID, "pay", secret))
	if e := controltest.Refused(t, mezu.CodeInvalid, in.Client("", old.Cert), api.OpRenewEdge, api.RenewRequest{CSR: old.CSR, SealingKey: make([]byte, 32)}); e.Field != "sealing_key" {
		t.Errorf("a key with which there is no secret: %+v", e)
	}

	controltest.Call[any](t, op, api.OpDeleteWebhook, nil, x.Path("pay")...)
	f.Until(stream, "the end of the webhook", has(first, e1.ID))
	controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, x.Path()...)
	if left := in.Records("stream/edge-part/"); len(left) != 0 {
		t.Errorf("%d parts left", len(left))
	}
	if left := in.Records("webhooks/"); len(left) != 0 {
		t.Errorf("%d records left", len(left))
	}
}

// A manifest says what webhooks are, never their secrets; those stay.
func TestWebhooks_Manifest(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	apply := func(webhooks map[string]any, prune bool) api.ApplyResponse {
		t.Helper()
		return controltest.Call[api.ApplyResponse](t, op, api.OpApplyProject, map[string]any{"prune": prune,
			"manifest": map[string]any{"environments": map[string]any{"production": map[string]any{"webhooks": webhooks}}}}, x.Org, x.Prj)
	}
	list := func() (out []string) {
		t.Helper()
		for _, w := range controltest.Call[api.List[mezu.Webhook]](t, op, api.OpListWebhooks, nil, x.Path()...).Items {
			out = append(out, fmt.Sprint(w.Name, " ", w.Provider, " ", w.Tolerance, " ", w.Secrets))
		}
		return out
	}
	hub, pay := map[string]any{"provider": "github"}, map[string]any{"provider": "stripe", "tolerance": "10m"}
	if got := apply(map[string]any{"hub": hub, "pay": pay}, false); !got.Applied || !slices.Equal(list(), []string{"hub github 0s 0", "pay stripe 10m 0"}) {
		t.Errorf("%+v, %q", got.Changes, list())
	}
	controltest.Call[mezu.Webhook](t, op, api.OpSetWebhookSecret, map[string]any{"secret": "hush"}, x.Path("pay")...)
	if got := apply(map[string]any{"hub": hub, "pay": pay}, true); got.Applied {
		t.Errorf("the same again changes %+v", got.Changes)
	}
	pay["tolerance"] = "1m"
	got := apply(map[string]any{"pay": pay}, false)
	if !got.Applied || !slices.Equal(list(), []string{"hub github 0s 0", "pay stripe 1m 1"}) {
		t.Errorf("%+v, %q", got.Changes, list())
	}
	if !slices.ContainsFunc(got.Changes, func(c mezu.Change) bool {
		return c.Action == mezu.ChangeKeep && c.Path == "environments.production.webhooks.hub"
	}) {
		t.Errorf("says nothing of what it keeps: %+v", got.Changes)
	}
	manifest := controltest.Call[mezu.Manifest](t, op, api.OpExportProject, nil, x.Org, x.Prj)
	if w := manifest.Environments["production"].Webhooks; len(w) != 2 || w["pay"].Provider != mezu.WebhookStripe {
		t.Errorf("exports %+v", w)
	}
	if again := controltest.Call[api.ApplyResponse](t, op, api.OpApplyProject, api.ApplyRequest{Manifest: manifest, Prune: true}, x.Org, x.Prj); again.Applied {
		t.Errorf("what is exported changes %+v", again.Changes)
	}
	apply(map[string]any{"pay": pay}, true)
	if !slices.Equal(list(), []string{"pay stripe 1m 1"}) {
		t.Errorf("pruned: %q", list())
	}
	// A new environment with webhooks, and a service account that may not write them.
	controltest.Call[api.ApplyResponse](t, op, api.OpApplyProject, map[string]any{"manifest": map[string]any{"environments": map[string]any{"staging": map[string]any{"webhooks": map[string]any{"hub": hub}}}}}, x.Org, x.Prj)
	if got := controltest.Call[api.List[mezu.Webhook]](t, op, api.OpListWebhooks, nil, x.Org, x.Prj, "staging").Items; len(got) != 1 {
		t.Errorf("%+v", got)
	}
	_, key := x.Account("ci", mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermEnvironmentsWrite, mezu.PermRoutesRead, mezu.PermRoutesWrite, mezu.PermDirectoriesRead)
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpApplyProject, map[string]any{
		"manifest": map[string]any{"environments": map[string]any{"staging": map[string]any{"webhooks": map[string]any{"hub": pay}}}}}, x.Org, x.Prj)
	// Nor may it see them, by whatever shows a project as a whole.
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpExportProject, nil, x.Org, x.Prj)
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpApplyProject, api.ApplyRequest{DryRun: true, Manifest: mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"staging": {}}}}, x.Org, x.Prj)
	_, key = x.Account("reader", mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead, mezu.PermWebhooksRead)
	controltest.Call[mezu.Manifest](t, in.Client(key, nil), api.OpExportProject, nil, x.Org, x.Prj)
}

// An environment may have the name of a field: what may change its webhooks may not change it.
func TestApply_EnvironmentNamedWebhooks(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	controltest.Call[any](t, op, api.OpCreateEnvironment, map[string]any{"name": "webhooks"}, x.Org, x.Prj)
	read := []mezu.Permission{mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead, mezu.PermWebhooksRead}
	for name, c := range map[string]struct{ may, mayNot mezu.ManifestEnvironment }{
		"webhooks":     {mezu.ManifestEnvironment{Webhooks: map[string]mezu.ManifestWebhook{"hub": {Provider: mezu.WebhookGitHub}}}, mezu.ManifestEnvironment{WAF: mezu.WAFBlock}},
		"environments": {mezu.ManifestEnvironment{WAF: mezu.WAFDetect}, mezu.ManifestEnvironment{Webhooks: map[string]mezu.ManifestWebhook{"pay": {Provider: mezu.WebhookStripe}}}},
	} {
		_, key := x.Account(name, append(slices.Clone(read), mezu.Permission(name+".write"))...)
		account := in.Client(key, nil)
		apply := func(e mezu.ManifestEnvironment) api.ApplyRequest {
			now := controltest.Call[mezu.Manifest](t, op, api.OpExportProject, nil, x.Org, x.Prj).Environments["webhooks"]
			if e.Webhooks == nil {
				now.WAF = e.WAF
			} else {
				now.Webhooks = e.Webhooks
			}
			return api.ApplyRequest{Manifest: mezu.Manifest{Environments: map[string]mezu.ManifestEnvironment{"webhooks": now}}}
		}
		controltest.Refused(t, mezu.CodeForbidden, account, api.OpApplyProject, apply(c.mayNot), x.Org, x.Prj)
		if got := controltest.Call[api.ApplyResponse](t, account, api.OpApplyProject, apply(c.may), x.Org, x.Prj); !got.Applied {
			t.Errorf("with %s.write nothing changed", name)
		}
	}
}

// Routes whose webhook is not there, or has no secret, are named where they are written and listed.
func TestWebhooks_Warnings(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	made := controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"exact": "/in", "auth": "required", "auth_methods": []string{"webhook:pay"}}, x.Path()...)
	says := func(want ...string) {
		t.Helper()
		if got := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...).Warnings; !slices.Equal(got, want) {
			t.Errorf("warns %q", got)
		}
	}
	const none, unset = "exact /in: the environment has no webhook pay; the route answers 503 route_unavailable", "exact /in: the webhook pay has no secret yet; the route answers 503 route_unavailable"
	if !slices.Equal(made.Warnings, []string{none}) {
		t.Errorf("warns %q", made.Warnings)
	}
	says(none)
	controltest.Call[mezu.Webhook](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	says(unset)
	controltest.Call[mezu.Webhook](t, op, api.OpSetWebhookSecret, map[string]any{"secret": "hush"}, x.Path("pay")...)
	says()
}
