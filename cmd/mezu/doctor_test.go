package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
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
	"github.com/mezusphere/mezu/cli"
	clidaemon "github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/doctor"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
)

// at is a person whose clock is ahead.
func (p *person) at(ahead time.Duration, args ...string) (code int, out string) {
	var stdout, stderr bytes.Buffer
	folders := p.folders()
	inv := invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Unicode: true}, Getenv: p.getenv, Dir: p.t.TempDir(),
		Profiles: profile.Store{Dir: folders.Config}, State: folders.State, Now: func() time.Time { return time.Now().Add(ahead) }}
	code = cli.Main(p.t.Context(), args, inv, cli.Config{Version: version, Daemon: clidaemon.Program{}})
	return code, stdout.String() + stderr.String()
}

// holds checks a code and what was said with it, however wide its columns are.
func holds(t *testing.T, what string, code, want int, out string, texts ...string) {
	t.Helper()
	narrow := func(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }
	out = narrow(out)
	if code != want {
		t.Errorf("%s: code %d, not %d: %s", what, code, want, out)
	}
	for _, text := range texts {
		if !strings.Contains(out, narrow(text)) {
			t.Errorf("%s: no %q in %s", what, text, out)
		}
	}
}

func TestStatus(t *testing.T) {
	r := start(t, t.TempDir())
	p := newPerson(t, r.against())
	address, end := mortal(t, says("here"))
	_, port, _ := net.SplitHostPort(address)
	p.do("tunnel", "--detach", "--wait", "--name", "web", port)
	out, _ := p.do("status", "-o", "json")
	var is status.Report
	if err := json.Unmarshal([]byte(out), &is); err != nil || !is.Flows || len(is.Hops) != 4 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, h := range is.Hops {
		if h.State != status.OK || h.Hop != "you" && h.Name == "" {
			t.Errorf("%+v", h)
		}
	}
	look := func(args ...string) (int, string) {
		code, out, talk := p.mezu(append([]string{"status"}, args...)...)
		return code, out + talk
	}
	code, said := look("--wait", "--timeout", "30s") // the example of its help
	holds(t, "flows", code, 0, said, is.Organization+"/"+is.Project+"/"+is.Environment+"   "+is.URL, "you", "Warpgate "+is.Hops[2].Name[:7]+"…", "✓")
	code, said = look(is.Environment)
	holds(t, "by its name", code, 0, said, is.URL)
	code, said = look("nowhere")
	holds(t, "no such environment", code, 4, said)

	end()
	code, said = look()
	holds(t, "dead workload", code, 6, said, "✗ refused", "nothing answers at localhost:"+port, "  try: ")
	if strings.Contains(said, "mezu: ") {
		t.Errorf("it is said twice: %s", said)
	}
	code, said = look("--wait", "--timeout", "1200ms")
	holds(t, "it stays dead", code, 7, said, "does not answer yet: nothing answers at localhost:"+port, "try: mezu doctor")

	p.do("environments", "disable", is.Environment)
	until(t, "it is off", func() bool { code, said = look(); return code == 6 && strings.Contains(said, "is switched off") })
	holds(t, "switched off", code, 6, said, "try: mezu environments enable "+is.Environment)
	p.do("environments", "enable", is.Environment)
	p.do("tunnel", "stop", is.Tunnel)
	until(t, "the tunnel is gone", func() bool { code, said = look(); return code == 6 && strings.Contains(said, "is stopped") })
	holds(t, "stopped", code, 6, said, "✗ not connected", "try: mezu tunnel start "+is.Tunnel)
	// An edge that was asked too often does not say it within a second.
	until(t, "it is known what it waits for", func() bool {
		code, said = look("--wait", "--timeout", "1s")
		return strings.Contains(said, "does not answer yet: edge reached, no Warpgate connected (1 s)")
	})
	holds(t, "waiting for a stopped one", code, 7, said)

	// Of another machine's environment it says what it can.
	code, said = look("-e", r.ready.Environment)
	holds(t, "served elsewhere", code, 0, said, "? not seen from here")
	r.stop()
	code, said = look(is.Tunnel)
	holds(t, "no edge", code, 6, said, "✗ refused", "try: mezu doctor")
	p.do("tunnel", "rm", is.Tunnel)
}

