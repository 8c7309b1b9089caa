package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// everyone is all kinds of callers.
const everyone = "anonymous foreign operator owner admin developer viewer billing account verbless warpgate edge joiner enrolment"

// people are those of them who are persons.
const people = "foreign operator owner admin developer viewer billing"

// allowed says, for every operation, which kinds of callers get past authority.
// It is written by hand and apart from the server's own table: the two must
// agree. Everyone not named is refused. «foreign» is an owner elsewhere, «operator»
// runs the installation and belongs to no organization.
var allowed = map[string]string{
	api.OpBootstrap.ID: everyone,
	api.OpSelf.ID:      "foreign operator owner admin developer viewer billing account verbless",

	api.OpListTokens.ID:  people,
	api.OpCreateToken.ID: people,
	api.OpGetToken.ID:    "", // each his own only, and nobody has this one
	api.OpDeleteToken.ID: "",
	api.OpEndLogins.ID:   people,

	api.OpCreateLoginLink.ID:       people,
	api.OpCreatePersonLoginLink.ID: "operator",

	api.OpListOperators.ID:  "operator",
	api.OpCreateOperator.ID: "operator",
	api.OpGetOperator.ID:    "operator",
	api.OpDeleteOperator.ID: "operator",

	api.OpListOrganizations.ID:  people,
	api.OpCreateOrganization.ID: "operator",
	api.OpGetOrganization.ID:    "owner admin developer viewer billing",
	api.OpUpdateOrganization.ID: "owner admin",
	api.OpDeleteOrganization.ID: "owner",

	api.OpListMembers.ID:  "owner admin developer viewer",
	api.OpGetMember.ID:    "owner admin developer viewer",
	api.OpUpdateMember.ID: "owner admin",
	api.OpDeleteMember.ID: "owner admin",

	api.OpListInvitations.ID:  "owner admin developer viewer",
	api.OpCreateInvitation.ID: "owner admin",
	api.OpGetInvitation.ID:    "owner admin developer viewer",
	api.OpDeleteInvitation.ID: "owner admin",
	api.OpRedeemInvitation.ID: "anonymous foreign operator owner admin developer viewer billing",

	api.OpListProjects.ID:  "owner admin developer viewer account",
	api.OpCreateProject.ID: "owner admin developer",
	api.OpGetProject.ID:    "owner admin developer viewer account",
	api.OpUpdateProject.ID: "owner admin developer",
	api.OpDeleteProject.ID: "owner admin developer",

	api.OpApplyProject.ID:  "owner admin developer viewer account", // those who may read, as long as it changes nothing
	api.OpExportProject.ID: "owner admin developer viewer account",

	api.OpListEnvironments.ID:  "owner admin developer viewer account",
	api.OpCreateEnvironment.ID: "owner admin developer account",
	api.OpGetEnvironment.ID:    "owner admin developer viewer account",
	api.OpUpdateEnvironment.ID: "owner admin developer account",
	api.OpDeleteEnvironment.ID: "owner admin developer account",

	api.OpListRoutes.ID:    "owner admin developer viewer account",
	api.OpReplaceRoutes.ID: "owner admin developer account",
	api.OpCreateRoute.ID:   "owner admin developer account",
	api.OpGetRoute.ID:      "owner admin developer viewer account",
	api.OpUpdateRoute.ID:   "owner admin developer account",
	api.OpDeleteRoute.ID:   "owner admin developer account",

	api.OpListWebhooks.ID:     "owner admin developer viewer account",
	api.OpCreateWebhook.ID:    "owner admin developer account",
	api.OpGetWebhook.ID:       "owner admin developer viewer account",
	api.OpUpdateWebhook.ID:    "owner admin developer account",
	api.OpDeleteWebhook.ID:    "owner admin developer account",
	api.OpSetWebhookSecret.ID: "owner admin developer account",

	api.OpListServiceAccounts.ID:  "owner admin developer viewer",
	api.OpCreateServiceAccount.ID: "owner admin developer",
	api.OpGetServiceAccount.ID:    "owner admin developer viewer",
	api.OpUpdateServiceAccount.ID: "owner admin developer",
	api.OpRotateServiceAccount.ID: "owner admin developer",
	api.OpDeleteServiceAccount.ID: "owner admin developer",

	api.OpListDirectories.ID: "owner admin developer viewer account",
	api.OpCreateDirectory.ID: "owner admin developer account",
	api.OpGetDirectory.ID:    "owner admin developer viewer account",
	api.OpUpdateDirectory.ID: "owner admin developer account",
	api.OpDeleteDirectory.ID: "owner admin developer account",

	api.OpListOrganizationDirectories.ID: "owner admin developer viewer",
	api.OpCreateOrganizationDirectory.ID: "owner admin",
	api.OpGetOrganizationDirectory.ID:    "owner admin developer viewer",
	api.OpUpdateOrganizationDirectory.ID: "owner admin",
	api.OpDeleteOrganizationDirectory.ID: "owner admin",

	api.OpGetLogo.ID:                "owner admin developer viewer account",
	api.OpSetLogo.ID:                "owner admin developer account",
	api.OpDeleteLogo.ID:             "owner admin developer account",
	api.OpGetOrganizationLogo.ID:    "owner admin developer viewer",
	api.OpSetOrganizationLogo.ID:    "owner admin",
	api.OpDeleteOrganizationLogo.ID: "owner admin",

	api.OpListUsers.ID:  "owner admin developer viewer account",
	api.OpCreateUser.ID: "owner admin developer account",
	api.OpGetUser.ID:    "owner admin developer viewer account",
	api.OpUpdateUser.ID: "owner admin developer account",
	api.OpDeleteUser.ID: "owner admin developer account",
	api.OpGetLogins.ID:  "owner admin developer viewer account",

	api.OpListOrganizationUsers.ID:  "owner admin developer viewer",
	api.OpCreateOrganizationUser.ID: "owner admin",
	api.OpGetOrganizationUser.ID:    "owner admin developer viewer",
	api.OpUpdateOrganizationUser.ID: "owner admin",
	api.OpDeleteOrganizationUser.ID: "owner admin",
	api.OpGetOrganizationLogins.ID:  "owner admin developer viewer",

	api.OpInviteUser.ID:      "owner admin developer account",
	api.OpResetUser.ID:       "owner admin developer account",
	api.OpGetUserSessions.ID: "owner admin developer viewer account",
	api.OpEndUserSessions.ID: "owner admin developer account",
	api.OpEndUserSession.ID:  "owner admin developer account",

	api.OpInviteOrganizationUser.ID:      "owner admin",
	api.OpResetOrganizationUser.ID:       "owner admin",
	api.OpGetOrganizationUserSessions.ID: "owner admin developer viewer",
	api.OpEndOrganizationUserSessions.ID: "owner admin",
	api.OpEndOrganizationUserSession.ID:  "owner admin",

	api.OpListWarpgates.ID:        "owner admin developer viewer account",
	api.OpGetWarpgate.ID:          "owner admin developer viewer account",
	api.OpDeleteWarpgate.ID:       "owner admin developer account",
	api.OpDrainWarpgate.ID:        "owner admin developer account",
	api.OpUndrainWarpgate.ID:      "owner admin developer account",
	api.OpCreateEnrolmentToken.ID: "owner admin developer account",
	api.OpRegisterWarpgate.ID:     "account enrolment",
	api.OpRenewWarpgate.ID:        "warpgate",
	api.OpWarpgateTargets.ID:      "warpgate",

	api.OpListEdges.ID:         "operator",
	api.OpGetEdge.ID:           "operator",
	api.OpDeleteEdge.ID:        "operator",
	api.OpCreateJoinToken.ID:   "operator",
	api.OpEnrolEdge.ID:         "joiner",
	api.OpRenewEdge.ID:         "edge",
	api.OpPublicCertificate.ID: "edge",
	api.OpEdgeReport.ID:        "edge",
	api.OpEdgeRevocations.ID:   "edge",
	api.OpEdgePage.ID:          "edge",
	api.OpEdgeRefresh.ID:       "edge",
	api.OpEdgeLogout.ID:        "edge",
	api.OpEdgeStream.ID:        "edge",

	api.OpListAudit.ID:                    "owner admin account",
	api.OpWatchAudit.ID:                   "owner admin account",
	api.OpListInstallationAudit.ID:        "operator",
	api.OpWatchInstallationAudit.ID:       "operator",
	api.OpShowKeys.ID:                     "operator",
	api.OpProposeKeys.ID:                  "operator",
	api.OpInstallKeys.ID:                  "operator",
	api.OpRotateSealKeys.ID:               "operator",
	api.OpBackup.ID:                       "operator",
	api.OpWatchProjects.ID:                "owner admin developer viewer account",
	api.OpWatchEnvironments.ID:            "owner admin developer viewer account",
	api.OpWatchRoutes.ID:                  "owner admin developer viewer account",
	api.OpWatchServiceAccounts.ID:         "owner admin developer viewer",
	api.OpWatchMembers.ID:                 "owner admin developer viewer",
	api.OpWatchDirectories.ID:             "owner admin developer viewer account",
	api.OpWatchOrganizationDirectories.ID: "owner admin developer viewer",
	api.OpWatchUsers.ID:                   "owner admin developer viewer account",
	api.OpWatchOrganizationUsers.ID:       "owner admin developer viewer",
	api.OpWatchWarpgates.ID:               "owner admin developer viewer account",
}

