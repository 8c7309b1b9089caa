package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
)

// in sets the organizations of whoever logs in.
func (w terminalOf) in(names ...string) {
	a := w.endpoint.authority
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = []api.SelfMember{}
	for _, name := range names {
		a.members = append(a.members, api.SelfMember{Organization: name, Role: mezu.RoleDeveloper})
	}
}

// Somebody in several organizations says once which one is meant, by a number, a name or
// --org, and keeps it. Where nobody can be asked, none is taken.
func TestLogin_Organizations(t *testing.T) {
	w := newTerminal(t)
	login := []string{"login", "--api", w.endpoint.url, "--ca-file", w.endpoint.caFile, "--profile", "acme"}
	works := func(want, says string, args ...string) {
		t.Helper()
		code, out := w.run(0, append(login[:len(login):len(login)], args...)...)
		p, err := w.profiles.Load("acme")
		if code != 0 || err != nil || p.Organization != want || !strings.Contains(out, says) {
			t.Errorf("exit code %d, %+v, %v: %s", code, p, err, out)
		}
	}
	w.in("acme", "globex", "initech")
	w.typed = ""
	works("", "no organization is the default: --org NAME or MEZU_ORG names one of acme, globex, initech\n  try: mezu login --org NAME")
	w.typed = "2\n"
	works("globex", "In which organization do you work by default?\n  1  acme     developer\n  2  globex   developer\n  3  initech  developer\n1 to 3: ")
	w.typed = ""
	works("globex", "ann@example.com in globex (developer) until")
	works("acme", "in acme (developer)", "--org", "acme")
	if err := w.profiles.SaveProfile("acme", profile.Profile{API: w.endpoint.url, CAFile: w.endpoint.caFile, Organization: "left", Project: "shop", Environment: "staging"}); err != nil {
		t.Fatal(err)
	}
	w.typed = "initech\n"
	works("initech", "in initech (developer)")
	if p, err := w.profiles.Load("acme"); err != nil || p.Project != "" || p.Environment != "" {
		t.Errorf("what belongs to the organization of before stays: %+v, %v", p, err)
	}
	w.in("acme")
	works("acme", "in acme (developer)")
	if going, _ := w.endpoint.authority.logins(); going != 1 {
		t.Errorf("%d logins go on", going)
	}
	// Another one is refused, and the login that it would have been ends.
	if code, out := w.run(0, append(login, "--org", "evil", "--profile", "other")...); code != 3 || !strings.Contains(out, "ann@example.com is no member of evil") || !strings.Contains(out, "try: one of: acme") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if going, _ := w.endpoint.authority.logins(); going != 1 {
		t.Errorf("%d logins go on", going)
	}
	w.nothingOf("other")
}

// nothingOf looks that nothing is kept of a profile.
func (w terminalOf) nothingOf(name string) {
	w.t.Helper()
	if _, err := w.profiles.Load(name); mezu.CodeOf(err) != mezu.CodeNotFound {
		w.t.Errorf("there is a profile: %v", err)
	}
	if c, _, err := w.profiles.Credential(name); c.Token != "" || err != nil {
		w.t.Errorf("there is a credential, %v", err)
	}
}

// A logout without a control plane forgets what is here, and says what goes on elsewhere.
func TestLogout_Away(t *testing.T) {
	w := loggedIn(t)
	p, err := w.profiles.Load("127-0-0-1")
	if err != nil {
		t.Fatal(err)
	}
	p.API = "https://127.0.0.1:1"
	if err := w.profiles.SaveProfile("127-0-0-1", *p); err != nil {
		t.Fatal(err)
	}
	code, out := w.run(0, "logout")
	if code != 0 || !strings.Contains(out, "warning: the login of profile 127-0-0-1 is deleted here, but https://127.0.0.1:1 does not know it: ") ||
		!regexp.MustCompile(`warning: a copy of its token would be good until 20\d\d-\d\d-\d\d \d\d:\d\d, and one of the login until it is not used for 30 days`).MatchString(out) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if c, _, err := w.profiles.Credential("127-0-0-1"); c.Token != "" || err != nil {
		t.Errorf("it is still here, %v", err)
	}
}

