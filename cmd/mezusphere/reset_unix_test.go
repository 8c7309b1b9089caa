//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// plane runs "mezusphere control" on a state directory, until stop.
func plane(t *testing.T, state string) (base, ca string, talk *testkit.Buffer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	talk = &testkit.Buffer{}
	done := make(chan int, 1)
	args := []string{"control", "--state", state, "--domain", "localhost", "--api-addr", "127.0.0.1:0", "--admin-addr", ""}
	go func() {
		done <- run(ctx, args, func(string) string { return "" }, terminal.Streams{Out: talk, Err: talk})
	}()
	m := until(t, talk, `msg="control plane listens" api=(\S+) admin=\S* ca_file=(\S+)`)
	return "https://" + m[1], m[2], talk, func() {
		cancel()
		select {
		case code := <-done:
			if code != 0 {
				t.Errorf("stopped with %d: %s", code, talk)
			}
		case <-time.After(startTimeout):
			t.Fatal("does not stop")
		}
	}
}

// resetCode runs a reset, which must succeed, and gives the code of the link.
func resetCode(t *testing.T, args ...string) string {
	t.Helper()
	code, out, talk := mezusphere(nil, append([]string{"operator", "reset"}, args...)...)
	link, secret, ok := strings.Cut(strings.TrimSpace(out), "#")
	if code != 0 || !ok || !strings.HasSuffix(link, "/bootstrap") || !strings.HasPrefix(secret, mezu.TokenBootstrap) {
		t.Fatalf("code %d, %q, %s", code, out, talk)
	}
	return secret
}

// A reset works beside a running control plane, which it asks; while it is stopped; after it was
// killed, which leaves its socket; and for whoever was cut in the middle of one, again.
func TestOperatorReset(t *testing.T) {
	state := t.TempDir()
	base, ca, talk, stop := plane(t, state)
	first := until(t, talk, `/bootstrap#(\S+)`)[1]
	if !strings.Contains(talk.String(), "mezu bootstrap --ca-file "+ca+" --api "+base+" --code "+first) {
		t.Errorf("the start doesn't say how to come in without a browser: %s", talk)
	}
	second := resetCode(t, "--state", state)
	if text, err := os.ReadFile(filepath.Join(state, "bootstrap")); err != nil || !strings.Contains(string(text), second) {
		t.Errorf("the file has %q, %v", text, err)
	}
	// Of several at once the last one's link is the one that is kept.
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() { mezusphere(nil, "operator", "reset", "--state", state) })
	}
	asking.Wait()
	text, err := os.ReadFile(filepath.Join(state, "bootstrap"))
	_, kept, _ := strings.Cut(strings.TrimSpace(string(text)), "#")
	if err != nil || kept == second {
		t.Fatalf("the file has %q, %v", text, err)
	}
	bootstrap(t, base, ca, kept)
	third := resetCode(t, "--state", state)

	// The one who asks goes away in the middle.
	conn, err := local.Dial(t.Context(), deskPath(state))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("POST " + pathReset + " HTTP/1.1\r\nHost: desk\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	code, out, said := mezusphere(nil, "operator", "reset", "--state", state, "--json")
	var made control.Reset
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.Site != base || made.Operator == "" || made.ExpiresAt.IsZero() || said != "" {
		t.Fatalf("as JSON: code %d, %q, %v, %s", code, out, err, said)
	}
	if code, _, said := mezusphere(nil, "operator", "reset", "--state", state, "--operator", "nobody@example.com"); code != 4 || !strings.Contains(said, "operator") {
		t.Errorf("for nobody: code %d, %s", code, said)
	}
	token := bootstrap(t, base, ca, made.Code)
	if strings.Contains(talk.String(), made.Code) || strings.Contains(talk.String(), third) || strings.Contains(talk.String(), token) {
		t.Error("C3: the log holds a code or a token")
	}
	stop()
	if _, err := os.Stat(deskPath(state)); err == nil {
		t.Error("the socket is left")
	}

	// Stopped, and after a kill: the socket is there, and nobody listens.
	leftSocket(t, deskPath(state))
	fourth := resetCode(t, "--state", state)
	base, ca, _, stop = plane(t, state)
	defer stop()
	token = bootstrap(t, base, ca, fourth)

	// What somebody else may have goes on, which is said, or ends.
	if code, _, said := mezusphere(nil, "operator", "reset", "--state", state); code != 0 || !strings.Contains(said, "tokens of that operator go on; if somebody else may have one, --revoke ends them") {
		t.Errorf("code %d, %s", code, said)
	}
	if err := self(t, base, ca, token); err != nil {
		t.Error(err)
	}
	if code, _, said := mezusphere(nil, "operator", "reset", "--state", state, "--revoke"); code != 0 || !strings.Contains(said, "all tokens, logins and sessions of that operator have ended, and the password") {
		t.Errorf("code %d, %s", code, said)
	}
	if err := self(t, base, ca, token); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("the token goes on: %v", err)
	}
}

