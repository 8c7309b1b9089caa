package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	clidaemon "github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// person has a home of their own and runs commands in this process. The daemon that these
// start is a process of this test program, which is mezu if it is called as the daemon is.
type person struct {
	t   *testing.T
	env map[string]string
}

func newPerson(t *testing.T, env map[string]string) *person {
	p := &person{t: t, env: map[string]string{"MEZU_HOME": t.TempDir()}}
	for name, value := range env {
		p.env[name] = value
	}
	t.Cleanup(func() {
		if code, _, talk := p.mezu("daemon", "stop"); code != 0 {
			t.Errorf("stopping the daemon: code %d, %s", code, talk)
		}
		for _, match := range regexp.MustCompile(`process=(\d+)`).FindAllStringSubmatch(p.log(), -1) {
			p.awaitEnd(match[1])
		}
	})
	return p
}

// awaitEnd waits until a process of this one has ended and is not waited for any more.
func (p *person) awaitEnd(pid string) {
	n, err := strconv.Atoi(pid)
	if err != nil || n == os.Getpid() {
		return
	}
	process, err := os.FindProcess(n)
	if err != nil {
		return
	}
	until(p.t, "process "+pid+" has ended", func() bool { return process.Signal(syscall.Signal(0)) != nil })
}

func (p *person) getenv(name string) string { return p.env[name] }

func (p *person) mezu(args ...string) (code int, out, talk string) {
	var stdout, stderr testkit.Buffer // a program that the command runs writes them too
	code = run(context.Background(), args, p.getenv, terminal.Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Unicode: true})
	return code, stdout.String(), stderr.String()
}

// do runs a command that has to succeed, and gives what it said.
func (p *person) do(args ...string) (out, talk string) {
	p.t.Helper()
	code, out, talk := p.mezu(args...)
	if code != 0 {
		p.t.Fatalf("mezu %q: code %d, %s", args, code, talk)
	}
	return out, talk
}

// example is the one in the help of a command.
func (p *person) example(path string) []string {
	p.t.Helper()
	page, _ := p.do(append(strings.Fields(path), "--help")...)
	_, example, ok := strings.Cut(page, "\nExample:\n   mezu ")
	example, _, _ = strings.Cut(example, "\n")
	if !ok || !strings.HasPrefix(example, path) {
		p.t.Fatalf("the example of mezu %s is %q", path, example)
	}
	return strings.Fields(example)
}

func (p *person) status() local.Status {
	p.t.Helper()
	out, _ := p.do("daemon", "status", "-o", "json")
	var st local.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		p.t.Fatal(err)
	}
	return st
}

func (p *person) folders() home.Home {
	folders, err := home.Of(p.getenv)
	if err != nil {
		p.t.Fatal(err)
	}
	return folders
}

