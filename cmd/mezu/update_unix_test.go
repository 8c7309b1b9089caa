//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestUpdate_RestartsTheDaemon: the daemon that ran the old program is replaced by one of the new,
// which restarts it. Nothing is replaced if somebody interrupts.
func TestUpdate_RestartsTheDaemon(t *testing.T) {
	r := testkit.NewRelease(t, "v1.4.0", []byte("#!/bin/sh\ncase $1 in version) echo mezu 1.4.0; exit;; esac\nMEZU_TEST_PROGRAM=1 exec "+os.Args[0]+" \"$@\"\n"))
	p := newPerson(t, nil)
	home := t.TempDir()
	program := filepath.Join(home, "mezu")
	self, err := os.Executable()
	if err == nil {
		err = os.Link(self, program)
	}
	if err != nil {
		t.Skipf("the test is on another disk: %v", err)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = []string{"MEZU_TEST_PROGRAM=1", "GORACE=" + os.Getenv("GORACE"), "PATH=" + os.Getenv("PATH"), "HOME=" + home, "MEZU_HOME=" + p.env["MEZU_HOME"], "MEZU_DOWNLOAD=" + r.Dir, "MEZU_RELEASE_KEY=" + r.Signers}
		return cmd
	}
	mezu := func(args ...string) string {
		t.Helper()
		out, err := command(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("mezu %q: %v, %s", args, err, out)
		}
		return string(out)
	}
	mezu("daemon", "start")
	before := p.status()
	if before.Program != program {
		t.Fatalf("the daemon is %s", before.Program)
	}
	out := mezu("update")
	if !strings.Contains(out, program+" is v1.4.0 now, after 1.3.0") || !strings.Contains(out, "the daemon 1.3.0 runs") {
		t.Error(out)
	}
	if after := p.status(); after.PID == before.PID || after.Program == program {
		t.Errorf("the daemon is %d, %s, and was %d", after.PID, after.Program, before.PID)
	}
	p.do("daemon", "stop")
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, program); err != nil {
		t.Fatal(err)
	}
	if out := mezu("update"); strings.Contains(out, "daemon") {
		t.Errorf("none ran, and %s", out)
	}
	if code, _, _ := p.mezu("daemon", "status"); code != 6 {
		t.Errorf("a daemon runs: code %d", code)
	}
	// A signal while the new program is tried: it sends one itself, and would not end for a minute.
	if err := errors.Join(os.Remove(program), os.Link(self, program)); err != nil {
		t.Fatal(err)
	}
	r.Fill(t, "v1.5.0", []byte("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n"))
	cmd := command("update")
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 130 || strings.Contains(string(text), "does not start") {
		t.Errorf("interrupted: %v, %s", err, text)
	}
	if out := mezu("version"); out != "mezu 1.3.0\n" {
		t.Errorf("the program is %s", out)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}
