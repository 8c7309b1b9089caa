package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
)

// TestS6_MoveBetweenStores moves a running installation from its embedded store to a
// cluster of etcd and back, by backup and restore: everything is there, requests flow
// throughout, and edges and Warpgates take what the moved one says. What works once goes
// along with --keep-live and without it does not.
func TestS6_MoveBetweenStores(t *testing.T) {
	t.Parallel()
	c := etcdtest.StartProcesses(t)
	w := newWorld(t, 1, open)
	w.addStationGates(1)
	l := startLoad(w)
	l.flows("the start", time.Now())
	more := w.addEntities()
	was, epoch := w.everything(), w.epoch()

	file, key := filepath.Join(w.dir, "backup"), []string{"--seal-key-file", filepath.Join(w.dir, "control", "seal.key")}
	etcd := append([]string{"--store", "etcd:" + strings.Join(c.Endpoints, ","), "--store-ca-file", c.CAFile, "--store-cert-file", c.CertFile, "--store-key-file", c.KeyFile}, key...)
	w.operate(0, "backup", file)
	over := l.fault("the move to etcd", nothing)
	w.control.down(false)
	w.operate(0, append([]string{"restore", file, "--keep-live", "--state", filepath.Join(w.dir, "moved")}, etcd...)...)
	w.startControlIn("moved", etcd...)
	over(time.Now())
	w.sameAs(was)
	if now := w.epoch(); now <= epoch {
		t.Errorf("epoch %d after %d", now, epoch)
	} else {
		epoch = now
	}
	if got := invoke[api.List[mezu.Invitation]](w, w.client, api.OpListInvitations, nil, "acme").Items; len(got) != 1 {
		t.Errorf("invitations with --keep-live: %v", got)
	}
	w.changeArrives()

	again := filepath.Join(w.dir, "backup-of-etcd")
	was = w.everything()
	w.operate(0, "backup", again)
	over = l.fault("the move back", nothing)
	w.control.down(false)
	w.operate(0, append([]string{"restore", again, "--state", filepath.Join(w.dir, "back")}, key...)...)
	w.startControlIn("back", key...)
	over(time.Now())
	w.sameAs(was)
	if now := w.epoch(); now <= epoch {
		t.Errorf("epoch %d after %d", now, epoch)
	}
	more.goOn(t, w)
	// The edge follows, and so it does when it starts anew.
	w.changeArrives()
	over = l.fault("restart of the edge", broken(w.edges[0], false))
	over(w.edges[0].restart(false).Add(slower(edgeRecovers)))
	healthy(t, w.edges[0].admin)
	w.inStep()
	l.judge()
}

// entities are what an installation has beside what newWorld makes, and what opens it.
type entities struct {
	member, key string // a member's token, a service account's key
	invitation  string // not redeemed
	join        string // the token of an edge that did not come
}

// addEntities makes at least one of each.
func (w *world) addEntities() entities {
	w.t.Helper()
	var out entities
	invite := func(email string) string {
		return invoke[api.InvitationCreated](w, w.client, api.OpCreateInvitation, mezu.Invitation{Email: email, Role: mezu.RoleDeveloper}, "acme").Code
	}
	out.member = invoke[api.RedeemResponse](w, w.newClient(""), api.OpRedeemInvitation, api.RedeemRequest{Code: invite("dev@acme.example"), Email: "dev@acme.example"}).Token
	out.invitation = invite("late@acme.example")
	invoke[any](w, w.client, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"orders.read"}}}}, "acme", "shop")
	invoke[any](w, w.client, api.OpCreateDirectory, mezu.Directory{Name: "customers"}, "acme", "shop")
	invoke[any](w, w.client, api.OpCreateOrganizationDirectory, mezu.Directory{Name: "staff"}, "acme")
	for _, email := range []string{"one@example.com", "two@example.com"} {
		invoke[any](w, w.client, api.OpCreateUser, mezu.User{Profile: mezu.Profile{Email: email}}, "acme", "shop", "customers")
		invoke[any](w, w.client, api.OpCreateOrganizationUser, mezu.User{Profile: mezu.Profile{Email: email}, Roles: []string{"shop/staff"}}, "acme", "staff")
	}
	out.key = invoke[api.ServiceAccountCreated](w, w.client, api.OpCreateServiceAccount, mezu.ServiceAccount{Name: "reader", Permissions: []mezu.Permission{mezu.PermProjectsRead}}, "acme", "shop").Key
	invoke[any](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: "staging"}, "acme", "shop")
	invoke[any](w, w.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{{Prefix: "/a/"}, {Exact: "/b"}}}, "acme", "shop", "staging")
	out.join = invoke[api.JoinTokenResponse](w, w.client, api.OpCreateJoinToken, nil).Token
	return out
}

