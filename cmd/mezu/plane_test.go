package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/plane"
	"github.com/mezusphere/mezu/tui/log"
	"github.com/mezusphere/mezu/tui/manage"
	"github.com/mezusphere/mezu/tui/routes"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/users"
	"github.com/mezusphere/mezu/tui/warpgates"
)

// invocationOf is that of a command in a run's profile.
func (r *running) invocationOf(t *testing.T) *invocation.Invocation {
	folders, err := home.Of(r.getenv)
	if err != nil {
		t.Fatal(err)
	}
	return &invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: &strings.Builder{}, Err: &strings.Builder{}}, Getenv: r.getenv, Dir: t.TempDir(),
		Profiles: profile.Store{Dir: folders.Config}, State: folders.State, Version: version}
}

// followed is what a follower has told last.
type followed[T any] struct {
	t    *testing.T
	mu   sync.Mutex
	last T
	err  error
	told chan struct{}
}

// follow follows something until the test ends.
func follow[T any](t *testing.T, do func(ctx context.Context, see func(T)) error) *followed[T] {
	f := &followed[T]{t: t, told: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	tell := func(set func()) {
		f.mu.Lock()
		set()
		f.mu.Unlock()
		select {
		case f.told <- struct{}{}:
		default:
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := do(ctx, func(v T) { tell(func() { f.last = v }) })
		tell(func() { f.err = err })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// until waits until what is followed is as it should be.
func (f *followed[T]) until(what string, is func(T) bool) T {
	f.t.Helper()
	late := time.After(startTimeout)
	for {
		f.mu.Lock()
		last, err := f.last, f.err
		f.mu.Unlock()
		if is(last) {
			return last
		}
		if err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-f.told:
		case <-late:
			f.t.Fatalf("%s: it never is so; last %+v", what, last)
		}
	}
}

// TestPlane: what the dashboard asks of a control plane, against a real one.
func TestPlane(t *testing.T) {
	r := start(t, t.TempDir(), workload(t, says("mine")))
	inv := r.invocationOf(t)
	p := plane.New(inv)
	defer p.Close()
	ctx := t.Context()
	scope, err := p.Start(ctx)
	if err != nil || scope.Organization != "dev" || scope.Environment != "development" || scope.Profile != "dev" {
		t.Fatalf("it begins at %+v, %v", scope, err)
	}
	if who := p.Who(ctx, scope); who == "" {
		t.Error("nobody is logged in")
	}

	t.Run("routes", func(t *testing.T) { testPlaneRoutes(ctx, t, plane.Routes{Plane: p}, scope) })
	t.Run("warpgates", func(t *testing.T) {
		gates := plane.Warpgates{Plane: p, Running: daemon.New(inv, nil).Running}
		f := follow(t, func(ctx context.Context, see func(warpgates.State)) error { return gates.Follow(ctx, scope, see) })
		state := f.until("a Warpgate is connected", func(s warpgates.State) bool {
			return len(s.Warpgates) == 1 && s.Warpgates[0].Status == mezu.WarpgateConnected && !s.Position.IsZero()
		})
		id := state.Warpgates[0].ID
		if report, err := gates.Probe(ctx, scope); err != nil || len(report.Hops) != 4 || report.Hops[3].State != warpgates.Up {
			t.Errorf("the way is %+v, %v", report, err)
		}
		if err := gates.Drain(ctx, scope, id, true); err != nil {
			t.Fatal(err)
		}
		f.until("it drains", func(s warpgates.State) bool { return len(s.Warpgates) == 1 && s.Warpgates[0].Draining })
		if err := gates.Drain(ctx, scope, id, false); err != nil {
			t.Fatal(err)
		}
		f.until("it drains no more", func(s warpgates.State) bool { return len(s.Warpgates) == 1 && !s.Warpgates[0].Draining })
	})
	t.Run("users", func(t *testing.T) { testPlaneUsers(ctx, t, r, plane.Users{Plane: p}, scope) })
	t.Run("audit", func(t *testing.T) {
		a := plane.Audit{Plane: p}
		f := follow(t, func(ctx context.Context, see func(log.Records)) error { return a.Follow(ctx, scope, see) })
		f.until("there are records", func(r log.Records) bool { return len(r) > 0 })
		if code, _, talk := r.mezu("projects", "create", "watched"); code != 0 {
			t.Fatal(talk)
		}
		f.until("the newest is the project", func(r log.Records) bool {
			return r[0].Operation == "create-project" && r[0].Target.Name == "watched" && r[0].Who != ""
		})
	})
	t.Run("palette", func(t *testing.T) {
		m := plane.Manage{Plane: p}
		if _, err := m.Make(ctx, scope, manage.Project, map[string]string{"name": "Not a name"}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("a name that is none: %v", err)
		}
		for kind, v := range map[manage.Kind]map[string]string{manage.Project: {"name": "second"}, manage.Environ: {"name": "staging"}, manage.Account: {"name": "ci", "permissions": "warpgate.register"}} {
			key, err := m.Make(ctx, scope, kind, v)
			if err != nil || (key != "") != (kind == manage.Account) {
				t.Errorf("making a %s: %q, %v", kind, key, err)
			}
		}
		f := follow(t, func(ctx context.Context, see func(manage.State)) error { return m.Follow(ctx, scope, see) })
		f.until("all are there", func(s manage.State) bool {
			return slices.Contains(s.Projects, "second") && slices.ContainsFunc(s.Environments, func(e manage.Environment) bool { return e.Name == "staging" && e.Enabled }) && slices.Contains(s.Accounts, "ci")
		})
		// Who asks every 15 seconds needs three times as long for so many changes, at least.
		begun := time.Now()
		for _, on := range []bool{false, true, false, true} {
			if err := m.Enable(ctx, scope, "staging", on); err != nil {
				t.Fatal(err)
			}
			f.until(fmt.Sprint("staging is on: ", on), func(s manage.State) bool {
				return slices.Contains(s.Environments, manage.Environment{Name: "staging", Enabled: on})
			})
		}
		if took := time.Since(begun); took > 40*time.Second {
			t.Errorf("four changes were told within %v: nothing is watched", took)
		}
		if key, err := m.Rotate(ctx, scope, "ci"); err != nil || key == "" {
			t.Errorf("another key: %v", err)
		}
		to := scope
		to.Environment = "staging"
		if err := m.Use(ctx, to); err != nil {
			t.Error(err)
		}
		if now, err := p.Start(ctx); err != nil || now.Environment != "staging" {
			t.Errorf("commands work in %+v, %v", now, err)
		}
		for kind, name := range map[manage.Kind]string{manage.Project: "second", manage.Environ: "staging", manage.Account: "ci"} {
			if err := m.Remove(ctx, scope, kind, name); err != nil {
				t.Errorf("removing the %s: %v", kind, err)
			}
		}
		f.until("all are gone", func(s manage.State) bool {
			return !slices.Contains(s.Projects, "second") && !slices.Contains(s.Environments, manage.Environment{Name: "staging", Enabled: true}) && !slices.Contains(s.Accounts, "ci")
		})
	})
	t.Run("C2: a place that is not there", func(t *testing.T) {
		none := scope
		none.Project = "nowhere"
		err := plane.Routes{Plane: p}.Follow(ctx, none, func(routes.State) { t.Error("it is there") })
		if mezu.CodeOf(err) != mezu.CodeNotFound {
			t.Errorf("it says %v", err)
		}
	})
}

func testPlaneRoutes(ctx context.Context, t *testing.T, p plane.Routes, scope screen.Scope) {
	f := follow(t, func(ctx context.Context, see func(routes.State)) error { return p.Follow(ctx, scope, see) })
	state := f.until("there is the route of mezu dev, and all run it", func(s routes.State) bool {
		return len(s.Routes) == 1 && s.AllEdges == 1 && s.AllWarpgates == 1
	})
	fresh, err := p.Text(nil)
	if err != nil {
		t.Fatal(err)
	}
	add, err := p.Compare(ctx, scope, nil, []byte(strings.Replace(string(fresh), "prefix: /new/", "prefix: /api/\ntimeout: 30s", 1)))
	if err != nil || !slices.Contains(add.Lines(), `+ prefix: "/api/"`) {
		t.Fatalf("%v, %v", add, err)
	}
	if warnings, err := add.Apply(ctx); err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	state = f.until("it comes first", func(s routes.State) bool { return len(s.Routes) == 2 })
	if state.Routes[0].Prefix != "/api/" || state.Routes[1].Prefix != "/" {
		t.Errorf("tried in the order %+v", state.Routes)
	}
	v, err := p.Judge(ctx, scope, routes.Question{Method: "POST", Target: "/api//orders/../orders?id=7"})
	if err != nil || !v.Allowed || v.Canonical != "/api/orders" || !slices.ContainsFunc(v.Lines, func(l routes.Line) bool { return l.Subject == "^ /api/" && l.Result == "chosen" }) {
		t.Errorf("the verdict is %+v, %v", v, err)
	}
	if v, err := p.Judge(ctx, scope, routes.Question{Method: "GET", Target: "//api/x"}); err != nil || v.Canonical != "/api/x" {
		t.Errorf("a path that begins with two slashes: %+v, %v", v, err)
	}
	api := state.Routes[0]
	text, err := p.Text(&api)
	if err != nil {
		t.Fatal(err)
	}
	const timeout = `timeout: "30s"`
	if !strings.Contains(string(text), timeout) {
		t.Fatalf("a route is written as\n%s", text)
	}
	edited := strings.Replace(string(text), timeout, "auth: required", 1)
	change, err := p.Compare(ctx, scope, &api, []byte(edited))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(change.Lines(), "\n"); got != "+ auth: \"required\"\n- timeout: \"30s\"" {
		t.Errorf("it would change\n%s", got)
	}
	if _, err := change.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := change.Apply(ctx); mezu.CodeOf(err) == "" {
		t.Error("the route changed since, and is changed again")
	}
	state = f.until("it asks for a login", func(s routes.State) bool {
		return len(s.Routes) == 2 && s.Routes[0].Auth == mezu.AuthRequired && s.Routes[0].Timeout == 0
	})
	for name, bad := range map[string]string{"an unknown key": "prefix: /x/\nsurprise: 1\n", "no route": "", "a wrong value": "prefix: /x/\nauth: maybe\n", "two": "- prefix: /x/\n- prefix: /y/\n", "not YAML": "prefix: [\n"} {
		if _, err := p.Compare(ctx, scope, &api, []byte(bad)); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Compare(ctx, scope, &api, []byte(strings.Replace(string(text), timeout, "timeout: soon", 1))); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("route.yaml:%d:", strings.Count(string(text)[:strings.Index(string(text), "timeout")], "\n")+1)) {
		t.Errorf("a wrong value is not named by its line: %v", err)
	}
	if err := p.Delete(ctx, scope, state.Routes[0]); err != nil {
		t.Fatal(err)
	}
	f.until("it is gone", func(s routes.State) bool { return len(s.Routes) == 1 })
}

func testPlaneUsers(ctx context.Context, t *testing.T, r *running, p plane.Users, scope screen.Scope) {
	if code, _, talk := r.mezu("users", "create", "ana@example.com", "-d", "users", "--name", "Ana"); code != 0 {
		t.Fatal(talk)
	}
	f := follow(t, func(ctx context.Context, see func(users.State)) error { return p.Follow(ctx, scope, "", "", see) })
	state := f.until("there is a user", func(s users.State) bool { return len(s.Users) == 1 })
	id := state.Users[0].ID
	if state.Directory.Name != "users" || len(state.Directories) != 1 {
		t.Errorf("directories: %+v", state)
	}
	if err := p.Change(ctx, scope, state.Directory, id, users.Change{Status: mezu.UserSuspended}); err != nil {
		t.Fatal(err)
	}
	if err := p.Change(ctx, scope, state.Directory, id, users.Change{Roles: &[]string{"shop/nothing"}}); mezu.CodeOf(err) == "" {
		t.Error("a role that there is not was given")
	}
	if code, _, talk := r.mezu("users", "create", "bea@example.com", "-d", "users"); code != 0 {
		t.Fatal(talk)
	}
	f.until("there is another user", func(s users.State) bool { return len(s.Users) == 2 })
	// Who asks every 15 seconds needs three times as long for so many changes, at least.
	begun := time.Now()
	for _, status := range []mezu.UserStatus{mezu.UserActive, mezu.UserSuspended, mezu.UserActive, mezu.UserSuspended} {
		if err := p.Change(ctx, scope, state.Directory, id, users.Change{Status: status}); err != nil {
			t.Fatal(err)
		}
		f.until("the user is "+string(status), func(s users.State) bool {
			return slices.ContainsFunc(s.Users, func(u mezu.User) bool { return u.ID == id && u.Status == status })
		})
	}
	if took := time.Since(begun); took > 40*time.Second {
		t.Errorf("four changes were told within %v: nothing is watched", took)
	}
	if account, err := p.About(ctx, scope, state.Directory, id); err != nil || len(account.Logins)+len(account.Sessions) != 0 {
		t.Errorf("%+v, %v", account, err)
	}
	if err := p.EndSessions(ctx, scope, state.Directory, id); err != nil {
		t.Error(err)
	}
	g := follow(t, func(ctx context.Context, see func(users.State)) error {
		return p.Follow(ctx, scope, state.Directory.ID, "status=suspended", see)
	})
	if got := g.until("the filter finds the suspended", func(s users.State) bool { return len(s.Users) == 1 }); got.Users[0].Status != mezu.UserSuspended {
		t.Errorf("%+v", got.Users)
	}
	if err := p.Follow(ctx, scope, state.Directory.ID, "color=red", func(users.State) {}); mezu.CodeOf(err) != mezu.CodeInvalid || errors.Is(err, context.Canceled) {
		t.Errorf("a filter that is none: %v", err)
	}
}
