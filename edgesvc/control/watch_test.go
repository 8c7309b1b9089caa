package control_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
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
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	w := watching[mezu.Project](t, op, api.OpWatchProjects, "", "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" || e.ID != "" {
		t.Errorf("%+v", e)
	}
	synced := nextOf(t, w, api.WatchSynced)
	call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "blog" || e.Record.Revision != 1 || e.ID == "" {
		t.Errorf("%+v", e)
	}
	w.Close()
	call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "The blog"}, "acme", "blog")
	call[any](t, op, api.OpDeleteProject, nil, "acme", "blog")
	in.restart()
	op = in.client(in.secrets[1], nil)
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
		w := watching[map[string]any](t, op, o, "", x.path()[:len(o.Params())]...)
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
			call[mezu.Route](t, op, api.OpCreateRoute, map[string]any{"prefix": "/"}, x.path()...)
			if e := nextOf(t, w, api.WatchPut); len(e.Record["routes"].([]any)) != 1 {
				t.Errorf("%+v", e)
			}
		}
	}
}

// An id that is none of this watch is refused; one that lies too far back begins anew.
func TestWatch_Ids(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	in.tenant(op, "acme")
	in.tenant(op, "other")
	w := watching[mezu.Project](t, op, api.OpWatchProjects, "", "acme")
	nextOf(t, w, api.WatchPut)
	id := nextOf(t, w, api.WatchSynced).ID
	for name, last := range map[string]string{"noise": "x", "altered": id[:len(id)-2] + "AA", "long": fmt.Sprintf("%01000d", 1)} {
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
		commitAll(t, in.driver, ops)
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
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	call[mezu.Project](t, op, api.OpCreateProject, map[string]any{"name": "blog"}, "acme")
	account, key := x.account("reader", mezu.PermProjectsRead)
	w := watching[mezu.Project](t, in.client(key, nil), api.OpWatchProjects, "", "acme")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" {
		t.Errorf("%+v", e)
	}
	nextOf(t, w, api.WatchSynced)
	call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "x"}, "acme", "blog")
	call[mezu.Project](t, op, api.OpUpdateProject, map[string]any{"display_name": "y"}, "acme", "shop")
	if e := nextOf(t, w, api.WatchPut); e.Record.Name != "shop" || e.Record.DisplayName != "y" {
		t.Errorf("another project's change came: %+v", e)
	}
	call[any](t, op, api.OpDeleteServiceAccount, nil, "acme", "shop", account.Name)
	begin := time.Now()
	if e, err := w.Next(); err == nil {
		t.Errorf("after the account was deleted: %+v", e)
	}
	if took := time.Since(begin); took > 5*5*time.Second {
		t.Errorf("the watch was cut after %v", took)
	}
	var e *mezu.Error
	if _, err := api.Watch[mezu.Project](t.Context(), in.client(key, nil), api.OpWatchProjects, "", "acme"); !errors.As(err, &e) || !slices.Contains([]mezu.Code{mezu.CodeUnauthenticated, mezu.CodeNotFound}, e.Code) {
		t.Errorf("a new watch: %v", err)
	}
}
