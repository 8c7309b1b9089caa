package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// checkNoSecret looks for a token in all that there is of the daemon: its environment and
// arguments, its memory, its log and its state.
func checkNoSecret(t *testing.T, p *person, token string) {
	if token == "" || p.env["MEZU_TOKEN"] != token {
		t.Fatal("there is nothing to look for")
	}
	dir := fmt.Sprintf("/proc/%d/", p.status().PID)
	for _, name := range []string{"environ", "cmdline"} {
		data, err := os.ReadFile(dir + name)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
		if text := string(data); strings.Contains(text, token) || strings.Contains(text, "MEZU_TOKEN") || strings.Contains(text, "MEZU_API") {
			t.Errorf("%s has %q", name, text)
		}
	}
	checkMemory(t, dir, token)
	err := filepath.WalkDir(p.folders().State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), token) {
			t.Errorf("%s has the token", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// checkMemory looks for a token in what a process can write to.
func checkMemory(t *testing.T, dir, token string) {
	mem, err := os.Open(dir + "mem")
	if err != nil { // some systems leave that to root
		t.Logf("the memory is not looked at: %v", err)
		return
	}
	defer mem.Close()
	maps, err := os.ReadFile(dir + "maps")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	buf := make([]byte, 1<<20)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(buf) - len(token)) { // one that two looks share is seen by one
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			looked += n
			if bytes.Contains(buf[:n], []byte(token)) {
				t.Fatalf("the memory has the token, in %s", line)
			}
		}
	}
	if looked < 1<<20 {
		t.Errorf("%d bytes of memory were looked at", looked)
	}
}

// TestDaemonIsDetached: the daemon shares nothing with the command that has started it.
func TestDaemonIsDetached(t *testing.T) {
	p := newPerson(t, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command(self, "daemon", "start")
	cmd.Env = []string{"MEZU_HOME=" + p.env["MEZU_HOME"], "MEZU_TOKEN=secret"}
	cmd.Dir = t.TempDir()
	cmd.ExtraFiles = []*os.File{write}
	// The output ends with the command, so the daemon has no part of it.
	out, err := cmd.CombinedOutput()
	write.Close()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if n, err := read.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("a pipe that the command had is open: %d, %v", n, err)
	}
	pid := p.status().PID
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // state, parent, group, session, terminal
	if want := strconv.Itoa(pid); fields[2] != want || fields[3] != want || fields[4] != "0" {
		t.Errorf("process %d has group %s, session %s and terminal %s", pid, fields[2], fields[3], fields[4])
	}
	for link, want := range map[string]string{"cwd": "/", "fd/0": os.DevNull, "fd/1": os.DevNull, "fd/2": os.DevNull} {
		if got, err := os.Readlink(dir + link); err != nil || got != want {
			t.Errorf("%s is %s, %v", link, got, err)
		}
	}
	info, err := os.Stat(p.status().LogFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log: %v, %v", info, err)
	}
}

// TestHungDaemon: one that does not answer any more is ended by its process, and replaced.
func TestHungDaemon(t *testing.T) {
	p := newPerson(t, nil)
	p.do("daemon", "start")
	before := p.status()
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, talk := p.do("daemon", "restart")
	if !strings.Contains(talk, fmt.Sprintf("does not answer: ending process %d", before.PID)) {
		t.Errorf("said %s", talk)
	}
	if now := p.status(); now.PID == before.PID {
		t.Errorf("process %d goes on", now.PID)
	}
}

// TestFault_CrashIsLogged: why a daemon died is in its log, although nobody reads its stderr.
func TestFault_CrashIsLogged(t *testing.T) {
	p := newPerson(t, nil)
	p.do("daemon", "start")
	if err := syscall.Kill(p.status().PID, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	until(t, "the log has the crash", func() bool { return strings.Contains(p.log(), "SIGABRT") })
	until(t, "it is gone", func() bool { code, _, _ := p.mezu("daemon", "status"); return code == 6 })
	if out, _ := p.do("daemon", "logs"); !strings.Contains(out, "goroutine ") {
		t.Errorf("logs: %s", out)
	}
}
