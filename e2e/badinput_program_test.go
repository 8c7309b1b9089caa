package e2e

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// failure is a program that cannot go on, and what it says.
type failure struct {
	name, program string
	args          []string
	code          int
	says          []string
}

func (f failure) check(t *testing.T) {
	t.Helper()
	p := start(t, f.name, f.program, f.args...)
	code, said := p.exit(), p.log.String()
	if code != f.code {
		t.Errorf("%s: exit code %d, want %d: %s", f.name, code, f.code, said)
	}
	for _, want := range append(f.says, "try: ") {
		if !strings.Contains(said, want) {
			t.Errorf("%s: it says nothing of %q: %s", f.name, want, said)
		}
	}
}

// TestBadInputPrograms: keys, ports, state directories and configurations that
// are no good end a program with the exit code of the contract, a line that
// names what is wrong, and the next thing to try.
func TestBadInputPrograms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	rec := newRecorder(t)
	g := w.addGate("gate", rec.addr())
	t.Run("keys", func(t *testing.T) { badKeys(t, w, rec.addr()) })
	t.Run("ports", func(t *testing.T) { takenPorts(t, w, rec.addr()) })
	t.Run("state", func(t *testing.T) { badState(t, w, rec.addr()) })
	t.Run("configuration", func(t *testing.T) { badConfiguration(t, w) })
	t.Run("revoked", func(t *testing.T) { revokedKey(t, w, g, rec.addr()) })
}

// gateArgs are the arguments of a Warpgate with this key.
func (w *world) gateArgs(t *testing.T, name, key, upstream string, more ...string) []string {
	t.Helper()
	return append([]string{"--api", "https://" + w.api, "--ca-file", w.caFile(), "--token-file", w.secretFile(name+".key", key),
		"--upstream", upstream, "--state", filepath.Join(t.TempDir(), "state")}, more...)
}

func badKeys(t *testing.T, w *world, upstream string) {
	foreign := mezu.NewKey()
	altered := []byte(w.key)
	altered[10] ^= 1
	cases := []failure{
		{"truncated", "warpgate", w.gateArgs(t, "truncated", w.key[:49], upstream), 3, []string{"50 characters"}},
		{"altered", "warpgate", w.gateArgs(t, "altered", string(altered), upstream), 3, []string{"key"}},
		{"foreign", "warpgate", w.gateArgs(t, "foreign", foreign, upstream), 3, []string{"key"}},
		{"empty", "warpgate", w.gateArgs(t, "empty", "", upstream), 2, []string{"empty.key", "no key"}},
		{"unknown environment", "warpgate", w.gateArgs(t, "nowhere", w.key, upstream, "--environment", "nowhere"), 4, []string{"nowhere"}},
		{"enrolment token", "warpgate", w.gateArgs(t, "enrolment", mezu.TokenEnrolment+"_0000000000000000000000000000000000000000000", upstream), 3, []string{"token"}},
		{"no key", "warpgate", []string{"--api", "https://" + w.api, "--ca-file", w.caFile(), "--upstream", upstream, "--state", filepath.Join(t.TempDir(), "s")}, 3, []string{"key"}},
		{"join token", "mezusphere", []string{"edge", "--control", "https://" + w.api, "--ca-file", w.caFile(), "--join-token-file", w.secretFile("bad.token", "mezujoin_nothing"),
			"--state", filepath.Join(t.TempDir(), "s"), "--name", "late", "--https-addr", "127.0.0.1:0", "--admin-addr", ""}, 3, []string{"join token"}},
	}
	for _, c := range cases {
		t.Run(c.name, c.check)
	}
}

func takenPorts(t *testing.T, w *world, upstream string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	state := func() string { return filepath.Join(t.TempDir(), "s") }
	edge := func(more ...string) []string {
		return append([]string{"edge", "--control", "https://" + w.api, "--ca-file", w.caFile(), "--state", state(), "--name", "late"}, more...)
	}
	for _, c := range []failure{
		{"api", "mezusphere", []string{"control", "--domain", "localhost", "--state", state(), "--api-addr", taken, "--admin-addr", ""}, 1, []string{taken, "--api-addr"}},
		{"control admin", "mezusphere", []string{"control", "--domain", "localhost", "--state", state(), "--api-addr", "127.0.0.1:0", "--admin-addr", taken}, 1, []string{taken, "--admin-addr"}},
		{"https", "mezusphere", edge("--https-addr", taken, "--admin-addr", ""), 1, []string{taken, "--https-addr"}},
		{"tunnel", "mezusphere", edge("--https-addr", "127.0.0.1:0", "--tunnel-addr", taken, "--admin-addr", ""), 1, []string{taken, "--tunnel-addr"}},
		{"edge admin", "mezusphere", edge("--https-addr", "127.0.0.1:0", "--admin-addr", taken), 1, []string{taken, "--admin-addr"}},
		{"health", "warpgate", w.gateArgs(t, "health", w.key, upstream, "--health-addr", taken), 1, []string{taken, "--health-addr"}},
	} {
		t.Run(c.name, c.check)
	}
}

