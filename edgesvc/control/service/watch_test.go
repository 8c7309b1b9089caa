package service_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// watching is a watch that a test reads.
func watching[T any](t *testing.T, c *api.Client, op api.Operation, last string, params ...string) *api.CollectionWatch[T] {
	t.Helper()
	w, err := api.Watch[T](t.Context(), c, op, last, params...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func nextOf[T any](t *testing.T, w *api.CollectionWatch[T], kind api.WatchKind) api.WatchEvent[T] {
	t.Helper()
	e, err := w.Next()
	if err != nil || e.Kind != kind {
		t.Fatalf("%+v, %v instead of a %s", e, err, kind)
	}
	return e
}

// A watch shows what is there and what changes, and goes on where it was left, on
// another control plane process as well.
func TestWatch_Resumes(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	w := watching[mezu.Project](t, op, api.OpWatchProjects, "", "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" || e.ID != "" {
		t.Errorf("%+v", e)
	}
	synced := nextOf(t, w, api.WatchSynced)
	controltest.Call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "blog" || e.Record.Revision != 1 || e.ID == "" {
		t.Errorf("%+v", e)
	}
	w.Close()
	controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "The blog"}, "acme", "blog")
	controltest.Call[any](t, op, api.OpDeleteProject, nil, "acme", "blog")
	in.Restart()
	op = in.Client(in.Secrets[1], nil)
	w = watching[mezu.Project](t, op, api.OpWatchProjects, synced.ID, "acme")
	for _, want := range []uint64{1, 2} {
		if e := nextOf(t, w, api.WatchPut); e.Record.Name != "blog" || e.Record.Revision != want {
			t.Errorf("%+v", e)
		}
	}
	if e := nextOf(t, w, api.WatchDelete); e.Deleted.Key != "blog" || e.Deleted.Revision != 2 {
		t.Errorf("%+v", e)
	}

	// Every other collection begins and ends its beginning.
	for _, o := range []api.Operation{api.OpWatchEnvironments, api.OpWatchRoutes, api.OpWatchServiceAccounts, api.OpWatchMembers, api.OpWatchDirectories, api.OpWatchOrganizationDirectories} {
		w := watching[map[string]any](t, op, o, "", x.Path()[:len(o.Params())]...)
		for {
			e, err := w.Next()
			if err != nil {
				t.Fatalf("%s: %v", o.ID, err)
			}
			if e.Kind == api.WatchSynced {
				break
			}
		}
		if o.ID == api.OpWatchRoutes.ID {
			controltest.Call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.Path()...)
			if e := nextOf(t, w, api.WatchPut); len(e.Record["routes"].([]any)) != 1 {
				t.Errorf("%+v", e)
			}
		}
	}
}

