package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu/testkit"
)

// binaries is where TestMain puts the programs.
var binaries string

// programsVariable names a folder with programs that are tested in place of those of
// this commit.
const programsVariable = "MEZU_PROGRAMS"

func TestMain(m *testing.M) {
	if os.Getenv(crowdVariable) != "" {
		os.Exit(serveCrowd())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if binaries = os.Getenv(programsVariable); binaries != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "mezu-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	args := append([]string{"build", "-o", dir + string(filepath.Separator)}, raceFlag...)
	args = append(args, "../cmd/mezu", "../cmd/warpgate", "../cmd/mezusphere")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
		return 1
	}
	binaries = dir
	return m.Run()
}

// patience bounds every wait of a test: a race build on a busy machine is slow,
// a hang is for ever.
const patience = time.Minute

// process is one program under test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	out  testkit.Buffer // stdout
	log  testkit.Buffer // stderr
	gone chan struct{}
	err  error
}

// start runs a program until the test ends. Its log is shown when the test
// fails.
func start(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	return startWith(t, name, nil, filepath.Join(binaries, program), args...)
}

// startWith is start with more of an environment, for any program.
func startWith(t *testing.T, name string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, gone: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	p.cmd.Env = append(append(os.Environ(), "MEZU_HOME="+t.TempDir(), "MEZU_NO_KEYRING=1", "GORACE=halt_on_error=0"), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.wait()
	t.Cleanup(p.cleanup)
	return p
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.gone)
}

func (p *process) cleanup() {
	p.signal(syscall.SIGKILL)
	<-p.gone
	if strings.Contains(p.log.String(), "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		log := p.log.String()
		if len(log) > 6000 {
			log = "…" + log[len(log)-6000:]
		}
		p.t.Logf("log of %s:\n%s", p.name, log)
	}
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// kill ends the process without warning.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// stop asks the process to end and gives its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.exit()
}

// exit waits for the process to end by itself and gives its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.gone:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT)
		<-p.gone
		p.t.Fatalf("%s did not end", p.name)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// descriptors counts the open files of the process.
func (p *process) descriptors() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(entries)
}

// resident is the process's resident memory in bytes.
func (p *process) resident() int64 { return p.memory("VmRSS") }

// peak is the most that its resident memory has been.
func (p *process) peak() int64 { return p.memory("VmHWM") }

func (p *process) memory(field string) int64 {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var kb int64
		if _, err := fmt.Sscanf(line, field+": %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	p.t.Fatalf("no %s of %s", field, p.name)
	return 0
}

// cpu is the time that the process has used of the processors. The kernel counts
// it in hundredths of a second.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	// Behind the name, which may hold anything: state, then utime and stime as
	// the 12th and 13th field (proc(5)).
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		<-tick.C
	}
}

// Ports of freeAddr: below those that the kernel gives away, so that nobody takes
// one while the process that it belongs to is being restarted.
const (
	firstPort = 20_000
	portCount = 12_000
)

// portsTaken counts; test processes side by side begin at different ones.
var portsTaken atomic.Int64

// freeAddr is an address that nobody listens on; no other test gets it.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := firstPort + (int64(os.Getpid())*97+portsTaken.Add(1))%portCount
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// healthy waits until a service says that it is ready.
func healthy(t *testing.T, addr string) {
	t.Helper()
	answers(t, addr, http.StatusOK, "")
}

// notReady waits until a program says that it isn't ready, and why.
func notReady(t *testing.T, addr, why string) {
	t.Helper()
	answers(t, addr, http.StatusServiceUnavailable, "not ready: "+why)
}

// answers waits for an answer of /readyz that begins so.
func answers(t *testing.T, addr string, status int, begins string) {
	t.Helper()
	eventually(t, "http://"+addr+"/readyz", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+addr+"/readyz", nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if resp.StatusCode != status || !strings.HasPrefix(string(body), begins) {
			return fmt.Errorf("status %d: %s", resp.StatusCode, body)
		}
		return nil
	})
}
