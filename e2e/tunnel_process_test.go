package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// newTunneller is somebody whose commands open tunnels to the environment of w, in a local
// daemon of their own.
func (w *world) newTunneller(env ...string) *person {
	w.t.Helper()
	p := &person{w: w, home: w.t.TempDir(), env: append([]string{"MEZU_API=https://" + w.api, "MEZU_CA_FILE=" + w.caFile(), "MEZU_TOKEN=" + w.token,
		"MEZU_ORG=acme", "MEZU_PROJECT=shop", "MEZU_ENVIRONMENT=production"}, env...)}
	w.t.Cleanup(func() {
		if code, _, talk := p.mezu("", "daemon", "stop"); code != 0 {
			w.t.Errorf("stopping the daemon: code %d, %s", code, talk)
		}
	})
	return p
}

// do runs a command that has to succeed.
func (p *person) do(args ...string) (out, talk string) {
	p.w.t.Helper()
	code, out, talk := p.mezu("", args...)
	if code != 0 {
		p.w.t.Fatalf("mezu %q: code %d, %s%s", args, code, out, talk)
	}
	return out, talk
}

// daemon is the local daemon in the foreground.
func (p *person) daemon() *process {
	p.w.t.Helper()
	d := startWith(p.w.t, "mezu daemon", p.command().Env, filepath.Join(binaries, "mezu"), "daemon", "run")
	eventually(p.w.t, "the daemon", func() error {
		if code, _, talk := p.mezu("", "daemon", "status"); code != 0 {
			return errors.New(talk)
		}
		return nil
	})
	return d
}

// status is what the local daemon says of itself.
func (p *person) status() local.Status {
	p.w.t.Helper()
	out, _ := p.do("daemon", "status", "-o", "json")
	var is local.Status
	if err := json.Unmarshal([]byte(out), &is); err != nil {
		p.w.t.Fatal(err)
	}
	return is
}

// tunnel is the record of the only tunnel.
func (p *person) tunnel() mezu.Tunnel {
	p.w.t.Helper()
	out, _ := p.do("tunnel", "list", "-o", "json")
	var all []mezu.Tunnel
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		p.w.t.Fatalf("%s: %v", out, err)
	}
	return all[0]
}

// attached is "mezu tunnel --json" as a process.
type attached struct{ *process }

func (p *person) attach(args ...string) *attached {
	p.w.t.Helper()
	return &attached{startWith(p.w.t, "mezu tunnel", p.command().Env, filepath.Join(binaries, "mezu"), append([]string{"tunnel", "--json"}, args...)...)}
}

// events are those that it has written until now.
func (a *attached) events() (all []mezu.Event) {
	a.t.Helper()
	for line := range strings.Lines(a.out.String()) {
		if !strings.HasSuffix(line, "\n") {
			break // the rest is on its way
		}
		var e mezu.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			a.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// tells waits for an event that matches, and gives it.
func (a *attached) tells(what string, match func(mezu.Event) bool) (found mezu.Event) {
	a.t.Helper()
	eventually(a.t, what, func() error {
		all := a.events()
		i := slices.IndexFunc(all, match)
		if i < 0 {
			select {
			case <-a.gone:
				a.t.Fatalf("it ended without %s: %s%s", what, a.out.String(), a.log.String())
			default:
			}
			return fmt.Errorf("%+v", all)
		}
		found = all[i]
		return nil
	})
	return found
}

func (a *attached) ready() mezu.Event {
	a.t.Helper()
	return a.tells("ready", func(e mezu.Event) bool { return e.Event == mezu.EventReady })
}

// requested waits for the event of a request.
func (a *attached) requested(path string) mezu.Event {
	a.t.Helper()
	return a.tells("the request of "+path, func(e mezu.Event) bool { return e.Event == mezu.EventRequest && e.Path == path })
}

// runs checks that it has not ended.
func (a *attached) runs() {
	a.t.Helper()
	select {
	case <-a.gone:
		a.t.Fatalf("it has ended: %s%s", a.out.String(), a.log.String())
	default:
	}
}

// ask sends a request through an edge on a connection of its own, and gives the status and the
// body.
func (w *world) ask(e *edgeNode, path string) (status int, body string, err error) {
	client := w.http(e)
	defer client.CloseIdleConnections()
	client.Timeout = patience / 4
	resp, err := client.Get("https://" + w.host + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(text), err
}

// good waits until a request is answered with 200.
func (w *world) good(e *edgeNode, path string) {
	w.t.Helper()
	eventually(w.t, path, func() error {
		status, body, err := w.ask(e, path)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
}

// backBy checks how long it took from since until now.
func backBy(t *testing.T, what string, since time.Time, bound time.Duration) {
	t.Helper()
	took := time.Since(since)
	t.Logf("back after %s: %v", what, took.Round(10*time.Millisecond))
	if took > slower(bound) {
		t.Errorf("it took %v to come back after %s", took, what)
	}
}

// errWaiting says that what a test waits for has not happened yet.
var errWaiting = errors.New("not yet")
