package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// desktop is a session bus with a keyring that is unlocked, as a desktop has them.
type desktop struct {
	t *testing.T
	// env is what makes a program part of it.
	env []string
	// daemon is the process that has the keyring.
	daemon int
}

// session starts the keyring, says where the bus is, and lasts as long as its standard input.
const session = `gnome-keyring-daemon --foreground --unlock --components=secrets <password >/dev/null 2>daemon.log &
echo "$! $DBUS_SESSION_BUS_ADDRESS"
exec cat`

// bus is the configuration of a session bus that starts nothing by itself. A usual one starts a
// second keyring, which nobody unlocks, for a tool that asks before the first has its name.
const bus = `<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
`

// newDesktop starts a session, or skips the test where Debian's parts of one are missing.
func newDesktop(t *testing.T) *desktop {
	t.Helper()
	testkit.Programs(t, "dbus-run-session", "gnome-keyring-daemon", "secret-tool")
	dir := t.TempDir()
	for name, text := range map[string]string{"password": "of the keyring", "bus.conf": bus} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := []string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "DISPLAY=", "WAYLAND_DISPLAY="}
	c := exec.Command("dbus-run-session", "--config-file="+filepath.Join(dir, "bus.conf"), "--", "sh", "-c", session)
	c.Dir, c.Env, c.SysProcAttr = dir, append(os.Environ(), own...), &syscall.SysProcAttr{Setpgid: true}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGCONT)
		in.Close()
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		c.Wait()
	})
	line, err := bufio.NewReader(io.LimitReader(out, 4<<10)).ReadString('\n')
	d := &desktop{t: t}
	var address string
	if _, scanned := fmt.Sscan(line, &d.daemon, &address); err != nil || scanned != nil {
		t.Fatalf("%q, %v", line, err)
	}
	d.env = append(own, "DBUS_SESSION_BUS_ADDRESS="+address, "MEZU_NO_KEYRING=")
	eventually(t, "the keyring", func() error {
		out, err := d.tool("x", "store", "--label=x", "x", "x").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	return d
}

// tool is another program that uses the keyring.
func (d *desktop) tool(typed string, args ...string) *exec.Cmd {
	c := exec.Command("secret-tool", args...)
	c.Env, c.Stdin = append(os.Environ(), d.env...), strings.NewReader(typed)
	return c
}

// has is what the keyring has for an account of ours; "" if nothing.
func (d *desktop) has(account string) string {
	out, _ := d.tool("", "lookup", "service", "mezu", "username", account).Output() // it fails if there is nothing
	return string(out)
}

// account is that of a profile; "" if its credential is in a file.
func (p *person) account(profile string) string {
	p.w.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.home, "config", "profiles", profile+".yaml"))
	if err != nil {
		p.w.t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?m)^keyring: (\S+)$`).FindSubmatch(data); found != nil {
		return string(found[1])
	}
	return ""
}

// A login is in the keyring of the desktop and nowhere else, for all commands, until the
// logout.
func TestKeyring(t *testing.T) {
	t.Parallel()
	d := newDesktop(t)
	w := newWorld(t, 0, open)
	p := w.newPerson(d.env...)
	file := filepath.Join(p.home, "config", "credentials", "acme")
	run := func(want int, typed string, args ...string) string {
		t.Helper()
		code, out, talk := p.mezu(typed, args...)
		if code != want {
			t.Fatalf("%q: exit code %d: %s%s", args, code, out, talk)
		}
		return out + talk
	}
	login := []string{"login", "--with-token", "--profile", "acme", "--api", "https://" + w.api, "--ca-file", w.caFile()}
	if said := run(0, w.token, login...); !strings.Contains(said, ", profile acme, token in the keyring\n") {
		t.Errorf("said %q", said)
	}
	account := p.account("acme")
	if kept := d.has(account); account == "" || kept != w.token {
		t.Errorf("the keyring has %q for %q", kept, account)
	}
	scan(t, p.home, map[string]string{w.token: ""})
	if said := run(0, "", "whoami"); !strings.Contains(said, "owner of acme") || strings.Contains(said, "  token ") {
		t.Errorf("said %q", said)
	}
	if said := run(0, "", "whoami", "-o", "json"); !strings.Contains(said, `"kept_in": "the keyring"`) {
		t.Errorf("said %q", said)
	}

	// Off the keyring nothing is found, and a login moves to the file.
	p.env = append(d.env[:len(d.env):len(d.env)], "MEZU_NO_KEYRING=1")
	if said := run(3, "", "whoami"); !strings.Contains(said, "the token of profile acme is in the keyring, and there is none here") {
		t.Errorf("said %q", said)
	}
	if said := run(0, w.token, login...); !strings.Contains(said, "token in "+file) || !strings.Contains(said, "warning: the credential of before is still in the keyring") {
		t.Errorf("said %q", said)
	}
	scan(t, p.home, map[string]string{w.token: file})
	p.env = d.env
	if said := run(0, "", "whoami"); !strings.Contains(said, "  token        in "+file) {
		t.Errorf("said %q", said)
	}
	// Where nobody unlocks a keyring, none is tried, and one that works is used again.
	p.env = append(d.env[:len(d.env):len(d.env)], "CI=true")
	if said := run(0, w.token, login...); !strings.Contains(said, "token in "+file) {
		t.Errorf("said %q", said)
	}
	p.env = d.env
	if said := run(0, w.token, login...); !strings.Contains(said, "token in the keyring") {
		t.Errorf("said %q", said)
	}
	scan(t, p.home, map[string]string{w.token: ""})
	if account = p.account("acme"); d.has(account) != w.token {
		t.Error("it did not move to the keyring")
	}
	run(0, "", "logout")
	if d.has(account) != "" || p.account("acme") != "" {
		t.Error("the logout has left something")
	}
	run(3, "", "whoami")
	if out, err := d.tool("", "search", "--all", "service", "mezu").CombinedOutput(); strings.Count(string(out), "secret = ") != 1 {
		t.Errorf("trials are left, or more than what was said to be left: %v %s", err, out)
	}

	// A keyring that hangs is waited for two seconds, once, and then there is the file.
	run(0, w.token, login...)
	begin := time.Now()
	if err := syscall.Kill(d.daemon, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if said := run(0, w.token, login...); !strings.Contains(said, "token in "+file) || !strings.Contains(said, "is still in the keyring: the keyring did not answer within 2s") {
		t.Errorf("said %q", said)
	}
	t.Logf("a login with a keyring that hangs takes %v", time.Since(begin))
	run(0, "", "whoami")
	if err := syscall.Kill(d.daemon, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// N26: of twenty processes that find the token in the keyring ended, one renews it. A keyring
// that hangs then says so, and loses no login.
func TestN26_TwentyProcessesAndAKeyring(t *testing.T) {
	t.Parallel()
	d := newDesktop(t)
	w := newWorld(t, 0, open)
	p := w.newPerson(d.env...)
	if said := p.login("--profile", "acme", "--org", "acme"); !strings.Contains(said, "token in the keyring") {
		t.Fatalf("said %q", said)
	}
	account := p.account("acme")
	kept := d.has(account)
	for _, c := range []*exec.Cmd{
		d.tool("", "clear", "service", "mezu", "username", account),
		d.tool(string(ended(t, []byte(kept))), "store", "--label=spoilt", "service", "mezu", "username", account),
	} {
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	p.atOnce()
	if next := d.has(account); next == "" || next == kept || !strings.Contains(next, mezu.TokenRefresh) {
		t.Error("nothing new is in the keyring")
	}
	if err := syscall.Kill(d.daemon, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := p.mezu("", "whoami"); code != 3 || !strings.Contains(talk, "the keyring did not answer within 2s") || !strings.Contains(talk, "try: unlock the keyring and try again") {
		t.Errorf("exit code %d: %s", code, talk)
	}
	if err := syscall.Kill(d.daemon, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code, _, talk := p.mezu("", "whoami"); code != 0 {
		t.Errorf("exit code %d: %s", code, talk)
	}
}
