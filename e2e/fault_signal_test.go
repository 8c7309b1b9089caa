package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/testkit"
)

// entries are the names in a folder.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// ephemeralDev starts a mezu dev that keeps nothing, with a temporary folder of its own,
// and waits until it is ready.
func ephemeralDev(t *testing.T, tmp, upstream string, wrap ...string) (*process, mezu.Event) {
	t.Helper()
	args := append(wrap, filepath.Join(binaries, "mezu"), "dev", "--json", "--ephemeral", "--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", upstream)
	p := startWith(t, "dev", []string{"TMPDIR=" + tmp}, args[0], args[1:]...)
	var ready mezu.Event
	eventually(t, "mezu dev", func() error {
		for line := range strings.Lines(p.out.String()) {
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Event == mezu.EventReady {
				return nil
			}
		}
		return fmt.Errorf("not ready")
	})
	return p, ready
}

// TestSignalsClean is row 24: SIGHUP, which comes when a terminal goes away, cut what was
// under way and left keys in the temporary folder. Each signal that ends the program lets
// a request end, and nothing is left.
func TestSignalsClean(t *testing.T) {
	t.Parallel()
	testkit.Hangups(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			wl, tmp := newWorkload(t, false), t.TempDir()
			p, ready := ephemeralDev(t, tmp, wl.addr())
			if len(entries(t, tmp)) == 0 {
				t.Fatal("it keeps nothing in its temporary folder")
			}
			client := devClient(t, ready)
			answered := make(chan int, 1)
			go func() {
				resp, err := client.Get(ready.URL + "/hold")
				if err != nil {
					answered <- 0
					return
				}
				resp.Body.Close()
				answered <- resp.StatusCode
			}()
			eventually(t, "a request under way", func() error {
				if wl.holds.Load() == 0 {
					return fmt.Errorf("none")
				}
				return nil
			})
			p.signal(s)
			eventually(t, "the end to begin", func() error {
				// The edge refuses new connections once it drains.
				resp, err := devClient(t, ready).Get(ready.URL + "/")
				if err == nil {
					resp.Body.Close()
					return fmt.Errorf("it still serves")
				}
				return nil
			})
			close(wl.release)
			if code := <-answered; code != 200 {
				t.Errorf("the request under way was answered with %d", code)
			}
			if code := p.exit(); code != exit.Done {
				t.Errorf("it ended with %d", code)
			}
			if left := entries(t, tmp); len(left) > 0 {
				t.Errorf("it left %q", left)
			}
		})
	}
}

// TestNohup is row 24: a program that was started to outlive its terminal does.
func TestNohup(t *testing.T) {
	t.Parallel()
	p, ready := ephemeralDev(t, t.TempDir(), newWorkload(t, false).addr(), "/bin/sh", "-c", `trap "" HUP; exec "$@"`, "sh")
	p.signal(syscall.SIGHUP)
	client := devClient(t, ready)
	for range 20 {
		if code := statusOf(t, client, ready.URL+"/"); code != 200 {
			t.Fatalf("status %d", code)
		}
	}
	if code := p.stop(); code != exit.Done {
		t.Errorf("it ended with %d", code)
	}
}

// TestHangupDrains is row 24 for the other programs: SIGHUP ends them as SIGTERM does.
func TestHangupDrains(t *testing.T) {
	t.Parallel()
	testkit.Hangups(t)
	w := newWorld(t, 1, open)
	g := w.addGate("gate", newWorkload(t, false).addr())
	for _, p := range []*process{g.process, w.edges[0].process, w.control} {
		p.signal(syscall.SIGHUP)
		if code := p.exit(); code != exit.Done {
			t.Errorf("%s ended with %d", p.name, code)
		}
	}
}

