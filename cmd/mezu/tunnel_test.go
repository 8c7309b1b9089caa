package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/memory"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/testkit"
)

// tunneller is a person with an account at a control plane that runs in this process.
type tunneller struct {
	*person
	world *running
}

func newTunneller(t *testing.T, world *running, more map[string]string) *tunneller {
	env := world.against()
	maps.Copy(env, more)
	return &tunneller{newPerson(t, env), world}
}

// in is the same person in a test of their own.
func (p *tunneller) in(t *testing.T) *tunneller {
	return &tunneller{&person{t: t, env: p.env}, p.world}
}

// held is "mezu tunnel" at work.
type held struct {
	t         *testing.T
	out, talk *testkit.Buffer
	end       context.CancelFunc
	code      exitCode
}

// open runs mezu tunnel until end is called.
func (p *tunneller) open(args ...string) *held { return p.hold(append([]string{"tunnel"}, args...)...) }

// hold runs a command until end is called.
func (p *tunneller) hold(args ...string) *held {
	ctx, end := context.WithCancel(context.Background())
	h := &held{t: p.t, out: &testkit.Buffer{}, talk: &testkit.Buffer{}, end: end, code: make(exitCode, 1)}
	go func() {
		h.code <- run(ctx, args, p.getenv, terminal.Streams{In: strings.NewReader(""), Out: h.out, Err: h.talk, Unicode: true})
	}()
	p.t.Cleanup(func() { h.stop() })
	return h
}

// stop ends it as the first Ctrl-C does, and gives its exit code.
func (h *held) stop() int {
	h.t.Helper()
	h.end()
	return h.ended()
}

// ended waits for the end, and gives the exit code.
func (h *held) ended() int {
	h.t.Helper()
	return h.code.wait(h.t, h.talk)
}

// said waits until it has written what matches, and gives that.
func (h *held) said(where *testkit.Buffer, pattern string) string {
	h.t.Helper()
	re := regexp.MustCompile(pattern)
	got := ""
	late := time.After(startTimeout)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if got = re.FindString(where.String()); got != "" {
			return got
		}
		select {
		case code := <-h.code:
			h.code <- code
			if got = re.FindString(where.String()); got != "" {
				return got
			}
			h.t.Fatalf("it ended with %d and never said %q: %s %s", code, pattern, h.out, h.talk)
		case <-late:
			h.t.Fatalf("it never said %q: %s %s", pattern, h.out, h.talk)
		case <-tick.C:
		}
	}
}

// get gives status and body of an address, as a visitor with these settings.
func (p *tunneller) get(url string, set ...func(*http.Request)) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range set {
		s(req)
	}
	client := p.world.client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// becomes waits until an address answers with this status.
func (p *tunneller) becomes(url string, status int, set ...func(*http.Request)) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%s answers %d", url, status), func() bool {
		got, _ := p.get(url, set...)
		return got == status
	})
}

// serveText is a workload that says what it is called; port is its port.
func serveText(t *testing.T, name string) (port string) {
	t.Helper()
	_, port, _ = net.SplitHostPort(workload(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprint(w, name+" "+r.URL.Path)
	}))
	return port
}

const addressLine = `(?m)^https://[^\s"]+$`

