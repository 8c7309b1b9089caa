package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/warpgate/service"
)

const (
	// programVariable has the binary of the tests be the program.
	programVariable = "WARPGATE_TEST_PROGRAM"
	// rootVariable has it be the program on a Linux whose folders are below that one.
	rootVariable = "WARPGATE_TEST_ROOT"
)

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
	}
	if root := os.Getenv(rootVariable); root != "" {
		os.Exit(elsewhere(root))
	}
	goleak.VerifyTestMain(m)
}

// elsewhere is install or uninstall below a root.
func elsewhere(root string) int {
	s := terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	host := service.Host{OS: "linux", Home: os.Getenv("HOME"), Program: "/usr/local/bin/warpgate", Root: root, Say: s.Sayf}
	err := managed(context.Background(), host, os.Args[1], os.Args[2:], os.Getenv, s)
	if err != nil {
		s.Report("warpgate", err)
	}
	return exit.Of(err)
}

func environment(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// runToEnd runs the program to its end.
func runToEnd(env func(string) string, args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), args, env, terminal.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestParse(t *testing.T) {
	env := environment("MEZU_API", "https://env", "MEZU_TOKEN", "secret", "MEZU_ENVIRONMENT", "staging", "MEZU_HOME", "/m", "MEZU_CA_FILE", "/ca")
	o, err := parse([]string{"--api", "https://flag", "--upstream", "app:80", "--allow-target", "a:1", "--allow-target", "b:2"}, env)
	if err != nil {
		t.Fatal(err)
	}
	if o.api != "https://flag" || o.token != "secret" || o.tokenIsArgument || o.environment != "staging" || o.ca != "/ca" ||
		o.state != filepath.FromSlash("/m/state/warpgate") || len(o.allow) != 2 {
		t.Errorf("%+v", o)
	}
	o, err = parse([]string{"--token=x", "--upstream=80", "--environment=prod", "--state=/s"}, env)
	if err != nil || o.token != "x" || !o.tokenIsArgument || o.environment != "prod" || o.state != "/s" {
		t.Errorf("%+v, %v", o, err)
	}
	for _, bad := range [][]string{{}, {"--upstream", "x"}, {"--api", "https://x"}, {"--api", "https://x", "--upstream", "80", "more"},
		{"--no-such"}, {"--api", "https://x", "--upstream", "80", "--token", "a", "--token-file", "b"}, {"--api", "https://x", "--upstream", "80"}} {
		if _, err := parse(bad, environment()); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"--version"}, {"version"}, {"-v"}, {"install", "-v"}, {"uninstall", "--version"}, {"install", "--help"}} {
		if code, out, talk := runToEnd(environment(), args...); code != 0 || out == "" || talk != "" {
			t.Errorf("%q: code %d, %q, %q", args, code, out, talk)
		}
	}
	if code, out, talk := runToEnd(environment(), "--upstrm", "x"); code != 2 || out != "" || !strings.Contains(talk, "try: did you mean: --upstream\n") {
		t.Errorf("code %d, %q, %q", code, out, talk)
	}
}

// What is mistyped gets the name that was meant, or else the help.
func TestMistyped(t *testing.T) {
	for line, want := range map[string]string{
		"instal --user": "try: did you mean: warpgate install\n", "uninstal": "try: did you mean: warpgate uninstall\n", "versio": "try: did you mean: warpgate version\n",
		"serve": "try: warpgate --help\n", "--nothing-like-it": "try: warpgate --help\n", "install --usr": "try: did you mean: --user\n",
	} {
		if code, out, talk := runToEnd(environment(), strings.Fields(line)...); code != 2 || out != "" || !strings.Contains(talk, want) {
			t.Errorf("%s: code %d, %q, %q", line, code, out, talk)
		}
	}
}