// A login that is interrupted, at any moment, refused or too late leaves nothing: no profile,
// no credential, no listener, and no login at the control plane.
func TestLogin_LeavesNothing(t *testing.T) {
	redirect := regexp.MustCompile(`redirect_uri=([^&\s]+)`)
	for name, c := range map[string]struct {
		how  string // in the browser; "away" for nobody, "prompt" for somebody who doesn't answer, "exchange" and "keyring" for Ctrl-C in a call
		code int
	}{"interrupted": {"away", 130}, "at the prompt": {"prompt", 130}, "at the exchange": {"exchange", 130}, "at the keyring": {"keyring", 130}, "refused": {"deny", 3}, "too late": {"late", 7}} {
		t.Run(name, func(t *testing.T) {
			w := newTerminal(t)
			w.in("acme", "globex")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.how == "late" {
				ctx, cancel = overdue(ctx)
			}
			typed, typing := io.Pipe()
			defer typing.Close()
			var said testkit.Buffer
			inv := invocation.Invocation{
				Streams: terminal.Streams{In: typed, Out: &said, Err: &said, InTerminal: true, ErrTerminal: true},
				Getenv:  func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] },
				Dir:     t.TempDir(), Profiles: w.profiles,
			}
			args := []string{"login", "--api", w.endpoint.url, "--ca-file", w.endpoint.caFile}
			if c.how == "exchange" {
				w.endpoint.authority.exchanging = func() { w.endpoint.authority.exchanging = nil; cancel() }
			}
			if c.how == "keyring" {
				w.in("acme")
				inv.Profiles.Keyring = hanging{interrupt: cancel}
			}
			visited := make(chan error, 1)
			ended := make(chan int, 1)
			go func() {
				ended <- cli.Main(ctx, args, inv, cli.Config{Version: "1.2.3", Open: func(address string) error {
					switch c.how {
					case "away", "late":
						cancel()
					default:
						visited <- w.endpoint.visit(c.how, address)
						return nil
					}
					visited <- nil
					return nil
				}})
			}()
			if c.how == "prompt" {
				controltest.Eventually(t, "the question", func() bool { return strings.Contains(said.String(), "1 to 2: ") })
				cancel()
			}
			if code := <-ended; code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, said.String())
			}
			if err := <-visited; err != nil {
				t.Error(err)
			}
			w.nothingOf("127-0-0-1")
			if going, _ := w.endpoint.authority.logins(); going != 0 {
				t.Errorf("%d logins go on", going)
			}
			at, err := url.QueryUnescape(redirect.FindStringSubmatch(said.String())[1])
			if err != nil {
				t.Fatal(err)
			}
			back, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			if conn, err := net.Dial("tcp", back.Host); err == nil {
				conn.Close()
				t.Errorf("%s is still listened on", back.Host)
			}
		})
	}
}

// hanging is a keyring that somebody doesn't wait for.
type hanging struct {
	profile.Keyring
	interrupt context.CancelFunc
}

func (h hanging) Try(ctx context.Context) error {
	h.interrupt()
	<-ctx.Done()
	return ctx.Err()
}

// overdue is a context whose deadline passes when the test says so.
func overdue(parent context.Context) (ctx context.Context, pass func()) {
	c := late{parent, make(chan struct{})}
	return c, sync.OnceFunc(func() { close(c.passed) })
}

type late struct {
	context.Context
	passed chan struct{}
}

func (c late) Done() <-chan struct{} { return c.passed }