// TestTunnel is a day with mezu tunnel, through the real control plane, edge and daemon.
func TestTunnel(t *testing.T) {
	world := start(t, t.TempDir())
	port, other := serveText(t, "app"), serveText(t, "other")
	p := newTunneller(t, world, nil)
	address := ""

	t.Run("lines", func(t *testing.T) {
		p := p.in(t)
		h := p.open(port)
		address = h.said(h.out, addressLine)
		h.said(h.talk, `more +mezu \(dashboard\)   mezu tunnel list   Ctrl-C closes it\n`)
		name := regexp.MustCompile(`dev-[0-9a-z]+`).FindString(address)
		for _, want := range []string{"  to           localhost:" + port, "\n  open to      everyone (--auth DIRECTORY, --basic-auth or --allow-cidr restrict it)\n",
			"\n  environment  dev/shop/" + name + ", made now; this address stays yours\n",
			"\n  certificate  of a private CA; mezu trust "} {
			if !strings.Contains(h.talk.String(), want) {
				t.Errorf("%q is missing in %s", want, h.talk)
			}
		}
		if status, body := p.get(address + "/hello?token=geheim&x=1"); status != 200 || body != "app /hello" {
			t.Errorf("%d %q", status, body)
		}
		h.said(h.out, `(?m)^\d\d:\d\d:\d\d  200  GET    /hello\?token=••••••&x=1 +[\d.]+ m?s +10 B$`)
		p.get(address + "/broken")
		h.said(h.out, `  500  GET    /broken `)
		if code := h.stop(); code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
		h.said(h.talk, `closed after \d+ s: 2 requests, 1 answered 5xx\n`)
		if strings.Contains(h.out.String()+h.talk.String(), "geheim") {
			t.Errorf("a secret is shown: %s", h.out)
		}
	})
	name := strings.TrimSuffix(strings.TrimPrefix(address, "https://shop-"), regexp.MustCompile(`-dev\.localhost.*`).FindString(address))

	t.Run("again, as JSON", func(t *testing.T) {
		p := p.in(t)
		h := p.open(port, "--json")
		line := h.said(h.out, `(?m)^.*"event":"ready".*$`)
		var ready mezu.Event
		if err := json.Unmarshal([]byte(line), &ready); err != nil {
			t.Fatal(err)
		}
		if ready.URL != address || ready.Tunnel != "shop/"+name || ready.Organization != "dev" || ready.Project != "shop" || ready.Environment != name || ready.Upstream != "localhost:"+port || ready.WarpgateID == "" || ready.Time.IsZero() {
			t.Errorf("%+v", ready)
		}
		p.get(address + "/two")
		h.said(h.out, `"event":"request"[^\n]*"tunnel":"shop/`+name+`"[^\n]*"path":"/two"`)
		if code := h.stop(); code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
		h.said(h.out, `"event":"stopped"[^\n]*"tunnel":"shop/`+name+`"`)
		for line := range strings.Lines(h.out.String()) {
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil || e["event"] == nil || e["time"] == nil || e["tunnel"] == nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	})

	t.Run("detached", func(t *testing.T) {
		p := p.in(t)
		out, _ := p.do("tunnel", port, "--detach", "--wait")
		if out != address+"\n" {
			t.Errorf("%q", out)
		}
		if out, _ := p.do("tunnel", "list"); !strings.HasPrefix(out, "shop/"+name+"\tlocalhost:"+port+"\tlive\t") || !strings.HasSuffix(out, "\t"+address+"\n") {
			t.Errorf("%q", out)
		}
		if out, _ := p.do("tunnel", "show", name); !strings.Contains(out, "kept\tuntil it is stopped\n") || !strings.Contains(out, "workload\tanswers") {
			t.Errorf("%q", out)
		}
		// The same tunnel once more is that one, and one to another target is not.
		h := p.open(port)
		h.said(h.out, addressLine)
		if code := h.stop(); code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
		h.said(h.talk, "shop/"+name+" stays open; mezu tunnel stop shop/"+name+" closes it\n")
		code, _, talk := p.mezu("tunnel", other)
		if want := "mezu: shop/" + name + " is open here already, to localhost:" + port + "\n  try: mezu tunnel show shop/" + name + ", or --name NAME\n"; code != 5 || talk != want {
			t.Errorf("code %d: %s", code, talk)
		}
		if _, talk := p.do("tunnel", "stop", name); !strings.HasPrefix(talk, "✓ stopped shop/"+name+": ") {
			t.Errorf("%q", talk)
		}
		if out, _ := p.do("tunnel", "list", "-o", "json"); !strings.Contains(out, `"state": "stopped"`) {
			t.Errorf("%s", out)
		}
		if out, talk := p.do("tunnel", "start", name); out != address+"\n" || talk != "✓ started shop/"+name+"\n" {
			t.Errorf("%q %q", out, talk)
		}
		p.becomes(address, 200)
		p.do("tunnel", "stop", name)
		if out, _ := p.do("tunnel", "start", name, "--jq", ".name, .url"); out != "shop/"+name+"\n"+address+"\n" {
			t.Errorf("%q", out)
		}
		if _, talk := p.do("tunnel", "rm", name); !strings.HasPrefix(talk, "✓ removed shop/"+name) {
			t.Errorf("%q", talk)
		}
		if out, talk := p.do("tunnel", "list"); out != "" || talk != "there are no tunnels here; mezu tunnel PORT opens one\n" {
			t.Errorf("%q %q", out, talk)
		}
		if code, _, talk := p.mezu("tunnel", "show", name); code != 4 || !strings.Contains(talk, "try: mezu tunnel list") {
			t.Errorf("code %d: %s", code, talk)
		}
	})

	t.Run("who may enter", func(t *testing.T) {
		p := newTunneller(t, world, map[string]string{"MEZU_BASIC_AUTH": "chosen-password-of-ada"})
		h := p.open(port, "--name", "kept", "--basic-auth", "ada")
		at := h.said(h.out, addressLine)
		h.said(h.talk, `open to +who has the password\n`)
		p.becomes(at, 401)
		p.becomes(at, 200, func(r *http.Request) { r.SetBasicAuth("ada", "chosen-password-of-ada") })
		checkNoSecret(t, p.person, p.env["MEZU_TOKEN"])
		if strings.Contains(h.talk.String()+h.out.String()+p.log(), "chosen-password") {
			t.Error("the password is shown")
		}
		h.stop()

		h = p.open(port, "--name", "kept", "--auth", "users", "--public")
		h.said(h.talk, `open to +who logs in at directory users\n`)
		p.becomes(at, 303, func(r *http.Request) { r.Header.Set("Accept", "text/html"); r.Header.Set("Sec-Fetch-Mode", "navigate") })
		h.stop()
		h = p.open(port, "--name", "kept")
		h.said(h.talk, `! dev/shop/[^\n]*-kept asked for login until now; it stays so \(--public opens it\)\n`)
		h.said(h.talk, `open to +who logs in at directory users\n`)
		h.stop()
		h = p.open(port, "--name", "kept", "--public")
		h.said(h.talk, `open to +everyone`)
		p.becomes(at, 200)
		h.stop()
		h = p.open(port, "--name", "kept", "--allow-cidr", "192.0.2.0/24")
		h.said(h.talk, `open to +who comes from 192\.0\.2\.0/24\n`)
		p.becomes(at, 403)
		h.stop()
		h = p.open(port, "--name", "kept", "--allow-cidr", "0.0.0.0/0", "--allow-cidr", "192.0.2.7")
		h.said(h.talk, `was open to 192\.0\.2\.0/24 only until now; it stays so`)
		h.stop()
	})

	t.Run("several, a file of variables and a program", func(t *testing.T) {
		p := p.in(t)
		file := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(file, []byte("A=1"), 0o600); err != nil {
			t.Fatal(err)
		}
		h := p.open("web="+port, "docs-1="+other, "--env-file", file)
		h.said(h.out, `(?s)https://\S+\n.*https://\S+\n`)
		p.becomes(strings.Replace(address, name, name+"-docs-1", 1), 200)
		h.said(h.out, `shop/dev-\S+ +\d\d:\d\d:\d\d  200  GET `)
		until(t, "the file is written", func() bool {
			data, err := os.ReadFile(file)
			return err == nil && strings.Count(string(data), "\n") == 4
		})
		data, _ := os.ReadFile(file)
		web, docs := strings.Replace(address, name, name+"-web", 1), strings.Replace(address, name, name+"-docs-1", 1)
		if want := "A=1\nMEZU_URL=" + web + "\nMEZU_URL_WEB=" + web + "\nMEZU_URL_DOCS_1=" + docs + "\n"; string(data) != want {
			t.Errorf("%q, want %q", data, want)
		}
		if code := h.stop(); code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
		if _, err := os.Stat("/bin/sh"); err != nil {
			t.Skip("no shell")
		}
		// The program writes to the same streams.
		h = p.open(port, "--name", "once", "--rm", "--exec", "--", "sh", "-c", `echo "$MEZU_URL $MEZU_HOST $MEZU_TUNNEL $1"; exit 7`, "sh", "--json")
		code := h.ended()
		at := strings.Replace(address, name, name+"-once", 1)
		if want := at + " " + strings.TrimPrefix(at, "https://") + " shop/" + name + "-once --json\n"; code != 7 || h.out.String() != want || !strings.HasSuffix(h.talk.String(), "removed dev/shop/"+name+"-once\n") {
			t.Errorf("code %d: %s%s", code, h.out, h.talk)
		}
		if code, _, _ := p.mezu("environments", "show", name+"-once"); code != 4 {
			t.Errorf("it is not removed: %d", code)
		}
	})

	t.Run("folder", func(t *testing.T) {
		p := p.in(t)
		dir := t.TempDir()
		for name, text := range map[string]string{"index.html": "the page", ".env": "SECRET=1"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h := p.open(dir, "--name", "docs", "--spa")
		at := h.said(h.out, addressLine)
		for path, want := range map[string]string{"/": "the page", "/users/7": "the page"} {
			if status, body := p.get(at + path); status != 200 || body != want {
				t.Errorf("%s: %d %q", path, status, body)
			}
		}
		if status, body := p.get(at + "/.env"); strings.Contains(body, "SECRET") {
			t.Errorf("%d %q", status, body)
		}
		h.stop()
	})

	t.Run("another machine", func(t *testing.T) {
		p := p.in(t)
		second := newTunneller(t, world, nil)
		p.do("tunnel", port, "--detach", "--wait")
		// The control plane learns of it from the edge's next report.
		until(t, "it is known to be connected", func() bool {
			out, _ := p.do("warpgates", "list", "-e", name)
			return strings.Contains(out, "\tconnected\t")
		})
		code, _, talk := second.mezu("tunnel", other)
		if want := "mezu: " + name + " is served from another machine (127.0.0.1, connected)\n  try: --name NAME for an environment of its own, or --join to share its requests\n"; code != 5 || talk != want {
			t.Errorf("code %d: %s", code, talk)
		}
		h := second.open(other, "--join")
		h.said(h.out, addressLine)
		h.stop()
		p.do("tunnel", "stop", name)
	})

	t.Run("needs login", func(t *testing.T) {
		p := newTunneller(t, world, map[string]string{"MEZU_NO_KEYRING": "1"})
		token := p.env["MEZU_TOKEN"]
		for _, name := range []string{"MEZU_TOKEN", "MEZU_API", "MEZU_CA_FILE"} {
			delete(p.env, name)
		}
		var said testkit.Buffer
		if code := run(t.Context(), []string{"login", "--with-token", "--api", world.ready.API, "--ca-file", world.ready.CAFile, "--profile", "kept"}, p.getenv,
			terminal.Streams{In: strings.NewReader(token + "\n"), Out: &said, Err: &said}); code != 0 {
			t.Fatalf("code %d: %s", code, said.String())
		}
		at, _ := p.do("tunnel", port, "--detach", "--wait", "--name", "login")
		projects, _ := p.do("projects", "list")
		var is mezu.Tunnel
		read := func() mezu.Tunnel {
			out, _ := p.do("tunnel", "show", name+"-login", "-o", "json")
			if err := json.Unmarshal([]byte(out), &is); err != nil {
				t.Fatal(err)
			}
			return is
		}
		before := read()
		if before.Profile != "kept" {
			t.Errorf("it is of profile %q", before.Profile)
		}
		// The command that removes it may be the one that enrols it again.
		_, talk := p.do("warpgates", "delete", before.Warpgate, "--yes", "-e", name+"-login")
		until(t, "a command has enrolled it again", func() bool {
			if strings.Contains(talk, "✓ enrolled again as ") {
				return true
			}
			out, more := p.do("projects", "list")
			if out != projects {
				t.Errorf("%q, before %q", out, projects)
			}
			talk += more
			return false
		})
		if !strings.Contains(talk, "◌ shop/"+name+"-login: ") {
			t.Errorf("%q", talk)
		}
		until(t, "it is live again", func() bool { return read().State == mezu.TunnelLive })
		p.becomes(strings.TrimSpace(at), 200)
		p.do("tunnel", "rm", name+"-login")
	})

	t.Run("kill", func(t *testing.T) {
		p := p.in(t)
		h := p.open(port, "--name", "killed")
		at := h.said(h.out, addressLine)
		pid := p.status().PID
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "another daemon runs", func() bool {
			code, out, _ := p.mezu("daemon", "status", "-o", "json")
			return code == 0 && !strings.Contains(out, fmt.Sprintf(`"pid": %d,`, pid))
		})
		// Nobody is told of requests that come through before the command is there again.
		until(t, "the command holds it again", func() bool {
			out, _ := p.do("tunnel", "show", name+"-killed", "-o", "json")
			return strings.Contains(out, `"attached": 1`)
		})
		p.becomes(at, 200)
		h.said(h.out, `  200  GET    / `)
		if code := h.stop(); code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
	})

	t.Run("stopped while it comes back", func(t *testing.T) {
		p := newTunneller(t, world, nil)
		h := p.open(port, "--name", "stopped")
		at := h.said(h.out, addressLine)
		process, err := os.FindProcess(p.status().PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		until(t, "the daemon is stopped", func() bool {
			code, _, _ := p.mezu("daemon", "stop") // the socket may be closing
			return code == 0
		})
		code := h.ended()
		if code != 0 {
			t.Errorf("code %d: %s", code, h.talk)
		}
		p.becomes(at, 503)
	})

	t.Run("mezu.yaml", func(t *testing.T) {
		p := p.in(t)
		dir := t.TempDir()
		text := "project: shop\ntunnels:\n  web: {to: " + port + "}\n  db: {to: \"192.0.2.1:5432\"}\n"
		if err := os.WriteFile(filepath.Join(dir, "mezu.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(dir)
		code, _, talk := p.mezu("tunnel")
		if code != 2 || !strings.HasSuffix(talk, "mezu.yaml leads beyond this machine: db to 192.0.2.1:5432\n  try: --allow-target 192.0.2.1:5432\n") {
			t.Errorf("code %d: %s", code, talk)
		}
		h := p.open("--allow-target", "192.0.2.1:5432")
		h.said(h.out, `(?s)https://\S+\n.*https://\S+\n`)
		p.becomes(strings.Replace(address, name, name+"-web", 1), 200)
		h.stop()
	})

	t.Run("refusals", func(t *testing.T) {
		p := p.in(t)
		nobody := newPerson(t, nil)
		if code, _, talk := nobody.mezu("tunnel", port); code != 3 || talk != "mezu: no control plane is named\n  try: mezu dev 8080, for all of it on this machine, or mezu login --api URL\n" {
			t.Errorf("code %d: %s", code, talk)
		}
		for line, want := range map[string]struct {
			code int
			said string
		}{
			"nonsense!":                               {2, "TARGET is a port, host:port"},
			"8080 9090":                               {2, "two tunnels would serve one environment"},
			"a=8080 b=9090 --name x":                  {2, "--name is for one tunnel"},
			"a=8080 b=9090 -e staging":                {2, "two tunnels would serve one environment"},
			"8080 --exec":                             {2, "--exec needs a program after --"},
			"8080 -- ls":                              {2, "what follows -- is for --exec"},
			"8080 --detach --exec -- ls":              {2, "exclude each other"},
			"8080 --detach --rm":                      {2, "exclude each other"},
			"8080 --name web -e staging":              {2, "leave one of them out"},
			"8080 --listing":                          {2, "listing and spa are for a folder"},
			"8080 --host-header a/b":                  {2, "is keep, target or a host"},
			"8080 --allow-cidr 1.2.3":                 {2, "is not an address or a range"},
			"8080 --upstream-ca /nowhere":             {2, "--upstream-ca"},
			"8080 --basic-auth a:b":                   {2, "without a colon"},
			"8080 -e nothing":                         {4, `there is no environment "nothing" in dev/shop`},
			"8080 --auth nothing":                     {2, "nothing"},
			"8080 --exec -- no-such-program-anywhere": {2, "no-such-program-anywhere"},
			"stop nothing":                            {4, "there is no tunnel nothing here"},
		} {
			code, out, talk := p.mezu(append([]string{"tunnel"}, strings.Fields(line)...)...)
			if code != want.code || !strings.Contains(talk, want.said) || out != "" {
				t.Errorf("%s: code %d, %s%s", line, code, out, talk)
			}
		}
		p.do("tunnel", port, "--name", "late", "--detach")
		p.do("tunnel", "rm", name+"-late")
		closed := serveNothing(t)
		p.do("tunnel", closed, "--name", "dead", "--detach")
		until(t, "all but the workload is there", func() bool {
			out, _ := p.do("tunnel", "show", name+"-dead", "-o", "json")
			return strings.Contains(out, `"state": "live"`)
		})
		if code, _, talk := p.mezu("tunnel", closed, "--name", "dead", "--detach", "--wait", "--timeout", "1s"); code != 7 || !strings.Contains(talk, "mezu: nothing answers at localhost:"+closed) || !strings.Contains(talk, " (1 s)\n") {
			t.Errorf("code %d: %s", code, talk)
		}
		p.do("tunnel", "rm", name+"-dead")
		p.do("environments", "disable", name+"-late")
		if code, _, talk := p.mezu("tunnel", port, "--name", "late"); code != 6 || talk != "mezu: dev/shop/"+name+"-late is switched off\n  try: mezu environments enable "+name+"-late\n" {
			t.Errorf("code %d: %s", code, talk)
		}
		t.Chdir(t.TempDir())
		if code, _, talk := p.mezu("tunnel"); code != 2 || !strings.HasPrefix(talk, "mezu: mezu tunnel needs a target") {
			t.Errorf("code %d: %s", code, talk)
		}
		p.do("tunnel", port, "--detach")
		if out, _, _ := complete(p, "tunnel", "show", ""); !slices.Contains(out, "shop/"+name) {
			t.Errorf("names to complete: %q", out)
		}
	})
}

// serveNothing is a port on which nobody listens: it is taken by the client of a connection.
func serveNothing(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_, port, _ := net.SplitHostPort(c.LocalAddr().String())
	return port
}

// TestTunnelExamples: what the help of each command about tunnels shows, in an order in which all
// mean something.
func TestTunnelExamples(t *testing.T) {
	world := start(t, t.TempDir())
	port := serveText(t, "app")
	opened := ""
	p := newTunneller(t, world, nil)
	self := controltest.Call[api.Self](t, world.caller(world.ready.Token, nil), api.OpSelf, nil)
	if err := (memory.Store{Dir: p.folders().State}).Update(t.Context(), func(m *memory.Memory) { m.Names[world.ready.API+" dev "+self.ID] = "dev-ada" }); err != nil {
		t.Fatal(err)
	}
	p.env["BROWSER"] = "true" // the program that does nothing, and succeeds
	for _, path := range []string{"tunnel", "tunnel list", "tunnel show", "tunnel stop", "tunnel start", "tunnel open", "tunnel rm"} {
		args := p.example(path)
		if path == "tunnel" {
			args[1] = port
			h := p.open(args[1:]...)
			opened = h.said(h.out, addressLine)
			h.stop()
			p.do(append(args, "--detach")...)
			p.becomes(opened, http.StatusOK)
			ids, talk, _ := complete(p, "requests", "show", "")
			if len(ids) == 0 || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(ids[0]) || talk != "" {
				t.Errorf("requests that are completed: %q, %s", ids, talk)
			}
			continue
		}
		if path == "tunnel open" && runtime.GOOS != "linux" {
			continue // the browser of whoever runs the tests would open
		}
		p.do(args...)
	}
	// An environment of that name that somebody else made is left alone.
	create := []string{"service-accounts", "create", "other", "-o", "json"}
	for _, right := range []string{"projects.read", "environments.read", "environments.write", "routes.read", "routes.write", "warpgate.register", "warpgates.read"} {
		create = append(create, "--permission", right)
	}
	out, _ := p.do(create...)
	key := regexp.MustCompile(`"key": "([^"]+)"`).FindStringSubmatch(out)
	if key == nil {
		t.Fatal(out)
	}
	other := newTunneller(t, world, map[string]string{"MEZU_TOKEN": key[1]})
	other.do("environments", "create", "dev-ada-docs")
	h := p.open(port, "--name", "docs")
	if at := h.said(h.out, addressLine); !strings.HasPrefix(at, "https://shop-dev-ada-docs-2-dev.localhost:") {
		t.Errorf("%s", at)
	}
	h.stop()
	// What is remembered is a person's, and not that of whoever else works on this machine.
	account := newTunneller(t, world, map[string]string{"MEZU_TOKEN": key[1], "MEZU_HOME": p.env["MEZU_HOME"]})
	h = account.open(port)
	if at := h.said(h.out, addressLine); !strings.HasPrefix(at, "https://shop-ci-other-dev.localhost:") {
		t.Errorf("%s", at)
	}
	h.stop()
	if !strings.HasPrefix(opened, "https://shop-dev-ada-dev.localhost:") {
		t.Errorf("%q", opened)
	}
}

// complete are the candidates for the last of the words.
func complete(p *tunneller, words ...string) (names []string, talk string, code int) {
	code, out, talk := p.mezu(append([]string{"__complete"}, words...)...)
	return strings.Fields(out), talk, code
}
