package rest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/controltest/leak"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// A3 and strict JSON: what is not understood, or is the server's to set, is named
// and changes nothing.
func TestA3_StrictBodies(t *testing.T) {
	t.Parallel()
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	projects, routes := "/v1/organizations/acme/projects", "/v1/organizations/acme/projects/shop/environments/production/routes"
	before := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	for _, c := range []struct{ name, method, path, contentType, body, field string }{
		{"unknown", "POST", projects, "application/json", `{"name":"a","colour":"red"}`, "colour"},
		{"duplicate", "POST", projects, "application/json", `{"name":"a","name":"b"}`, "name"},
		{"trailing", "POST", projects, "application/json", `{"name":"a"} {}`, ""},
		{"cut", "POST", projects, "application/json", `{"name":"a"`, ""},
		{"empty", "POST", projects, "application/json", ``, ""},
		{"wrong type", "POST", projects, "application/json", `{"name":7}`, "name"},
		{"id", "POST", projects, "application/json", `{"name":"a","id":"prj_x"}`, "id"},
		{"created_at", "POST", projects, "application/json", `{"name":"a","created_at":"2020-01-01T00:00:00Z"}`, "created_at"},
		{"organization", "POST", projects, "application/json", `{"name":"a","organization":"other"}`, "organization"},
		{"patched revision", "PATCH", projects + "/shop", "application/merge-patch+json", `{"revision":9}`, "revision"},
		{"patched name", "PATCH", projects + "/shop", "application/merge-patch+json", `{"name":"other"}`, "name"},
		{"patched endpoint", "PATCH", strings.TrimSuffix(routes, "/routes"), "application/merge-patch+json", `{"endpoint":"www"}`, "endpoint"},
		{"route's id", "PUT", routes, "application/json", `{"routes":[{"prefix":"/"},{"exact":"/a","id":"rte_x"}]}`, "routes[1].id"},
		{"bad route", "PUT", routes, "application/json", `{"routes":[{"prefix":"/"},{"exact":"a"}]}`, "routes[1].exact"},
		{"not JSON", "POST", projects, "text/plain", `{"name":"a"}`, "Content-Type"},
		{"unknown parameter", "GET", projects + "?sort=name", "", ``, "sort"},
		{"page size", "GET", projects + "?page_size=100000", "", ``, "page_size"},
		{"page token", "GET", projects + "?page_token=x", "", ``, "page_token"},
	} {
		status, header, body := in.Raw(c.method, c.path, token, c.contentType, c.body)
		var p api.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %v in %s", c.name, err, body)
			continue
		}
		if status != 400 || p.Code != mezu.CodeInvalid || p.Field != c.field || p.RequestID == "" || p.RequestID != header.Get("X-Request-Id") || header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want field %q", c.name, status, body, c.field)
		}
	}
	if n := len(controltest.Call[api.List[mezu.Project]](t, op, api.OpListProjects, nil, "acme").Items); n != 1 {
		t.Errorf("%d projects", n)
	}
	after := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if after.Position != before.Position {
		t.Error("a refused body published a bundle")
	}
	for _, c := range []struct {
		method, path string
		limit        int
	}{{"POST", projects, api.MaxBody}, {"PUT", routes, api.MaxRoutesBody}, {"POST", projects + "/shop/apply", api.MaxApplyBody}} {
		if status, _, body := in.Raw(c.method, c.path, token, "application/json", strings.Repeat(" ", c.limit)+"{}"); status != 400 || !strings.Contains(body, "bytes") {
			t.Errorf("%s %s with a body over the limit: %d %s", c.method, c.path, status, body)
		}
	}
	if status, header, body := in.Raw("POST", projects+"/shop", token, "application/json", "{}"); status != 405 || !strings.Contains(header.Get("Allow"), "GET") {
		t.Errorf("a wrong method: %d %s", status, body)
	}
	if status, header, body := in.Raw("GET", "/v2/nothing", token, "", ""); status != 404 || header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a wrong path: %d %s", status, body)
	}
}