// bodies are well-formed and ask for nothing that could be done, so that a caller
// who gets past authority changes nothing.
var bodies = map[string]any{
	api.OpBootstrap.ID:                   map[string]any{"code": ""},
	api.OpCreateToken.ID:                 map[string]any{"expires_at": "2000-01-01T00:00:00Z"},
	api.OpCreateOperator.ID:              map[string]any{"email": "nobody@b.example"},
	api.OpCreateOrganization.ID:          map[string]any{"name": "-"},
	api.OpUpdateOrganization.ID:          map[string]any{},
	api.OpCreateProject.ID:               map[string]any{"name": "-"},
	api.OpUpdateProject.ID:               map[string]any{},
	api.OpApplyProject.ID:                map[string]any{"manifest": map[string]any{}},
	api.OpCreateEnvironment.ID:           map[string]any{"name": "-"},
	api.OpUpdateEnvironment.ID:           map[string]any{},
	api.OpReplaceRoutes.ID:               map[string]any{"routes": []any{}},
	api.OpCreateRoute.ID:                 map[string]any{"prefix": "-"},
	api.OpUpdateRoute.ID:                 map[string]any{},
	api.OpCreateWebhook.ID:               map[string]any{"name": "-", "provider": "stripe"},
	api.OpUpdateWebhook.ID:               map[string]any{},
	api.OpSetWebhookSecret.ID:            map[string]any{},
	api.OpCreateServiceAccount.ID:        map[string]any{"name": "-", "permissions": []any{}},
	api.OpCreateDirectory.ID:             map[string]any{"name": "-"},
	api.OpUpdateDirectory.ID:             map[string]any{},
	api.OpSetLogo.ID:                     api.Image("-"),
	api.OpSetOrganizationLogo.ID:         api.Image("-"),
	api.OpCreateUser.ID:                  map[string]any{"profile": map[string]any{"email": "-"}},
	api.OpUpdateUser.ID:                  map[string]any{},
	api.OpInviteUser.ID:                  map[string]any{"environment": "-"},
	api.OpResetUser.ID:                   map[string]any{"environment": "-"},
	api.OpInviteOrganizationUser.ID:      map[string]any{"environment": "-"},
	api.OpResetOrganizationUser.ID:       map[string]any{"environment": "-"},
	api.OpCreateOrganizationUser.ID:      map[string]any{"profile": map[string]any{"email": "-"}},
	api.OpUpdateOrganizationUser.ID:      map[string]any{},
	api.OpCreateOrganizationDirectory.ID: map[string]any{"name": "-"},
	api.OpUpdateOrganizationDirectory.ID: map[string]any{},
	api.OpUpdateServiceAccount.ID:        map[string]any{},
	api.OpRotateServiceAccount.ID:        map[string]any{"overlap": "1000h"},
	api.OpCreateEnrolmentToken.ID:        map[string]any{"public_key_sha256": "-"},
	api.OpRegisterWarpgate.ID:            map[string]any{"csr": "-"},
	api.OpRenewWarpgate.ID:               map[string]any{"csr": "-"},
	api.OpWarpgateTargets.ID:             map[string]any{"upstream": "-"},
	api.OpEnrolEdge.ID:                   map[string]any{"csr": "-", "name": "-", "tunnel_address": "-"},
	api.OpRenewEdge.ID:                   map[string]any{"csr": "-"},
	api.OpPublicCertificate.ID:           map[string]any{"csr": "-", "hosts": []any{}},
	api.OpEdgeReport.ID:                  map[string]any{"applied": map[string]any{"epoch": 0, "revision": 0}},
	api.OpEdgeRevocations.ID:             map[string]any{"revocations": []any{}},
	api.OpEdgePage.ID:                    map[string]any{"environment": "none"},
	api.OpEdgeRefresh.ID:                 map[string]any{"grant": "none"},
	api.OpEdgeLogout.ID:                  map[string]any{"grants": []any{}},
	api.OpUpdateMember.ID:                map[string]any{},
	api.OpProposeKeys.ID:                 map[string]any{"what": "-"},
	api.OpInstallKeys.ID:                 map[string]any{"keyset": map[string]any{"purpose": "keyset", "key_id": "-", "payload": "", "signature": ""}},
	api.OpCreateInvitation.ID:            map[string]any{"email": "-", "role": "viewer"},
	api.OpRedeemInvitation.ID:            map[string]any{"code": "", "email": "a@b.example"},
}

