package identity_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/controltest/leak"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// mails lists a directory by a filter and gives the addresses, sorted.
func mails(t *testing.T, c *api.Client, op api.Operation, filter string, params ...string) string {
	t.Helper()
	var out []string
	query := url.Values{"page_size": {"2"}}
	if filter != "" {
		query.Set("filter", filter)
	}
	for {
		var page api.List[mezu.User]
		if err := c.Do(t.Context(), api.Call{Operation: op, Params: params, Query: query}, &page); err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		for _, u := range page.Items {
			name, _, _ := strings.Cut(u.Profile.Email, "@")
			out = append(out, name)
		}
		if page.NextPageToken == "" {
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		query.Set("page_token", page.NextPageToken)
	}
}

func TestUsers(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	ann := controltest.Call[mezu.User](t, op, api.OpCreateUser, map[string]any{"profile": map[string]any{"email": "Ann@Example.com", "name": "Ann", "display_name": "Ann of Acme"}}, p.InProject()...)
	if ann.Directory != "customers" || ann.Status != mezu.UserActive || ann.Revision != 1 || mezu.ValidateID("", mezu.PrefixUser, ann.ID) != nil || ann.Profile.Email != "Ann@Example.com" {
		t.Fatalf("%+v", ann)
	}
	changed := controltest.Call[mezu.User](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"display_name": nil, "name": "Anna"}, "roles": []string{"shop/staff"}}, p.InProject(ann.ID)...)
	if changed.Profile != (mezu.Profile{Name: "Anna", Email: "Ann@Example.com"}) || !slices.Equal(changed.Roles, []string{"shop/staff"}) || changed.Revision != 2 || changed.CreatedAt != ann.CreatedAt {
		t.Errorf("%+v", changed)
	}
	got := controltest.Call[mezu.User](t, op, api.OpGetUser, nil, p.InProject(ann.ID)...)
	if fmt.Sprint(got) != fmt.Sprint(changed) {
		t.Errorf("shown as %+v, not %+v", got, changed)
	}
	for _, method := range []api.Operation{api.OpUpdateUser, api.OpDeleteUser} {
		err := op.Do(t.Context(), api.Call{Operation: method, Params: p.InProject(ann.ID), Body: map[string]any{}, IfMatch: 1}, nil)
		if mezu.CodeOf(err) != mezu.CodePreconditionFailed {
			t.Errorf("%s in an old revision: %v", method.ID, err)
		}
	}
	for field, body := range map[string]map[string]any{
		"status":         {"status": nil},
		"profile.email":  {"profile": map[string]any{"email": "ann"}},
		"profile":        {"profile": "ann"},
		"roles":          {"roles": []string{"staff"}},
		"last_login_at":  {"last_login_at": "2026-01-01T00:00:00Z"},
		"directory":      {"directory": "others"},
		"id":             {"id": ann.ID},
		"profile.secret": {"profile": map[string]any{"secret": "x"}},
	} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateUser, body, p.InProject(ann.ID)...); e.Field != field {
			t.Errorf("%v: %v", body, e)
		}
	}
	// Found in no other directory, and by nothing but the id.
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetOrganizationUser, nil, p.Wide(ann.ID)...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetUser, nil, p.InProject("ann")...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetUser, nil, p.InProject(p.Environment.ID)...)
	if l := controltest.Call[api.List[mezu.Login]](t, op, api.OpGetLogins, nil, p.InProject(ann.ID)...); l.Items == nil || len(l.Items) != 0 {
		t.Errorf("%+v", l)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteDirectory, nil, p.InProject()...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(ann.ID)...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetUser, nil, p.InProject(ann.ID)...)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpDeleteUser, nil, p.InProject(ann.ID)...)
	controltest.Call[any](t, op, api.OpDeleteDirectory, nil, p.InProject()...)
}