// TestRefusedBeforeAnythingIsTouched: what can be judged at once is.
func TestRefusedBeforeAnythingIsTouched(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"plain http":   {[]string{"--api", "http://x", "--upstream", "80"}, "api"},
		"a path":       {[]string{"--api", "https://x", "--upstream", "http://app/path"}, "upstream"},
		"a bad target": {[]string{"--api", "https://x", "--upstream", "80", "--allow-target", "ftp://x"}, "allow-target"},
		"a bad level":  {[]string{"--api", "https://x", "--upstream", "80", "--log-level", "loud"}, "log-level"},
		"a bad name":   {[]string{"--api", "https://x", "--upstream", "80", "--environment", "No"}, "environment"},
	} {
		code, out, talk := runToEnd(environment(), append(c.args, "--state", state)...)
		if code != 2 || out != "" || !strings.Contains(talk, c.want) {
			t.Errorf("%s: code %d, %q, %q", name, code, out, talk)
		}
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state folder was made: %v", err)
	}
	code, out, _ := runToEnd(environment(), "--json", "--api", "http://x", "--upstream", "80", "--state", state)
	var e mezu.Event
	if err := json.Unmarshal([]byte(out), &e); code != 2 || err != nil || e.Event != mezu.EventError || e.Code != mezu.CodeInvalid {
		t.Errorf("as JSON: code %d, %q, %v", code, out, err)
	}
}

// TestSecrets: where a key comes from, and what is said of an argument (C3).
func TestSecrets(t *testing.T) {
	key := mezu.NewKey()
	code, _, talk := runToEnd(environment(), "--token", key, "--api", "https://x", "--upstream", "no port", "--state", t.TempDir())
	if code != 2 || !strings.Contains(talk, "process lists") || strings.Contains(talk, key) {
		t.Errorf("code %d, %s", code, talk)
	}
	// A mistyped key is refused without a control plane.
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key[:49]+"!"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, talk = runToEnd(environment(), "--token-file", file, "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", t.TempDir())
	if code != 3 || !strings.Contains(talk, "checksum") {
		t.Errorf("mistyped key: code %d, %s", code, talk)
	}
	// Issue 7, row 25: a line end is no part of a key, and two lines are none.
	code, _, talk = runToEnd(environment("MEZU_TOKEN", key+"\n"+key), "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", t.TempDir())
	if code != 2 || !strings.Contains(talk, "MEZU_TOKEN: holds more than one line") || strings.Contains(talk, key) {
		t.Errorf("two lines: code %d, %s", code, talk)
	}
	o, err := parse([]string{"--api", "https://127.0.0.1:1", "--upstream", "08080", "--state", "/s"}, environment("MEZU_TOKEN", key+"\r\n", "WARPGATE_PORT", "tcp://10.0.0.1:443"))
	if err != nil || o.token != key {
		t.Errorf("with a line end: %+v, %v", o, err)
	}
	code, out, talk := runToEnd(environment(), "--help")
	if code != 0 || !strings.Contains(out, "Usage") {
		t.Errorf("without a home: code %d, %s", code, talk)
	}
	code, _, talk = runToEnd(environment("HOME", file), "--api", "https://127.0.0.1:1", "--upstream", "80", "--token", key)
	if code != 2 || !strings.Contains(talk, file) || !strings.Contains(talk, "--state") {
		t.Errorf("a home that is a file: code %d, %s", code, talk)
	}
	code, _, talk = runToEnd(environment(), "--token-file", file+"x", "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", t.TempDir())
	if code == 0 || !strings.Contains(talk, file+"x") {
		t.Errorf("no such file: code %d, %s", code, talk)
	}
}

// TestLogFile: the log, and how the program ended, are in the file, which is its owner's alone.
func TestLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	args := []string{"--token", mezu.NewKey(), "--api", "https://x", "--upstream", "no port", "--state", t.TempDir(), "--log-file"}
	code, out, talk := runToEnd(environment(), append(args, file)...)
	text, err := os.ReadFile(file)
	info, failed := os.Stat(file)
	if code != 2 || out+talk != "" || err != nil || failed != nil || !strings.Contains(string(text), "process lists") || !strings.Contains(string(text), "warpgate: upstream") || info.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		t.Errorf("code %d, %q, %s, %v", code, talk, text, err)
	}
	if code, _, talk := runToEnd(environment(), append(args, filepath.Join(file, "below"))...); code != 1 || !strings.Contains(talk, "opening the log") {
		t.Errorf("code %d, %s", code, talk)
	}
}