func (p *person) log() string {
	data, err := os.ReadFile(filepath.Join(p.folders().State, clidaemon.Folder, clidaemon.LogName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	return string(data)
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(startTimeout)
	for !met() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// TestDaemonCommands: each example of the help, in an order in which all mean something.
func TestDaemonCommands(t *testing.T) {
	p := newPerson(t, nil)
	if code, _, talk := p.mezu("daemon", "status"); code != 6 || !strings.Contains(talk, "no daemon is running") || !strings.Contains(talk, "try: mezu daemon start") {
		t.Errorf("none: code %d, %s", code, talk)
	}
	if code, _, talk := p.mezu("daemon", "logs"); code != 4 || !strings.Contains(talk, "there is no log yet") {
		t.Errorf("no log: code %d, %s", code, talk)
	}
	if _, talk := p.do("daemon", "stop"); talk != "no daemon is running\n" {
		t.Errorf("stop: %s", talk)
	}
	_, talk := p.do(p.example("daemon start")...)
	first := p.status()
	if want := fmt.Sprintf("✓ the daemon %s runs, process %d\n", version, first.PID); talk != want {
		t.Errorf("start: %q, want %q", talk, want)
	}
	if first.Version != version || first.Host != local.HostDaemon || first.PID == os.Getpid() || first.StateDir == "" || first.LogFile == "" {
		t.Errorf("status: %+v", first)
	}
	if _, talk := p.do("daemon", "start"); !strings.Contains(talk, fmt.Sprintf("runs already, process %d", first.PID)) {
		t.Errorf("start again: %s", talk)
	}
	if out, _ := p.do("daemon", "logs"); !strings.Contains(out, "the daemon runs") {
		t.Errorf("logs: %q", out)
	}
	p.do(p.example("daemon status")...)
	ctx, interrupt := context.WithCancel(t.Context())
	var followed testkit.Buffer
	ended := make(chan int, 1)
	args := p.example("daemon logs") // it goes on until it is interrupted
	go func() {
		ended <- run(ctx, args, p.getenv, terminal.Streams{In: strings.NewReader(""), Out: &followed, Err: &followed, Unicode: true})
	}()
	until(t, "the log is shown", func() bool { return strings.Contains(followed.String(), "the daemon runs") })
	interrupt()
	if code := <-ended; code != 130 {
		t.Errorf("logs until Ctrl-C: code %d, %s", code, followed.String())
	}
	_, talk = p.do(p.example("daemon restart")...)
	if second := p.status(); second.PID == first.PID || !strings.Contains(talk, fmt.Sprintf("process %d", second.PID)) {
		t.Errorf("restart: process %d after %d, %s", second.PID, first.PID, talk)
	}
	if _, talk := p.do(p.example("daemon stop")...); talk != "✓ the daemon has ended\n" {
		t.Errorf("stop: %s", talk)
	}
}

// TestDaemonStartsOnce: of many commands that need it at once, one starts it.
func TestDaemonStartsOnce(t *testing.T) {
	p := newPerson(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if code, _, talk := p.mezu("daemon", "start"); code != 0 {
				t.Errorf("code %d, %s", code, talk)
			}
		})
	}
	all.Wait()
	if n := strings.Count(p.log(), "the daemon runs"); n != 1 {
		t.Errorf("%d were started:\n%s", n, p.log())
	}
}

// TestTwoDaemons: the second one ends and says why; the first goes on.
func TestTwoDaemons(t *testing.T) {
	p := newPerson(t, nil)
	p.do("daemon", "start")
	first := p.status()
	code, _, talk := p.mezu("daemon", "run")
	if code != 5 || !strings.Contains(talk, "another process") || !strings.Contains(talk, "mezu daemon status") {
		t.Errorf("code %d, %s", code, talk)
	}
	if now := p.status(); now.PID != first.PID {
		t.Errorf("process %d after %d", now.PID, first.PID)
	}
}

// TestDaemonDoesNotStart: what the log says is what the person reads.
func TestDaemonDoesNotStart(t *testing.T) {
	p := newPerson(t, nil)
	// Something that is no socket has its place.
	if err := os.MkdirAll(p.folders().Socket, 0o700); err != nil {
		t.Fatal(err)
	}
	code, _, talk := p.mezu("daemon", "start")
	if code != 6 || !strings.Contains(talk, "is not a socket") {
		t.Errorf("code %d, %s", code, talk)
	}
	if err := os.RemoveAll(filepath.Dir(p.folders().Socket)); err != nil {
		t.Fatal(err)
	}
	// Its folder of tunnels can't be one.
	dir := filepath.Join(p.folders().State, clidaemon.Folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tunnels"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, talk = p.mezu("daemon", "start")
	if code != 6 || !strings.Contains(talk, "the daemon did not start") || !strings.Contains(talk, "level=ERROR") || !strings.Contains(talk, "mezu daemon run, to see it start") {
		t.Errorf("code %d, %s", code, talk)
	}
}

// TestDaemonEndsWhenIdle: without a tunnel and a client it ends by itself.
func TestDaemonEndsWhenIdle(t *testing.T) {
	p := newPerson(t, nil)
	p.do("daemon", "run", "--idle-end", "1ms")
	if !strings.Contains(p.log(), "the daemon has ended") {
		t.Error(p.log())
	}
	if code, _, _ := p.mezu("daemon", "run", "--idle-end", "-1s"); code != 2 {
		t.Errorf("a negative time: code %d", code)
	}
}

// runOlder runs a daemon of an earlier version in this process until it ends by itself, or the
// test does.
func (p *person) runOlder(version string, change ...func(*clidaemon.RunOptions)) (ended <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: io.Discard, Err: io.Discard}, Getenv: p.getenv, State: p.folders().State, Version: version}
	o := clidaemon.RunOptions{Invocation: inv}
	for _, f := range change {
		f(&o)
	}
	go func() { done <- runDaemon(ctx, context.Background(), p.folders(), o) }()
	p.t.Cleanup(cancel)
	until(p.t, "the older daemon answers", func() bool {
		code, _, _ := p.mezu("daemon", "status")
		return code == 0
	})
	return done
}