// A1, K3, K4: every operation × every kind of caller.
func TestA1_Matrix(t *testing.T) {
	t.Parallel()
	in := controltest.InstallWithStore(t)
	operator := in.Operator()
	x := in.Tenant(operator, "acme")
	op, _ := in.Join(operator, "acme", "owner@acme.example", mezu.RoleOwner)
	in.Leave(operator, "acme") // founded it, and runs the installation only
	x.Owner = op
	route := controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
	_, full := x.Account("full", mezu.PermWarpgateRegister, mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermEnvironmentsWrite,
		mezu.PermRoutesRead, mezu.PermRoutesWrite, mezu.PermWebhooksRead, mezu.PermWebhooksWrite, mezu.PermWarpgatesRead, mezu.PermWarpgatesWrite,
		mezu.PermDirectoriesRead, mezu.PermDirectoriesWrite, mezu.PermUsersRead, mezu.PermUsersWrite, mezu.PermAuditRead)
	// A verb that no operation asks of it: this account may do nothing but be.
	_, few := x.Account("few", mezu.PermProjectsRead)
	stripPermissions(in, "few", x)
	w, _ := in.Register(full, "")
	e, _ := in.Enrol(operator, "edge-1")
	enrolment := controltest.Call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: mezu.HashSecret("x")}, x.Path()...)
	in.Tenant(operator, "elsewhere")
	foreign, _ := in.Join(operator, "elsewhere", "owner@elsewhere.example", mezu.RoleOwner)
	in.Leave(operator, "elsewhere")
	_, other := in.Join(op, "acme", "other@acme.example", mezu.RoleViewer)
	invitation := in.Invite(op, "acme", "late@acme.example", mezu.RoleViewer)
	as := func(role mezu.Role) *api.Client {
		c, _ := in.Join(op, "acme", string(role)+"-2@acme.example", role)
		return c
	}

	callers := map[string]*api.Client{
		"anonymous": in.Client("", nil),
		"foreign":   foreign,
		"operator":  operator,
		"owner":     op,
		"admin":     as(mezu.RoleAdmin),
		"developer": as(mezu.RoleDeveloper),
		"viewer":    as(mezu.RoleViewer),
		"billing":   as(mezu.RoleBilling),
		"account":   in.Client(full, nil),
		"verbless":  in.Client(few, nil),
		"warpgate":  in.Client("", w.Cert),
		"edge":      in.Client("", e.Cert),
		"joiner":    in.Client(in.JoinToken(operator), nil),
		"enrolment": in.Client(enrolment.Token, nil),
	}
	controltest.Call[any](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	controltest.Call[any](t, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "customers"}, x.Org)
	controltest.Call[any](t, op, api.OpSetLogo, api.Image(controltest.Pixel), x.Org, x.Prj, "customers")
	controltest.Call[any](t, op, api.OpSetOrganizationLogo, api.Image(controltest.Pixel), x.Org, "customers")
	ann := map[string]any{"profile": map[string]any{"email": "ann@example.com"}}
	inProject := controltest.Call[mezu.User](t, op, api.OpCreateUser, ann, x.Org, x.Prj, "customers")
	inOrganization := controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, ann, x.Org, "customers")
	self := controltest.Call[api.Self](t, operator, api.OpSelf, nil)
	items := map[string]string{"token": mezu.NewID(mezu.PrefixToken, time.Now()), "operator": self.ID, "person": self.ID, "organization": x.Org, "project": x.Prj, "environment": x.Environment.Name, "route": route.ID, "webhook": "pay", "service_account": "full",
		"warpgate": w.ID, "edge": "nobody", "directory": "customers", "member": other.ID, "invitation": invitation.ID, "session": "-"}
	for _, o := range api.Operations() {
		expected, listed := allowed[o.ID]
		if !listed {
			t.Errorf("%s: nobody said who may call it", o.ID)
			continue
		}
		items["user"] = inOrganization.ID
		if slices.Contains(o.Params(), "project") {
			items["user"] = inProject.ID
		}
		var params []string
		for _, name := range o.Params() {
			if items[name] == "" {
				t.Fatalf("%s: no %s to call it with", o.ID, name)
			}
			params = append(params, items[name])
		}
		for _, kind := range slices.Sorted(maps.Keys(callers)) {
			code := attempt(t, callers[kind], o, params)
			past := code != mezu.CodeUnauthenticated && code != mezu.CodeForbidden && code != mezu.CodeNotFound
			if o.ID == api.OpDeleteEdge.ID || o.ID == api.OpGetEdge.ID {
				past = code == mezu.CodeNotFound // there is no such edge, which only operators learn
			}
			if o.ID == api.OpBootstrap.ID || o.ID == api.OpRedeemInvitation.ID {
				past = code == mezu.CodeUnauthenticated // the code is wrong, whoever brings it
			}
			if o.ID == api.OpPublicCertificate.ID && kind == "edge" {
				past = code == mezu.CodeInvalid
			}
			if o.ID == api.OpEdgeRefresh.ID && kind == "edge" {
				past = code == mezu.CodeUnauthenticated // the grant is none
			}
			if o.ID == api.OpRegisterWarpgate.ID && kind == "enrolment" {
				past = code == mezu.CodeForbidden // by the key that the token is bound to
			}
			want := slices.Contains(strings.Fields(expected), kind)
			if past != want {
				t.Errorf("%s by %s: %q, allowed %v", o.ID, kind, code, want)
			}
			if kind == "anonymous" && !want && code != mezu.CodeUnauthenticated {
				t.Errorf("%s by nobody: %q", o.ID, code)
			}
		}
	}
}

