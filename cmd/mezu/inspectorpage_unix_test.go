//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// received is a workload that keeps what it gets.
type received struct {
	mu      sync.Mutex
	bodies  []string
	heads   []http.Header
	queries []string
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if req.URL.Path == "/" { // the daemon looks what speaks here
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies, r.heads, r.queries = append(r.bodies, string(body)), append(r.heads, req.Header), append(r.queries, req.URL.RawQuery)
	w.WriteHeader(http.StatusOK)
}

// shownIn are what a text of the page shows that an output has to have: paths, masks and names
// of JSON with strings.
var shownIn = regexp.MustCompile(`/[a-z/]+\?x=1|••••••|"[a-z]+": "[a-z_.]+"`)

// TestInspectorPage runs the commands of docs/inspector.md as they are written there, one after
// the other: from the webhook that nobody waits for to the one that curl sends again through the
// edge. What the workload gets is what came, byte for byte.
func TestInspectorPage(t *testing.T) {
	testkit.Programs(t, "sh", "curl", "jq")
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	got := &received{}
	address := workload(t, got.ServeHTTP)
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "mezu"), []byte("#!/bin/sh\nMEZU_TEST_PROGRAM=1 exec "+os.Args[0]+` "$@"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	list := examples(t, filepath.Join("..", "..", "docs", "inspector.md"), "## Webhooks from first to last")
	if len(list) < 12 {
		t.Fatalf("the page has %d examples only", len(list))
	}
	const mark = "\n@ end of example\n"
	var script strings.Builder
	for _, e := range list {
		fmt.Fprintf(&script, "%s\nprintf '%s'\n", regexp.MustCompile(`\b8080\b`).ReplaceAllString(e.commands, address[strings.LastIndex(address, ":")+1:]), strings.ReplaceAll(mark, "\n", `\n`))
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LANG=C.UTF-8", "CURL_CA_BUNDLE=" + p.env["MEZU_CA_FILE"], "GORACE=" + os.Getenv("GORACE")}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	outputs := strings.Split(string(out), mark)
	if err != nil || len(outputs) != len(list)+1 {
		t.Fatalf("%v after %d of %d examples:\n%s%s", err, len(outputs)-1, len(list), out, &talk)
	}
	for i, e := range list {
		for _, want := range shownIn.FindAllString(e.shown, -1) {
			if !strings.Contains(outputs[i], want) {
				t.Errorf("the page shows %s after\n%swhich says\n%s", want, e.commands, outputs[i])
			}
		}
	}
	const hook, refund = `{"id": "evt_1PzX", "type": "payment_intent.succeeded", "amount": 4200}`, `{"id": "evt_1PzY", "type": "charge.refunded", "amount": 4200}`
	event, err := os.ReadFile(filepath.Join(dir, "event.json"))
	if err != nil || string(event) != hook {
		t.Errorf("%q, %v", event, err)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	// Replayed once, three times with another field, and edited. What curl sends goes to the
	// address that it came to.
	if want := []string{hook, hook, hook, hook, refund}; !slices.Equal(got.bodies, want) {
		t.Fatalf("the workload got %q", got.bodies)
	}
	for i, h := range got.heads {
		debug := ""
		if i >= 1 && i <= 3 {
			debug = "1"
		}
		if h.Get("Stripe-Signature") != "t=1764165747,v1=5257a869e7ec" || h.Get("Content-Type") != "application/json" || h.Get("X-Debug") != debug {
			t.Errorf("%d: %v", i, h)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "hooks.har")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if strings.Contains(string(out)+talk.String(), "5257a869e7ec") {
		t.Errorf("a secret is shown:\n%s%s", out, &talk)
	}
}