// A watch of users shows them as reading them does, and goes on where it was left.
func TestWatch_Users(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	in.Tenant(op, "acme")
	controltest.Call[any](t, op, api.OpUpdateProject, map[string]any{"roles": map[string]any{"staff": map[string]any{"permissions": []string{"a.b"}}}}, "acme", "shop")
	for _, c := range []struct {
		directory, watch, create, get, update, remove api.Operation
		at                                            []string
		role                                          string
	}{
		{api.OpCreateDirectory, api.OpWatchUsers, api.OpCreateUser, api.OpGetUser, api.OpUpdateUser, api.OpDeleteUser, []string{"acme", "shop"}, "shop/staff"},
		{api.OpCreateOrganizationDirectory, api.OpWatchOrganizationUsers, api.OpCreateOrganizationUser, api.OpGetOrganizationUser, api.OpUpdateOrganizationUser, api.OpDeleteOrganizationUser, []string{"acme"}, "shop/staff"},
	} {
		controltest.Call[any](t, op, c.directory, map[string]any{"name": "people"}, c.at...)
		controltest.Call[any](t, op, c.directory, map[string]any{"name": "others"}, c.at...)
		at := append(slices.Clone(c.at), "people")
		ann := controltest.Call[mezu.User](t, op, c.create, map[string]any{"profile": map[string]any{"email": "ann@example.com"}}, at...)
		one := append(slices.Clone(at), ann.ID)
		shown := func(e api.WatchEvent[mezu.User]) {
			t.Helper()
			if now := controltest.Call[mezu.User](t, op, c.get, nil, one...); !reflect.DeepEqual(e.Record, now) {
				t.Errorf("%s: %+v, and reading it gives %+v", c.watch.ID, e.Record, now)
			}
		}
		w := watching[mezu.User](t, op, c.watch, "", at...)
		shown(nextOf(t, w, api.WatchPut))
		synced := nextOf(t, w, api.WatchSynced)
		// Another directory's is not seen.
		controltest.Call[mezu.User](t, op, c.create, map[string]any{"profile": map[string]any{"email": "bob@example.com"}}, append(slices.Clone(c.at), "others")...)
		controltest.Call[any](t, op, c.update, map[string]any{"roles": []string{c.role}}, one...)
		e := nextOf(t, w, api.WatchPut)
		shown(e)
		if e.Record.Revision != 2 || !slices.Equal(e.Record.Roles, []string{c.role}) || e.ID == "" {
			t.Errorf("%s: %+v", c.watch.ID, e)
		}
		w.Close()
		controltest.Call[any](t, op, c.update, map[string]any{"status": "suspended"}, one...)
		controltest.Call[any](t, op, c.remove, nil, one...)
		in.Restart()
		op = in.Client(token, nil)
		w = watching[mezu.User](t, op, c.watch, e.ID, at...)
		if e := nextOf(t, w, api.WatchPut); e.Record.Status != mezu.UserSuspended || e.Record.Revision != 3 {
			t.Errorf("%s: %+v", c.watch.ID, e)
		}
		if e := nextOf(t, w, api.WatchDelete); e.Deleted.Key != ann.ID || e.Deleted.Revision != 3 {
			t.Errorf("%s: %+v", c.watch.ID, e)
		}
		// The id is good for this directory alone.
		if _, err := api.Watch[any](t.Context(), op, c.watch, synced.ID, append(slices.Clone(c.at), "others")...); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s of another directory: %v", c.watch.ID, err)
		}
	}
}

// A watch of Warpgates tells of what changes of their status, and not that they are
// still there.
func TestWatch_Warpgates(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, enrolled := in.Enrol(op, "edge-1")
	edge := in.Client("", e.Cert)
	other := controltest.Call[mezu.Environment](t, op, api.OpCreateEnvironment, map[string]any{"name": "staging"}, "acme", "shop")
	elsewhere, _ := in.Register(key, "staging")
	say := func(connected bool, address string) {
		t.Helper()
		controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Full: true, Presence: []mezu.Presence{
			{Warpgate: w.ID, Environment: x.Environment.ID, Connected: connected, Address: address},
			{Warpgate: elsewhere.ID, Environment: other.ID, Connected: connected, Address: address}}})
	}
	watch := watching[mezu.Warpgate](t, op, api.OpWatchWarpgates, "", x.Path()...)
	next := func(want mezu.WarpgateStatus, address string) mezu.Warpgate {
		t.Helper()
		ev := nextOf(t, watch, api.WatchPut)
		got := ev.Record
		now := controltest.Call[mezu.Warpgate](t, op, api.OpGetWarpgate, nil, x.Path(w.ID)...)
		now.LastSeenAt, got.LastSeenAt = time.Time{}, time.Time{}
		if got.ID != w.ID || got.Status != want || got.Address != address || !reflect.DeepEqual(got, now) {
			t.Fatalf("%+v, want it %s at %q; reading it gives %+v", got, want, address, now)
		}
		return got
	}
	next(mezu.WarpgateDisconnected, "127.0.0.1")
	synced := nextOf(t, watch, api.WatchSynced)
	say(true, "192.0.2.1")
	if got := next(mezu.WarpgateConnected, "192.0.2.1"); !slices.Equal(got.Edges, []string{enrolled.Edge}) {
		t.Errorf("edges %v", got.Edges)
	}
	// What changes nothing of what is shown is no event: the next one is of the address.
	for range 3 {
		say(true, "192.0.2.1")
		controltest.Call[any](t, edge, api.OpEdgeReport, api.EdgeReport{Applied: mezu.Position{Epoch: 1, Revision: 1}})
	}
	say(true, "192.0.2.2")
	next(mezu.WarpgateConnected, "192.0.2.2")
	controltest.Call[any](t, op, api.OpDrainWarpgate, nil, x.Path(w.ID)...)
	if got := next(mezu.WarpgateConnected, "192.0.2.2"); !got.Draining {
		t.Errorf("%+v is not draining", got)
	}
	// The edge falls silent.
	rec, err := in.Store.Get(t.Context(), "live/"+enrolled.Edge)
	if err != nil {
		t.Fatal(err)
	}
	var live struct{ Lease store.LeaseID }
	if err := json.Unmarshal(rec.Value, &live); err != nil {
		t.Fatal(err)
	}
	if err := in.Store.Revoke(t.Context(), live.Lease); err != nil {
		t.Fatal(err)
	}
	next(mezu.WarpgateUnknown, "127.0.0.1")
	watch.Close()
	say(false, "")
	// Taken up again, what was missed of the record comes, and how it is.
	watch = watching[mezu.Warpgate](t, op, api.OpWatchWarpgates, synced.ID, x.Path()...)
	if got := next(mezu.WarpgateDisconnected, "127.0.0.1"); !got.Draining {
		t.Errorf("%+v is not draining", got)
	}
	watch.Close()
	say(true, "192.0.2.3")
	watch = watching[mezu.Warpgate](t, op, api.OpWatchWarpgates, synced.ID, x.Path()...)
	next(mezu.WarpgateConnected, "192.0.2.3")
	controltest.Call[any](t, op, api.OpDeleteWarpgate, nil, x.Path(w.ID)...)
	if ev := nextOf(t, watch, api.WatchDelete); ev.Deleted.Key != w.ID {
		t.Errorf("%+v", ev)
	}
}

