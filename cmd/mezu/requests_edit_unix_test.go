//go:build unix

package main

import (
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
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

// TestRequestsInAnEditor: what is saved is sent, to a workload that gets it with the secrets that
// nobody saw. What isn't changed is not, and what is wrong is kept.
func TestRequestsInAnEditor(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	got := &received{}
	url := p.openDetached(workload(t, got.ServeHTTP), "--name", "app")
	tmp := t.TempDir()
	// edit opens the editor at a terminal: a script that is called with the file as $2.
	edit := func(t *testing.T, script string) *atTerminal {
		editor := filepath.Join(t.TempDir(), "an editor")
		if err := os.WriteFile(editor, []byte("#!/bin/sh\ntest \"$1\" = --wait || exit 3\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		env := maps.Clone(p.env)
		env["VISUAL"], env["TMPDIR"] = "'"+editor+"' --wait", tmp
		q := &tunneller{&person{t: t, env: env}, world}
		return q.at(t.TempDir(), "requests", "edit", "@1")
	}
	left := func(t *testing.T) []string {
		files, err := filepath.Glob(filepath.Join(tmp, "mezu-edit-*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return files
	}

	// A shell sends the same bytes, whatever they mean to it.
	t.Run("as curl", func(t *testing.T) {
		testkit.Programs(t, "sh", "curl")
		p := p.in(t)
		body := []byte("'\"$`\\!%d%%\n\n$(touch owned)'`touch owned`")
		for i := range 256 {
			body = append(body, byte(i))
		}
		p.post(url+"/it's?q='$(touch%20owned)'&b=%60%22\\&token=geheim", "text/'\"$`", body)
		p.kept("path:/it's", 1)
		script, _ := p.do("requests", "curl", "latest", "--unmask")
		dir := t.TempDir()
		cmd := exec.Command("sh", "-eu", "-c", script)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "CURL_CA_BUNDLE=" + p.env["MEZU_CA_FILE"]}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, out, script)
		}
		if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
			t.Errorf("the shell made %v, %v", made, err)
		}
		got.mu.Lock()
		defer got.mu.Unlock()
		n := len(got.bodies) - 1
		if got.bodies[n] != string(body) || got.bodies[n-1] != string(body) || got.queries[n] != got.queries[n-1] || got.heads[n].Get("Content-Type") != "text/'\"$`" || !strings.Contains(got.queries[n], "token=geheim") {
			t.Errorf("%q %q\n%q %q\n%v", got.bodies[n], got.queries[n], got.bodies[n-1], got.queries[n-1], got.heads[n])
		}
	})
	p.post(url+"/in?token=geheim&x=1", "text/plain", []byte("first"))
	p.kept("path:/in", 1)

	t.Run("unchanged", func(t *testing.T) {
		a := edit(t, `grep -q '^POST /in?token=••••••&x=1 ' "$2" && ls -ld "${2%/*}" "$2" && sed 's/$/!/' "$2"`)
		a.said(a.out, `nothing was changed, so nothing was sent`)
		if code := a.ended(); code != 0 {
			t.Errorf("code %d: %s", code, a.out)
		}
		// Nothing asks the terminal for its colours, which would wait for an answer.
		if out := a.out.String(); strings.Contains(out, "\x1b") || !regexp.MustCompile(`(?m)^drwx------ .*\n-rw------- `).MatchString(strings.ReplaceAll(out, "\r", "")) || strings.Contains(out, "geheim") || !strings.Contains(out, "first!") {
			t.Errorf("%s", out)
		}
	})
	t.Run("changed", func(t *testing.T) {
		a := edit(t, `sed -e 's/^POST /PUT /' -e 's/x=1/x=2/' -e 's/^first$/second/' "$2" > "$2.new" && mv "$2.new" "$2"`)
		a.said(a.out, `PUT +200 `)
		if code := a.ended(); code != 0 {
			t.Errorf("code %d: %s", code, a.out)
		}
		p.kept("path:/in is:replay header:content-type=text/plain", 1)
		got.mu.Lock()
		defer got.mu.Unlock()
		if n := len(got.bodies) - 1; n < 1 || got.bodies[n] != "second" || got.queries[n] != "token=geheim&x=2" {
			t.Errorf("%q %q", got.bodies, got.queries)
		}
	})
	t.Run("in the browser", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("BROWSER counts on Linux")
		}
		dir := t.TempDir()
		browser := filepath.Join(dir, "browser")
		if err := os.WriteFile(browser, []byte("#!/bin/sh\ncat \"${1#file://}\" > "+dir+"/page\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		env := maps.Clone(p.env)
		env["BROWSER"] = browser
		a := (&tunneller{&person{t: t, env: env}, world}).at(dir, "requests", "web")
		shown := strings.TrimSpace(a.said(a.out, `http://127\.0\.0\.1:\d+/\S+\r`))
		if code := a.ended(); code != 0 {
			t.Errorf("code %d: %s", code, a.out)
		}
		if opened, err := os.ReadFile(filepath.Join(dir, "page")); err != nil || !strings.Contains(string(opened), `url=`+shown+`"`) {
			t.Errorf("%s is shown and %q opened, %v", shown, opened, err)
		}
	})
	t.Run("failed", func(t *testing.T) {
		a := edit(t, `exit 9`)
		a.said(a.out, `ended with code 9, so nothing was sent`)
		if code := a.ended(); code != 1 || len(left(t)) != 0 {
			t.Errorf("code %d, %q: %s", code, left(t), a.out)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		a := edit(t, `printf 'PUT /\nnothing\n' > "$2"`)
		a.said(a.out, `what you wrote is no request: line 2: `)
		if code := a.ended(); code != 2 {
			t.Errorf("code %d: %s", code, a.out)
		}
		files := left(t)
		if len(files) != 1 {
			t.Fatalf("kept are %q", files)
		}
		if text, err := os.ReadFile(files[0]); err != nil || string(text) != "PUT /\nnothing\n" {
			t.Errorf("%q, %v", text, err)
		}
	})
}
