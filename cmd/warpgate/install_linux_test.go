package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
)

// person makes a home, with a manager of services that writes down what it is asked.
func person(t *testing.T) (dir, asked string) {
	t.Helper()
	dir, asked = t.TempDir(), filepath.Join(t.TempDir(), "asked")
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\necho \"$@\" >> '"+asked+"'\nenv >> '"+asked+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return dir, asked
}

// TestC3_TheTokenIsNoArgument: a token on the command line of install is refused, and that of the
// service is in a file of mode 0600, and neither in its unit nor in what its process shows.
func TestC3_TheTokenIsNoArgument(t *testing.T) {
	dir, asked := person(t)
	token := mezu.NewKey()
	t.Setenv(programVariable, "1")
	install := func(in string, env func(string) string, args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"install", "--user", "--api", "https://127.0.0.1:1", "--upstream", "localhost:1"}, args...), env, terminal.Streams{In: strings.NewReader(in), Out: &stdout, Err: &stderr})
		return code, stdout.String() + stderr.String()
	}
	bare := environment("HOME", dir)
	for _, args := range [][]string{{"--token", token}, {"--token=" + token}} {
		if code, said := install("", bare, args...); code != 2 || strings.Contains(said, token) || !strings.Contains(said, "not taken as an argument") {
			t.Errorf("code %d, %s", code, said)
		}
	}
	if code, said := install("", bare); code != 2 || !strings.Contains(said, "--token-file") {
		t.Errorf("no token: code %d, %s", code, said)
	}
	given, open := filepath.Join(dir, "given"), filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(given, []byte(token), 0o600), os.WriteFile(open, []byte(token), 0o600), os.Chmod(open, 0o644)); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(dir, ".config/systemd/user/warpgate-c3.service")
	kept := filepath.Join(dir, ".config/mezu/warpgate-c3/token")
	for name, c := range map[string]struct {
		in   string
		env  func(string) string
		args []string
	}{
		"file":     {"", bare, []string{"--token-file", given}},
		"open":     {"", bare, []string{"--token-file", open}},
		"stdin":    {token + "\r\n", bare, []string{"--token-file", "-"}},
		"variable": {"", environment("HOME", dir, "MEZU_TOKEN", token, "HTTPS_PROXY", "http://me:secret@proxy"), nil},
	} {
		os.Remove(kept)
		code, said := install(c.in, c.env, append(c.args, "--name", "c3")...)
		text, err := os.ReadFile(kept)
		info, failed := os.Stat(kept)
		if code != 0 || err != nil || failed != nil || string(text) != token+"\n" || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: code %d, %q, %v: %s", name, code, text, err, said)
		}
		shown, err := os.ReadFile(unit)
		calls, failed := os.ReadFile(asked)
		if err != nil || failed != nil || bytes.Contains(shown, []byte(token)) || strings.Contains(said, token) || bytes.Contains(calls, []byte(token)) || bytes.Contains(shown, []byte("secret")) {
			t.Errorf("%s: the token is shown: %s %s", name, shown, said)
		}
		if warned := strings.Contains(said, "everyone on this machine can read the secret"); warned != (name == "open") {
			t.Errorf("%s: %s", name, said)
		}
		if name == "variable" && !strings.Contains(said, "HTTPS_PROXY has a password") {
			t.Errorf("%s", said)
		}
	}
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(text), "\nExecStart=")
	line, _, _ = strings.Cut(line, "\n")
	// What is quoted for systemd is here without what a shell would take for something else.
	cmd := exec.Command("sh", "-c", "exec "+line)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	if first, err := bufio.NewReader(said).ReadString('\n'); err != nil || !strings.Contains(first, "requests at once") {
		t.Fatalf("%s, %v", first, err)
	}
	for _, file := range []string{"cmdline", "environ"} {
		shown, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), file))
		if err != nil || bytes.Contains(shown, []byte(token)) || file == "cmdline" && !bytes.Contains(shown, []byte("--token-file\x00"+kept)) {
			t.Errorf("%s: %q, %v", file, shown, err)
		}
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"uninstall", "--user", "--name", "c3"}, bare, terminal.Streams{Out: &out, Err: &out}); code != 0 {
		t.Errorf("code %d, %s", code, &out)
	}
	for _, path := range []string{unit, kept} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}

// TestFault_CrashIsLogged: why it died is in its log, where a service of launchd or Windows has nobody
// who reads stderr.
func TestFault_CrashIsLogged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	cmd := exec.Command(os.Args[0], "--api", "https://127.0.0.1:1", "--upstream", "localhost:1", "--state", t.TempDir(), "--health-addr", "127.0.0.1:0", "--log-file", file)
	cmd.Env = append(os.Environ(), programVariable+"=1", "MEZU_TOKEN="+mezu.NewKey())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		if text, _ := os.ReadFile(file); bytes.Contains(text, []byte("requests at once")) {
			break
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it logs nothing")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if text, failed := os.ReadFile(file); err == nil || failed != nil || !bytes.Contains(text, []byte("SIGABRT")) || !bytes.Contains(text, []byte("goroutine ")) {
		t.Errorf("%v, %v: %s", err, failed, text)
	}
}

// TestInstallRefuses: what the Warpgate itself would refuse is refused before anything is written.
func TestInstallRefuses(t *testing.T) {
	dir, asked := person(t)
	env := environment("HOME", dir, "MEZU_TOKEN", mezu.NewKey())
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"install", "--user", "--api", "https://x", "--upstream", "80"}
	for want, args := range map[string][]string{
		"needs the control plane: --api URL": {"install", "--user", "--upstream", "80"},
		"needs the workload: --upstream":     {"install", "--user", "--api", "https://x"},
		"https://":                           {"install", "--user", "--api", "http://x", "--upstream", "80"},
		"upstream":                           {"install", "--user", "--api", "https://x", "--upstream", "ftp://x"},
		"name":                               append(good, "--name", "../x"),
		"log-level":                          append(good, "--log-level", "loud"),
		"no flags of install":                append(good, "--state", "/s"),
		"ca-file":                            append(good, "--ca-file", file),
		"max-conns":                          append(good, "--max-conns", "-1"),
		"not \"more\"":                       append(good, "more"),
		"no-such":                            {"uninstall", "--no-such"},
	} {
		code, out, talk := runToEnd(env, args...)
		if code != 2 || out != "" || !strings.Contains(talk, want) {
			t.Errorf("%s: code %d, %q, %q", want, code, out, talk)
		}
	}
	entries, err := os.ReadDir(dir)
	if _, failed := os.Stat(asked); err != nil || len(entries) > 0 || failed == nil {
		t.Errorf("something was written: %v, %v", entries, err)
	}
	if code, _, talk := runToEnd(environment(), good...); code != 2 || !strings.Contains(talk, "HOME") {
		t.Errorf("without a home: code %d, %s", code, talk)
	}
	mistyped := environment("HOME", dir, "MEZU_TOKEN", mezu.NewKey()[1:])
	if code, _, talk := runToEnd(mistyped, good...); code != 3 || !strings.Contains(talk, "key") {
		t.Errorf("a mistyped key: code %d, %s", code, talk)
	}
	if os.Geteuid() != 0 {
		if code, _, talk := runToEnd(env, "install", "--api", "https://x", "--upstream", "80"); code != 3 || !strings.Contains(talk, "--user") {
			t.Errorf("not root: code %d, %s", code, talk)
		}
	}
}
