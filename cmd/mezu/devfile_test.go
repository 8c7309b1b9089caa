package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// answers waits until a path answers as it should.
func answers(t *testing.T, client *http.Client, url string, status int, body string) {
	t.Helper()
	late := time.After(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := client.Get(url)
		got := fmt.Sprint(err)
		if err == nil {
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if got = fmt.Sprintf("%d %s", resp.StatusCode, data); err == nil && resp.StatusCode == status && strings.Contains(string(data), body) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %s, want %d %s", url, got, status, body)
		}
	}
}

// TestDevFile: a file is applied at the start and when it changes, what it names is
// forwarded to, and one that is broken changes nothing.
func TestDevFile(t *testing.T) {
	workload := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	one, two := workload("workload one"), workload("workload two")
	path := filepath.Join(t.TempDir(), "mezu.yaml")
	write := func(text string) {
		t.Helper()
		// As editors do: another file takes its place.
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("organization: acme\nenvironments:\n  staging:\n    routes:\n      - {exact: /one, upstream: \"" + one + "\"}\n")
	r := start(t, t.TempDir(), "--file", path)
	if r.ready.Organization != "acme" || r.ready.Environment != "staging" || r.ready.Project != "shop" {
		t.Errorf("%+v", r.ready)
	}
	client := r.client()
	defer client.CloseIdleConnections()
	answers(t, client, r.ready.URL+"/one", 200, "workload one")
	answers(t, client, r.ready.URL+"/", 404, "no_route")

	write("organization: acme\nenvironments:\n  staging:\n    routes:\n      - {exact: /two, upstream: \"" + two + "\"}\n")
	answers(t, client, r.ready.URL+"/two", 200, "workload two")
	answers(t, client, r.ready.URL+"/one", 404, "no_route")
	// What the file no longer names is not forwarded to, whoever makes the route.
	if code, _, talk := r.mezu("routes", "create", "--exact", "/back", "--upstream", one); code != 0 {
		t.Fatal(talk)
	}
	answers(t, client, r.ready.URL+"/back", 502, "upstream_not_allowed")

	for text, want := range map[string]string{
		"environments:\n  staging:\n    rutes: []\n":          "mezu.yaml:3:5: environments.staging.rutes: is not a field",
		"environments:\n  staging: {directory: nowhere}\n":    "mezu.yaml:2:13: environments.staging.directory: neither",
		"organization: other\nenvironments:\n  staging: {}\n": "mezu.yaml:1:1: organization: is \"other\"",
		"environments: {\n": "mezu.yaml:1:15: is not YAML",
	} {
		write(text)
		if e := r.await(mezu.EventError); !strings.Contains(e.Message, want) || e.Code != mezu.CodeInvalid {
			t.Errorf("%q: %+v, want %s", text, e, want)
		}
		answers(t, client, r.ready.URL+"/two", 200, "workload two")
	}
	// A file that is away for a while is no empty file.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("environments:\n  staging:\n    routes:\n      - {exact: /three, upstream: \"" + two + "\"}\n")
	answers(t, client, r.ready.URL+"/three", 200, "workload two")
	if code := r.stop(); code != 0 {
		t.Errorf("stopped with %d: %s", code, r.errors)
	}
}
