package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/profile"
)

// TestDevBeside: a second run says where the first one is, whatever they collide about; an ephemeral
// one runs beside it with a profile of its own, which ends with it.
func TestDevBeside(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := start(t, t.TempDir(), workload(t, says("mine")))
	api := strings.TrimPrefix(r.ready.API, "https://")
	_, port, _ := strings.Cut(strings.TrimPrefix(r.ready.URL, "https://"), ":")
	for what, args := range map[string][]string{
		"state":      {"--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0"},
		"all":        {"--https-addr", "127.0.0.1:" + port, "--api-addr", api},
		"API":        {"--state", t.TempDir(), "--https-addr", "127.0.0.1:0", "--api-addr", api},
		"HTTPS":      {"--state", t.TempDir(), "--https-addr", "127.0.0.1:" + port, "--api-addr", "127.0.0.1:0"},
		"ephemerals": {"--ephemeral", "--https-addr", "127.0.0.1:" + port},
	} {
		code, out, talk := r.mezu(append([]string{"dev", "3000"}, args...)...)
		want := fmt.Sprintf("mezu: mezu dev runs already here: %s (pid %d)\n  try: stop it, or mezu dev 3000 --ephemeral, which picks free ports\n", r.ready.URL, os.Getpid())
		if code != 5 || out != "" || talk != want {
			t.Errorf("%s: code %d, %s%s", what, code, out, talk)
		}
	}

	beside := start(t, r.home, "--ephemeral")
	_, port, _ = strings.Cut(strings.TrimPrefix(beside.ready.URL, "https://"), ":")
	if beside.ready.Profile != "dev-"+port || r.ready.Profile != "dev" {
		t.Errorf("profiles %q and %q", r.ready.Profile, beside.ready.Profile)
	}
	if code, _, talk := r.mezu("projects", "create", "kept"); code != 0 {
		t.Error(talk)
	}
	if code, out, talk := r.mezu("projects", "list", "--profile", beside.ready.Profile); code != 0 || strings.Contains(out, "kept") {
		t.Errorf("code %d, %s%s", code, out, talk)
	}
	third := start(t, r.home, "--state", t.TempDir()) // not ephemeral, and not in the way either
	if !strings.HasPrefix(third.ready.Profile, "dev-") || third.ready.Profile == beside.ready.Profile {
		t.Errorf("profile %q", third.ready.Profile)
	}
	for _, e := range []*running{beside, third} {
		if code := e.stop(); code != 0 || e.errors.String() != "" {
			t.Errorf("code %d: %s", code, e.errors)
		}
	}
	if code, out, talk := r.mezu("projects", "list"); code != 0 || !strings.Contains(out, "kept") {
		t.Errorf("the profile of the first: code %d, %s%s", code, out, talk)
	}
	names, err := profile.Store{Dir: filepath.Join(r.home, "config")}.Names()
	if err != nil || !slices.Equal(names, []string{"dev"}) {
		t.Errorf("profiles %q, %v", names, err)
	}
}

// TestDevPort: a port that somebody else has is named with its flag; an ephemeral run takes another.
func TestDevPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	r := &devRun{}
	if got, err := r.address("https-addr", taken, true, nil); err != nil || got != "127.0.0.1:0" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := r.address("https-addr", taken, false, []runRecord{{HTTPSAddr: "127.0.0.1:1", APIAddr: "127.0.0.1:2"}}); err == nil || strings.Count(err.Error(), taken) != 1 {
		t.Errorf("%v", err)
	}
	l.Close()
	if got, err := r.address("https-addr", taken, true, nil); err != nil || got != taken {
		t.Errorf("%s, %v", got, err)
	}
}

// TestDevAtOnce: of runs that start in the same moment, each finds what no other one has chosen, though
// none listens yet. One that may take nothing else says which one is in its way.
func TestDevAtOnce(t *testing.T) {
	var asked [2]string
	for i := range asked {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		asked[i] = l.Addr().String()
		l.Close()
	}
	dir := t.TempDir()
	all := runsOf(home.Home{State: filepath.Join(dir, "state")}, profile.Store{Dir: filepath.Join(dir, "config")})
	claim := func(state string, ephemeral bool) (*devRun, error) {
		r := &devRun{state: state, Options: dev.Options{HTTPSAddr: asked[0], APIAddr: asked[1], Ephemeral: ephemeral, AnyHTTPS: ephemeral, AnyAPI: ephemeral}}
		return r, r.claim(t.Context(), all)
	}
	const runs = 8
	claimed := make(chan *devRun, runs)
	for i := range runs {
		go func() {
			r, err := claim(fmt.Sprint(i), true)
			if err != nil {
				t.Error(err)
			}
			claimed <- r
		}()
	}
	var profiles, https []string
	asIs := 0
	for range runs {
		r := <-claimed
		defer r.listed.end()
		profiles, https = append(profiles, r.profileName), append(https, r.HTTPSAddr)
		if r.APIAddr == asked[1] {
			asIs++
		}
	}
	if asIs != 1 || !slices.Contains(https, asked[0]) {
		t.Errorf("%d have what was asked for; %q", asIs, https)
	}
	for _, all := range [][]string{profiles, https} {
		slices.Sort(all)
		if len(slices.Compact(all)) != runs {
			t.Errorf("two have the same of %q", all)
		}
	}
	if _, err := claim("another", false); err == nil || !strings.HasPrefix(err.Error(), "mezu dev runs already here: https://127.0.0.1:") {
		t.Errorf("%v", err)
	}
}