// Of one address a directory has one user, however it is written, whoever comes at
// the same time; a repeated creation is the same one.
func TestUsers_OneByMail(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	// É composed and as E with a combining accent.
	spellings := []string{"ren\u00e9@example.com", "RENE\u0301@EXAMPLE.com", "Rene\u0301@example.com", "REN\u00c9@Example.COM"}
	won, lost := controltest.Race(len(spellings), func(i int) error {
		_, err := api.Invoke[any](t.Context(), op, api.OpCreateUser, controltest.UserBody(spellings[i]), p.InProject()...)
		return err
	})
	if won != 1 || len(lost) != 3 {
		t.Fatalf("%d won, lost %v", won, lost)
	}
	for _, err := range lost {
		if mezu.CodeOf(err) != mezu.CodeConflict {
			t.Errorf("lost with %v", err)
		}
	}
	bob := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("bob@example.com"), p.InProject()...)
	for _, spelling := range spellings {
		if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": spelling}}, p.InProject(bob.ID)...); e.Field != "profile.email" {
			t.Error(e)
		}
		if got := mails(t, op, api.OpListUsers, "email="+spelling, p.InProject()...); got == "" || strings.Contains(got, " ") {
			t.Errorf("%s finds %q", spelling, got)
		}
	}
	controltest.Call[any](t, op, api.OpCreateOrganizationUser, controltest.UserBody("bob@example.com"), p.Wide()...) // of another directory
	// The address of one who is gone, or has another, is free.
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": "robert@example.com"}}, p.InProject(bob.ID)...)
	second := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("bob@example.com"), p.InProject()...)
	controltest.Refused(t, mezu.CodeConflict, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": "BOB@example.com"}}, p.InProject(bob.ID)...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(second.ID)...)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": "BOB@example.com"}}, p.InProject(bob.ID)...)

	const key = "9e6f7a52-0c4e-4b0a-9a35-9a0d2f6b0002"
	ids := map[string]bool{}
	for range 3 {
		var out mezu.User
		if err := op.Do(t.Context(), api.Call{Operation: api.OpCreateUser, Params: p.InProject(), Body: controltest.UserBody("cleo@example.com"), IdempotencyKey: key}, &out); err != nil {
			t.Fatal(err)
		}
		ids[out.ID] = true
	}
	if len(ids) != 1 {
		t.Errorf("repeated creations made %d users", len(ids))
	}
}

func TestUsers_Filters(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	p := in.Pool(op)
	ids := map[string]string{}
	for name, roles := range map[string][]string{
		"a": nil, "b": {"shop/staff"}, "c": {"shop/staff", "blog/editor"}, "d": {"blog/editor", "shop/guest"}, "e": {"shop/guest"},
	} {
		ids[name] = controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, controltest.UserBody(name+"@example.com", roles...), p.Wide()...).ID
	}
	status := func(s string, names ...string) {
		for _, name := range names {
			controltest.Call[any](t, op, api.OpUpdateOrganizationUser, map[string]any{"status": s}, p.Wide(ids[name])...)
		}
	}
	status("suspended", "b", "d")
	status("inactive", "e")
	look := func(filter, want string) {
		t.Helper()
		if got := mails(t, op, api.OpListOrganizationUsers, filter, p.Wide()...); got != want {
			t.Errorf("%q finds %q, not %q", filter, got, want)
		}
	}
	look("", "a b c d e")
	look("status=active", "a c")
	look("status=suspended", "b d")
	look("role=shop/staff", "b c")
	look("role=blog/editor", "c d")
	look("role=shop/staff,status=suspended", "b")
	look("status=active,role=shop/staff", "c")
	look("status=inactive,role=shop/staff", "")
	look("role=shop/nobody", "")
	look("role=gone/staff", "")
	look("email=C@example.com", "c")
	look("email=c@example.com,status=active,role=blog/editor", "c")
	look("email=c@example.com,status=suspended", "")
	look("email=c@example.com,role=shop/guest", "")
	look("email=nobody@example.com", "")

	// What a filter finds follows every change.
	status("active", "b")
	controltest.Call[any](t, op, api.OpUpdateOrganizationUser, map[string]any{"roles": []string{"shop/guest"}}, p.Wide(ids["c"])...)
	controltest.Call[any](t, op, api.OpDeleteOrganizationUser, nil, p.Wide(ids["d"])...)
	look("status=suspended", "")
	look("status=active", "a b c")
	look("role=shop/staff", "b")
	look("role=shop/guest", "c e")
	look("role=blog/editor", "")
	look("role=shop/guest,status=active", "c")
	look("email=d@example.com", "")

	token := in.Secret(developerOf(in, p))
	for _, filter := range []string{"x", "name=a", "status=none", "status=active,status=active", "role=staff", "email=a", ",", "email=a@b,", strings.Repeat("x", 600)} {
		code, _, body := in.Raw("GET", "/v1/organizations/acme/directories/customers/users?filter="+url.QueryEscape(filter), token, "", "")
		if code != 400 || !strings.Contains(body, `"field":"filter"`) {
			t.Errorf("%q: %d %s", filter, code, body)
		}
	}
	code, _, body := in.Raw("GET", "/v1/organizations/acme/directories/customers/users?filter=status=active,role=shop/staff", token, "", "")
	if code != 200 || !strings.Contains(body, ids["b"]) {
		t.Errorf("a filter that is not escaped: %d %s", code, body)
	}
	if code, _, body := in.Raw("GET", "/v1/organizations/acme/directories?filter=status%3Dactive", token, "", ""); code != 400 {
		t.Errorf("a filter where there is none: %d %s", code, body)
	}
	// A page belongs to its filter.
	var page api.List[mezu.User]
	if err := op.Do(t.Context(), api.Call{Operation: api.OpListOrganizationUsers, Params: p.Wide(), Query: url.Values{"filter": {"status=active"}, "page_size": {"1"}}}, &page); err != nil || page.NextPageToken == "" {
		t.Fatal(err)
	}
	for _, filter := range []string{"", "status=inactive", "role=shop/guest"} {
		err := op.Do(t.Context(), api.Call{Operation: api.OpListOrganizationUsers, Params: p.Wide(), Query: url.Values{"filter": {filter}, "page_token": {page.NextPageToken}}}, nil)
		if mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q takes the page of another filter: %v", filter, err)
		}
	}
}