// verbs says which verbs a service account needs for an operation: one, but where a
// project is read as a whole.
var verbs = map[string][]mezu.Permission{
	api.OpListProjects.ID: {mezu.PermProjectsRead}, api.OpGetProject.ID: {mezu.PermProjectsRead},
	api.OpListEnvironments.ID: {mezu.PermEnvironmentsRead}, api.OpGetEnvironment.ID: {mezu.PermEnvironmentsRead},
	api.OpCreateEnvironment.ID: {mezu.PermEnvironmentsWrite}, api.OpUpdateEnvironment.ID: {mezu.PermEnvironmentsWrite}, api.OpDeleteEnvironment.ID: {mezu.PermEnvironmentsWrite},
	api.OpListRoutes.ID: {mezu.PermRoutesRead}, api.OpGetRoute.ID: {mezu.PermRoutesRead}, api.OpReplaceRoutes.ID: {mezu.PermRoutesWrite},
	api.OpCreateRoute.ID: {mezu.PermRoutesWrite}, api.OpUpdateRoute.ID: {mezu.PermRoutesWrite}, api.OpDeleteRoute.ID: {mezu.PermRoutesWrite},
	api.OpListWebhooks.ID: {mezu.PermWebhooksRead}, api.OpGetWebhook.ID: {mezu.PermWebhooksRead}, api.OpCreateWebhook.ID: {mezu.PermWebhooksWrite},
	api.OpUpdateWebhook.ID: {mezu.PermWebhooksWrite}, api.OpDeleteWebhook.ID: {mezu.PermWebhooksWrite}, api.OpSetWebhookSecret.ID: {mezu.PermWebhooksWrite},
	api.OpListWarpgates.ID: {mezu.PermWarpgatesRead}, api.OpGetWarpgate.ID: {mezu.PermWarpgatesRead}, api.OpDeleteWarpgate.ID: {mezu.PermWarpgatesWrite},
	api.OpDrainWarpgate.ID: {mezu.PermWarpgatesWrite}, api.OpUndrainWarpgate.ID: {mezu.PermWarpgatesWrite},
	api.OpWatchProjects.ID: {mezu.PermProjectsRead}, api.OpWatchEnvironments.ID: {mezu.PermEnvironmentsRead}, api.OpWatchRoutes.ID: {mezu.PermRoutesRead},
	api.OpWatchDirectories.ID: {mezu.PermDirectoriesRead},
	api.OpListDirectories.ID:  {mezu.PermDirectoriesRead}, api.OpGetDirectory.ID: {mezu.PermDirectoriesRead},
	api.OpCreateDirectory.ID: {mezu.PermDirectoriesWrite}, api.OpUpdateDirectory.ID: {mezu.PermDirectoriesWrite}, api.OpDeleteDirectory.ID: {mezu.PermDirectoriesWrite},
	api.OpGetLogo.ID: {mezu.PermDirectoriesRead}, api.OpSetLogo.ID: {mezu.PermDirectoriesWrite}, api.OpDeleteLogo.ID: {mezu.PermDirectoriesWrite},
	api.OpListUsers.ID: {mezu.PermUsersRead}, api.OpGetUser.ID: {mezu.PermUsersRead}, api.OpGetLogins.ID: {mezu.PermUsersRead},
	api.OpCreateUser.ID: {mezu.PermUsersWrite}, api.OpUpdateUser.ID: {mezu.PermUsersWrite}, api.OpDeleteUser.ID: {mezu.PermUsersWrite},
	api.OpInviteUser.ID: {mezu.PermUsersWrite}, api.OpResetUser.ID: {mezu.PermUsersWrite}, api.OpGetUserSessions.ID: {mezu.PermUsersRead},
	api.OpEndUserSessions.ID: {mezu.PermUsersWrite}, api.OpEndUserSession.ID: {mezu.PermUsersWrite},
	api.OpWatchUsers.ID: {mezu.PermUsersRead}, api.OpWatchWarpgates.ID: {mezu.PermWarpgatesRead},
	api.OpListAudit.ID: {mezu.PermAuditRead}, api.OpWatchAudit.ID: {mezu.PermAuditRead},
	// As long as it changes nothing; see TestApply_Authority.
	api.OpApplyProject.ID:         {mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead},
	api.OpExportProject.ID:        {mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead, mezu.PermWebhooksRead},
	api.OpCreateEnrolmentToken.ID: {mezu.PermWarpgateRegister}, api.OpRegisterWarpgate.ID: {mezu.PermWarpgateRegister},
}