// TestOlderDaemonIsReplaced: when nothing is in flight, the next command that needs a daemon
// gets one of its own version, and says so once.
func TestOlderDaemonIsReplaced(t *testing.T) {
	p := newPerson(t, nil)
	ended := p.runOlder("1.2.0")
	told := "! the daemon is 1.2.0 and this is 1.3.0: it is replaced when nothing is in flight\n  try: mezu daemon restart, to have it now\n"
	if _, talk := p.do("daemon", "status"); talk != told {
		t.Errorf("status says %q", talk)
	}
	var said testkit.Buffer
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: io.Discard, Err: &said}, Getenv: p.getenv, State: p.folders().State, Version: version}
	d := clidaemon.New(inv, spawner(p.getenv))
	for range 2 {
		c, err := d.Connect(t.Context(), invocation.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if v := c.DaemonVersion(); v != version {
			t.Errorf("the daemon is %s", v)
		}
		c.Close()
	}
	if said.String() != strings.Replace(told, "!", "warn", 1) { // these streams know no locale
		t.Errorf("said %q", &said)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRestartAfterUpgrade: restart gives the version of the command.
func TestRestartAfterUpgrade(t *testing.T) {
	p := newPerson(t, nil)
	ended := p.runOlder("1.2.0")
	if _, talk := p.do("daemon", "restart"); !strings.Contains(talk, "the daemon 1.3.0 runs, after 1.2.0") {
		t.Errorf("said %s", talk)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// workload serves until the test ends, on a port of its own.
func workload(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	address, _ = mortal(t, handler)
	return address
}

// mortal is a workload that a test may end.
func mortal(t *testing.T, handler http.HandlerFunc) (address string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	end = sync.OnceFunc(func() { server.Close(); <-served })
	t.Cleanup(end)
	return l.Addr().String(), end
}

func says(word string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, word) }
}

// attach runs a command that holds a tunnel open in this process.
func (p *person) attach(args ...string) *telling {
	return tell(p.t, p.getenv, append([]string{"tunnel", "--json"}, args...)...)
}

// openDetached opens a tunnel that needs no command, and gives its address.
func (p *person) openDetached(args ...string) string {
	p.t.Helper()
	out, _ := p.do(append([]string{"tunnel", "--detach", "--wait", "--json"}, args...)...)
	var ready mezu.Event
	if err := json.Unmarshal([]byte(strings.Split(out, "\n")[0]), &ready); err != nil || ready.URL == "" {
		p.t.Fatalf("%s: %v", out, err)
	}
	return ready.URL
}

// visit asks a public address until the answer is as it has to be.
func visit(t *testing.T, c *http.Client, url, want string) {
	t.Helper()
	until(t, url+" says "+want, func() bool {
		resp, err := c.Get(url)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && string(body) == want
	})
}

// against is what somebody needs to work against a run of mezu dev from another home, as if it
// were the control plane of a company.
func (r *running) against() map[string]string {
	return map[string]string{
		"MEZU_API": r.ready.API, "MEZU_CA_FILE": r.ready.CAFile, "MEZU_TOKEN": r.ready.Token, "MEZU_ORG": r.ready.Organization, "MEZU_PROJECT": r.ready.Project,
	}
}

// TestFault_DaemonKilled: the command that holds a tunnel open starts the daemon again, and the
// address answers as before. What was opened detached comes back with it.
func TestFault_DaemonKilled(t *testing.T) {
	r := start(t, t.TempDir())
	p := newPerson(t, r.against())
	held, kept := workload(t, says("held")), workload(t, says("kept"))
	detached := p.openDetached("--name", "kept", kept)
	a := p.attach(held)
	address := a.await(mezu.EventReady).URL
	client := r.client()
	visit(t, client, address, "held")
	visit(t, client, detached, "kept")
	before := p.status()
	if before.Tunnels != 2 {
		t.Errorf("%d tunnels", before.Tunnels)
	}
	process, err := os.FindProcess(before.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	until(t, "another daemon answers", func() bool {
		code, out, _ := p.mezu("daemon", "status", "-o", "json")
		return code == 0 && !strings.Contains(out, fmt.Sprintf("\"pid\": %d", before.PID))
	})
	visit(t, client, address, "held")
	visit(t, client, detached, "kept")
	t.Logf("back after %v", time.Since(began))
	if code := a.stop(); code != 130 && code != 0 {
		t.Errorf("the command ended with %d: %s", code, a.errors)
	}
	t.Run("C3_NoSecretInTheDaemon", func(t *testing.T) { checkNoSecret(t, p, r.ready.Token) })
}

// TestRestartKeepsTunnels: neither the command that holds a tunnel open nor its visitors have to
// do anything. A stop is final for both.
func TestRestartKeepsTunnels(t *testing.T) {
	r := start(t, t.TempDir())
	p := newPerson(t, r.against())
	held, kept := workload(t, says("held")), workload(t, says("kept"))
	p.do("tunnel", "--detach", "--name", "kept", kept)
	a := p.attach(held)
	address := a.await(mezu.EventReady).URL
	client := r.client()
	_, talk := p.do("daemon", "restart")
	if !strings.Contains(talk, "coming back: 2 tunnels (") || !strings.Contains(talk, "-kept") {
		t.Errorf("said %s", talk)
	}
	visit(t, client, address, "held")
	until(t, "both are open again, and one is held", func() bool {
		out, _ := p.do("tunnel", "list", "-o", "json")
		var list []mezu.Tunnel
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return len(list) == 2 && list[0].Attached+list[1].Attached == 1
	})
	select {
	case code := <-a.code:
		t.Errorf("the command ended with %d: %s", code, a.errors)
	default:
	}
	_, talk = p.do("daemon", "stop")
	if !strings.Contains(talk, "the daemon has ended, and with it 2 tunnels (") {
		t.Errorf("said %s", talk)
	}
	a.code.wait(t, a.errors)
	if code, _, _ := p.mezu("daemon", "status"); code != 6 {
		t.Errorf("somebody started it again: code %d", code)
	}
}

// TestOlderDaemonWithARequestInFlight: it serves the command and goes on; when the request has
// ended, it makes way for the newer one, which it starts for the tunnels that nobody holds.
func TestOlderDaemonWithARequestInFlight(t *testing.T) {
	r := start(t, t.TempDir())
	p := newPerson(t, r.against())
	arrived, released := make(chan struct{}), make(chan struct{})
	arrive, release := sync.OnceFunc(func() { close(arrived) }), sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	address := workload(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/slow" {
			arrive()
			<-released
		}
		fmt.Fprint(w, "done")
	})
	out := p.openDetached(address)
	p.do("daemon", "stop")
	ended := p.runOlder("1.2.0")
	client := r.client()
	visit(t, client, out, "done")
	answered := make(chan error, 1)
	go func() {
		resp, err := client.Get(out + "/slow")
		if err == nil {
			resp.Body.Close()
		}
		answered <- err
	}()
	<-arrived
	inv := &invocation.Invocation{Streams: terminal.Streams{Out: io.Discard, Err: io.Discard}, Getenv: p.getenv, State: p.folders().State, Version: version}
	d, err := clidaemon.New(inv, spawner(p.getenv)).Connect(t.Context(), invocation.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if v := d.DaemonVersion(); v != "1.2.0" {
		t.Errorf("the daemon is %s while a request is in flight", v)
	}
	release()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	st := p.status()
	if st.Version != version || st.Tunnels != 1 {
		t.Errorf("%+v", st)
	}
	// Should it hang, commands find its process.
	pid, err := os.ReadFile(filepath.Join(st.StateDir, clidaemon.PIDName))
	if err != nil || string(pid) != fmt.Sprintln(st.PID) {
		t.Errorf("its process is %d, the file says %q, %v", st.PID, pid, err)
	}
	visit(t, client, out, "done")
}

// TestOlderServiceMakesWay: the system starts the newer version of a service, because it ends
// with an error. The older one starts no process, which would end with the service.
func TestOlderServiceMakesWay(t *testing.T) {
	p := newPerson(t, nil)
	ended := p.runOlder("1.2.0", func(o *clidaemon.RunOptions) { o.Service = true })
	c := local.New(p.folders().Socket, version)
	defer c.Close()
	if _, err := c.Open(t.Context(), mezu.TunnelSpec{Profile: "acme", API: "https://127.0.0.1:1", Organization: "acme", Project: "shop", Environment: "dev",
		TunnelTarget: mezu.TunnelTarget{Target: "127.0.0.1:9"}, Detached: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.Shutdown(t.Context(), local.Shutdown{Idle: true, Restart: true}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; mezu.CodeOf(err) != mezu.CodeUnavailable || !strings.Contains(err.Error(), "makes way") {
		t.Errorf("error %v", err)
	}
	if code, _, talk := p.mezu("daemon", "status"); code != 6 {
		t.Errorf("another one was started: code %d, %s", code, talk)
	}
}

// TestDevHostsItsTunnels: under the profile of mezu dev a tunnel runs in mezu dev, beside the one
// that it has anyway and that nobody can stop. No daemon is started.
func TestDevHostsItsTunnels(t *testing.T) {
	r := start(t, t.TempDir())
	p := &person{t: t, env: map[string]string{"MEZU_HOME": r.home, "MEZU_PROJECT": "shop"}}
	address := p.openDetached(workload(t, says("beside")))
	client := r.client()
	visit(t, client, address, "beside")
	out, _ := p.do("tunnel", "list", "-o", "json")
	var list []mezu.Tunnel
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 {
		t.Fatalf("%s: %v", out, err)
	}
	for _, x := range list {
		if own := x.URL == r.ready.URL; own {
			if code, _, talk := p.mezu("tunnel", "rm", x.Name); code != 5 {
				t.Errorf("removing what mezu dev needs: code %d, %s", code, talk)
			}
		}
	}
	if code, _, _ := p.mezu("daemon", "status"); code != 6 {
		t.Errorf("a daemon was started: code %d", code)
	}
	client.CloseIdleConnections()
	if code := r.stop(); code != 0 {
		t.Fatalf("code %d: %s", code, r.errors)
	}
	if code, _, talk := p.mezu("tunnel", workload(t, says("x"))); code != 6 || !strings.Contains(talk, "try: mezu dev") {
		t.Errorf("mezu dev has ended: code %d, %s", code, talk)
	}
	if text := r.errors.String(); text != "" {
		t.Errorf("stderr of a good run: %s", text)
	}
	_, port, _ := strings.Cut(r.ready.URL, ".localhost:")
	again := start(t, r.home, "--api-addr", strings.TrimPrefix(r.ready.API, "https://"), "--https-addr", "127.0.0.1:"+port)
	visit(t, again.client(), address, "beside")
}

// TestProgramIsGone: a command whose program was removed while it runs says so, and one whose
// program was replaced starts the new one.
func TestProgramIsGone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "mezu")
	testkit.CopyFile(t, self, program)
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	p := newPerson(t, nil)
	cmd := exec.Command(program, argRemoved, "daemon", "start")
	cmd.Env = []string{"MEZU_HOME=" + p.env["MEZU_HOME"]}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 6 || !strings.Contains(string(out), "is gone") || !strings.Contains(string(out), "install mezu again") {
		t.Errorf("%v: %s", err, out)
	}
}