func (c late) Err() error {
	select {
	case <-c.passed:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A code that nobody types in time ends the login as any that is too late.
func TestLogin_CodeEnds(t *testing.T) {
	e := evilPlane{token: map[string]string{"error": "authorization_pending"}, device: func(i string) any {
		return api.DeviceCode{Code: "c", UserCode: "A", VerificationURI: i + "/device", ExpiresIn: 1, Interval: 60}
	}}.start(t)
	w := terminalOf{t: t, endpoint: e, profiles: profile.Store{Dir: filepath.Join(t.TempDir(), "config")}, pipe: true}
	if code, out := w.run(0, "login", "--device", "--api", e.url, "--ca-file", e.caFile); code != 7 || !strings.Contains(out, "Good for 1 s.") || !strings.Contains(out, "mezu: nobody logged in in time") {
		t.Errorf("exit code %d: %s", code, out)
	}
	w.nothingOf("127-0-0-1")
}

// A control plane that doesn't answer in time is not taken for a person who doesn't.
func TestLogin_SilentControlPlane(t *testing.T) {
	silent := make(chan struct{})
	e := evilPlane{device: func(string) any { <-silent; return nil }}.start(t)
	t.Cleanup(func() { close(silent) })
	w := terminalOf{t: t, endpoint: e, profiles: profile.Store{Dir: filepath.Join(t.TempDir(), "config")}, pipe: true}
	if code, out := w.run(0, "login", "--device", "--api", e.url, "--ca-file", e.caFile, "--timeout", "200ms"); code != 7 || !strings.Contains(out, e.url+" is unreachable") || strings.Contains(out, "nobody") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// A login is shown by what it brought, however short that lives, and not by what the profile has
// until then.
func TestLogin_ShortToken(t *testing.T) {
	e := evilPlane{token: api.ProgramTokens{Access: "mezu_a", Refresh: "mezurefresh_b", ExpiresIn: 30, Type: "Bearer"}, self: api.Self{Email: "ann@example.com"}}.start(t)
	w := terminalOf{t: t, endpoint: e, profiles: profile.Store{Dir: filepath.Join(t.TempDir(), "config")}, pipe: true}
	if code, out := w.run(0, "login", "--device", "--api", e.url, "--ca-file", e.caFile); code != 0 || !strings.Contains(out, "ann@example.com") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// evilPlane is a control plane that answers to a login as it likes.
type evilPlane struct {
	authority func(issuer string) any
	device    func(issuer string) any
	token     any
	self      any
}

func (e evilPlane) start(t *testing.T) endpoint {
	var server *httptest.Server
	mux := http.NewServeMux()
	say := func(pattern string, status int, what func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { answer(w, status, what()) })
	}
	good := func(issuer string) any {
		return api.Authority{Issuer: issuer, Authorize: issuer + "/a", Token: issuer + "/t", Revoke: issuer + "/r", Device: issuer + "/d", Challenges: []string{"S256"}}
	}
	if e.authority == nil {
		e.authority = good
	}
	status := http.StatusOK
	if e.token == nil {
		e.token = api.ProgramTokens{Access: "mezu_a", Refresh: "mezurefresh_b", ExpiresIn: 3600, Type: "Bearer"}
	} else if _, given := e.token.(api.ProgramTokens); !given {
		status = http.StatusBadRequest
	}
	say("GET "+api.PathAuthority, http.StatusOK, func() any { return e.authority(server.URL) })
	say("POST /d", http.StatusOK, func() any {
		if e.device != nil {
			return e.device(server.URL)
		}
		return api.DeviceCode{Code: "c", UserCode: "WDJB-MJHT", VerificationURI: server.URL + "/device", ExpiresIn: 60, Interval: 1}
	})
	say("POST /t", status, func() any { return e.token })
	say("POST /r", http.StatusOK, func() any { return nil })
	say("GET /v1/self", http.StatusOK, func() any { return e.self })
	server = httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	return endpoint{url: server.URL, caFile: writeCA(t, server)}
}

// C2: whatever a control plane says at a login, no address but its own is opened or shown, and
// no character of it drives the terminal.
func TestC2_HostileControlPlane(t *testing.T) {
	const escape = "\x1b]0;owned\x07\x1b[2J\u202eevil\u009b31m\r\nok nobody"
	at := func(change func(a *api.Authority, issuer string)) func(string) any {
		return func(issuer string) any {
			a := api.Authority{Issuer: issuer, Authorize: issuer + "/a", Token: issuer + "/t", Revoke: issuer + "/r", Device: issuer + "/d", Challenges: []string{"S256"}}
			change(&a, issuer)
			return a
		}
	}
	for name, c := range map[string]struct {
		evilPlane
		device bool
		ok     bool // that the login succeeds
	}{
		"another host": {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Authorize = "https://evil.example/a" })}},
		"another port": {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Authorize = "https://127.0.0.1:1/a" })}},
		"no TLS":       {evilPlane: evilPlane{authority: at(func(a *api.Authority, i string) { a.Authorize = strings.Replace(i, "https", "http", 1) + "/a" })}},
		"a script":     {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Authorize = "javascript:alert(1)//" })}},
		"a file":       {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Authorize = "file:///etc/passwd" })}},
		"a user": {evilPlane: evilPlane{authority: at(func(a *api.Authority, i string) {
			a.Authorize = strings.Replace(i, "https://", "https://evil.example@", 1) + "/a"
		})}},
		"a fragment":        {evilPlane: evilPlane{authority: at(func(a *api.Authority, i string) { a.Authorize = i + "/a#b" })}},
		"a flag":            {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Authorize = "--new-window" })}},
		"escapes":           {evilPlane: evilPlane{authority: at(func(a *api.Authority, i string) { a.Authorize = i + "/" + escape })}},
		"a name of escapes": {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Issuer = escape })}},
		"tokens elsewhere":  {evilPlane: evilPlane{authority: at(func(a *api.Authority, _ string) { a.Token = "https://evil.example/t" })}},
		"a device elsewhere": {evilPlane: evilPlane{device: func(string) any {
			return api.DeviceCode{Code: "c", UserCode: "A", VerificationURI: "https://evil.example/device"}
		}}, device: true},
		"a device of escapes": {evilPlane: evilPlane{device: func(i string) any {
			return api.DeviceCode{Code: "c", UserCode: "A", VerificationURI: i + "/" + escape}
		}}, device: true},
		"a refusal": {evilPlane: evilPlane{token: map[string]string{"error": "server_error" + escape, "error_description": escape}}, device: true},
		"a person": {evilPlane: evilPlane{self: api.Self{Kind: escape, ID: escape, Email: escape, Organizations: []api.SelfMember{{Organization: "a" + escape, Role: escape}, {Organization: escape}}}},
			device: true, ok: true},
		"an account": {evilPlane: evilPlane{self: api.Self{ID: escape, Organization: "org_1", OrganizationName: "acme", Project: "prj_1", ProjectName: escape}}, device: true, ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := c.start(t)
			w := terminalOf{t: t, endpoint: e, profiles: profile.Store{Dir: filepath.Join(t.TempDir(), "config")}}
			var said testkit.Buffer
			inv := invocation.Invocation{
				Streams: terminal.Streams{In: strings.NewReader(""), Out: &said, Err: &said, InTerminal: true, ErrTerminal: true, OutTerminal: true, ColorOff: true},
				Getenv:  func(name string) string { return map[string]string{"DISPLAY": ":0"}[name] }, Dir: t.TempDir(), Profiles: w.profiles,
			}
			args := []string{"login", "--profile", "evil", "--api", e.url, "--ca-file", e.caFile}
			if c.device {
				args = append(args, "--device")
			}
			code := cli.Main(t.Context(), args, inv, cli.Config{Version: "1.2.3", Open: func(address string) error {
				t.Errorf("%s is opened", address)
				return nil
			}})
			if (code == 0) != c.ok {
				t.Errorf("exit code %d: %s", code, said.String())
			}
			if c.ok {
				cli.Main(t.Context(), []string{"whoami", "--profile", "evil"}, inv, cli.Config{Version: "1.2.3"})
				cli.Main(t.Context(), []string{"profiles", "list"}, inv, cli.Config{Version: "1.2.3"})
			} else {
				w.nothingOf("evil")
			}
			if i := strings.IndexFunc(said.String(), func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }); i >= 0 || strings.Contains(said.String(), "\nok nobody") {
				t.Errorf("it drives the terminal: %q", said.String())
			}
		})
	}
}