// A link that goes into a file is on no screen, and works from there.
func TestOperatorReset_KeyFile(t *testing.T) {
	state := t.TempDir()
	base, ca, _, stop := plane(t, state)
	defer stop()
	path := filepath.Join(t.TempDir(), "link")
	for _, more := range [][]string{nil, {"--json"}} {
		code, out, said := mezusphere(nil, append([]string{"operator", "reset", "--state", state, "--key-file", path}, more...)...)
		link, err := os.ReadFile(path)
		if code != 0 || err != nil || strings.Contains(out+said, "mezuboot_") || more == nil && !strings.HasSuffix(said, " < "+path+"\n") {
			t.Fatalf("code %d, %v, %s, %s", code, err, out, said)
		}
		_, secret, ok := strings.Cut(strings.TrimSpace(string(link)), "#")
		if !ok || bootstrap(t, base, ca, secret) == "" {
			t.Errorf("the file has %q", link)
		}
		if code, _, said := mezusphere(nil, "operator", "reset", "--state", state, "--key-file", path); code != 5 || !strings.Contains(said, "is there already") {
			t.Errorf("over a file: code %d, %s", code, said)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A control plane whose certificate is of another CA is not known by ours, also while it is stopped.
func TestOperatorReset_OtherCA(t *testing.T) {
	state := t.TempDir()
	_, ca, _, stop := plane(t, state)
	code, _, said := mezusphere(nil, "operator", "reset", "--state", state)
	if stop(); code != 0 || !strings.Contains(said, "mezu bootstrap --ca-file "+ca+" --api https://") {
		t.Errorf("code %d, %s", code, said)
	}
	if err := os.WriteFile(filepath.Join(state, "site"), []byte("https://control.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, said := mezusphere(nil, "operator", "reset", "--state", state); code != 0 || !strings.HasPrefix(out, "https://control.example/bootstrap#") || !strings.Contains(said, "mezu bootstrap --api https://control.example --code ") {
		t.Errorf("code %d, %s, %s", code, out, said)
	}
}

// A command says that the token which it calls with ends within a week.
func TestTokenEndsIsSaid(t *testing.T) {
	base, ca, talk, stop := plane(t, t.TempDir())
	defer stop()
	month := bootstrap(t, base, ca, until(t, talk, `/bootstrap#(\S+)`)[1])
	client := caller(t, base, ca, month)
	defer client.CloseIdle()
	week, err := api.Invoke[api.TokenCreated](t.Context(), client, api.OpCreateToken, mezu.Token{Name: "short", ExpiresAt: time.Now().Add(mezu.EndNotice - time.Hour).UTC().Truncate(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{month: 0, week.Secret: 1} {
		code, _, said := mezusphere(map[string]string{"MEZU_TOKEN": token}, "join-token", "create", "--api", base, "--ca-file", ca)
		if got := strings.Count(said, "the token in use ends on 2"); code != 0 || got != want {
			t.Errorf("code %d, said %d times: %s", code, got, said)
		}
	}
}

// caller calls a control plane.
func caller(t *testing.T, base, ca, token string) *api.Client {
	t.Helper()
	roots, err := invocation.Roots(ca)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.ClientConfig{BaseURL: base, TLS: &tls.Config{RootCAs: roots}, Token: func() (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// self asks a control plane whose a token is.
func self(t *testing.T, base, ca, token string) error {
	t.Helper()
	client := caller(t, base, ca, token)
	defer client.CloseIdle()
	_, err := api.Invoke[api.Self](t.Context(), client, api.OpSelf, nil)
	return err
}

// Nothing is made where there is nothing, and what is wrong says which flag counts.
func TestOperatorReset_Refused(t *testing.T) {
	empty := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no state":       {nil, 2, "--state DIR"},
		"an argument":    {[]string{"x", "--state", empty}, 2, "takes no argument"},
		"no such flag":   {[]string{"--nope"}, 2, "mezusphere operator reset --help"},
		"an empty state": {[]string{"--state", empty}, 4, "there is no installation in"},
		"no folder":      {[]string{"--state", filepath.Join(empty, "x")}, 4, "there is no state of a control plane"},
	} {
		if code, out, talk := mezusphere(nil, append([]string{"operator", "reset"}, c.args...)...); code != c.code || out != "" || !strings.Contains(talk, c.want) {
			t.Errorf("%s: code %d, %q, %s", name, code, out, talk)
		}
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("%v was made, %v", entries, err)
	}
	if code, _, talk := mezusphere(nil, "operator", "promote"); code != 2 || !strings.Contains(talk, "one command, reset") {
		t.Errorf("code %d, %s", code, talk)
	}
	if code, out, _ := mezusphere(nil, "operator", "--help"); code != 0 || !strings.Contains(out, "--operator EMAIL|ID") || !strings.Contains(out, "--state DIR") {
		t.Errorf("help: code %d, %s", code, out)
	}
	// The folder of mezusphere all has that of the control plane in it.
	all := t.TempDir()
	if err := os.Mkdir(filepath.Join(all, "control"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := controlState(all); got != filepath.Join(all, "control") {
		t.Errorf("the state is %s", got)
	}
}

// The desk takes a reset, says who runs here, and does nothing else, however it is asked.
func TestDesk_NothingElse(t *testing.T) {
	state := t.TempDir()
	_, _, _, stop := plane(t, state)
	defer stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialDesk(state)}}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", pathRunning, "", 200}, {"POST", pathRunning, "{}", 405}, {"GET", pathReset, "", 405}, {"POST", "/v1/organizations", "{}", 404}, {"POST", pathReset, "{", 400},
		{"POST", pathReset, `{"operator":"` + strings.Repeat("x", maxDeskBody) + `"}`, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://desk"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != c.status {
			t.Errorf("%s %s: %d", c.method, c.path, resp.StatusCode)
		}
	}
}

// A folder of the desk that others can look into is refused, with what closes it; that of another
// user with whom to be.
func TestDesk_Exposed(t *testing.T) {
	state := t.TempDir()
	_, _, _, stop := plane(t, state)
	defer stop()
	folder := filepath.Dir(deskPath(state))
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	code, out, said := mezusphere(nil, "operator", "reset", "--state", state)
	if code != 3 || out != "" || !strings.Contains(said, folder+" is open to others (mode 0755)") || !strings.Contains(said, "try: chmod 700 "+folder) || strings.Contains(said, "daemon") {
		t.Errorf("code %d, %q, %s", code, out, said)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(state, 12345, -1); err != nil {
		t.Fatal(err)
	}
	code, out, said = mezusphere(nil, "operator", "reset", "--state", state)
	if err := os.Chown(state, 0, -1); err != nil {
		t.Fatal(err)
	}
	if code != 3 || out != "" || !strings.Contains(said, "belongs to user 12345") || !strings.Contains(said, "try: run this as the user who runs the control plane") || strings.Contains(said, "chown") {
		t.Errorf("code %d, %q, %s", code, out, said)
	}
}

// leftSocket is what a control plane leaves that was killed.
func leftSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

func dialDesk(state string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return local.Dial(ctx, deskPath(state)) }
}