func TestDoctor(t *testing.T) {
	r := start(t, t.TempDir())
	p := newPerson(t, r.against())
	address, end := mortal(t, says("here"))
	_, port, _ := net.SplitHostPort(address)
	p.do("tunnel", "--detach", "--wait", "--name", "web", port, "--basic-auth", "ada")
	out, _ := p.do("doctor", "-o", "json")
	var found doctor.Findings
	if err := json.Unmarshal([]byte(out), &found); err != nil || found.Problems != 0 {
		t.Fatalf("%v: %s", err, out)
	}
	var names []string
	for _, r := range found.Results {
		names = append(names, r.Check)
	}
	for _, name := range []string{"version", "dns", "clock", "proxy", "api", "private CA", "login", "socket", "daemon", "edge", "certificate", "key", "environment", "route", "Warpgate", "workload", "disk", "descriptors"} {
		if !slices.Contains(names, name) && (name != "descriptors" || runtime.GOOS != "windows") {
			t.Errorf("%q has no %s", names, name)
		}
	}
	examine := func(env map[string]string, args ...string) (int, string) {
		other := person{t: t, env: map[string]string{}}
		for _, from := range []map[string]string{p.env, env} {
			for name, value := range from {
				other.env[name] = value
			}
		}
		code, out, talk := other.mezu(append([]string{"doctor"}, args...)...)
		return code, out + talk
	}
	t.Run("bundle", func(t *testing.T) { checkBundle(t, r, p, examine) })
	t.Run("wrong clock", func(t *testing.T) {
		code, said := p.at(24*time.Hour, "doctor")
		holds(t, "a day ahead", code, 1, said, "✗ clock ", "ahead of the control plane")
	})
	t.Run("expired certificate", func(t *testing.T) {
		code, said := p.at(8*24*time.Hour, "doctor")
		holds(t, "a week later", code, 1, said, "✗ certificate  ended ", "try: mezu tunnel start ")
	})
	t.Run("private CA missing", func(t *testing.T) {
		code, said := examine(map[string]string{"MEZU_CA_FILE": ""})
		holds(t, "the system's", code, 1, said, "✗ private CA", "is not trusted here", "--ca-file FILE")
	})
	t.Run("token of another", func(t *testing.T) {
		code, said := examine(map[string]string{"MEZU_TOKEN": r.ready.Token[:len(r.ready.Token)-4] + "abcd"})
		holds(t, "refused", code, 1, said, "✗ login        your access at "+r.ready.API+" ended", "try: mezu login --api ")
	})
	t.Run("proxy", func(t *testing.T) {
		code, said := examine(map[string]string{"HTTPS_PROXY": "http://127.0.0.1:" + port, "MEZU_API": "https://control.example"})
		holds(t, "in between", code, 1, said, "! proxy        HTTPS_PROXY=http://127.0.0.1:"+port+" carries the tunnels; NO_PROXY lacks localhost")
	})
	t.Run("socket of another user", func(t *testing.T) {
		dir := filepath.Dir(p.folders().Socket)
		if err := os.Chown(dir, 65534, -1); err != nil {
			t.Skipf("needs the right to give a folder away: %v", err)
		}
		code, said := examine(nil)
		if err := os.Chown(dir, os.Getuid(), -1); err != nil {
			t.Fatal(err)
		}
		holds(t, "not ours", code, 1, said, "✗ socket       the daemon's socket is not safe")
	})
	t.Run("dead workload", func(t *testing.T) {
		end()
		code, said := examine(nil)
		holds(t, "ended", code, 1, said, "✗ workload     nothing answers at localhost:"+port)
	})
	t.Run("refused edge", func(t *testing.T) {
		r.stop()
		var said string
		until(t, "the link is gone", func() bool {
			_, said = examine(nil)
			return strings.Contains(said, "✗ edge")
		})
		holds(t, "away", 1, 1, said, "✗ api ", "refuses the connection", "try: curl -v https://")
	})
}

// passSecrets sends a request that the inspector keeps, and gives what is in it.
func passSecrets(t *testing.T, r *running, p *person) []string {
	t.Helper()
	var tunnels []mezu.Tunnel
	out, _ := p.do("tunnel", "list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &tunnels); err != nil || len(tunnels) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	req, err := http.NewRequest(http.MethodPost, tunnels[0].URL+"/path-that-passed?word=query-that-passed", strings.NewReader("body-that-passed"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Word", "field-that-passed")
	req.Header.Set("Cookie", "word=cookie-that-passed")
	resp, err := r.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if out, _ := p.do("requests", "show", "@1", "--unmask", "-o", "json"); !strings.Contains(out, "field-that-passed") || !strings.Contains(out, "cookie-that-passed") {
		t.Fatalf("it is not kept: %s", out)
	}
	return []string{"path-that-passed", "query-that-passed", "body-that-passed", "field-that-passed", "cookie-that-passed"}
}

// C3: no secret of the run is in a bundle.
func checkBundle(t *testing.T, r *running, p *person, examine func(map[string]string, ...string) (int, string)) {
	// Nothing of what the inspector keeps is in it either, be it a secret or not.
	passed := passSecrets(t, r, p)
	file := filepath.Join(t.TempDir(), "doctor.zip")
	code, said := examine(map[string]string{"MEZU_BASIC_AUTH": "a-word-nobody-else-knows"}, "--bundle", file)
	holds(t, "bundle", code, 0, said, "without secrets")
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	secrets := append([]string{r.ready.Token, "a-word-nobody-else-knows", "PRIVATE KEY"}, passed...)
	// What the daemon keeps is secret too: its keys, and what passwords are checked by.
	err = filepath.WalkDir(p.folders().State, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".key") {
			return err
		}
		key, err := os.ReadFile(path)
		for _, line := range strings.Split(string(key), "\n") {
			if len(line) > 20 && !strings.HasPrefix(line, "-----") {
				secrets = append(secrets, line)
			}
		}
		return err
	})
	if err != nil || len(secrets) < 4 {
		t.Fatalf("%d, %v", len(secrets), err)
	}
	size := 0
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		size += len(text)
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s holds %q", f.Name, s)
			}
		}
		if f.Name == "tunnels.json" && bytes.Contains(text, []byte(`"hash": "`)) {
			t.Errorf("%s", text)
		}
		if f.Name == "daemon.log" && !bytes.Contains(text, []byte("process=")) {
			t.Errorf("the log is %s", text)
		}
	}
	if size < 1000 {
		t.Errorf("%d bytes only", size)
	}
}