// servicePermissions are all verbs that the server lets a service account have, as it
// says itself.
func servicePermissions(t *testing.T, x *controltest.Tenant) []mezu.Permission {
	t.Helper()
	e := controltest.Refused(t, mezu.CodeInvalid, x.Owner, api.OpCreateServiceAccount, map[string]any{"name": "x", "permissions": []string{"none"}}, x.Org, x.Prj)
	_, list, ok := strings.Cut(e.Detail, " is none of ")
	if !ok {
		t.Fatal(e)
	}
	var out []mezu.Permission
	for name := range strings.SplitSeq(list, ", ") {
		out = append(out, mezu.Permission(name))
	}
	return out
}

// K4: a service account with the verbs that an operation needs gets past authority,
// one that lacks one of them does not, and none that only reads changes anything. No
// verb and no operation of a service account is left out.
func TestK4_Verbs(t *testing.T) {
	t.Parallel()
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	route := controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	controltest.Call[any](t, op, api.OpCreateWebhook, map[string]any{"name": "pay", "provider": "stripe"}, x.Path()...)
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	controltest.Call[any](t, op, api.OpSetLogo, api.Image(controltest.Pixel), x.Org, x.Prj, "customers")
	ann := controltest.Call[mezu.User](t, op, api.OpCreateUser, map[string]any{"profile": map[string]any{"email": "ann@example.com"}}, x.Org, x.Prj, "customers")
	items := map[string]string{"organization": x.Org, "project": x.Prj, "environment": x.Environment.Name, "route": route.ID, "webhook": "pay", "warpgate": w.ID, "directory": "customers", "user": ann.ID, "session": "-"}
	past := func(c *api.Client, o api.Operation) bool {
		t.Helper()
		var params []string
		for _, name := range o.Params() {
			params = append(params, items[name])
		}
		code := attempt(t, c, o, params)
		return code != mezu.CodeForbidden && code != mezu.CodeUnauthenticated && code != mezu.CodeNotFound
	}
	all := servicePermissions(t, x)
	for i, verb := range all {
		_, only := x.Account(fmt.Sprintf("only-%d", i), verb)
		_, but := x.Account(fmt.Sprintf("but-%d", i), slices.DeleteFunc(slices.Clone(all), func(p mezu.Permission) bool { return p == verb })...)
		exercised := false
		for _, o := range api.Operations() {
			needs, listed := verbs[o.ID]
			if !listed {
				continue
			}
			if got := past(in.Client(only, nil), o); got != (len(needs) == 1 && needs[0] == verb) {
				t.Errorf("%s with %s alone: %v", o.ID, verb, got)
			}
			if got := past(in.Client(but, nil), o); got == slices.Contains(needs, verb) {
				t.Errorf("%s with all but %s: %v", o.ID, verb, got)
			}
			exercised = exercised || slices.Contains(needs, verb)
		}
		if !exercised {
			t.Errorf("no operation is tried with %s", verb)
		}
	}
	for _, o := range api.Operations() {
		needs, listed := verbs[o.ID]
		byAccount := slices.Contains(strings.Fields(allowed[o.ID]), "account")
		if asks := o.ID != api.OpBootstrap.ID && o.ID != api.OpSelf.ID; listed != (byAccount && asks) {
			t.Errorf("%s: a service account may call it: %v; the verbs that it needs: %v", o.ID, byAccount, needs)
		}
		if len(needs) > 1 {
			_, exact := x.Account("exact-"+o.ID, needs...)
			if !past(in.Client(exact, nil), o) {
				t.Errorf("%s with %v: refused", o.ID, needs)
			}
		}
		for _, verb := range needs {
			if !slices.Contains(all, verb) {
				t.Errorf("%s needs %s, which no service account can have", o.ID, verb)
			}
			if strings.HasSuffix(string(verb), ".read") && o.Method != "GET" && o.ID != api.OpApplyProject.ID {
				t.Errorf("%s changes something and asks for %s", o.ID, verb)
			}
		}
	}
}

