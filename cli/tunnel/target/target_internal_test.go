package target

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/listening"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"site", "8080", "a.example:80", "sub/deep"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for text, want := range map[string]Target{
		"5173": {Shown: "localhost:5173"}, "web=5173": {Name: "web", Shown: "localhost:5173"}, "localhost:1": {Shown: "localhost:1"}, "https://localhost:8443": {Shown: "https://localhost:8443"},
		"h2c://127.0.0.1:50051": {Shown: "h2c://127.0.0.1:50051"}, "unix:/run/a=b.sock": {Shown: "unix:/run/a=b.sock"}, "[::1]:80": {Shown: "[::1]:80"}, "db.internal:5432": {Shown: "db.internal:5432"},
		"8080": {Shown: "localhost:8080"}, // a port before a folder of that name
	} {
		want.Target = want.Shown
		got, err := Parse(dir, text)
		if err != nil || got.Name != want.Name || got.Shown != want.Shown || got.Target != want.Target || got.Folder() {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, shown := range map[string]string{"site": "./site", "./site/": "./site", ".": ".", "./8080": "./8080", "docs=site": "./site", "a.example:80": "./a.example:80", at("site"): at("site"), "sub/deep": "./sub/deep", "..": ".."} {
		got, err := Parse(dir, text)
		if err != nil || !got.Folder() || filepath.ToSlash(got.Shown) != filepath.ToSlash(shown) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "nothing", "file", "0", "65536", "ftp://a:1", "localhost:80/path", "unix:rel", "web=", "-1", "http://"} {
		if got, err := Parse(dir, text); exit.Of(err) != exit.Usage {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// The list of what listens is shown, nothing of it is taken unasked, and a port may be typed.
func TestChoose(t *testing.T) {
	here := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	all := []listening.Listener{{Port: 5173, Program: "node", Command: "vite", Addresses: here}, {Port: 8080, Command: "./api serve\x1b[2J", Addresses: here}}
	ask := func(typed string, prompt bool) (Target, string, error) {
		var said bytes.Buffer
		inv := &invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(typed), Err: &said, InTerminal: prompt, ErrTerminal: prompt}, Dir: t.TempDir()}
		got, err := choose(t.Context(), inv, all)
		return got, said.String(), err
	}
	for typed, want := range map[string]string{"1\n": "localhost:5173", "2\n": "localhost:8080", "8080\n": "localhost:8080", "3\n": "localhost:3", "https://localhost:1\n": "https://localhost:1"} {
		got, said, err := ask(typed, true)
		if err != nil || got.Target != want || !strings.Contains(said, "   1  5173 (node, vite)\n") || strings.Contains(said, "\x1b") {
			t.Errorf("%q: %+v, %v, %q", typed, got, err, said)
		}
	}
	for _, prompt := range []bool{true, false} {
		_, _, err := ask("\n", prompt)
		if exit.Of(err) != exit.Usage || !strings.HasPrefix(err.Error(), "mezu tunnel needs a target; listening here: 5173 (node, vite), 8080 (./api serve") {
			t.Errorf("%v", err)
		}
	}
	if e, ok := missing(nil).(*exit.UsageError); !ok || e.Hint != "mezu tunnel PORT" {
		t.Errorf("%v", missing(nil))
	}
}

// Whoever wrote the file may not be whoever runs it: what leads beyond this machine is asked
// about, once a folder.
func TestConsent(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for _, name := range []string{"site", "below"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	text := "tunnels:\n  web: {to: 3000}\n  six: {to: \"[::1]:3000\"}\n  site: {to: ./site}\n  link: {to: link}\n  out: {to: \"" + filepath.ToSlash(outside) + "\"}\n" +
		"  db: {to: \"db.internal:5432\"}\n  name: {to: \"a.localhost:1\"}\n  docker: {to: \"unix:/var/run/docker.sock\"}\n"
	if err := os.WriteFile(filepath.Join(dir, "mezu.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(t.Context(), filepath.Join(dir, "below"))
	if err != nil || len(f.Targets) != 8 || f.Targets[7].Name != "web" || f.Targets[7].Target != "localhost:3000" {
		t.Fatalf("%+v, %v", f, err)
	}
	var names []string
	for _, b := range f.Beyond() {
		names = append(names, b.Name)
	}
	if got := strings.Join(names, " "); got != "db docker link name out" {
		t.Errorf("asked about are %s", got)
	}
	state := t.TempDir()
	consent := func(typed string, prompt bool, allowed ...string) (string, error) {
		var said bytes.Buffer
		inv := &invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(typed), Err: &said, InTerminal: prompt, ErrTerminal: prompt}, Dir: dir, State: state}
		list, err := Allowed(dir, allowed)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Consent(t.Context(), inv, list)
		return said.String(), err
	}
	if _, err := consent("", false); exit.Of(err) != exit.Usage || !strings.Contains(err.(*exit.UsageError).Hint, "--allow-target db.internal:5432") {
		t.Errorf("in a script: %v", err)
	}
	if _, err := consent("", false, "db.internal:5432", "unix:/var/run/docker.sock", "link", "a.localhost:1", outside); err != nil {
		t.Errorf("allowed: %v", err)
	}
	if said, err := consent("n\n", true); exit.Of(err) != exit.NotAllowed || !strings.Contains(said, "db to db.internal:5432") {
		t.Errorf("%s %v", said, err)
	}
	if _, err := consent("y\n", true); err != nil {
		t.Error(err)
	}
	if said, err := consent("", true); err != nil || said != "" {
		t.Errorf("asked again: %s %v", said, err)
	}
}

func TestRead_Wrong(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"tunnels:\n  web: {to: nowhere}\n":                    "mezu.yaml:2:9: ",
		"tunnels:\n  web: {to: 3000, listing: true}\n":        "mezu.yaml:2:9: ",
		"tunnels:\n  web: {to: 3000, host_header: \"a b\"}\n": "mezu.yaml:2:19: ",
		"tunnels:\n  web: {to: 3000}\nunknown: 1\n":           "mezu.yaml:3:1: ",
		"tunnels: &a\n  web: *a\n":                            "mezu.yaml:1:10: ",
	} {
		if err := os.WriteFile(filepath.Join(dir, "mezu.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if f, err := Read(t.Context(), t.TempDir()); err != nil || len(f.Targets) != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}