// A10: with If-Match no update is lost; without it the last one wins.
func TestA10_IfMatch(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	won, lost := controltest.Race(6, func(i int) error {
		return op.Do(t.Context(), api.Call{Operation: api.OpUpdateProject, Params: []string{"acme", "shop"}, Body: map[string]any{"display_name": fmt.Sprint("Shop ", i)}, IfMatch: prj.Revision}, nil)
	})
	if won != 1 {
		t.Fatalf("%d won", won)
	}
	for _, err := range lost {
		if mezu.CodeOf(err) != mezu.CodePreconditionFailed {
			t.Errorf("lost with %v", err)
		}
	}
	now := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	if now.Revision != prj.Revision+1 || now.DisplayName == "" || !now.UpdatedAt.After(prj.CreatedAt) {
		t.Errorf("project %+v", now)
	}
	cleared := controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": nil}, "acme", "shop")
	if cleared.DisplayName != "" {
		t.Errorf("null left %q", cleared.DisplayName)
	}

	state := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/a", "name": "a"}, map[string]any{"prefix": "/b"}}}, x.Path()...)
	again := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/b", "auth": "required"}, map[string]any{"prefix": "/a", "name": "a"}}}, x.Path()...)
	if again.Routes[1].ID != state.Routes[0].ID || again.Routes[1].Revision != 1 || again.Routes[0].ID != state.Routes[1].ID || again.Routes[0].Revision != 2 {
		t.Errorf("routes lost their identity: %+v then %+v", state.Routes, again.Routes)
	}
	err := op.Do(t.Context(), api.Call{Operation: api.OpReplaceRoutes, Params: x.Path(), Body: map[string]any{"routes": []any{}}, IfMatch: state.Revision}, nil)
	if mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Errorf("a stale list of routes: %v", err)
	}
	changed := controltest.Call[mezu.Route](t, op, api.OpUpdateRoute, map[string]any{"methods": []string{"GET"}, "timeout": "10s"}, x.Path("a")...)
	if changed.Prefix != "/a" || len(changed.Methods) != 1 || changed.Timeout != mezu.Duration(10*time.Second) {
		t.Errorf("route %+v", changed)
	}
	err = op.Do(t.Context(), api.Call{Operation: api.OpDeleteRoute, Params: x.Path("a"), IfMatch: 1}, nil)
	if mezu.CodeOf(err) != mezu.CodePreconditionFailed {
		t.Errorf("a stale route: %v", err)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateRoute, map[string]any{"prefix": "/b"}, x.Path()...)
	controltest.Refused(t, mezu.CodeConflict, op, api.OpUpdateRoute, map[string]any{"prefix": "/a", "name": "b", "methods": []string{"GET"}}, x.Path(again.Routes[0].ID)...)
	controltest.Call[any](t, op, api.OpDeleteRoute, nil, x.Path("a")...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetRoute, nil, x.Path("a")...)
}

// What is said twice, or so that it could be read in two ways, means nothing.
func TestA3_AmbiguousCalls(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	for _, c := range []struct {
		field, query string
		header       []string
	}{
		{"Authorization", "", []string{"Authorization", "Bearer x"}},
		{"Authorization", "", []string{"Authorization", "Bearer " + token}},
		{"If-Match", "", []string{"If-Match", "1", "If-Match", "2"}},
		{"page_size", "?page_size=1&page_size=2", nil},
		{"query", "?page_size=1&x=%zz", nil},
		{"page_size", fmt.Sprint("?page_size=", api.MaxPageSize+1), nil},
		{"query", "?page_size=1;page_token=x", nil},
	} {
		status, _, body := in.Raw("GET", "/v1/organizations"+c.query, token, "", "", c.header...)
		var p api.Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 400 || p.Field != c.field {
			t.Errorf("%s %s %q: %d, %s", c.field, c.query, c.header, status, body)
		}
	}
}