// TestPipeAsFile is row 24: a named pipe where mezu.yaml is looked for held the command
// past Ctrl-C. What is no file is refused by its name; for the writer of a pipe that was
// handed over a command waits, but not longer than the user.
func TestPipeAsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(s string) string { return filepath.Join(dir, s) }
	for _, pipe := range []string{"mezu.yaml", "silent"} {
		if err := syscall.Mkfifo(name(pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runIn := func(dir, program string, args ...string) *process {
		return startWith(t, program+" "+args[0], []string{"MEZU_TOKEN=" + mezu.NewKey()}, "/bin/sh", append([]string{"-c", `cd "$0" && exec "$@"`, dir, filepath.Join(binaries, program)}, args...)...)
	}
	run := func(program string, args ...string) *process { return runIn(dir, program, args...) }
	for _, refused := range [][]string{
		{"mezu", "routes", "list"}, {"mezu", "validate"}, {"mezu", "validate", "-f", "mezu.yaml"}, {"mezu", "dev", "--ephemeral", "--file", "mezu.yaml"},
		{"mezu", "validate", "-f", "."},
		{"mezusphere", "control", "--config", "silent"}, {"mezusphere", "edge", "--state", name("edge"), "--control", "https://127.0.0.1:1", "--ca-file", "silent"},
		{"warpgate", "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", name("gate"), "--token-file", "silent"},
		{"warpgate", "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", name("gate"), "--ca-file", "silent"},
	} {
		p := run(refused[0], refused[1:]...)
		code := p.exit()
		if talk := p.log.String(); code == exit.Done || !strings.Contains(talk, "pipe") && !strings.Contains(talk, "directory") ||
			!strings.Contains(talk, "mezu.yaml") && !strings.Contains(talk, "silent") && !strings.Contains(talk, dir) {
			t.Errorf("%q ended with %d: %s", refused, code, talk)
		}
	}
	away := runIn("/", "mezu", "orgs", "list", "--api", "https://127.0.0.1:1", "--ca-file", name("silent"))
	if code := away.exit(); code != exit.Usage || !strings.Contains(away.log.String(), name("silent")+" is a pipe") {
		t.Errorf("--ca-file: %d, %s", code, away.log.String())
	}
	// Somebody has the pipe open and writes nothing.
	writer, err := os.OpenFile(name("silent"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, waiting := range [][]string{
		{"mezu", "validate", "-f", "silent"}, {"mezusphere", "check", "--config", "silent"},
		{"warpgate", "--api", "https://127.0.0.1:1", "--upstream", "80", "--state", name("gate"), "--token-file", "silent"},
	} {
		p := run(waiting[0], waiting[1:]...)
		opened(t, p, name("silent"))
		p.signal(syscall.SIGINT)
		if code := p.exit(); code == exit.Failed {
			t.Errorf("%q ended with %d: %s", waiting, code, p.log.String())
		}
	}
	// Nor does one that reads what is typed.
	stdin, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := &process{t: t, name: "stdin", gone: make(chan struct{}), cmd: exec.Command(filepath.Join(binaries, "mezu"), "validate", "-f", "-")}
	p.cmd.Stdin, p.cmd.Env = stdin, append(os.Environ(), "MEZU_HOME="+t.TempDir())
	talk, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cleanup)
	stdin.Close()
	// It takes what is written, and so is at it when the signal comes.
	if _, err := held.WriteString(strings.Repeat("#", 128<<10)); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGINT)
	said, _ := bufio.NewReader(talk).ReadString('\n')
	go p.wait()
	if code := p.exit(); code != exit.Interrupted || !strings.Contains(said, "interrupted") {
		t.Errorf("it ended with %d: %s", code, said)
	}
}

// opened waits until a process has a file open.
func opened(t *testing.T, p *process, path string) {
	t.Helper()
	eventually(t, p.name+" to open "+path, func() error {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
		if err != nil {
			return err
		}
		for _, fd := range fds {
			if to, _ := os.Readlink(fd); to == path {
				return nil
			}
		}
		select {
		case <-p.gone:
			t.Fatalf("it ended: %s", p.log.String())
		default:
		}
		return fmt.Errorf("it has not")
	})
}
