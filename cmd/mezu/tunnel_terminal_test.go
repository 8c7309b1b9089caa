//go:build unix

package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/mezusphere/mezu/testkit"
)

// terminalColumns is the width of the terminals of tests.
const terminalColumns = 72

// atTerminal is mezu as a process at a terminal.
type atTerminal struct {
	*held
	pty *os.File
	cmd *exec.Cmd
}

// at runs mezu at a terminal of its own, for somebody who wants lines.
func (p *tunneller) at(dir string, args ...string) *atTerminal {
	p.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = []string{"MEZU_TEST_PROGRAM=1", "GORACE=" + os.Getenv("GORACE"), "TERM=xterm", "ACCESSIBLE=1", "NO_COLOR=1", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: terminalColumns})
	if err != nil {
		p.t.Fatal(err)
	}
	seen := &testkit.Buffer{}
	a := &atTerminal{held: &held{t: p.t, out: seen, talk: seen, end: func() { _ = cmd.Process.Kill() }, code: make(exitCode, 1)}, pty: tty, cmd: cmd}
	go func() {
		_, _ = io.Copy(seen, tty) // its end is an error on Linux
		err := cmd.Wait()
		code := 0
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			code = e.ExitCode()
		} else if err != nil {
			code = -1
		}
		a.code <- code
	}()
	p.t.Cleanup(func() {
		a.stop()
		tty.Close()
	})
	return a
}

// ended waits for the end, and gives the exit code. A program that hangs says where.
func (a *atTerminal) ended() int {
	a.t.Helper()
	select {
	case code := <-a.code:
		a.code <- code
		return code
	case <-time.After(startTimeout):
	}
	if err := a.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		a.t.Errorf("it has ended, and something else holds its terminal: %v", err)
	}
	return a.held.ended()
}