// A creation repeated under its Idempotency-Key gives the same answer and makes
// nothing more, also at once and after a restart; a secret for ten minutes.
func TestIdempotency(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	in.Tenant(op, "acme")
	create := func(c *api.Client, key, name string) (api.ServiceAccountCreated, error) {
		var out api.ServiceAccountCreated
		err := c.Do(t.Context(), api.Call{Operation: api.OpCreateServiceAccount, Params: []string{"acme", "shop"}, IdempotencyKey: key,
			Body: map[string]any{"name": name, "permissions": []string{"warpgate.register"}}}, &out)
		return out, err
	}
	if _, err := create(op, strings.Repeat("k", 256), "long"); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("a key of 256 characters: %v", err)
	}
	const key = "3f1a7c52-0c4e-4b0a-9a35-9a0d2f6b0001"
	var mu sync.Mutex
	keys := map[string]bool{}
	won, lost := controltest.Race(6, func(int) error {
		out, err := create(op, key, "gate")
		mu.Lock()
		defer mu.Unlock()
		keys[out.Key] = true
		return err
	})
	if won != 6 || len(keys) != 1 {
		t.Fatalf("%d done with %d keys: %v", won, len(keys), lost)
	}
	in.Restart()
	op = in.Client(token, nil)
	again, err := create(op, key, "gate")
	if err != nil || !keys[in.Secret(again.Key)] {
		t.Fatalf("after a restart: %v", err)
	}
	if _, err := create(op, key, "other"); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("another body under the same key: %v", err)
	}
	if _, err := create(op, "short", "other"); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("a short key: %v", err)
	}
	if _, err := create(in.Client(in.OtherOperator(op), nil), key, "gate"); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Errorf("another caller under the same key: %v", err)
	}
	in.Clock.Advance(record.SecretLife + time.Second)
	if _, err := create(op, key, "gate"); mezu.CodeOf(err) != mezu.CodeConflict {
		t.Errorf("the secret after its time: %v", err)
	}
	leak.Scan(in)
}

// The tree: what still has something below it stays; lists come page by page and
// each record once.
func TestTree(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateProject, map[string]any{"name": "shop"}, "acme")
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteOrganization, nil, "acme")
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteProject, nil, "acme", "shop")
	for i := range 7 {
		controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": fmt.Sprint("e", i)}, "acme", "shop")
	}
	seen := map[string]bool{}
	token := ""
	for {
		var page api.List[mezu.Environment]
		q := map[string][]string{"page_size": {"3"}}
		if token != "" {
			q["page_token"] = []string{token}
		}
		if err := op.Do(t.Context(), api.Call{Operation: api.OpListEnvironments, Params: []string{"acme", "shop"}, Query: q}, &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if seen[e.Name] || e.URL == "" {
				t.Errorf("%+v", e)
			}
			seen[e.Name] = true
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d environments", len(seen))
	}
	n := 0
	for e, err := range api.All[mezu.Environment](t.Context(), op, api.OpListEnvironments, "acme", "shop") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		controltest.Call[any](t, op, api.OpDeleteEnvironment, nil, "acme", "shop", e.ID)
	}
	if n != 8 {
		t.Errorf("All gave %d", n)
	}
	_, key := x.Account("gate", mezu.PermProjectsRead)
	controltest.Call[any](t, op, api.OpDeleteProject, nil, "acme", "shop")
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key, nil), api.OpSelf, nil)
	controltest.Call[any](t, op, api.OpDeleteOrganization, nil, "acme")
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetOrganization, nil, "acme")
}

// The OpenAPI document names every operation, and no page loads anything from
// elsewhere.
func TestOpenAPI(t *testing.T) {
	in := controltest.Install(t)
	status, _, body := in.Raw("GET", "/openapi.json", "", "", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			RequestBody any
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%d %v", status, err)
	}
	for _, op := range api.Operations() {
		if doc.Paths[op.Path][strings.ToLower(op.Method)].OperationID != op.ID {
			t.Errorf("%s is missing", op.ID)
		}
	}
	for _, part := range []string{"$schema", "unpkg.com", "ErrorModel"} {
		if strings.Contains(body, part) {
			t.Errorf("the document has %s", part)
		}
	}
	status, header, page := in.Raw("GET", "/docs", "", "", "")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/html") || !strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("/docs answers %d, %v", status, header)
	}
	for _, op := range api.Operations() {
		if !strings.Contains(page, `id="`+op.ID+`"`) {
			t.Errorf("/docs says nothing of %s", op.ID)
		}
	}
	for op, group := range map[string]string{
		"list-audit": "audit", "watch-audit": "audit", "list-installation-audit": "audit", "watch-projects": "projects", "watch-organization-users": "users",
		"watch-warpgates": "warpgates", "apply-project": "projects", "rotate-service-account": "service accounts", "redeem-invitation": "invitations", "get-member": "members",
		"set-logo": "directories", "get-organization-logo": "directories",
	} {
		before, _, _ := strings.Cut(page, `id="`+op+`"`)
		if _, under, _ := strings.Cut(before[strings.LastIndex(before, "<h2"):], `id="`); !strings.HasPrefix(under, group+`"`) {
			t.Errorf("/docs has %s not under %s", op, group)
		}
	}
	// Every body is shown, the same at each start: of this installation and of the next.
	bodies := 0
	for _, item := range doc.Paths {
		for _, op := range item {
			if op.RequestBody != nil {
				bodies++
			}
		}
	}
	if shown := strings.Count(page, "<h3>Body: "); shown != bodies || bodies < 40 {
		t.Errorf("/docs shows %d of %d bodies", shown, bodies)
	}
	other := controltest.Install(t)
	if _, _, again := other.Raw("GET", "/openapi.json", "", "", ""); again != body {
		t.Error("another start has another document")
	}
	_, _, again := other.Raw("GET", "/docs", "", "", "")
	withoutNonce := regexp.MustCompile(`<style nonce="[A-Z0-9]+">`)
	if withoutNonce.ReplaceAllString(again, "") != withoutNonce.ReplaceAllString(page, "") {
		t.Error("another start has another page")
	}
	for _, part := range []string{"<script", " src=", "url(", "@import", `href="http`} {
		if strings.Contains(page, part) {
			t.Errorf("/docs has %s", part)
		}
	}
}