// goOn checks what opens the installation after a restore that kept nothing live.
func (e entities) goOn(t *testing.T, w *world) {
	t.Helper()
	for what, secret := range map[string]string{"the member's token": e.member, "the service account's key": e.key} {
		if got := invoke[mezu.Project](w, w.newClient(secret), api.OpGetProject, nil, "acme", "shop"); got.Name != "shop" {
			t.Errorf("%s: %+v", what, got)
		}
	}
	gone := func(what string, c *api.Client, op api.Operation, in any) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := api.Invoke[any](ctx, c, op, in); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("%s: %v", what, err)
		}
	}
	gone("the invitation", w.newClient(""), api.OpRedeemInvitation, api.RedeemRequest{Code: e.invitation, Email: "late@acme.example"})
	gone("the join token", w.newClient(e.join), api.OpEnrolEdge, api.EnrolRequest{CSR: "x", Name: "late", TunnelAddress: "127.0.0.1:1"})
	if got := invoke[api.List[mezu.Invitation]](w, w.client, api.OpListInvitations, nil, "acme").Items; len(got) != 0 {
		t.Errorf("invitations: %+v", got)
	}
}

// epoch is that of the environment's bundle.
func (w *world) epoch() uint64 {
	w.t.Helper()
	return invoke[api.RoutesState](w, w.client, api.OpListRoutes, nil, w.path()...).Position.Epoch
}

// everything is each record that the API shows, by operation, as it is shown, but for
// what says who is connected at the moment.
func (w *world) everything() map[string]string {
	w.t.Helper()
	out := map[string]string{}
	for op, params := range map[api.Operation][]string{
		api.OpListOrganizations: nil, api.OpListOperators: nil, api.OpListTokens: nil, api.OpListMembers: {"acme"}, api.OpListProjects: {"acme"},
		api.OpListEnvironments: {"acme", "shop"}, api.OpListServiceAccounts: {"acme", "shop"}, api.OpExportProject: {"acme", "shop"},
		api.OpListDirectories: {"acme", "shop"}, api.OpListUsers: {"acme", "shop", "customers"},
		api.OpListOrganizationDirectories: {"acme"}, api.OpListOrganizationUsers: {"acme", "staff"},
	} {
		out[op.ID] = string(invoke[json.RawMessage](w, w.client, op, nil, params...))
	}
	for _, e := range invoke[api.List[mezu.Edge]](w, w.client, api.OpListEdges, nil).Items {
		e.Status, e.LastSeenAt = "", time.Time{} // they come from its reports
		out["edge "+e.ID] = fmt.Sprintf("%+v", e)
	}
	for _, g := range invoke[api.List[mezu.Warpgate]](w, w.client, api.OpListWarpgates, nil, w.path()...).Items {
		out["Warpgate "+g.ID] = g.Serial
	}
	for _, name := range []string{"production", "staging"} {
		state := invoke[api.RoutesState](w, w.client, api.OpListRoutes, nil, "acme", "shop", name)
		text, err := json.Marshal(state.Routes)
		if err != nil {
			w.t.Fatal(err)
		}
		out["routes of "+name] = string(text)
	}
	for _, r := range invoke[api.AuditList](w, w.client, api.OpListAudit, nil, "acme").Items {
		out["audit "+r.ID] = r.Operation
	}
	return out
}

// sameAs compares everything with what was before. What is new is no error.
func (w *world) sameAs(was map[string]string) {
	w.t.Helper()
	now := w.everything()
	for what, text := range was {
		if now[what] != text {
			w.t.Errorf("%s is now %s, was %s", what, now[what], text)
		}
	}
}