// developerOf is the token of a new owner of the organization, for raw requests.
func developerOf(in *controltest.Installation, p controltest.Pool) string {
	in.T.Helper()
	token, _ := in.JoinAs(p.Op, p.Org, "late.owner@acme.example", mezu.RoleOwner)
	return token
}

// Everybody who is there throughout is listed exactly once, whatever changes.
func TestUsers_PagingUnderWrites(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	var ids []string
	for i := range 30 {
		ids = append(ids, controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody(fmt.Sprintf("u%d@example.com", i), "shop/staff"), p.InProject()...).ID)
	}
	stay := ids[:20]
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < 30 && err == nil; i++ {
			// Those who stay change their status, but not their role.
			_, err = api.Invoke[any](t.Context(), op, api.OpUpdateUser, map[string]any{"status": []string{"suspended", "active", "inactive"}[i%3]}, p.InProject(stay[i%len(stay)])...)
			if err == nil && i < 10 {
				_, err = api.Invoke[any](t.Context(), op, api.OpDeleteUser, nil, p.InProject(ids[20+i])...)
			}
		}
		done <- err
	}()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		for _, filter := range []string{"", "role=shop/staff"} {
			seen := map[string]int{}
			query := url.Values{"page_size": {"3"}, "filter": {filter}}
			for {
				var page api.List[mezu.User]
				if err := op.Do(t.Context(), api.Call{Operation: api.OpListUsers, Params: p.InProject(), Query: query}, &page); err != nil {
					t.Fatal(err)
				}
				for _, u := range page.Items {
					seen[u.ID]++
				}
				if page.NextPageToken == "" {
					break
				}
				query.Set("page_token", page.NextPageToken)
			}
			for _, id := range stay {
				if seen[id] != 1 {
					t.Fatalf("%q lists %s %d times", filter, id, seen[id])
				}
			}
		}
	}
}

// A role is granted where it exists: in the directory's own project, or, of the
// organization's directories, in any of its projects. While it is granted it stays.
func TestUsers_Roles(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	for _, role := range []string{"shop/owner", "blog/editor", "none/staff"} {
		if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateUser, controltest.UserBody("a@example.com", role), p.InProject()...); e.Field != "roles" || strings.Contains(e.Detail, "project") {
			t.Errorf("%s: %v", role, e)
		}
	}
	if e := controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateOrganizationUser, controltest.UserBody("a@example.com", "shop/staff", "blog/staff"), p.Wide()...); e.Field != "roles" {
		t.Error(e)
	}
	own := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("a@example.com", "shop/staff"), p.InProject()...)
	wide := controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, controltest.UserBody("a@example.com", "shop/guest", "blog/editor"), p.Wide()...)

	without := func(role string) map[string]any { return map[string]any{"roles": map[string]any{role: nil}} }
	for _, role := range []string{"staff", "guest"} {
		if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpUpdateProject, without(role), p.Org, p.Prj); !strings.Contains(e.Detail, role) || !strings.Contains(e.Hint, "shop/"+role) {
			t.Errorf("removing %s: %v", role, e)
		}
	}
	if prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, p.Org, p.Prj); len(prj.Roles) != 2 {
		t.Fatalf("a refused removal took roles: %v", prj.Roles)
	}
	controltest.Refused(t, mezu.CodeConflict, op, api.OpDeleteProject, nil, p.Org, "blog")
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"roles": []string{"shop/guest"}}, p.InProject(own.ID)...)
	controltest.Call[any](t, op, api.OpUpdateProject, without("staff"), p.Org, p.Prj)
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpUpdateUser, map[string]any{"roles": []string{"shop/staff"}}, p.InProject(own.ID)...)
	controltest.Call[any](t, op, api.OpUpdateOrganizationUser, map[string]any{"roles": []string{"shop/guest"}}, p.Wide(wide.ID)...)
	controltest.Call[any](t, op, api.OpDeleteProject, nil, p.Org, "blog")

	// Another project of the name grants nothing to those who had roles of the first.
	controltest.Call[any](t, op, api.OpCreateProject, map[string]any{"name": "blog", "roles": map[string]any{"editor": map[string]any{"permissions": []string{}}}}, p.Org)
	if got := mails(t, op, api.OpListOrganizationUsers, "role=blog/editor", p.Wide()...); got != "" {
		t.Errorf("%s has a role of the new project", got)
	}
}