// A patch needs nothing, by the document and by the server: not the name that a creation needs, nor
// any other field, however deep.
func TestOpenAPI_PatchesNeedNothing(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Pool(op)
	x.Account("gate", mezu.PermWarpgateRegister)
	_, member := in.Join(op, x.Org, "v@acme.example", mezu.RoleViewer)
	controltest.Call[api.RouteWritten](t, op, api.OpCreateRoute, map[string]any{"name": "api", "prefix": "/api/"}, x.Path()...)
	controltest.Call[mezu.Webhook](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	user := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("ana@customer.example"), x.InProject()...)
	wide := controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, controltest.UserBody("ana@customer.example"), x.Wide()...)
	at := map[string][]string{
		api.OpUpdateOrganization.ID: {x.Org}, api.OpUpdateMember.ID: {x.Org, member.ID}, api.OpUpdateProject.ID: {x.Org, x.Prj}, api.OpUpdateEnvironment.ID: x.Path(), api.OpUpdateRoute.ID: x.Path("api"), api.OpUpdateWebhook.ID: x.Path("pay"),
		api.OpUpdateServiceAccount.ID: {x.Org, x.Prj, "gate"}, api.OpUpdateDirectory.ID: x.InProject(), api.OpUpdateOrganizationDirectory.ID: x.Wide(),
		api.OpUpdateUser.ID: x.InProject(user.ID), api.OpUpdateOrganizationUser.ID: x.Wide(wide.ID),
	}
	_, _, body := in.Raw("GET", "/openapi.json", "", "", "")
	type schema struct {
		Ref        string `json:"$ref"`
		Required   []string
		Properties map[string]json.RawMessage
		Entries    json.RawMessage `json:"additionalProperties"`
		AnyOf      []json.RawMessage
	}
	var doc struct {
		Paths map[string]struct {
			Patch *struct {
				OperationID string
				RequestBody struct {
					Content map[string]struct{ Schema, Example json.RawMessage }
				}
			}
		}
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	var needs func(where string, text json.RawMessage)
	needs = func(where string, text json.RawMessage) {
		var s schema
		if json.Unmarshal(text, &s) != nil {
			return // no schema, but whether there may be others
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			needs(where, doc.Components.Schemas[name])
		}
		if len(s.Required) > 0 {
			t.Errorf("%s needs %q", where, s.Required)
		}
		for name, of := range s.Properties {
			needs(where+"."+name, of)
		}
		for _, of := range append(s.AnyOf, s.Entries) {
			needs(where, of)
		}
	}
	patches := 0
	for path, item := range doc.Paths {
		if item.Patch == nil {
			continue
		}
		patches++
		id, content := item.Patch.OperationID, item.Patch.RequestBody.Content["application/merge-patch+json"]
		needs(id, content.Schema)
		if len(content.Example) == 0 || len(at[id]) == 0 {
			t.Fatalf("%s has the example %s, and is at %q", id, content.Example, at[id])
		}
		for _, part := range at[id] {
			before, rest, _ := strings.Cut(path, "{")
			_, after, _ := strings.Cut(rest, "}")
			path = before + part + after
		}
		for _, sent := range []string{"{}", string(content.Example)} {
			if status, _, answer := in.Raw("PATCH", path, token, "application/merge-patch+json", sent); status != 200 {
				t.Errorf("%s of %s: %d %s", id, sent, status, answer)
			}
		}
	}
	if patches != len(at) {
		t.Errorf("%d patches, and %d were tried", patches, len(at))
	}
}