// C4: what a login keeps is its owner's alone, whatever was there before.
func TestC4_Modes(t *testing.T) {
	w := loggedIn(t)
	modes := func() map[string]os.FileMode {
		out := map[string]os.FileMode{}
		err := filepath.WalkDir(w.profiles.Dir, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				out[path] = info.Mode().Perm()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	exact := func() {
		t.Helper()
		for path, mode := range modes() {
			if info, err := os.Stat(path); err == nil && (info.IsDir() && mode != 0o700 || !info.IsDir() && mode != 0o600) {
				t.Errorf("%s has mode %o", path, mode)
			}
		}
	}
	if os.PathSeparator == '\\' {
		t.Skip("modes are those of Unix")
	}
	exact()
	file := filepath.Join(w.profiles.Dir, "credentials", "127-0-0-1")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := w.run(0, "whoami"); code != 0 || !strings.Contains(out, "warning: the credentials of profile 127-0-0-1 could be read by others; they are private again") {
		t.Errorf("exit code %d: %s", code, out)
	}
	exact()
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if code, out := w.run(0, "whoami"); code == 0 || !strings.Contains(out, "chmod go-w "+file) {
		t.Errorf("others can write it: exit code %d: %s", code, out)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	// A login, a refresh and a logout leave no wider mode behind.
	for _, dir := range []string{"", "credentials", "profiles"} {
		if err := os.Chmod(filepath.Join(w.profiles.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if code, out := w.run(2*time.Hour, "whoami"); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := w.run(0, "login"); code != 0 {
		t.Errorf("exit code %d: %s", code, out)
	}
	exact()
}

// C3: MEZU_TOKEN goes before a login, and no command keeps it.
func TestC3_TokenOfTheEnvironment(t *testing.T) {
	w := loggedIn(t)
	given := w.endpoint.token
	var said testkit.Buffer
	inv := invocation.Invocation{
		Streams: terminal.Streams{In: strings.NewReader(""), Out: &said, Err: &said}, Dir: t.TempDir(), Profiles: w.profiles,
		Getenv: func(name string) string { return map[string]string{"MEZU_TOKEN": given}[name] },
	}
	for _, args := range [][]string{{"whoami"}, {"whoami", "-o", "json"}, {"projects", "list"}, {"profiles", "list"}} {
		if code := cli.Main(t.Context(), args, inv, cli.Config{Version: "1.2.3"}); code != 0 {
			t.Errorf("%q: exit code %d: %s", args, code, said.String())
		}
	}
	if !strings.Contains(said.String(), "  profile      none (MEZU_TOKEN), https://") || !strings.Contains(said.String(), `"kept_in": "MEZU_TOKEN"`) || strings.Contains(said.String(), given) {
		t.Errorf("said %s", said.String())
	}
	err := filepath.WalkDir(w.profiles.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), given) {
			t.Errorf("%s has it", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// It wins though the login would do, and loses nothing of it.
	given = mezu.NewToken(mezu.TokenBearer)
	if code := cli.Main(t.Context(), []string{"whoami"}, inv, cli.Config{Version: "1.2.3"}); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if code, out := w.run(0, "whoami", "-o", "json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// C3: a login goes to the control plane that it is of, and no other one learns of it, whatever
// a command is told, and whoever leads its profile elsewhere while it runs.
func TestC3_NoOtherControlPlane(t *testing.T) {
	var heard atomic.Int32
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	defer other.Close()
	w := loggedIn(t)
	code, out := w.run(0, "logout", "--profile", "127-0-0-1", "--api", other.URL, "--ca-file", w.endpoint.caFile)
	if code != 2 || !strings.Contains(out, "profile 127-0-0-1 is of "+w.endpoint.url+", not of "+other.URL) || heard.Load() > 0 {
		t.Errorf("exit code %d, %d calls: %s", code, heard.Load(), out)
	}
	if going, _ := w.endpoint.authority.logins(); going != 1 {
		t.Errorf("%d logins go on", going)
	}

	p := profile.Profile{API: other.URL, CAFile: writeCA(t, other)}
	ended := profile.Credential{Token: "mezu_a", Refresh: "mezurefresh_a", ExpiresAt: time.Now().Add(-time.Hour)}
	inv := invocation.Invocation{Streams: terminal.Streams{Err: io.Discard}, Getenv: func(string) string { return "" }, Dir: t.TempDir(), Profiles: w.profiles, Flags: invocation.Flags{Profile: "acme"}}
	if err := w.profiles.Save("acme", p, ended); err != nil {
		t.Fatal(err)
	}
	s, err := inv.Settings()
	if err != nil {
		t.Fatal(err)
	}
	client, err := inv.Client(s)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	p.API = w.endpoint.url
	if err := w.profiles.Save("acme", p, profile.Credential{Token: "mezu_b", Refresh: "mezurefresh_b", ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	_, called := api.Invoke[api.Self](t.Context(), client, api.OpSelf, nil)
	_, made := inv.Client(s)
	for _, err := range []error{called, made} {
		if mezu.CodeOf(err) != mezu.CodeUnauthenticated || !strings.Contains(err.Error(), "profile acme is of "+w.endpoint.url+" now") {
			t.Error(err)
		}
	}
	if heard.Load() > 0 {
		t.Errorf("%d calls", heard.Load())
	}
}
