package e2e

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/testkit"
)

// TestOpenAPI takes the document of a running control plane to those who read it: a linter
// finds nothing in it, and a client that is generated from it makes a project.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t)}
	w.startControl()
	w.bootstrap()
	document := filepath.Join(w.dir, "openapi.json")
	if err := os.WriteFile(document, w.document(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("linter", func(t *testing.T) { lintOpenAPI(t, document) })
	t.Run("client", func(t *testing.T) { generatedClient(t, w) })
}

// document is what the control plane says of its API.
func (w *world) document() []byte {
	w.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get("https://" + w.api + "/openapi.json")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %v", resp.Status, err)
	}
	return data
}

// lintOpenAPI holds the document against the rules that Redocly recommends.
func lintOpenAPI(t *testing.T, document string) {
	testkit.Programs(t, "node")
	program, err := filepath.Abs("../tools/redocly/node_modules/.bin/redocly")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		testkit.Missing(t, "what tools/redocly names")
	}
	lint := exec.Command(program, "lint", "--extends", "recommended", "--format", "json", document)
	lint.Dir = filepath.Dir(document)
	lint.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "HOME="+lint.Dir)
	var stderr strings.Builder
	lint.Stderr = &stderr
	out, err := lint.Output()
	var found struct {
		Totals   *struct{ Errors, Warnings, Ignored int }
		Problems []struct{ RuleID, Severity, Message string }
	}
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil || found.Totals == nil {
		t.Fatalf("%v, %v: %s\n%s", err, jsonErr, out, stderr.String())
	}
	if n := found.Totals; err != nil || n.Errors+n.Warnings+n.Ignored > 0 {
		t.Errorf("%v, %+v: %+v", err, *n, found.Problems)
	}
}

// pageBlock is what the section of docs/api.md about clients has between fences of a kind.
func pageBlock(t *testing.T, kind string) string {
	t.Helper()
	_, section, _ := strings.Cut(string(testkit.ReadData(t, "../docs/api.md")), "\n## A client of your own\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, _ := strings.Cut(section, "\n```"+kind+"\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !closed {
		t.Fatalf("docs/api.md has no block of %s about clients", kind)
	}
	return block + "\n"
}

// generatedClient generates a client of all operations, compiles it and runs it.
func generatedClient(t *testing.T, w *world) {
	testkit.Programs(t, "curl")
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join("../tools/client", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "MEZU_TOKEN="+w.token, "MEZU_API=https://"+w.api, "MEZU_CA_FILE="+w.caFile(), "CGO_ENABLED=0", "GOWORK=off")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	// Generated is as docs/api.md says, and what it has of the client's use is compiled too.
	run("sh", "-ec", pageBlock(t, "sh"))
	if err := os.WriteFile(filepath.Join(dir, "shop.go"), []byte(pageBlock(t, "go")), 0o600); err != nil {
		t.Fatal(err)
	}
	run("go", "build", "-trimpath", "-o", "client", ".")
	invoke[mezu.Organization](w, w.client, api.OpCreateOrganization, mezu.Organization{Name: "acme"})
	id := run(filepath.Join(dir, "client"), "https://"+w.api, w.caFile(), "acme", "generated")
	made := invoke[mezu.Project](w, w.client, api.OpGetProject, nil, "acme", "generated")
	if made.ID != id || made.DisplayName != "Changed by a generated client" || len(made.Roles["staff"].Permissions) != 1 {
		t.Errorf("the client printed %q; the project is %+v", id, made)
	}
}
