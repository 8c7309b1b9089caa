package control_test

import (
	"encoding/json"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// deed is one operation that changes something, and what its record must say.
type deed struct {
	op    api.Operation
	do    func() // calls it once
	actor string // the kind
	// tenant says that the record belongs to the organization, and is served there;
	// else it is the installation's.
	tenant        bool
	target        string // the kind
	before, after string // parts of the sides; "-" is none
}

// A9: each operation that changes something leaves exactly one record with actor,
// tenant, target and before → after, and no record holds a secret. An operation
// without a line here fails the test.
func TestA9_EveryOperation(t *testing.T) {
	in := controltest.InstallWithStore(t)
	seen := map[string]bool{}
	var op *api.Client // operator and owner of the organization
	var org mezu.Organization
	// run does deeds in their order.
	run := func(deeds ...deed) {
		for _, d := range deeds {
			before := in.Audited()
			d.do()
			seen[d.op.ID] = true
			var records []mezu.AuditRecord
			for key, rec := range in.Audited() {
				if _, old := before[key]; !old {
					records = append(records, rec)
				}
			}
			if len(records) != 1 {
				t.Fatalf("%s left %d records: %+v", d.op.ID, len(records), records)
			}
			judge(in, d, records[0], org.ID)
			served(in, op, d, records[0])
		}
	}
	var key, token string
	var invited api.InvitationCreated
	var member mezu.Member
	var made api.TokenCreated
	invite := func(email string) func() {
		return func() { invited = in.Invite(op, "acme", email, mezu.RoleViewer) }
	}
	var w, e *controltest.Identity
	body := func(s string) any { return json.RawMessage(s) }
	as := func(o api.Operation, in string, params ...string) func() {
		return func() {
			var b any
			if in != "" {
				b = body(in)
			}
			controltest.Call[any](t, op, o, b, params...)
		}
	}
	run(
		deed{api.OpBootstrap, func() { op = in.Operator() }, "anonymous", false, "operator", "-", `"id":"prs_`},
		deed{api.OpCreateOrganization, func() {
			org = controltest.Call[mezu.Organization](t, op, api.OpCreateOrganization, body(`{"name":"acme"}`))
		}, "operator", false, "organization", "-", `"name":"acme"`},
	)
	var proposal api.KeyProposal
	env := []string{"acme", "shop", "production"}
	var user mezu.User
	addUser := func(o api.Operation, params ...string) func() {
		return func() {
			user = controltest.Call[mezu.User](t, op, o, body(`{"profile":{"email":"una@acme.example"}}`), params...)
		}
	}
	run(
		deed{api.OpUpdateOrganization, as(api.OpUpdateOrganization, `{"display_name":"Acme"}`, "acme"), "operator", true, "organization", `"name":"acme"`, `"display_name":"Acme"`},
		deed{api.OpCreateProject, as(api.OpCreateProject, `{"name":"shop"}`, "acme"), "operator", true, "project", "-", `"name":"shop"`},
		deed{api.OpUpdateProject, as(api.OpUpdateProject, `{"display_name":"Shop"}`, "acme", "shop"), "operator", true, "project", `"revision":1`, `"display_name":"Shop"`},
		deed{api.OpCreateEnvironment, as(api.OpCreateEnvironment, `{"name":"production"}`, "acme", "shop"), "operator", true, "environment", "-", `"endpoint":"shop-acme"`},
		deed{api.OpUpdateEnvironment, as(api.OpUpdateEnvironment, `{"enabled":false}`, env...), "operator", true, "environment", `"name":"production"`, `"enabled":false`},
		deed{api.OpApplyProject, as(api.OpApplyProject, `{"manifest":{"environments":{"production":{"waf":"block"}}}}`, "acme", "shop"), "operator", true, "project", `{"sha256":"`, `"changed":[{"action":"update","path":"environments.production.waf"`},
		deed{api.OpReplaceRoutes, as(api.OpReplaceRoutes, `{"routes":[{"prefix":"/a"},{"prefix":"/b"}]}`, env...), "operator", true, "routes", `"count":0`, `"count":2`},
		deed{api.OpCreateRoute, as(api.OpCreateRoute, `{"prefix":"/c","name":"c"}`, env...), "operator", true, "route", "-", `"prefix":"/c"`},
		deed{api.OpUpdateRoute, as(api.OpUpdateRoute, `{"methods":["GET"]}`, append(env, "c")...), "operator", true, "route", `"prefix":"/c"`, `"methods":["GET"]`},
		deed{api.OpDeleteRoute, as(api.OpDeleteRoute, "", append(env, "c")...), "operator", true, "route", `"methods":["GET"]`, "-"},
		deed{api.OpCreateWebhook, as(api.OpCreateWebhook, `{"name":"pay","provider":"stripe"}`, env...), "operator", true, "webhook", "-", `"provider":"stripe"`},
		deed{api.OpSetWebhookSecret, as(api.OpSetWebhookSecret, `{"secret":"`+in.Secret("whsec_hush")+`"}`, append(env, "pay")...), "operator", true, "webhook", `"revision":1`, `"secrets":1`},
		deed{api.OpUpdateWebhook, as(api.OpUpdateWebhook, `{"tolerance":"1m"}`, append(env, "pay")...), "operator", true, "webhook", `"secrets":1`, `"tolerance":"1m0s"`},
		deed{api.OpDeleteWebhook, as(api.OpDeleteWebhook, "", append(env, "pay")...), "operator", true, "webhook", `"tolerance":"1m0s"`, "-"},
		deed{api.OpCreateServiceAccount, func() {
			out := controltest.Call[api.ServiceAccountCreated](t, op, api.OpCreateServiceAccount, body(`{"name":"gate","permissions":["warpgate.register"]}`), "acme", "shop")
			key = in.Secret(out.Key)
		}, "operator", true, "service_account", "-", `"permissions":["warpgate.register"]`},
		deed{api.OpRegisterWarpgate, func() { w, _ = in.Register(key, "") }, "service_account", true, "warpgate", "-", `"serial":"`},
		deed{api.OpRenewWarpgate, func() {
			controltest.Call[any](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
		}, "warpgate", true, "warpgate", `"serial":"`, `"serial":"`},
		deed{api.OpWarpgateTargets, func() {
			controltest.Call[any](t, in.Client("", w.Cert), api.OpWarpgateTargets, api.WarpgateTargetsRequest{WarpgateTargets: mezu.WarpgateTargets{Upstream: "localhost:8080"}, Version: "1.0"})
		}, "warpgate", true, "warpgate", "-", `"upstream":"localhost:8080"`},
		deed{api.OpDrainWarpgate, func() { as(api.OpDrainWarpgate, "", append(env, w.ID)...)() }, "operator", true, "warpgate", `"serial":"`, `"draining":true`},
		deed{api.OpUndrainWarpgate, func() { as(api.OpUndrainWarpgate, "", append(env, w.ID)...)() }, "operator", true, "warpgate", `"draining":true`, `"serial":"`},
		deed{api.OpUpdateServiceAccount, as(api.OpUpdateServiceAccount, `{"environment":"staging"}`, "acme", "shop", "gate"), "operator", true, "service_account", `"name":"gate"`, `"environment":"staging"`},
		deed{api.OpRotateServiceAccount, func() {
			in.Secret(controltest.Call[api.ServiceAccountCreated](t, op, api.OpRotateServiceAccount, body(`{}`), "acme", "shop", "gate").Key)
		}, "operator", true, "service_account", `"name":"gate"`, `"previous_key_until":"`},
		deed{api.OpDeleteWarpgate, func() { as(api.OpDeleteWarpgate, "", append(env, w.ID)...)() }, "operator", true, "warpgate", `"serial":"`, "-"},
		deed{api.OpCreateEnrolmentToken, func() {
			out := controltest.Call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: controltest.SPKI(t, w.CSR)}, env...)
			in.Secret(out.Token)
		}, "operator", true, "enrolment_token", "-", `"public_key_sha256":"`},
		deed{api.OpCreateJoinToken, func() { token = in.JoinToken(op) }, "operator", false, "join_token", "-", `"expires_at"`},
		deed{api.OpEnrolEdge, func() {
			e = controltest.NewIdentity(t)
			out := controltest.Call[api.EnrolResponse](t, in.Client(token, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: e.CSR, Name: "edge-1", TunnelAddress: "127.0.0.1:9443"})
			e.Take(t, out.Certificates, out.Edge)
		}, "join_token", false, "edge", "-", `"name":"edge-1"`},
		deed{api.OpRenewEdge, func() {
			controltest.Call[any](t, in.Client("", e.Cert), api.OpRenewEdge, api.RenewRequest{CSR: e.CSR})
		}, "edge", false, "edge", `"serial":"`, `"serial":"`},
		deed{api.OpPublicCertificate, func() {
			controltest.Call[any](t, in.Client("", e.Cert), api.OpPublicCertificate, api.PublicCertificateRequest{CSR: e.CSR, Hosts: []string{"shop-acme.localhost"}})
		}, "edge", false, "certificate", "-", `"hosts":["shop-acme.localhost"]`},
		deed{api.OpEdgeReport, func() {
			controltest.Call[any](t, in.Client("", e.Cert), api.OpEdgeReport, api.EdgeReport{TunnelAddress: "127.0.0.1:9444"})
		}, "edge", false, "edge", `"tunnel_address":"127.0.0.1:9443"`, `"tunnel_address":"127.0.0.1:9444"`},
		deed{api.OpEdgeRevocations, func() { in.HandUp(e, in.LostRevocation(e)) }, "edge", false, "edge", "-", `"revocations":1`},
		deed{api.OpDeleteEdge, as(api.OpDeleteEdge, "", "edge-1"), "operator", false, "edge", `"name":"edge-1"`, "-"},
		deed{api.OpProposeKeys, func() {
			proposal = controltest.Call[api.KeyProposal](t, op, api.OpProposeKeys, api.RotationRequest{What: api.RotateSigning})
		}, "operator", false, "keys", "-", `"what":"signing","keyset_version":2`},
		deed{api.OpInstallKeys, func() {
			endorsed, err := ca.Endorse(filepath.Join(in.Dir, "offline"), proposal, in.Clock.Now)
			if err != nil {
				t.Fatal(err)
			}
			controltest.Call[api.KeyStatus](t, op, api.OpInstallKeys, endorsed)
		}, "operator", false, "keys", `"keyset_version":1`, `"keyset_version":2`},
		deed{api.OpBackup, func() {
			if _, err := op.Backup(t.Context(), io.Discard); err != nil {
				t.Fatal(err)
			}
		}, "operator", false, "backup", "-", `"at":"`},
		deed{api.OpRotateSealKeys, as(api.OpRotateSealKeys, ""), "operator", false, "keys", `"seal_key":"`, "-"},
		deed{api.OpCreateDirectory, as(api.OpCreateDirectory, `{"name":"people"}`, "acme", "shop"), "operator", true, "directory", "-", `"name":"people"`},
		deed{api.OpUpdateDirectory, as(api.OpUpdateDirectory, `{"signup":"open"}`, "acme", "shop", "people"), "operator", true, "directory", `"name":"people"`, `"signup":"open"`},
		deed{api.OpSetLogo, func() {
			controltest.Call[any](t, op, api.OpSetLogo, api.Image(controltest.Pixel), "acme", "shop", "people")
		}, "operator", true, "directory", `"name":"people"`, `"brand":{"logo":"`},
		deed{api.OpDeleteLogo, as(api.OpDeleteLogo, "", "acme", "shop", "people"), "operator", true, "directory", `"brand":{"logo":"`, `"name":"people"`},
		deed{api.OpCreateUser, addUser(api.OpCreateUser, "acme", "shop", "people"), "operator", true, "user", "-", `{"status":"active"}`},
		deed{api.OpUpdateUser, func() {
			as(api.OpUpdateUser, `{"profile":{"name":"Una"},"status":"suspended"}`, "acme", "shop", "people", user.ID)()
		}, "operator", true, "user", `{"status":"active"}`, `{"status":"suspended","changed":["profile.name"]}`},
		deed{api.OpDeleteUser, func() { as(api.OpDeleteUser, "", "acme", "shop", "people", user.ID)() }, "operator", true, "user", `{"status":"suspended"}`, "-"},
		deed{api.OpDeleteDirectory, as(api.OpDeleteDirectory, "", "acme", "shop", "people"), "operator", true, "directory", `"name":"people"`, "-"},
		deed{api.OpCreateOrganizationDirectory, as(api.OpCreateOrganizationDirectory, `{"name":"all"}`, "acme"), "operator", true, "directory", "-", `"name":"all"`},
		deed{api.OpUpdateOrganizationDirectory, as(api.OpUpdateOrganizationDirectory, `{"signup":"open"}`, "acme", "all"), "operator", true, "directory", `"name":"all"`, `"signup":"open"`},
		deed{api.OpSetOrganizationLogo, func() {
			controltest.Call[any](t, op, api.OpSetOrganizationLogo, api.Image(controltest.Pixel), "acme", "all")
		}, "operator", true, "directory", `"name":"all"`, `"brand":{"logo":"`},
		deed{api.OpDeleteOrganizationLogo, as(api.OpDeleteOrganizationLogo, "", "acme", "all"), "operator", true, "directory", `"brand":{"logo":"`, `"name":"all"`},
		deed{api.OpCreateOrganizationUser, addUser(api.OpCreateOrganizationUser, "acme", "all"), "operator", true, "user", "-", `{"status":"active"}`},
		deed{api.OpUpdateOrganizationUser, func() {
			as(api.OpUpdateOrganizationUser, `{"profile":{"name":"Una"},"status":"suspended"}`, "acme", "all", user.ID)()
		}, "operator", true, "user", `{"status":"active"}`, `{"status":"suspended","changed":["profile.name"]}`},
		deed{api.OpDeleteOrganizationUser, func() { as(api.OpDeleteOrganizationUser, "", "acme", "all", user.ID)() }, "operator", true, "user", `{"status":"suspended"}`, "-"},
		deed{api.OpDeleteOrganizationDirectory, as(api.OpDeleteOrganizationDirectory, "", "acme", "all"), "operator", true, "directory", `"name":"all"`, "-"},
		deed{api.OpCreateInvitation, invite("eve@acme.example"), "operator", true, "invitation", "-", `"role":"viewer"`},
		deed{api.OpDeleteInvitation, func() { as(api.OpDeleteInvitation, "", "acme", invited.ID)() }, "operator", true, "invitation", `"role":"viewer"`, "-"},
		deed{api.OpCreateInvitation, invite("ana@acme.example"), "operator", true, "invitation", "-", `"email":"hmac:`},
		deed{api.OpRedeemInvitation, func() {
			out := controltest.Call[api.RedeemResponse](t, in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: in.Secret(invited.Code), Email: "ana@acme.example"})
			member = out.Member
			in.Secret(out.Token)
		}, "anonymous", true, "member", "-", `"role":"viewer"`},
		deed{api.OpUpdateMember, func() { as(api.OpUpdateMember, `{"role":"admin"}`, "acme", member.ID)() }, "operator", true, "member", `"role":"viewer"`, `"role":"admin"`},
		deed{api.OpCreateOperator, func() { controltest.Call[any](t, op, api.OpCreateOperator, api.OperatorRequest{Person: member.Person}) }, "operator", false, "operator", "-", `"email":"hmac:`},
		deed{api.OpDeleteOperator, func() { as(api.OpDeleteOperator, "", member.Person)() }, "operator", false, "operator", `"email":"hmac:`, "-"},
		deed{api.OpCreateToken, func() {
			made = controltest.Call[api.TokenCreated](t, op, api.OpCreateToken, body(`{"permissions":["projects.read"]}`))
			in.Secret(made.Secret)
		}, "operator", false, "token", "-", `"permissions":["projects.read"]`},
		deed{api.OpCreateLoginLink, func() {
			link := controltest.Call[api.LoginLink](t, op, api.OpCreateLoginLink, nil).Link
			in.Secret(link[strings.Index(link, "#")+1:])
		}, "operator", false, "person", "-", `"changed":["login_link"]`},
		deed{api.OpCreatePersonLoginLink, func() {
			link := controltest.Call[api.LoginLink](t, op, api.OpCreatePersonLoginLink, nil, member.Person).Link
			in.Secret(link[strings.Index(link, "#")+1:])
		}, "operator", false, "person", "-", `"changed":["login_link"]`},
		deed{api.OpDeleteToken, func() { as(api.OpDeleteToken, "", made.ID)() }, "operator", false, "token", `"permissions":["projects.read"]`, "-"},
		deed{api.OpEndLogins, as(api.OpEndLogins, ""), "operator", false, "person", "-", "-"},
		deed{api.OpDeleteMember, func() { as(api.OpDeleteMember, "", "acme", member.ID)() }, "operator", true, "member", `"role":"admin"`, "-"},
		deed{api.OpDeleteServiceAccount, as(api.OpDeleteServiceAccount, "", "acme", "shop", "gate"), "operator", true, "service_account", `"name":"gate"`, "-"},
		deed{api.OpDeleteEnvironment, as(api.OpDeleteEnvironment, "", env...), "operator", true, "environment", `"endpoint":"shop-acme"`, "-"},
		deed{api.OpDeleteProject, as(api.OpDeleteProject, "", "acme", "shop"), "operator", true, "project", `"name":"shop"`, "-"},
		deed{api.OpDeleteOrganization, as(api.OpDeleteOrganization, "", "acme"), "operator", false, "organization", `"name":"acme"`, "-"},
	)
	// What administrators do with the accounts of users, in a project's directory and in an
	// organization's.
	org = controltest.Call[mezu.Organization](t, op, api.OpCreateOrganization, body(`{"name":"acme"}`))
	as(api.OpCreateProject, `{"name":"shop"}`, "acme")()
	as(api.OpCreateEnvironment, `{"name":"production"}`, "acme", "shop")()
	for _, of := range []struct {
		directory, user, get, update, invite, reset, endOne, endAll api.Operation
		params                                                      []string
	}{
		{api.OpCreateDirectory, api.OpCreateUser, api.OpGetDirectory, api.OpUpdateUser, api.OpInviteUser, api.OpResetUser, api.OpEndUserSession, api.OpEndUserSessions, []string{"acme", "shop"}},
		{api.OpCreateOrganizationDirectory, api.OpCreateOrganizationUser, api.OpGetOrganizationDirectory, api.OpUpdateOrganizationUser,
			api.OpInviteOrganizationUser, api.OpResetOrganizationUser, api.OpEndOrganizationUserSession, api.OpEndOrganizationUserSessions, []string{"acme"}},
	} {
		name := "people" + strconv.Itoa(len(of.params))
		as(of.directory, `{"name":"`+name+`"}`, of.params...)()
		as(api.OpUpdateEnvironment, `{"directory":"`+name+`"}`, "acme", "shop", "production")()
		directory := append(slices.Clone(of.params), name)
		addUser(of.user, directory...)()
		person := append(directory, user.ID)
		as(of.update, `{"status":"inactive"}`, person...)()
		run(deed{of.invite, as(of.invite, `{}`, person...), "operator", true, "user", "-", `"link":"invitation"`})
		as(of.update, `{"status":"active"}`, person...)()
		run(deed{of.reset, as(of.reset, `{}`, person...), "operator", true, "user", "-", `"link":"reset"`})
		now := in.Clock.Now().Add(time.Second)
		session := mezu.NewID(mezu.PrefixSession, now)
		in.Write("session/"+controltest.Call[mezu.Directory](t, op, of.get, nil, directory...).ID+"/"+user.ID+"/"+session,
			map[string]any{"id": session, "auth_time": now, "refreshed_at": now, "idle_until": now.Add(time.Hour), "not_after": now.Add(time.Hour)})
		run(
			deed{of.endOne, as(of.endOne, "", append(slices.Clone(person), session)...), "operator", true, "user", "-", session},
			deed{of.endAll, as(of.endAll, "", person...), "operator", true, "user", "-", `"all"`},
		)
	}
	// What visitors of an edge change is of users; TestA9_WhatUsersChange of package login has
	// it. A login and its end are in the history of the user.
	for _, o := range []api.Operation{api.OpEdgePage, api.OpEdgeRefresh, api.OpEdgeLogout} {
		seen[o.ID] = true
	}
	for _, o := range api.Operations() {
		if o.Method != "GET" && !seen[o.ID] {
			t.Errorf("%s changes something, and nobody said here what its audit record must hold", o.ID)
		}
	}
	// Nor do they say who a person is.
	in.Secret("ana@acme.example")
	in.Secret("eve@acme.example")
	in.Secret("una@acme.example")
	in.ScanAudit()
}