func badState(t *testing.T, w *world, upstream string) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	programs := func(state string) []failure {
		gate := w.gateArgs(t, "state", w.key, upstream)
		gate[len(gate)-1] = state
		return []failure{
			{"control", "mezusphere", []string{"control", "--domain", "localhost", "--state", state, "--api-addr", "127.0.0.1:0", "--admin-addr", ""}, 2, nil},
			{"edge", "mezusphere", []string{"edge", "--control", "https://" + w.api, "--ca-file", w.caFile(), "--state", state, "--name", "late", "--https-addr", "127.0.0.1:0", "--admin-addr", ""}, 2, nil},
			{"warpgate", "warpgate", gate, 2, nil},
		}
	}
	for what, state := range map[string]string{"a file": file, "below a file": filepath.Join(file, "s"), "not writable": "/proc/mezu-state"} {
		for _, c := range programs(state) {
			c.says = []string{state, "--state"}
			t.Run(c.name+" "+what, c.check)
		}
	}
	for i, held := range []string{filepath.Join(w.dir, "control"), w.edges[0].dir, filepath.Join(w.dir, "gate")} {
		c := programs(held)[i]
		c.code, c.says = 5, []string{held, "in use by another process", "--state"}
		t.Run(c.name+" locked", c.check)
	}
	w.reachable(w.edges[0]) // who held them goes on
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		t.Error("the file in the place of a state directory is gone")
	}
}

func badConfiguration(t *testing.T, w *world) {
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "mezusphere.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"unknown key": {"state: /tmp/x\nhttps_adr: :443\n", []string{"https_adr", "2"}},
		"wrong type":  {"state: /tmp/x\npublic_port: many\n", []string{"2", "many"}},
		"doubled key": {"state: /tmp/x\nstate: /tmp/y\n", []string{"2", "state"}},
		"no YAML":     {"state: [\n", []string{"mezusphere.yaml"}},
		"bad port":    {"public_port: 99999\n", []string{"public_port", "99999"}},
		"bad name":    {"name: Not_A_Name\n", []string{"name: a name has only"}},
		"bad address": {"https_addr: nowhere\n", []string{"https_addr", "nowhere"}},
		"no such CA":  {"ca_file: /nonexistent/ca.pem\n", []string{"ca_file", "/nonexistent/ca.pem"}},
		"no such key": {"tls_cert: /nonexistent/cert.pem\ntls_key: /nonexistent/key.pem\n", []string{"tls_cert", "/nonexistent/cert.pem"}},
		"one of two":  {"tls_cert: /nonexistent/cert.pem\n", []string{"tls_cert"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(c.text)
			p := start(t, "check", "mezusphere", "check", "--config", path)
			code, said := p.exit(), p.log.String()
			if code != 2 && code != 1 {
				t.Errorf("exit code %d: %s", code, said)
			}
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("it says nothing of %q: %s", want, said)
				}
			}
		})
	}
	p := start(t, "check", "mezusphere", "check", "edge", "--config", file("control: https://"+w.api+"\nstate: /tmp/x\nca_file: "+w.caFile()+"\n"))
	if code := p.exit(); code != 0 {
		t.Errorf("a good configuration: exit code %d: %s", code, p.log.String())
	}
}

// revokedKey: the end of a service account ends the Warpgate that it let in, and
// lets none in any more.
func revokedKey(t *testing.T, w *world, g *gate, upstream string) {
	invoke[struct{}](w, w.client, api.OpDeleteServiceAccount, nil, "acme", "shop", "gate")
	if code, said := g.exit(), g.log.String(); code != 3 || !strings.Contains(said, "revoked") || !strings.Contains(said, "try: ") {
		t.Errorf("the running Warpgate ended with %d: %s", code, said)
	}
	failure{"revoked", "warpgate", w.gateArgs(t, "revoked", w.key, upstream), 3, []string{"key"}}.check(t)
	failure{"revoked state", "warpgate", g.args, 3, []string{"revoked"}}.check(t)
}
