package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// lookout looks for secrets in the arguments of all processes until it is told to stop, and in
// whatever text it is given.
type lookout struct {
	t       *testing.T
	secrets []string
	stop    context.CancelFunc
	looking sync.WaitGroup
}

func watchArguments(t *testing.T, secrets ...string) *lookout {
	ctx, stop := context.WithCancel(context.Background())
	l := &lookout{t: t, secrets: secrets, stop: stop}
	tick := time.NewTicker(20 * time.Millisecond)
	l.looking.Go(func() {
		defer tick.Stop()
		for ctx.Err() == nil {
			l.look()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(l.end)
	return l
}

func (l *lookout) end() {
	l.stop()
	l.looking.Wait()
}

func (l *lookout) look() {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		l.t.Error(err)
	}
	for _, name := range all {
		data, _ := os.ReadFile(name) // it may have ended
		l.none(name, data)
	}
}

// none checks that a text has no secret.
func (l *lookout) none(what string, text []byte) {
	l.t.Helper()
	for _, s := range l.secrets {
		if i := bytes.Index(text, []byte(s)); i >= 0 {
			l.t.Errorf("%s has a secret, after %q", what, text[max(0, i-40):i])
		}
	}
	// Those that nobody but the programs has seen, such as tokens of enrolments.
	if m := anySecret.Find(text); m != nil {
		l.t.Errorf("%s has %q…", what, m[:min(len(m), 14)])
	}
}

// anySecret is any token, whole, and any private key.
var anySecret = regexp.MustCompile(`\b(` + mezu.TokenBearer + `|` + mezu.TokenEnrolment + `|` + mezu.TokenRefresh + `|` + mezu.TokenJoin + `)[0-9A-Za-z_-]{40,}|PRIVATE KEY-----\s+\S{20,}`)

// TestC3_NothingSecretIsLeftOfATunnel: after a login, tunnels with passwords, a doctor's bundle
// and a look at the log, tokens and passwords are in the credentials file alone, and were never
// in an argument or in the environment of the daemon.
func TestC3_NothingSecretIsLeftOfATunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	wl := newWorkload(t, false)
	const chosen = "the-chosen-password-of-ada"
	watch := watchArguments(t, w.token, w.key, chosen)
	p := w.newTunneller("MEZU_TOKEN=", "MEZU_API=", "MEZU_CA_FILE=")
	if code, _, talk := p.mezu(w.token, "login", "--with-token", "--profile", "acme", "--api", "https://"+w.api, "--ca-file", w.caFile()); code != 0 {
		t.Fatalf("code %d: %s", code, talk)
	}
	p.env = append(p.env, "MEZU_BASIC_AUTH="+chosen)
	said := ""
	do := func(args ...string) {
		t.Helper()
		out, talk := p.do(args...)
		said += out + talk
	}
	do("tunnel", wl.addr(), "--basic-auth", "ada", "--detach", "--wait")
	for _, name := range []string{"environ", "cmdline"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.status().PID, name))
		if err != nil || len(data) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(data), err)
		}
		watch.none("the daemon's "+name, data)
		for _, variable := range []string{"MEZU_TOKEN", "MEZU_BASIC_AUTH", "MEZU_API"} {
			if bytes.Contains(data, []byte(variable)) {
				t.Errorf("the daemon's %s has %s", name, variable)
			}
		}
	}
	ask := func(path, password string) int {
		t.Helper()
		req, err := http.NewRequest("GET", "https://"+w.host+path+"?token="+w.token+"&password="+chosen, nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			req.SetBasicAuth("ada", password)
		}
		req.Header.Set("X-Api-Key", w.key)
		resp, err := w.http(w.edges[0]).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	a := p.attach(wl.addr(), "--basic-auth", "ada")
	a.ready()
	for password, want := range map[string]int{"": 401, chosen: 200} {
		if got := ask("/asked", password); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	a.requested("/asked")
	a.signal(syscall.SIGTERM)
	if code := a.exit(); code != 0 {
		t.Errorf("code %d", code)
	}
	said += a.out.String() + a.log.String()
	p.env = append(p.env, "MEZU_BASIC_AUTH=")
	do("tunnel", "stop", "production")
	// A password that is made is shown to its owner, once, and is nowhere else.
	_, talk := p.do("tunnel", wl.addr(), "--basic-auth", "ada", "--detach", "--wait")
	found := regexp.MustCompile(`password (\S{16,})`).FindStringSubmatch(talk)
	if found == nil {
		t.Fatalf("no password is shown: %s", talk)
	}
	watch.end()
	made := found[1]
	watch = watchArguments(t, w.token, w.key, chosen, made)
	if got := ask("/made", made); got != 200 {
		t.Errorf("with the password that was made: %d", got)
	}
	bundle := filepath.Join(p.home, "bundle.zip")
	for _, args := range [][]string{{"doctor", "--bundle", bundle}, {"status"}} { // whatever they find
		_, out, talk := p.mezu("", args...)
		said += out + talk
	}
	for _, args := range [][]string{{"daemon", "logs"}, {"tunnel", "list", "-o", "json"}, {"tunnel", "show", "production", "-o", "yaml"}, {"whoami"}, {"daemon", "restart"}} {
		do(args...)
	}
	watch.none("what was said", []byte(said))
	packed, err := zip.OpenReader(bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	for _, f := range packed.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		watch.none("in the bundle, "+f.Name, data)
	}
	credentials := filepath.Join(p.home, "config", "credentials", "acme")
	if kept, err := os.ReadFile(credentials); err != nil || !bytes.Contains(kept, []byte(w.token)) {
		t.Errorf("the login is not where it belongs, so nothing was looked for: %v", err)
	}
	scan(t, p.home, map[string]string{w.token: credentials, w.key: "", chosen: "", made: ""})
	// The keys of tunnels are in files of their own, and nothing else is secret in the rest.
	keys := 0
	err = filepath.WalkDir(p.home, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == credentials {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), "PRIVATE KEY-----") {
			keys++
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
			return nil
		}
		watch.none(path, data)
		return err
	})
	if err != nil || keys != 1 {
		t.Errorf("%d keys, %v", keys, err)
	}
}
