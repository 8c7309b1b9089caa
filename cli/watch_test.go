package cli_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// watching is a command that is repeated.
type watching struct {
	t         *testing.T
	out, talk testkit.Buffer
	end       context.CancelFunc
	code      chan int
}

// see waits until the output has a text.
func (w *watching) see(text string) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(w.out.String(), text); {
		if time.Now().After(deadline) {
			w.t.Fatalf("no %q in %q, %q", text, w.out.String(), w.talk.String())
		}
		<-time.After(5 * time.Millisecond)
	}
}

// ended gives the exit code after Ctrl-C.
func (w *watching) ended() int {
	w.end()
	return <-w.code
}

// TestWatch: what changes shows at once, on a pipe as what is new, on a terminal in its place.
func TestWatch(t *testing.T) {
	endpoint := startRealPlane(t)
	client, err := endpoint.client(endpoint.token)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	env := map[string]string{"MEZU_API": endpoint.url, "MEZU_CA_FILE": endpoint.caFile, "MEZU_TOKEN": endpoint.token, "NO_COLOR": "1"}
	watch := func(t *testing.T, more map[string]string, tty bool, args ...string) *watching {
		w := &watching{t: t, code: make(chan int, 1)}
		get := func(k string) string {
			if v, ok := more[k]; ok {
				return v
			}
			return env[k]
		}
		inv := invocation.Invocation{
			Streams: terminal.Streams{In: strings.NewReader(""), Out: &w.out, Err: &w.talk, OutTerminal: tty, ErrTerminal: tty,
				Columns: func() int { return 60 }, Rows: func() int { return 6 }}.Under(get),
			Getenv: get, Dir: t.TempDir(), Profiles: profile.Store{Dir: t.TempDir()},
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.end = cancel
		go func() { w.code <- cli.Main(ctx, args, inv, cli.Config{}) }()
		t.Cleanup(func() { cancel() })
		return w
	}
	// Only news can bring what changes: the next look would be tomorrow.
	const later = "--watch=23h"
	organization := func(t *testing.T, name string) func(project string) {
		if _, err := api.Invoke[mezu.Organization](t.Context(), client, api.OpCreateOrganization, mezu.Organization{Name: name}); err != nil {
			t.Fatal(err)
		}
		// A stream of news begins at some moment from now on. What came before it is in the next
		// look, so that there has to be one more.
		return func(project string) {
			if _, err := api.Invoke[mezu.Project](t.Context(), client, api.OpCreateProject, mezu.Project{Name: project}, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	made := func(w *watching, create func(string), names ...string) {
		for _, name := range names {
			create(name)
			select {
			case <-w.code:
				w.t.Fatalf("it has ended: %s", w.talk.String())
			case <-time.After(300 * time.Millisecond):
			}
		}
	}
	t.Run("table", func(t *testing.T) {
		create := organization(t, "table")
		create("a")
		w := watch(t, nil, false, "projects", "list", "--org", "table", later)
		w.see("a\t")
		made(w, create, "b", "c")
		w.see("b\t")
		w.see("c\t")
		if got := w.ended(); got != exit.Interrupted || strings.Count(w.out.String(), "\n") != 3 || strings.Count(w.out.String(), "a\t") != 1 {
			t.Errorf("%d, %q", got, w.out.String())
		}
	})
	t.Run("json", func(t *testing.T) {
		create := organization(t, "json")
		w := watch(t, nil, false, "projects", "list", "--org", "json", later, "-o", "json")
		w.see("[]\n")
		made(w, create, "b", "c")
		w.see(`"name":"c"`)
		w.ended()
		for line := range strings.Lines(w.out.String()) {
			if !strings.HasPrefix(line, "[") || !strings.HasSuffix(line, "]\n") {
				t.Errorf("no document: %q", line)
			}
		}
	})
	t.Run("jq", func(t *testing.T) {
		create := organization(t, "jq")
		w := watch(t, nil, false, "projects", "list", "--org", "jq", later, "--jq", "length")
		w.see("0\n")
		made(w, create, "b", "c")
		w.see("2\n")
		w.ended()
	})
	t.Run("terminal", func(t *testing.T) {
		create := organization(t, "terminal")
		create("a")
		w := watch(t, nil, true, "projects", "list", "--org", "terminal", later)
		w.see("\x1b[?1049h")
		made(w, create, "b", "c", "d", "e")
		w.see("and more: -o json has all of it")
		w.see("mezu projects list, every 23h")
		if got := w.ended(); got != exit.Interrupted || !strings.Contains(w.out.String(), "\x1b[?25h\x1b[?1049lNAME") || !strings.HasSuffix(w.talk.String(), "mezu: interrupted\n") {
			t.Errorf("%d, %q, %q", got, w.out.String(), w.talk.String())
		}
	})
	t.Run("dumb terminal", func(t *testing.T) {
		create := organization(t, "dumb")
		create("a")
		w := watch(t, map[string]string{"TERM": "dumb"}, true, "projects", "list", "--org", "dumb", later)
		w.see("a")
		made(w, create, "b", "c")
		w.see("\nc")
		w.ended()
		if strings.Contains(w.out.String(), "\x1b") || strings.Count(w.out.String(), "ROLES") != 1 {
			t.Errorf("%q", w.out.String())
		}
	})
	t.Run("at an end", func(t *testing.T) {
		create := organization(t, "gone")
		create("a")
		w := watch(t, nil, false, "projects", "show", "a", "--org", "gone", "--watch", "1s")
		w.see("name\ta\n")
		if err := client.Do(t.Context(), api.Call{Operation: api.OpDeleteProject, Params: []string{"gone", "a"}}, nil); err != nil {
			t.Fatal(err)
		}
		if got := <-w.code; got != exit.NotFound {
			t.Errorf("%d, %q", got, w.talk.String())
		}
	})
	t.Run("audit", func(t *testing.T) {
		create := organization(t, "audit")
		w := watch(t, nil, false, "audit", "--org", "audit", "--watch")
		for name := 'a'; name <= 'z' && !strings.Contains(w.out.String(), "\tcreate-project\t"); name++ {
			made(w, create, string(name))
		}
		w.see("\tcreate-project\t")
		if got := w.ended(); got != exit.Interrupted {
			t.Errorf("%d, %q", got, w.talk.String())
		}
	})
}