// A9: what the process does at its start leaves records, too, and names itself.
func TestA9_Start(t *testing.T) {
	in := controltest.InstallWithStore(t)
	before := map[string]bool{}
	left := func(what string, want ...string) {
		t.Helper()
		var got []string
		for key, rec := range in.Audited() {
			if before[key] {
				continue
			}
			before[key] = true
			if rec.Actor.Kind == "process" {
				got = append(got, rec.Operation+" "+rec.Target.Kind)
			}
			if rec.Outcome != mezu.AuditDone || rec.Target.ID == "" || rec.After == nil {
				t.Errorf("%s: %+v", what, rec)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", what, got, want)
		}
	}
	in.Secret(in.BootstrapCode())
	left("a new installation", "start-bootstrap-code bootstrap_code")
	join, err := in.Plane.JoinToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in.Secret(join)
	left("an edge of the process", "start-join-token join_token")
	token := in.OperatorToken()
	left("the first operator")
	in.RecoveredToken()
	left("a token of the first operator", "start-bootstrap-code bootstrap_code")
	var list api.AuditList
	err = in.Client(token, nil).Do(t.Context(), api.Call{Operation: api.OpListInstallationAudit, Query: url.Values{"operation": {"start-join-token"}}}, &list)
	if err != nil || len(list.Items) != 1 || list.Items[0].Actor != (mezu.AuditActor{Kind: "process"}) {
		t.Errorf("%+v, %v", list.Items, err)
	}
	in.ScanAudit()
}

// judge compares a record with what is expected of it.
func judge(in *controltest.Installation, d deed, rec mezu.AuditRecord, org string) {
	in.T.Helper()
	side := func(name string, got json.RawMessage, want string) {
		if want == "-" && got != nil || want != "-" && !strings.Contains(string(got), want) {
			in.T.Errorf("%s: %s is %s, not %s", d.op.ID, name, got, want)
		}
	}
	side("before", rec.Before, d.before)
	side("after", rec.After, d.after)
	if !d.tenant {
		org = ""
	}
	if rec.Operation != d.op.ID || rec.Outcome != mezu.AuditDone || rec.Organization != org || rec.Target.Kind != d.target || rec.Target.ID == "" ||
		rec.Actor.Kind != d.actor || rec.Actor.ID == "" && d.actor != "anonymous" || rec.Actor.Address != "127.0.0.1" ||
		!strings.HasPrefix(rec.RequestID, "req_") || rec.Time.IsZero() {
		in.T.Errorf("%s: %+v", d.op.ID, rec)
	}
}

// served checks that the API gives the record first, to those who may read it.
func served(in *controltest.Installation, op *api.Client, d deed, rec mezu.AuditRecord) {
	in.T.Helper()
	o, params := api.OpListInstallationAudit, []string(nil)
	if d.tenant {
		o, params = api.OpListAudit, []string{"acme"}
	}
	list := controltest.Call[api.AuditList](in.T, op, o, nil, params...)
	if len(list.Items) == 0 || list.Items[0].ID != rec.ID || string(list.Items[0].After) != string(rec.After) {
		in.T.Errorf("%s: the log begins with %+v", d.op.ID, list.Items[:min(1, len(list.Items))])
	}
}
