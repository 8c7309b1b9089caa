package daemon

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// awkward is a path with all that a shell, systemd or XML gives a meaning to.
const awkward = `/opt/a b/$HOME %h "q" 'q' \x & <y>/mezu`

// TestUnit: systemd takes the unit, and means by it what we do.
func TestUnit(t *testing.T) {
	text := unit(awkward, []string{"daemon", "run", "--idle-end", "0s"}, map[string]string{"XDG_RUNTIME_DIR": "", "MEZU_HOME": awkward})
	for _, want := range []string{
		`ExecStart="/opt/a b/$HOME %%h \"q\" 'q' \\x & <y>/mezu" "daemon" "run" "--idle-end" "0s"` + "\n",
		`Environment="MEZU_HOME=/opt/a b/$HOME %%h \"q\" 'q' \\x & <y>/mezu"` + "\n", `Environment="XDG_RUNTIME_DIR="` + "\n",
		"WantedBy=default.target\n", "Restart=on-failure\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestUnitIsVerified has systemd itself read the unit.
func TestUnitIsVerified(t *testing.T) {
	testkit.Programs(t, "systemd-analyze")
	dir := filepath.Join(t.TempDir(), "a b$HOME %h")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "mezu")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), ServiceName+".service")
	if err := os.WriteFile(path, []byte(unit(program, []string{"daemon", "run", "--idle-end", "0s"}, map[string]string{"XDG_RUNTIME_DIR": "", "MEZU_HOME": dir})), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "verify", "--user", "--man=no", path)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAgent: the property list is well-formed, and holds the words as they are.
func TestAgent(t *testing.T) {
	text := agent(awkward, []string{"daemon", "run", "--idle-end", "0s"}, map[string]string{"MEZU_HOME": awkward})
	var words []string
	depth := 0
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; token.Name.Local == "string" || token.Name.Local == "key" {
				var word string
				if err := d.DecodeElement(&word, &token); err != nil {
					t.Fatal(err)
				}
				words, depth = append(words, word), depth-1
			}
		case xml.EndElement:
			depth--
		}
	}
	want := []string{"Label", ServiceName, "ProgramArguments", awkward, "daemon", "run", "--idle-end", "0s", "EnvironmentVariables", "MEZU_HOME", awkward, "RunAtLoad", "KeepAlive", "SuccessfulExit", "ThrottleInterval", "ProcessType", "Interactive"}
	if strings.Join(words, "|") != strings.Join(want, "|") || depth != 0 {
		t.Errorf("%q", words)
	}
}

// TestInstall: install may be repeated, uninstall too, and systemd is asked what it has to be.
func TestInstall(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("it is about systemd")
	}
	user, bin, asked := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "asked")
	script := "#!/bin/sh\necho \"$@\" >> '" + asked + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", user)
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	var said testkit.Buffer
	getenv := func(name string) string {
		return map[string]string{"MEZU_HOME": filepath.Join(user, "m"), "HTTPS_PROXY": "http://me:secret@proxy"}[name]
	}
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: io.Discard, Err: &said}, Getenv: getenv, State: filepath.Join(user, "m", "state")}
	path := filepath.Join(user, ".config", "systemd", "user", ServiceName+".service")
	for range 2 {
		if err := New(inv, nil).install(t.Context()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte("MEZU_HOME="+filepath.Join(user, "m"))) || bytes.Contains(text, []byte("secret")) {
			t.Fatalf("%s, %v", text, err)
		}
	}
	if !strings.Contains(said.String(), "HTTPS_PROXY has a password") {
		t.Errorf("said %s", &said)
	}
	own := 0
	start := func(home string) {
		other := *inv
		other.Getenv = func(name string) string { return map[string]string{"MEZU_HOME": home}[name] }
		if _, err := New(&other, func() (Started, error) { own++; return Started{}, nil }).startProcess(); err != nil {
			t.Fatal(err)
		}
	}
	if start(filepath.Join(user, "m")); own != 0 {
		t.Error("the daemon of the service was started beside it")
	}
	if start(filepath.Join(user, "other")); own != 1 {
		t.Error("the service was started in the place of another home's daemon")
	}
	for range 2 {
		if err := uninstall(inv); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	calls, err := os.ReadFile(asked)
	install := "enable --user mezu.service\ndaemon-reload --user\nstart --user mezu.service\n"
	remove := "stop --user mezu.service\ndisable --user mezu.service\ndaemon-reload --user\n"
	if err != nil || string(calls) != install+remove+install+"stop --user mezu.service\nstart --user mezu.service\n"+remove {
		t.Errorf("%s, %v", calls, err)
	}
}