// What users have or are in, an apply does not prune either.
func TestUsers_ApplyDoesNotPrune(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	user := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("a@example.com", "shop/staff"), p.InProject()...)
	apply := func(manifest map[string]any) map[string]any {
		return map[string]any{"manifest": manifest, "prune": true}
	}
	environments := map[string]any{"production": map[string]any{}}
	roles := map[string]any{"staff": map[string]any{"permissions": []string{}}}
	directories := map[string]any{"customers": map[string]any{}}
	for field, manifest := range map[string]map[string]any{
		"manifest.roles":                 {"environments": environments, "directories": directories},
		"manifest.directories.customers": {"environments": environments, "roles": roles},
	} {
		if e := controltest.Refused(t, mezu.CodeConflict, op, api.OpApplyProject, apply(manifest), p.Org, p.Prj); e.Field != field {
			t.Errorf("%s: %v", field, e)
		}
	}
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"roles": []string{}}, p.InProject(user.ID)...)
	controltest.Call[any](t, op, api.OpApplyProject, apply(map[string]any{"environments": environments, "directories": directories}), p.Org, p.Prj)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(user.ID)...)
	controltest.Call[any](t, op, api.OpApplyProject, apply(map[string]any{"environments": environments}), p.Org, p.Prj)
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetDirectory, nil, p.InProject()...)
}

// A role that is removed while it is granted: either it stays and is had, or it is
// gone and nobody has it, not even when a role of its name comes back.
func TestUsers_RoleRemovedMeanwhile(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	user := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody("a@example.com"), p.InProject()...)
	role := map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"orders.read"}}}}
	for range 10 {
		_, lost := controltest.Race(3, func(i int) error {
			if i == 0 {
				_, err := api.Invoke[any](t.Context(), op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": nil}}, p.Org, p.Prj)
				return err
			}
			_, err := api.Invoke[any](t.Context(), op, api.OpUpdateUser, map[string]any{"roles": []string{"shop/staff"}}, p.InProject(user.ID)...)
			return err
		})
		prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, p.Org, p.Prj)
		now := controltest.Call[mezu.User](t, op, api.OpGetUser, nil, p.InProject(user.ID)...)
		if _, exists := prj.Roles["staff"]; !exists && len(now.Roles) > 0 {
			t.Fatalf("the role is gone and had: %v, lost %v", now.Roles, lost)
		}
		controltest.Call[any](t, op, api.OpUpdateProject, role, p.Org, p.Prj)
		if after := controltest.Call[mezu.User](t, op, api.OpGetUser, nil, p.InProject(user.ID)...); !slices.Equal(after.Roles, now.Roles) {
			t.Fatalf("a role came back: %v, before %v", after.Roles, now.Roles)
		}
		controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"roles": []string{}}, p.InProject(user.ID)...)
	}
}