// An id that is none of this watch is refused; one that lies too far back begins anew.
func TestWatch_Ids(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	in.Tenant(op, "acme")
	in.Tenant(op, "other")
	w := watching[mezu.Project](t, op, api.OpWatchProjects, "", "acme")
	nextOf(t, w, api.WatchPut)
	id := nextOf(t, w, api.WatchSynced).ID
	altered := id[:len(id)-2] + "AA"
	if altered == id { // some end so
		altered = id[:len(id)-2] + "BA"
	}
	for name, last := range map[string]string{"noise": "x", "altered": altered, "long": fmt.Sprintf("%01000d", 1)} {
		if _, err := api.Watch[mezu.Project](t.Context(), op, api.OpWatchProjects, last, "acme"); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := api.Watch[mezu.Project](t.Context(), op, api.OpWatchProjects, id, "other"); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Errorf("another collection's: %v", err)
	}
	for range store.WatchHistory/100 + 2 {
		var ops []store.Txn
		for i := range 100 {
			ops = append(ops, store.Txn{Ops: []store.Op{{Key: fmt.Sprintf("test/%d", i), Value: []byte("x")}}})
		}
		commitAll(t, in.Driver, ops)
	}
	w = watching[mezu.Project](t, op, api.OpWatchProjects, id, "acme")
	nextOf(t, w, api.WatchReset)
	nextOf(t, w, api.WatchPut)
	nextOf(t, w, api.WatchSynced)
}

// commitAll commits at once, which is how a history of thousands is made soon.
func commitAll(t *testing.T, st store.Store, all []store.Txn) {
	t.Helper()
	errs := make(chan error, len(all))
	for _, txn := range all {
		go func() {
			_, err := st.Commit(t.Context(), txn)
			errs <- err
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
}

// A7: a watch ends with the right to it, and shows a service account its own project
// alone.
func TestA7_WatchIsCut(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	controltest.Call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	account, key := x.Account("reader", mezu.PermProjectsRead)
	w := watching[mezu.Project](t, in.Client(key, nil), api.OpWatchProjects, "", "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" {
		t.Errorf("%+v", e)
	}
	nextOf(t, w, api.WatchSynced)
	controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "x"}, "acme", "blog")
	controltest.Call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "y"}, "acme", "shop")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" || e.Record.DisplayName != "y" {
		t.Errorf("another project's change came: %+v", e)
	}
	controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, "acme", "shop", account.Name)
	begin := time.Now()
	if e, err := w.Next(); err == nil {
		t.Errorf("after the account was deleted: %+v", e)
	}
	if took := time.Since(begin); took > 5*5*time.Second {
		t.Errorf("the watch was cut after %v", took)
	}
	var e *mezu.Error
	if _, err := api.Watch[mezu.Project](t.Context(), in.Client(key, nil), api.OpWatchProjects, "", "acme"); !errors.As(err, &e) || !slices.Contains([]mezu.Code{mezu.CodeUnauthenticated, mezu.CodeNotFound}, e.Code) {
		t.Errorf("a new watch: %v", err)
	}
}
