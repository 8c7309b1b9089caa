package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// TestTunnelBadTargets: of what is no workload the visitor gets a code and the person a
// sentence with the next thing to try. The tunnel is up all the while, and serves as soon as
// there is a workload.
func TestTunnelBadTargets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	e := w.edges[0]
	p := w.newTunneller()
	at := freeAddr(t)
	a := p.attach(at)
	a.ready()
	listen := func() net.Listener {
		t.Helper()
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	fails := func(path string, code mezu.Code, message, fix string) {
		t.Helper()
		if status, body, err := w.ask(e, path); status != http.StatusBadGateway || !strings.Contains(body, string(code)) {
			t.Errorf("%s: %d %s %v", path, status, body, err)
		}
		if said := a.requested(path); said.Code != code {
			t.Errorf("%s: %+v", path, said)
		}
		a.tells(message, func(e mezu.Event) bool {
			return e.Event == mezu.EventError && strings.Contains(e.Message, message) && strings.Contains(e.Hint, fix)
		})
		a.runs()
	}
	fails("/refused", mezu.CodeWorkloadRefused, "nothing answers at "+at, "")

	garbage := listen()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n\x00\xff\r\n")
			c.Close()
		}
	}()
	eventually(t, "garbage", func() error {
		if status, body, err := w.ask(e, "/garbage"); status != http.StatusBadGateway || !strings.Contains(body, string(mezu.CodeWorkloadBadResponse)) {
			return fmt.Errorf("%d %s %v", status, body, err)
		}
		return nil
	})
	garbage.Close()
	<-ended

	wl := newWorkload(t, false)
	secure := httptest.NewUnstartedServer(wl.Config.Handler)
	secure.Listener.Close()
	secure.Listener, secure.Config.ErrorLog = listen(), log.New(io.Discard, "", 0)
	secure.StartTLS()
	eventually(t, "a word about TLS", func() error {
		_, _, _ = w.ask(e, "/tls")
		if !slices.ContainsFunc(a.events(), func(e mezu.Event) bool {
			return e.Event == mezu.EventError && strings.Contains(e.Message, "speaks TLS") && strings.Contains(e.Hint, "https://"+at)
		}) {
			return errWaiting
		}
		return nil
	})
	secure.Close()

	plain := &http.Server{Handler: wl.Config.Handler}
	l := listen()
	go plain.Serve(l)
	defer plain.Close()
	w.good(e, "/served")
	a.requested("/served")
	if is := p.tunnel(); is.State != mezu.TunnelLive || is.Workload.Up == nil || !*is.Workload.Up {
		t.Errorf("%s, %+v", is.State, is.Workload)
	}
	a.signal(syscall.SIGINT)
	if code := a.exit(); code != 0 {
		t.Errorf("code %d: %s", code, a.log.String())
	}

	// The certificate of an https target comes of another CA than was named.
	secure = httptest.NewUnstartedServer(wl.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	a = p.attach(secure.URL, "--upstream-ca", w.caFile())
	a.ready()
	fails("/untrusted", mezu.CodeWorkloadRefused, "is not trusted", "--upstream-ca FILE")
	a.signal(syscall.SIGINT)
	a.exit()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	a = p.attach(secure.URL, "--upstream-ca", ca)
	a.ready()
	w.good(e, "/trusted")
}

// TestTunnelHugeFile: a mezu.yaml of 100 MB is refused. What that takes is tested where the file is
// read.
func TestTunnelHugeFile(t *testing.T) {
	t.Parallel()
	w := &world{t: t, api: "127.0.0.1:1", token: "none", dir: t.TempDir()}
	p := w.newTunneller()
	dir := t.TempDir()
	file := filepath.Join(dir, "mezu.yaml")
	if err := os.WriteFile(file, []byte("tunnels: {web: {to: 3000}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 100<<20); err != nil {
		t.Fatal(err)
	}
	c := p.command("tunnel")
	c.Dir = dir
	out, err := c.CombinedOutput()
	if c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "mezu.yaml") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTunnelProgramIsGone: whoever removes the program takes nothing from what is open. Only
// when the daemon has to be started again is it missed, and the command says so.
func TestTunnelProgramIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	p := w.newTunneller()
	program := filepath.Join(t.TempDir(), "mezu")
	testkit.CopyFile(t, filepath.Join(binaries, "mezu"), program)
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	a := &attached{startWith(t, "mezu tunnel", p.command().Env, program, "tunnel", "--json", newWorkload(t, false).addr())}
	a.ready()
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	w.good(w.edges[0], "/without")
	a.requested("/without")
	if err := syscall.Kill(p.status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := a.exit(); code != 6 || !strings.Contains(a.log.String(), "is gone") {
		t.Errorf("code %d: %s", code, a.log.String())
	}
	all := a.events()
	if last := all[len(all)-1]; last.Event != mezu.EventError || !strings.Contains(last.Message, "is gone") {
		t.Errorf("the last event is %+v", last)
	}
}
