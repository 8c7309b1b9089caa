package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// containerRegistry pushes an image and pulls it, and uploads a blob in pieces.
func containerRegistry(t *testing.T, p *parts) {
	if out, log, err := output(t, p.peers.path("registry"), "-addr", p.e.https, "-host", p.host+":"+p.port(), "-ca", p.caFile()); err != nil {
		t.Errorf("%v\n%s%s", err, out, tail(log))
	}
}

// webhookSigners: what Stripe's library signs, and what Slack's takes for Slack's, passes the edge once,
// and nothing else does.
func webhookSigners(t *testing.T, p *parts) {
	w := *p.world
	w.t = t
	args := []string{"-addr", p.e.https, "-host", p.host + ":" + p.port(), "-ca", p.caFile()}
	for name, provider := range map[string]mezu.WebhookProvider{"pay": mezu.WebhookStripe, "chat": mezu.WebhookSlack} {
		secret := mezu.NewKey()
		invoke[mezu.Webhook](&w, w.client, api.OpCreateWebhook, mezu.Webhook{Name: name, Provider: provider}, w.path()...)
		invoke[mezu.Webhook](&w, w.client, api.OpSetWebhookSecret, api.WebhookSecretRequest{Secret: secret}, append(w.path(), name)...)
		args = append(args, "-"+string(provider), secret)
	}
	client := w.http(p.e)
	eventually(t, "the edge has the secrets", func() error {
		for _, path := range []string{"/hooks/stripe", "/hooks/slack"} {
			resp, err := client.Post(p.at(path), "application/json", strings.NewReader("{}"))
			if err != nil {
				return err
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
				return fmt.Errorf("%s answers %s", path, resp.Status)
			}
		}
		return nil
	})
	if out, log, err := output(t, p.peers.path("signers"), args...); err != nil {
		t.Errorf("%v\n%s%s", err, out, tail(log))
	}
}

// gitPrefix is the path below which repositories are.
const gitPrefix = "/git/"

// newGitServer serves the repositories of a folder as git itself does it behind a web server, to
// everybody.
func newGitServer(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		testkit.Missing(t, "git")
	}
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Root: strings.TrimSuffix(gitPrefix, "/"), Dir: dir,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + dir}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// CGI knows no body of unknown length, which is how git sends what is large.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// gitClone clones a repository, pushes to it more than is held on the way, and clones it again.
func gitClone(t *testing.T, p *parts) {
	dir, address := t.TempDir(), p.at(gitPrefix+"shop")
	run := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", in, "-c", "http.curloptResolve=" + p.host + ":" + p.port() + ":127.0.0.1",
			"-c", "http.version=HTTP/2", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main", "-c", "safe.directory=*"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_SSL_CAINFO="+p.caFile(), "GIT_TERMINAL_PROMPT=0", "GIT_TRACE_CURL=1", "GIT_TRACE_CURL_NO_DATA=1")
		var log testkit.Buffer
		cmd.Stderr = &log
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %q: %v\n%s%s", args, err, out, tail(log.String()))
		}
		if remote := slices.Contains(args, address); remote && !strings.Contains(log.String(), "HTTP/2 200") {
			t.Errorf("git %q spoke no HTTP/2:\n%s", args, tail(log.String()))
		}
		return strings.TrimSpace(string(out))
	}
	run(p.repositories, "init", "--quiet", "--bare", "shop")
	run(filepath.Join(p.repositories, "shop"), "config", "http.receivepack", "true")
	run(dir, "clone", "--quiet", "--no-local", address, "one")
	one := filepath.Join(dir, "one")
	// What is random can't be packed, and what is pushed is sent in chunks.
	if err := os.WriteFile(filepath.Join(one, "large"), randomBytes(5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	run(one, "add", ".")
	run(one, "commit", "--quiet", "--message", "large")
	run(one, "push", "--quiet", address, "HEAD:refs/heads/main")
	run(dir, "clone", "--quiet", "--branch", "main", address, "two")
	if a, b := run(one, "rev-parse", "HEAD"), run(filepath.Join(dir, "two"), "rev-parse", "HEAD"); a != b {
		t.Errorf("%s was pushed, and %s cloned", a, b)
	}
	run(filepath.Join(dir, "two"), "fsck", "--strict")
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}