// TestRuns_Default: when a run ends whose profile is the default, that of another run is: commands
// that name none find it.
func TestRuns_Default(t *testing.T) {
	dir := t.TempDir()
	all := runsOf(home.Home{State: filepath.Join(dir, "state")}, profile.Store{Dir: filepath.Join(dir, "config")})
	begin := func(name, api string) *registered {
		t.Helper()
		if err := all.profiles.Save(name, profile.Profile{API: api, Socket: "/s"}, profile.Credential{Token: "mezu_x"}); err != nil {
			t.Fatal(err)
		}
		return all.register(runRecord{Profile: name, API: api, Socket: "/s"})
	}
	ends := func(r *registered, want string) {
		t.Helper()
		if err := r.end(); err != nil {
			t.Error(err)
		}
		if got, err := all.profiles.Default(); got != want || err != nil {
			t.Errorf("the default is %q, %v, want %q", got, err, want)
		}
	}
	first, second, third := begin("dev-1", "https://127.0.0.1:1"), begin("dev", "https://127.0.0.1:2"), begin("dev-3", "https://127.0.0.1:3")
	if err := all.profiles.SetDefault("dev-1"); err != nil {
		t.Fatal(err)
	}
	ends(third, "dev-1")
	ends(first, "dev")
	ends(second, "dev") // which stays
}

// TestRuns_Killed: what a killed run left is removed: the profile that was to end with it, but none
// that is another's.
func TestRuns_Killed(t *testing.T) {
	dir := t.TempDir()
	all := runsOf(home.Home{State: filepath.Join(dir, "state")}, profile.Store{Dir: filepath.Join(dir, "config")})
	save := func(name, api string) {
		t.Helper()
		if err := all.profiles.Save(name, profile.Profile{API: api, Socket: "/s"}, profile.Credential{Token: "mezu_x"}); err != nil {
			t.Fatal(err)
		}
	}
	killed := func(name, api string) {
		t.Helper()
		folder := filepath.Join(all.dir, "run-"+name)
		text, err := json.Marshal(runRecord{PID: 1, Profile: name, API: api, Socket: "/s"})
		if err == nil {
			err = os.MkdirAll(folder, 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, runFile), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		save(name, api)
	}
	killed("dev", "https://127.0.0.1:1")
	killed("dev-8443", "https://127.0.0.1:2")
	killed("dev-8444", "https://127.0.0.1:3")
	killed("dev-8445", "https://127.0.0.1:4")
	save("dev-8444", "https://company.example") // by a login meanwhile
	if err := all.profiles.SetDefault("dev-8445"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(all.dir, "run-young"), 0o700); err != nil { // one that is just being made
		t.Fatal(err)
	}
	running := all.register(runRecord{PID: 2, Profile: "dev-9000", State: "/x"})
	save("dev-9000", "https://127.0.0.1:5")
	running.update(func(is *runRecord) { is.API, is.Socket = "https://127.0.0.1:5", "/s" })
	if got := all.alive(); len(got) != 1 || got[0] != running.is {
		t.Errorf("%+v go on", got)
	}
	names, err := all.profiles.Names()
	if err != nil || !slices.Equal(names, []string{"dev-8444", "dev-9000", "dev"}) {
		t.Errorf("profiles %q, %v", names, err)
	}
	if name, err := all.profiles.Default(); name != "" || err != nil {
		t.Errorf("default %q, %v", name, err)
	}
	if name := all.freeProfile(9000, nil); name != "dev-9000-2" {
		t.Error(name)
	}
	if err := running.end(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(all.dir)
	if err != nil || len(left) != 1 || left[0].Name() != "run-young" {
		t.Errorf("%v, %v", left, err)
	}
	if names, _ = all.profiles.Names(); slices.Contains(names, "dev-9000") {
		t.Errorf("profiles %q", names)
	}
}