// stripPermissions takes the verbs of an account away in the store.
func stripPermissions(in *controltest.Installation, name string, x *controltest.Tenant) {
	in.T.Helper()
	prj := controltest.Call[mezu.Project](in.T, x.Owner, api.OpGetProject, nil, x.Org, x.Prj)
	key := "sva/" + prj.ID + "/" + name
	rec, err := in.Store.Get(in.T.Context(), key)
	if err != nil {
		in.T.Fatal(err)
	}
	value := strings.Replace(string(rec.Value), `["projects.read"]`, `["backup"]`, 1)
	if value == string(rec.Value) {
		in.T.Fatal("the account has no such verb")
	}
	if _, err := in.Store.Commit(in.T.Context(), store.Txn{Ops: []store.Op{{Key: key, Value: []byte(value)}}}); err != nil {
		in.T.Fatal(err)
	}
}

// attempt calls an operation in a way that changes nothing and returns the code.
func attempt(t *testing.T, c *api.Client, o api.Operation, params []string) mezu.Code {
	t.Helper()
	if o.ID == api.OpEdgeStream.ID {
		s, err := c.Stream(t.Context(), mezu.Position{})
		if err == nil {
			s.Close()
		}
		return mezu.CodeOf(err)
	}
	if o.ID == api.OpWatchAudit.ID || o.ID == api.OpWatchInstallationAudit.ID {
		s, err := c.WatchAudit(t.Context(), api.Call{Operation: o, Params: params}, "")
		if err == nil {
			s.Close()
		}
		return mezu.CodeOf(err)
	}
	if strings.HasSuffix(o.Path, "/watch") {
		w, err := api.Watch[any](t.Context(), c, o, "", params...)
		if err == nil {
			w.Close()
		}
		return mezu.CodeOf(err)
	}
	err := c.Do(context.WithoutCancel(t.Context()), api.Call{Operation: o, Params: params, Body: bodies[o.ID], IfMatch: stale(o)}, nil)
	var unreachable *api.UnreachableError
	if errors.As(err, &unreachable) {
		t.Fatal(err)
	}
	return mezu.CodeOf(err)
}

