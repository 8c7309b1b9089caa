package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// post sends a body to an address, and gives status and body of the answer.
func (p *tunneller) post(url, media string, body []byte) (int, string) {
	p.t.Helper()
	resp, err := p.world.client().Post(url, media, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// kept are the requests that are kept and fit a filter, newest first. It waits until there are so
// many: a request is kept a moment after its answer was sent.
func (p *tunneller) kept(filter string, many int) []mezu.Exchange {
	p.t.Helper()
	var all []mezu.Exchange
	until(p.t, fmt.Sprintf("%d requests fit %q", many, filter), func() bool {
		out, _ := p.do("requests", "list", "--filter", filter, "-o", "json")
		all = nil
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			p.t.Fatal(err)
		}
		for _, e := range all {
			if e.Open {
				return false
			}
		}
		return len(all) == many
	})
	return all
}

// TestRequests is a day with mezu requests, against a daemon with a tunnel to a workload and one
// without.
func TestRequests(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	binary := []byte("a\x00b\r\n\xff\x1b[2J")
	app, end := mortal(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "event: order\ndata: {\"n\": 1}\n\ndata: two\x1b[2J\n\n")
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.Header.Get("X-Fail") != "" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		w.Write(append(body, r.Header.Get("X-More")...))
	})
	answer := filepath.Join(t.TempDir(), "answer.json")
	if err := os.WriteFile(answer, []byte(`{"ok": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	hooks := p.openDetached("--capture-only", "--answer", "202:"+answer, "--name", "hooks")
	url := p.openDetached(app, "--name", "app")

	t.Run("capture only", func(t *testing.T) {
		p := p.in(t)
		if status, body := p.post(hooks+"/hooks/stripe?x=1&token=geheim", "application/json", []byte(`{"a": 1}`)); status != 202 || body != `{"ok": true}` {
			t.Errorf("%d %q", status, body)
		}
		p.kept("path:/hooks/*", 1)
		if out, _ := p.do("tunnel", "list"); !strings.Contains(out, "hooks\tcapture only\tlive\t") {
			t.Errorf("%s", out)
		}
		name := strings.SplitN(strings.TrimPrefix(hooks, "https://shop-"), "-hooks-", 2)[0] + "-hooks"
		if out, _ := p.do("tunnel", "show", name); !strings.Contains(out, "workload\tnone, every request is answered 202, 12 B of application/json\n") {
			t.Errorf("%s", out)
		}
		if out, talk := p.do("status", "shop/"+name); !strings.Contains(out+talk, "capture only") {
			t.Errorf("%s%s", out, talk)
		}
		if _, out, talk := p.mezu("doctor"); !strings.Contains(out+talk, "capture only: the daemon answers every request itself") {
			t.Errorf("%s%s", out, talk)
		}
		// The same once more is the same tunnel, and nothing of it is changed.
		if again := p.openDetached("--capture-only", "--answer", "202:"+answer, "--name", "hooks"); again != hooks {
			t.Errorf("%s and then %s", hooks, again)
		}
	})

	t.Run("look", func(t *testing.T) {
		p := p.in(t)
		p.post(url+"/bytes", "application/octet-stream", binary)
		e := p.kept("path:/bytes", 1)[0]
		if out, talk := p.do("requests", "list"); strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, e.ID+"\t") || strings.Contains(out+talk, "geheim") {
			t.Errorf("%s%s", out, talk)
		}
		if out, _ := p.do("requests", "list", "--limit", "1", "-o", "yaml"); !strings.HasPrefix(out, "- ") || strings.Count(out, "\n- ") != 0 {
			t.Errorf("%s", out)
		}
		for _, side := range []string{local.SideRequest, local.SideResponse} {
			if out, talk := p.do("requests", "show", e.ID, "--body", side); out != string(binary) || talk != "" {
				t.Errorf("%s: %q %q", side, out, talk)
			}
			if out, _ := p.do("requests", "show", e.ID[:6], "--body", side, "--hex"); !strings.Contains(out, "61 00 62 0d") {
				t.Errorf("%s: %q", side, out)
			}
		}
		out, _ := p.do("requests", "show", "latest")
		for _, want := range []string{"POST /bytes → 200", "── request ──", "Content-Type: application/octet-stream\n", "── body 10 B, binary ──", "── response ──", "── timing ──"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%q drives the terminal", out)
		}
		var d mezu.ExchangeDetail
		if out, _ := p.do("requests", "show", e.RequestID, "-o", "json"); json.Unmarshal([]byte(out), &d) != nil || d.ID != e.ID || d.Request.Body.Size != int64(len(binary)) {
			t.Errorf("%s", out)
		}
		for id, want := range map[string]int{"0000000000": 4, "@900": 4, "": 2} {
			if code, _, talk := p.mezu("requests", "show", id); code != want {
				t.Errorf("%q: %d, %s", id, code, talk)
			}
		}
		if code, _, talk := p.mezu("requests", "list", "--filter", "status:many"); code != 2 {
			t.Errorf("%d, %s", code, talk)
		}
	})

	t.Run("frames", func(t *testing.T) {
		p := p.in(t)
		p.get(url + "/events")
		p.kept("path:/events is:sse", 1)
		out, _ := p.do("requests", "show", "latest", "--frames")
		if !regexp.MustCompile(`^1\t[0-9TZ:.-]+\t←\tevent\t\d+ B\torder \{"n": ?1\}\n2\t[0-9TZ:.-]+\t←\tevent\t\d+ B\tmessage two`).MatchString(out) || strings.Contains(out, "\x1b") {
			t.Errorf("%q", out)
		}
		if out, _ := p.do("requests", "show", "latest", "--frame", "1"); !strings.Contains(out, `{"n": 1}`) {
			t.Errorf("%q", out)
		}
		if code, _, talk := p.mezu("requests", "show", "latest", "--frame", "3"); code != 4 {
			t.Errorf("%d, %s", code, talk)
		}
		p.do("requests", "clear", "--filter", "is:sse", "--yes")
	})

	// What others write drives no terminal, and is not shown for ever (C2).
	t.Run("hostile", func(t *testing.T) {
		p := p.in(t)
		p.post(url+"/hostile?a=%1b%5b2J&b=%e2%80%ae", "text/plain", append([]byte("\x1b]0;x\a\u202e\r\n\xff"), bytes.Repeat([]byte("a"), mezu.MaxKeptBody+1)...))
		p.kept("path:/hostile", 1)
		for _, args := range [][]string{{"list"}, {"list", "-o", "json"}, {"show", "latest"}, {"show", "latest", "-o", "json"}, {"curl", "latest"}} {
			out, talk := p.do(append([]string{"requests"}, args...)...)
			if strings.ContainsAny(out+talk, "\x1b\a\r\u202e") || args[0] != "curl" && len(out) > 32<<10 {
				t.Errorf("%q: %d bytes, %.400q", args, len(out), out+talk)
			}
		}
		if out, talk := p.do("requests", "show", "latest", "--body", "request"); len(out) != mezu.MaxKeptBody || !strings.Contains(talk, "! the first 1.0 MB of 1.0 MB are kept") {
			t.Errorf("%d bytes, %s", len(out), talk)
		}
		if code, _, talk := p.mezu("requests", "replay", "latest"); code != 5 {
			t.Errorf("%d, %s", code, talk)
		}
		p.do("requests", "clear", "--filter", "path:/hostile", "--yes")
	})

	t.Run("again", func(t *testing.T) {
		p := p.in(t)
		hook, data := p.kept("path:/hooks/*", 1)[0], p.kept("path:/bytes", 1)[0]
		if out, _ := p.do("requests", "replay", hook.ID, "--to", "app", "--times", "2", "--set-header", "X-More: more"); strings.Count(out, "\treplay\n") != 2 {
			t.Errorf("%s", out)
		}
		replays := p.kept("is:replay", 2)
		if out, _ := p.do("requests", "show", replays[0].ID, "--body", "response"); out != `{"a": 1}more` || replays[0].ReplayOf != hook.ID {
			t.Errorf("%q, %+v", out, replays[0])
		}
		if code, out, _ := p.mezu("requests", "diff", hook.ID, replays[0].ID); code != 8 || !strings.Contains(out, "more") {
			t.Errorf("%d, %s", code, out)
		}
		if code, out, talk := p.mezu("requests", "diff", data.ID, data.ID); code != 0 || out != "" {
			t.Errorf("%d, %s%s", code, out, talk)
		}
		if code, _, talk := p.mezu("requests", "replay", hook.ID, "--to", "nowhere"); code != 4 {
			t.Errorf("%d, %s", code, talk)
		}
		if _, talk := p.do("requests", "pin", hook.ID); !strings.Contains(talk, "pinned "+hook.ID[:8]) {
			t.Errorf("%s", talk)
		}
	})

	t.Run("edited", func(t *testing.T) {
		p := p.in(t)
		hook := p.kept("path:/hooks/*", 3)[2]
		file := filepath.Join(t.TempDir(), "request.http")
		if err := os.WriteFile(file, []byte("PUT /edited?token="+mezu.Mask+"\nX-Fail: 1\n\n{\"a\": 2}"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.do("requests", "edit", hook.ID, "--to", "app", "--file", file)
		e := p.kept("path:/edited", 1)[0]
		if e.Method != "PUT" || e.Status != 500 {
			t.Errorf("%+v", e)
		}
		var d mezu.ExchangeDetail
		if out, _ := p.do("requests", "show", e.ID, "--unmask", "-o", "json"); json.Unmarshal([]byte(out), &d) != nil || d.Query != "?token=geheim" {
			t.Errorf("%s", out)
		}
		if err := os.WriteFile(file, []byte("PUT /edited\nno field\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, talk := p.mezu("requests", "edit", hook.ID, "--file", file); code != 2 || !strings.Contains(talk, "line 2: a field is NAME: VALUE") || !strings.Contains(talk, "--file "+file) {
			t.Errorf("%d, %s", code, talk)
		}
	})

	t.Run("follow", func(t *testing.T) {
		p := p.in(t)
		f := p.hold("requests", "list", "-f", "--limit", "1", "--filter", "path:/followed*", "-o", "json")
		p.get(url + "/followed/1")
		p.get(url + "/other")
		f.said(f.out, `"path":"/followed/1"`)
		p.get(url + "/followed/2")
		f.said(f.out, `"path":"/followed/2"`)
		p.do("daemon", "restart")
		f.said(f.talk, `(?m)^✓ the daemon is back$`)
		p.becomes(url+"/followed/3", 200)
		f.said(f.out, `"path":"/followed/3"`)
		if code := f.stop(); code != 130 {
			t.Errorf("code %d: %s", code, f.talk)
		}
		if out := f.out.String(); strings.Count(out, `"path":"/followed/1"`) != 1 || strings.Contains(out, "/other") {
			t.Errorf("%s", out)
		}
	})

	t.Run("could not be sent", func(t *testing.T) {
		p := p.in(t)
		e := p.kept("path:/followed/3 status:200", 1)[0]
		end()
		if code, out, talk := p.mezu("requests", "replay", e.ID); code != 1 || !strings.Contains(out, "workload_refused") || !strings.Contains(talk, "1 of 1 could not be sent") {
			t.Errorf("%d, %s%s", code, out, talk)
		}
		p.get(url + "/more")
		p.kept("path:/more", 1)
		har := filepath.Join(t.TempDir(), "all.har")
		p.do("requests", "har", "-O", har)
		text, err := os.ReadFile(har)
		if err != nil || !json.Valid(text) {
			t.Errorf("%s, %v", text, err)
		}
		out, _ := p.do("requests", "har", e.ID)
		if !json.Valid([]byte(out)) || len(out) >= len(text) {
			t.Errorf("%s", out)
		}
		asked := func(typed string, args ...string) (int, string) {
			var talk bytes.Buffer
			code := run(t.Context(), append([]string{"requests", "clear"}, args...), p.getenv, terminal.Streams{In: strings.NewReader(typed), Out: io.Discard, Err: &talk, InTerminal: true, ErrTerminal: true, ColorOff: true})
			return code, talk.String()
		}
		if code, talk := asked("n\n", "--filter", "path:/followed*"); code != 2 || !regexp.MustCompile(`^Remove [1-9]\d* requests? \(path:/followed\*\), but no pinned ones\? \[y/N\] mezu: nothing was removed\n$`).MatchString(talk) {
			t.Errorf("code %d, %s", code, talk)
		}
		if code, talk := asked("", "--filter", "path:/nothing-there"); code != 0 || strings.Contains(talk, "y/N") {
			t.Errorf("code %d, %s", code, talk)
		}
		p.do("requests", "clear", "--filter", "path:/followed*", "--yes")
		p.kept("path:/followed", 0)
		out, talk := p.do("requests", "web")
		if !strings.HasPrefix(out, "http://127.0.0.1:") || !strings.Contains(talk, "read-only") {
			t.Errorf("%s%s", out, talk)
		}
	})

	t.Run("examples", func(t *testing.T) {
		p := p.in(t)
		t.Chdir(t.TempDir())
		for _, verb := range []string{"list", "show", "replay", "diff", "curl", "har", "pin", "web", "clear"} {
			p.get(url + "/hooks/example") // one that ends, and fails
			p.kept("path:/hooks/example is:open", 0)
			page, _ := p.do("requests", verb, "--help")
			_, example, ok := strings.Cut(page, "\nExample:\n   mezu ")
			example, _, _ = strings.Cut(example, "\n")
			var words []string
			for i, part := range strings.Split(example, "'") {
				if i%2 == 1 {
					words = append(words, part)
				} else {
					words = append(words, strings.Fields(part)...)
				}
			}
			want := map[string]int{"diff": 8, "replay": 1}[verb] // the workload has ended
			if code, out, talk := p.mezu(words...); !ok || code != want {
				t.Errorf("mezu %q: %d, %s%s", words, code, out, talk)
			}
		}
	})

	// How much is kept is what somebody said last, whoever starts the daemon.
	t.Run("how much", func(t *testing.T) {
		p := p.in(t)
		p.do("daemon", "restart", "--inspect", "off")
		for range 2 {
			if code, _, talk := p.mezu("requests", "list"); code != 4 || !strings.Contains(talk, "mezu: this daemon keeps no requests\n  try: mezu daemon restart --inspect 500,64MiB\n") {
				t.Errorf("%d, %s", code, talk)
			}
			p.do("daemon", "restart")
		}
	})
}