// Decisions 4 and 9: suspending, deleting, another address and taking a role reach the edges at once
// as the end of the user's sessions; what takes nothing away doesn't.
func TestUsers_RevocationsReachEdges(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	e, enrolled := in.Enrol(op, "edge-1")
	f := controltest.NewFollower(t, enrolled)
	s := controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{})
	f.Until(s, "the snapshot", func() bool { return f.Synced })
	make := func(name string, roles ...string) string {
		return controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody(name+"@example.com", roles...), p.InProject()...).ID
	}
	quiet, suspended, inactive, demoted, moved, deleted := make("q"), make("s"), make("i"), make("r", "shop/staff", "shop/guest"), make("m"), make("d")
	for _, body := range []map[string]any{
		{"profile": map[string]any{"name": "Q"}}, {"roles": []string{"shop/staff"}}, {"roles": []string{"shop/guest", "shop/staff"}},
		{"profile": map[string]any{"email": "Q@example.com"}}, {"status": "active"},
	} {
		controltest.Call[any](t, op, api.OpUpdateUser, body, p.InProject(quiet)...)
	}
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.InProject(suspended)...)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "inactive"}, p.InProject(inactive)...)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"roles": []string{"shop/guest"}}, p.InProject(demoted)...)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": "other@example.com"}}, p.InProject(moved)...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(deleted)...)
	f.Until(s, "the last revocation", func() bool { return f.Revoked[deleted] })
	for id, want := range map[string]bool{quiet: false, suspended: true, inactive: true, demoted: true, moved: true} {
		if f.Revoked[id] != want {
			t.Errorf("%s revoked: %v", id, f.Revoked[id])
		}
	}
	for _, r := range f.Revocations {
		if r.Kind != mezu.RevokeUser || !r.NotBefore.After(in.Clock.Now().Add(-60e9)) || r.Until.Sub(r.NotBefore) != mezu.MaxGrantLife {
			t.Errorf("%+v", r)
		}
	}
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "active"}, p.InProject(suspended)...)
	n := len(f.Revocations)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"status": "suspended"}, p.InProject(suspended)...)
	f.Until(s, "the revocation of a user who came back", func() bool { return len(f.Revocations) > n })
}

// A9: of a user the audit tells what he may do and what was changed, and not who he
// is; nor does any key of the store.
func TestA9_UsersAreNotNamed(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	p := in.Pool(op)
	user := controltest.Call[mezu.User](t, op, api.OpCreateUser, map[string]any{"profile": map[string]any{"email": "zaphod@example.com", "name": "Beeblebrox"}, "roles": []string{"shop/staff"}}, p.InProject()...)
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": "trillian@example.com"}, "status": "suspended"}, p.InProject(user.ID)...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(user.ID)...)
	var records []string
	for token := ""; ; {
		page, err := in.Store.List(t.Context(), "", token, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			if strings.HasPrefix(r.Key, "audit/") && strings.Contains(string(r.Value), user.ID) {
				records = append(records, string(r.Value))
			}
			for _, who := range []string{"zaphod", "trillian", "eeblebrox"} {
				if strings.Contains(r.Key, who) || strings.HasPrefix(r.Key, "audit/") && strings.Contains(string(r.Value), who) {
					t.Errorf("%s: %s", r.Key, r.Value)
				}
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if len(records) != 3 || !strings.Contains(records[1], `"before":{"status":"active","roles":["shop/staff"]}`) ||
		!strings.Contains(records[1], `"after":{"status":"suspended","roles":["shop/staff"],"changed":["profile.email"]}`) {
		t.Errorf("%d records: %s", len(records), records)
	}
}

// S8: who users are is nowhere at rest in the clear: not in a record, a key, the
// answers kept for repetition, the history, the log.
func TestS8_UsersAtRest(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	p := in.Pool(op)
	profile := map[string]any{"email": in.Secret("Zaphod.B@example.com"), "name": in.Secret("Beeblebrox"), "display_name": in.Secret("The President")}
	user := controltest.Call[mezu.User](t, op, api.OpCreateUser, map[string]any{"profile": profile}, p.InProject()...)
	in.Secret(strings.ToLower(user.Profile.Email))
	controltest.Call[any](t, op, api.OpUpdateUser, map[string]any{"profile": map[string]any{"email": in.Secret("trillian@example.com")}, "status": "suspended"}, p.InProject(user.ID)...)
	controltest.Refused(t, mezu.CodeConflict, op, api.OpCreateUser, controltest.UserBody("Trillian@example.com"), p.InProject()...)
	if got := mails(t, op, api.OpListUsers, "email=trillian@example.com", p.InProject()...); got != "trillian" {
		t.Errorf("found %q", got)
	}
	gone := controltest.Call[mezu.User](t, op, api.OpCreateUser, controltest.UserBody(in.Secret("marvin@example.com")), p.InProject()...)
	controltest.Call[any](t, op, api.OpDeleteUser, nil, p.InProject(gone.ID)...)
	leak.Scan(in)
}