// stale is a revision that no record has, so that no change takes effect.
func stale(o api.Operation) uint64 {
	if o.Method == "PATCH" || o.Method == "PUT" || o.Method == "DELETE" {
		return 1 << 40
	}
	return 0
}

// K3, A7: what belongs to another tenant looks, byte for byte but for the request
// id, as if it were not there: in the path, by name and id, and in page tokens.
func TestK3_AnotherTenantIsMissing(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	route := controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/", "name": "all"}, x.Path()...)
	acc, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	org := controltest.Call[mezu.Organization](t, op, api.OpGetOrganization, nil, "acme")
	prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	own := controltest.Call[mezu.Directory](t, op, api.OpCreateDirectory, map[string]any{"name": "own"}, "acme", "shop")
	wide := controltest.Call[mezu.Directory](t, op, api.OpCreateOrganizationDirectory, map[string]any{"name": "wide"}, "acme")
	ann := map[string]any{"profile": map[string]any{"email": "ann@example.com"}}
	inOwn := controltest.Call[mezu.User](t, op, api.OpCreateUser, ann, "acme", "shop", "own")
	inWide := controltest.Call[mezu.User](t, op, api.OpCreateOrganizationUser, ann, "acme", "wide")

	// Two strangers: a person with an organization of the same shape, and a key
	// of another project in the same organization.
	token := in.OtherOperator(op)
	other := in.Client(token, nil)
	in.Tenant(other, "other")
	controltest.Call[any](t, other, api.OpCreateDirectory, map[string]any{"name": "theirs"}, "other", "shop")
	controltest.Call[any](t, other, api.OpCreateOrganizationDirectory, map[string]any{"name": "theirs"}, "other")
	controltest.Call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	verbs := []mezu.Permission{mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermRoutesWrite, mezu.PermWarpgatesRead,
		mezu.PermDirectoriesRead, mezu.PermDirectoriesWrite, mezu.PermUsersRead, mezu.PermUsersWrite}
	neighbour := controltest.Call[api.ServiceAccountCreated](t, op, api.OpCreateServiceAccount, map[string]any{"name": "n", "permissions": verbs}, "acme", "blog").Key

	get := func(token, path string) string {
		t.Helper()
		status, _, body := in.Raw("GET", path, token, "", "")
		var p map[string]any
		if err := json.Unmarshal([]byte(body), &p); err != nil || status != 404 {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
		delete(p, "request_id")
		out, _ := json.Marshal(p)
		return string(out)
	}
	// same compares two answers, in each of which the one part stands that the paths differ in.
	same := func(token, theirs, missing string) {
		t.Helper()
		answers := [2]string{get(token, theirs), get(token, missing)}
		a, b := strings.Split(theirs, "/"), strings.Split(missing, "/")
		for i := range a {
			if a[i] != b[i] {
				answers[0] = strings.ReplaceAll(answers[0], `\"`+a[i]+`\"`, `\"NAME\"`)
				answers[1] = strings.ReplaceAll(answers[1], `\"`+b[i]+`\"`, `\"NAME\"`)
			}
		}
		if answers[0] != answers[1] {
			t.Errorf("%s:\n%s\n%s", theirs, answers[0], answers[1])
		}
	}
	gone := mezu.NewID("org", time.Now())
	for _, pair := range [][2]string{
		{"/v1/organizations/acme", "/v1/organizations/nobody"},
		{"/v1/organizations/" + org.ID, "/v1/organizations/" + gone},
		{"/v1/organizations/acme/projects", "/v1/organizations/nobody/projects"},
		{"/v1/organizations/acme/projects/shop", "/v1/organizations/nobody/projects/shop"},
		{"/v1/organizations/other/projects/" + prj.ID, "/v1/organizations/other/projects/nobody"},
		{"/v1/organizations/other/projects/shop/environments/" + x.Environment.ID, "/v1/organizations/other/projects/shop/environments/nobody"},
		{"/v1/organizations/other/projects/shop/environments/production/routes/" + route.ID, "/v1/organizations/other/projects/shop/environments/production/routes/nobody"},
		{"/v1/organizations/other/projects/shop/environments/production/routes/all", "/v1/organizations/other/projects/shop/environments/production/routes/nobody"},
		{"/v1/organizations/other/projects/shop/environments/production/warpgates/" + w.ID, "/v1/organizations/other/projects/shop/environments/production/warpgates/" + mezu.NewID("wgt", time.Now())},
		{"/v1/organizations/acme/directories/wide", "/v1/organizations/nobody/directories/wide"},
		{"/v1/organizations/other/directories/" + wide.ID, "/v1/organizations/other/directories/nobody"},
		{"/v1/organizations/other/projects/shop/directories/" + own.ID, "/v1/organizations/other/projects/shop/directories/nobody"},
		{"/v1/organizations/other/projects/shop/directories/" + wide.ID, "/v1/organizations/other/projects/shop/directories/nobody"},
		{"/v1/organizations/acme/directories/wide/users/" + inWide.ID, "/v1/organizations/nobody/directories/wide/users/" + inWide.ID},
		{"/v1/organizations/acme/directories/wide/users?filter=email%3Dann@example.com", "/v1/organizations/acme/directories/nobody/users?filter=email%3Dann@example.com"},
		{"/v1/organizations/other/directories/theirs/users/" + inWide.ID, "/v1/organizations/other/directories/theirs/users/" + gone},
		{"/v1/organizations/other/projects/shop/directories/theirs/users/" + inOwn.ID + "/logins", "/v1/organizations/other/projects/shop/directories/theirs/users/" + gone + "/logins"},
		{"/v1/organizations/other/projects/shop/service-accounts/" + acc.ID, "/v1/organizations/other/projects/shop/service-accounts/nobody"},
	} {
		same(token, pair[0], pair[1])
	}
	// For a key of another project.
	same(neighbour, "/v1/organizations/acme/projects/shop/environments/production/routes", "/v1/organizations/acme/projects/nobody/environments/production/routes")
	same(neighbour, "/v1/organizations/acme/projects/shop/directories/own", "/v1/organizations/acme/projects/nobody/directories/own")
	same(neighbour, "/v1/organizations/acme/projects/shop/directories/own/users/"+inOwn.ID, "/v1/organizations/acme/projects/nobody/directories/own/users/"+inOwn.ID)
	if a, b := get(neighbour, "/v1/organizations/acme/projects/shop/directories/own/users/"+inOwn.ID), get(neighbour, "/v1/organizations/acme/projects/shop/directories/nobody/users/"+inOwn.ID); a != b {
		t.Errorf("in a project that is hidden:\n%s\n%s", a, b)
	}
	// Whoever may look is told in what.
	session := mezu.NewID(mezu.PrefixSession, time.Now())
	_, err := api.Invoke[any](t.Context(), op, api.OpEndUserSession, nil, "acme", "shop", "own", inOwn.ID, session)
	if want := fmt.Sprintf("there is no session %q in user %s of directory own of acme/shop", session, inOwn.ID); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if own := controltest.Call[api.List[mezu.Project]](t, in.Client(neighbour, nil), api.OpListProjects, nil, "acme"); len(own.Items) != 1 || own.Items[0].Name != "blog" {
		t.Errorf("a key sees %+v", own.Items)
	}
	controltest.Refused(t, mezu.CodeNotFound, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR, Environment: "staging"})

	controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, "acme", "shop")
	_, _, page := in.Raw("GET", "/v1/organizations/acme/projects/shop/environments?page_size=1", keyOf(t, op, in), "", "")
	var first api.List[mezu.Environment]
	if err := json.Unmarshal([]byte(page), &first); err != nil || first.NextPageToken == "" {
		t.Fatalf("%v %s", err, page)
	}
	status, _, body := in.Raw("GET", "/v1/organizations/other/projects/shop/environments?page_token="+first.NextPageToken, token, "", "")
	if status != 400 || !strings.Contains(body, "page_token") {
		t.Errorf("another tenant's page token: %d %s", status, body)
	}
}

// keyOf makes a key that reads environments.
func keyOf(t *testing.T, op *api.Client, in *controltest.Installation) string {
	t.Helper()
	return in.Secret(controltest.Call[api.ServiceAccountCreated](t, op, api.OpCreateServiceAccount,
		map[string]any{"name": "reader", "permissions": []mezu.Permission{mezu.PermEnvironmentsRead}}, "acme", "shop").Key)
}

// A4: nobody grants what he lacks.
func TestA4_GrantingMore(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	viewer, _ := in.Join(op, "acme", "v@acme.example", mezu.RoleViewer)
	controltest.Refused(t, mezu.CodeForbidden, viewer, api.OpCreateServiceAccount, map[string]any{"name": "x", "permissions": []string{"routes.write"}}, x.Org, x.Prj)
	controltest.Refused(t, mezu.CodeInvalid, op, api.OpCreateServiceAccount, map[string]any{"name": "x", "permissions": []string{"edges.write"}}, x.Org, x.Prj)
}