// typed types at the terminal.
func (a *atTerminal) typed(keys string) {
	a.t.Helper()
	if _, err := a.pty.WriteString(keys); err != nil {
		a.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// TestTunnelAtATerminal: the first environment's name is asked for once, a target is chosen by
// its number, Ctrl-C drains and then cuts, and what runs inside gets it once.
func TestTunnelAtATerminal(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	release := make(chan struct{})
	defer close(release)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()
	port := server.URL[strings.LastIndex(server.URL, ":")+1:]

	t.Run("drain and cut", func(t *testing.T) {
		a := p.in(t).at(t.TempDir(), "tunnel", port, "--qr")
		a.said(a.out, `Enter keeps that, or type another name:`)
		a.typed("dev-ada\n")
		url := a.said(a.out, `https://shop-dev-ada-dev\.localhost:\d+`)
		a.said(a.out, `[█▀▄ ]{20}`)
		a.said(a.out, `Ctrl-C closes it`)
		p.get(url + "/" + strings.Repeat("long/", 40))
		line := a.said(a.out, `\d\d:\d\d:\d\d  200  GET [^\r]*\r`)
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\r")); n != terminalColumns || !strings.Contains(line, "…") {
			t.Errorf("%d columns: %s", n, line)
		}
		client := world.client()
		resp, err := client.Get(url + "/slow")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		a.typed(ctrlC)
		a.said(a.out, `\^C\r\nstopping: 1 request under way \(GET /slow, \d+ s\)\. Ctrl-C again cuts it\.`)
		// A second signal within a moment counts as the first.
		second := time.NewTicker(200 * time.Millisecond)
		defer second.Stop()
		for ended := false; !ended; {
			select {
			case <-second.C:
				_, _ = a.pty.WriteString(ctrlC) // it may be gone
			case code := <-a.code:
				a.code <- code
				ended = true
			}
		}
		if code := a.ended(); code != 130 {
			t.Errorf("code %d: %s", code, a.out)
		}
	})

	t.Run("choose", func(t *testing.T) {
		a := p.in(t).at(t.TempDir(), "tunnel", "--no-color")
		row := a.said(a.out, `(?m)^ +\d+  `+port+` \(`)
		number := regexp.MustCompile(`\d+`).FindString(row)
		a.said(a.out, `Its number here, or a port, an address or a folder:`)
		a.typed(number + "\n")
		a.said(a.out, `https://shop-dev-ada-dev\.localhost:\d+`)
		a.said(a.out, `to           localhost:`+port)
		a.said(a.out, `Ctrl-C closes it`)
		a.typed(ctrlC)
		if code := a.ended(); code != 0 {
			t.Errorf("code %d: %s", code, a.out)
		}
		a.said(a.out, `closed after \d+ s: 0 requests, 0 answered 5xx`)
		if strings.Contains(a.out.String(), "Enter keeps that") {
			t.Errorf("the name is asked for again: %s", a.out)
		}
	})

	t.Run("exec", func(t *testing.T) {
		a := p.in(t).at(t.TempDir(), "tunnel", port, "--exec", "--", "sh", "-c", `trap 'n=$((n+1))' INT; test -t 1 && echo "up $MEZU_TUNNEL"; until test "$line" = on; do read line; done; echo "got $n $line"; exit 3`)
		a.said(a.out, `up shop/dev-ada`)
		a.typed(ctrlC)
		a.said(a.out, `\^C`)
		a.typed("on\n")
		a.said(a.out, `got 1 on`)
		if code := a.ended(); code != 3 {
			t.Errorf("code %d: %s", code, a.out)
		}
		a.said(a.out, `closed after`)
	})

	t.Run("exec, signalled from elsewhere", func(t *testing.T) {
		p := p.in(t)
		cmd := exec.Command(os.Args[0], "tunnel", port, "--exec", "--", "sh", "-c", `trap 'echo got; exit 4' INT; echo up; while :; do read line; done`)
		cmd.Env = []string{"MEZU_TEST_PROGRAM=1", "GORACE=" + os.Getenv("GORACE"), "PATH=" + os.Getenv("PATH")}
		for name, value := range p.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var out, talk testkit.Buffer
		cmd.Stdout, cmd.Stderr = &out, &talk
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "the program runs", func() bool { return out.String() == "up\n" })
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		e, ok := errors.AsType[*exec.ExitError](cmd.Wait())
		if !ok || e.ExitCode() != 4 || out.String() != "up\ngot\n" || !strings.Contains(talk.String(), "closed after") {
			t.Errorf("%v: %s%s", e, out.String(), talk.String())
		}
	})

	t.Run("hung daemon", func(t *testing.T) {
		p := p.in(t)
		p.do("daemon", "start")
		want, _ := p.do("projects", "list")
		pid := p.status().PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		out, talk := p.do("projects", "list")
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if out != want || talk != "" {
			t.Errorf("%q %q", out, talk)
		}
	})

	t.Run("closed terminal", func(t *testing.T) {
		// Started by nohup, this process ignores SIGHUP, and so would the command. What it is
		// told of is not ignored by those that it starts.
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		a := p.in(t).at(t.TempDir(), "tunnel", port, "--name", "gone")
		url := a.said(a.out, `https://shop-dev-ada-gone-dev\.localhost:\d+`)
		a.said(a.out, `Ctrl-C closes it`)
		// As the kernel tells it of a terminal that is gone.
		if err := a.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if code := a.ended(); code != 0 {
			t.Errorf("code %d: %s", code, a.out)
		}
		p.in(t).becomes(url, 503)
	})

	t.Run("no control plane", func(t *testing.T) {
		nobody := &tunneller{newPerson(t, nil), world}
		a := nobody.at(t.TempDir(), "tunnel", port)
		a.said(a.out, `No control plane is named\.`)
		a.said(a.out, `1 +mezu dev `+port+` +`)
		a.said(a.out, `2 +mezu login --api URL`)
		a.typed("\n")
		if code := a.ended(); code != 3 || !strings.Contains(a.out.String(), "mezu: no control plane is named") {
			t.Errorf("code %d: %s", code, a.out)
		}
	})
}