// The examples of refusals in the document are what a caller meets.
func TestOpenAPI_Refusals(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	_, _, body := in.Raw("GET", "/openapi.json", "", "", "")
	var doc struct {
		Components struct {
			Responses map[string]struct {
				Content map[string]struct{ Example api.Problem }
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	controltest.Call[any](t, op, api.OpCreateOrganization, map[string]any{"name": "acme"})
	viewer, _ := in.Join(op, "acme", "v@acme.example", mezu.RoleViewer)
	_, err := api.Invoke[any](t.Context(), op, api.OpGetProject, nil, "acme", "shop")
	met := map[string]error{"NotFound": err}
	made := controltest.Call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "shop"}, "acme")
	_, met["Conflict"] = api.Invoke[any](t.Context(), op, api.OpCreateProject, map[string]any{"name": "shop"}, "acme")
	_, met["Forbidden"] = api.Invoke[any](t.Context(), viewer, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	_, met["Unauthenticated"] = api.Invoke[any](t.Context(), in.Client("", nil), api.OpSelf, nil)
	met["PreconditionFailed"] = op.Do(t.Context(), api.Call{Operation: api.OpDeleteProject, Params: []string{"acme", "shop"}, IfMatch: made.Revision + 1}, nil)
	revision := strings.NewReplacer(fmt.Sprint(made.Revision), "8", fmt.Sprint(made.Revision+1), "7")
	for name, err := range met {
		example := doc.Components.Responses[name].Content["application/problem+json"].Example
		e, ok := err.(*mezu.Error)
		if ok && name == "PreconditionFailed" {
			e.Detail = revision.Replace(e.Detail)
		}
		if !ok || e.Code != example.Code || e.Detail != example.Detail || e.Field != example.Field || e.Hint != example.Hint {
			t.Errorf("%s: %v is met, and the example is %+v", name, err, example)
		}
	}
}

// Row 5 of the attacks: who makes and deletes a large route again and again doesn't leave
// its answer each time; the repetition says that it was done.
func TestIdempotency_LargeAnswers(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	ips := make([]string, 1000)
	for i := range ips {
		ips[i] = fmt.Sprintf("2001:db8:%x::/48", i)
	}
	create := func(body map[string]any) error {
		return op.Do(t.Context(), api.Call{Operation: api.OpCreateRoute, Params: x.Path(), Body: body, IdempotencyKey: "0123456789abcdef"}, nil)
	}
	body := map[string]any{"name": "large", "exact": "/large", "allow_ips": ips, "deny_ips": ips}
	if err := create(body); err != nil {
		t.Fatal(err)
	}
	for key, value := range in.Records("idempotency/") {
		if len(value) > 20<<10 {
			t.Errorf("%s has %d bytes", key, len(value))
		}
	}
	if err := create(body); mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "was done") {
		t.Errorf("repeated: %v", err)
	}
}

// TestStoreReason: while writes are refused, callers are told why in the words of /readyz, and
// nothing of where the store lies; a stranger is told that it is so.
func TestStoreReason(t *testing.T) {
	t.Parallel()
	in := controltest.Install(t)
	path := filepath.Join(in.Dir, "store")
	without := func(do func()) {
		t.Helper()
		if err := os.Rename(path, path+".aside"); err != nil {
			t.Fatal(err)
		}
		do()
		if err := os.Rename(path+".aside", path); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(url, token, body, detail string) {
		t.Helper()
		status, header, answer := in.Raw("POST", url, token, "application/json", body)
		var p api.Problem
		if err := json.Unmarshal([]byte(answer), &p); err != nil {
			t.Fatalf("%v in %s", err, answer)
		}
		if status != 503 || p.Code != mezu.CodeUnavailable || p.Detail != detail || p.Hint == "" || header.Get("Retry-After") == "" || strings.Contains(answer, in.Dir) {
			t.Errorf("%d %s, want %q", status, answer, detail)
		}
	}
	without(func() {
		refused("/v1/bootstrap", "", fmt.Sprintf(`{"code":%q}`, in.Secret(in.BootstrapCode())), "the store can't be reached or written now")
	})
	token := in.OperatorToken()
	in.Tenant(in.Client(token, nil), "acme")
	without(func() {
		refused("/v1/organizations/acme/projects", token, `{"name":"late"}`, "the control plane can't do this now: the store's folder is gone, or another lies in its place")
	})
}
