//go:build unix

package browser

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// drawnColumns is the width of the terminal in pictures.
const drawnColumns = 96

// TestTerminalPictures draws what somebody sees who logs in and opens a tunnel, from a real run.
// It is no test of anything, and skipped unless somebody asks for pictures.
func TestTerminalPictures(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		t.Skip("make pictures takes pictures")
	}
	s := newScene(t, "ada@dev.test", mezu.RoleDeveloper)
	keepDrawing(t, dir, "terminal-login", s.logIn()+s.run("whoami"), drawnColumns)
	_, port := s.devServerWorld.run(t, vite())
	tunnel := s.start("tunnel", port)
	tunnel.says(`(type another name:)`)
	tunnel.types("\r")
	address := tunnel.says(`(https://\S+)`)
	tunnel.says(`(Ctrl-C closes it)`)
	for _, path := range []string{"/", "/@vite/client", "/src/main.js", "/src/words.js", "/orders?token=secret"} {
		s.get(address + path)
	}
	tunnel.says(`(orders)`)
	keepDrawing(t, dir, "terminal-status", s.run("status"), drawnColumns)
	s.columns = 2 * drawnColumns // the paths of this run are longer than what is drawn of them
	keepDrawing(t, dir, "terminal-doctor", s.run("doctor"), drawnColumns)
	tunnel.types("\x03")
	keepDrawing(t, dir, "terminal-tunnel", tunnel.ends(), drawnColumns)
	s.run("daemon", "stop")
}

// scene is a person at a terminal, and at a browser.
type scene struct {
	*devServerWorld
	t         *testing.T
	home, dir string
	tab       *tab
	columns   uint16 // of the terminals of commands
}

// newScene makes a member of an organization, who is logged in at the browser.
func newScene(t *testing.T, email string, role mezu.Role) *scene {
	t.Helper()
	w := newWorld(t)
	s := &scene{devServerWorld: &devServerWorld{world: w, program: w.dev.program, edge: w.public}, t: t, home: t.TempDir(), dir: filepath.Join(t.TempDir(), "shop"), tab: w.visitor(t), columns: drawnColumns}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.ClientConfig{BaseURL: w.dev.api, TLS: &tls.Config{RootCAs: w.roots}, Token: func() (string, error) { return w.dev.token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	invited, err := api.Invoke[api.InvitationCreated](t.Context(), client, api.OpCreateInvitation, mezu.Invitation{Email: email, Role: role}, "dev")
	if err != nil {
		t.Fatal(err)
	}
	b := s.tab
	b.visit(invited.Link)
	b.fill("email", invited.Email)
	b.press(send)
	b.fill("password", "correct horse battery staple")
	b.press(send)
	return s
}

// logIn logs in by the browser.
func (s *scene) logIn() string {
	c := s.start("login", "--no-browser", "--profile", "dev-box", "--api", s.site, "--ca-file", s.world.dev.ca)
	s.tab.visit(c.says(`(https://localhost:\S+authorize\S+)`))
	s.tab.press("button[value=allow]")
	return c.ends()
}

// run runs a command to its end and gives what the terminal shows.
func (s *scene) run(args ...string) string { return s.start(args...).ends() }

// get asks for an address, as a browser does.
func (s *scene) get(address string) {
	s.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.public)
		}}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get(address)
	if err != nil {
		s.t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// shown is a command at a terminal.
type shown struct {
	*scene
	typed string // the line that starts it
	tty   *os.File
	seen  testkit.Buffer
	ended chan error
}

func (s *scene) start(args ...string) *shown {
	s.t.Helper()
	c := exec.Command(s.program, args...)
	c.Dir = s.dir
	c.Env = []string{"MEZU_HOME=" + s.home, "MEZU_NO_KEYRING=1", "TERM=xterm-256color", "ACCESSIBLE=1", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 40, Cols: s.columns})
	if err != nil {
		s.t.Fatal(err)
	}
	p := &shown{scene: s, typed: "$ mezu " + strings.Join(args, " ") + "\n", tty: tty, ended: make(chan error, 1)}
	go func() {
		io.Copy(&p.seen, tty) // its end is an error on Linux
		p.ended <- c.Wait()
	}()
	s.t.Cleanup(func() {
		c.Process.Signal(syscall.SIGKILL)
		tty.Close()
	})
	return p
}

// says waits until the terminal shows something, and gives the group of the pattern.
func (p *shown) says(pattern string) (found string) {
	p.t.Helper()
	find := regexp.MustCompile(pattern)
	p.await(p.t, pattern, func() bool {
		m := find.FindStringSubmatch(sequence.ReplaceAllString(p.seen.String(), ""))
		if m != nil {
			found = m[1]
		}
		return m != nil
	})
	return found
}

func (p *shown) types(keys string) {
	p.t.Helper()
	if _, err := p.tty.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end and gives what the terminal showed, without what is this machine's.
func (p *shown) ends() string {
	p.t.Helper()
	if err := <-p.ended; err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			p.t.Fatal(err)
		}
	}
	text := p.typed + p.seen.String() + "\n"
	for _, place := range []struct{ is, as string }{{p.world.dev.ca, "ca.pem"}, {p.home + "/config", "~/.config/mezu"}, {p.home + "/state", "~/.local/state/mezu"}, {p.home + "/run", "/run/user/1000/mezu"}, {p.home, "~"}} {
		text = strings.ReplaceAll(text, place.is, place.as)
	}
	return text
}
