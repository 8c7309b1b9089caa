package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
)

// withFaults builds the programs that panic when a request asks for it, and makes
// the processes that follow in this test of them.
func (w *world) withFaults() {
	w.t.Helper()
	dir := w.t.TempDir()
	args := append([]string{"build", "-tags", "faults", "-o", dir + string(filepath.Separator)}, raceFlag...)
	if out, err := exec.Command("go", append(args, "../cmd/warpgate", "../cmd/mezusphere")...).CombinedOutput(); err != nil {
		w.t.Fatalf("building the programs: %v\n%s", err, out)
	}
	w.faulty = dir
}

// TestP36_Panic: a panic in an edge or a Warpgate costs the request that it came of
// an answer, and nobody else anything. A program as it is built for use knows of no
// such wish.
func TestP36_Panic(t *testing.T) {
	t.Parallel()
	wl := newWorkload(t, false)
	w := newWorld(t, 1, open)
	asBuilt := w.edges[0]
	g := w.addGate("as-built", wl.addr())
	ask := func(client *http.Client, place string) (int, mezu.Code, error) {
		req, err := http.NewRequest("GET", "https://"+w.host+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Test-Fault", place)
		resp, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		var problem struct{ Code mezu.Code }
		if resp.StatusCode != http.StatusOK {
			err = json.NewDecoder(resp.Body).Decode(&problem)
		}
		return resp.StatusCode, problem.Code, err
	}
	for _, place := range []string{"edge", "warpgate"} {
		if status, _, err := ask(w.http(asBuilt), place); status != http.StatusOK {
			t.Fatalf("a program as built for use answers %d, %v", status, err)
		}
	}

	if code := g.stop(); code != 0 {
		t.Fatalf("the Warpgate ends with %d", code)
	}
	w.withFaults()
	e := w.addEdge("edge-2")
	faulty := w.addGate("faulty", wl.addr())
	for name, client := range map[string]*http.Client{"h1": w.http(e), "h2": w.http2(e)} {
		for place, counter := range map[string]struct{ addr, series string }{
			"edge": {e.admin, "mezu_edge_panics_total"}, "warpgate": {faulty.health, "mezu_warpgate_panics_total"},
		} {
			t.Run(name+"/"+place, func(t *testing.T) {
				before, err := metric(counter.addr, counter.series)
				if err != nil {
					t.Fatal(err)
				}
				// Others are under way meanwhile, on the same connection in HTTP/2.
				beside := make(chan error, 1)
				holds := wl.holds.Load()
				go func() { beside <- w.getOK(client, "/hold") }()
				eventually(t, "one under way", func() error {
					if wl.holds.Load() == holds {
						return fmt.Errorf("not yet")
					}
					return nil
				})
				if status, code, err := ask(client, place); status != http.StatusInternalServerError || code != mezu.CodeInternal {
					t.Errorf("the answer is %d %s, %v", status, code, err)
				}
				if after, err := metric(counter.addr, counter.series); err != nil || after != before+1 {
					t.Errorf("%s went from %v to %v, %v", counter.series, before, after, err)
				}
				wl.release <- struct{}{}
				if err := <-beside; err != nil {
					t.Errorf("the request beside it: %v", err)
				}
				if err := w.getOK(client, "/after"); err != nil {
					t.Errorf("the request after it: %v", err)
				}
			})
		}
	}
	if !e.runs() || !faulty.runs() {
		t.Error("a process has ended")
	}
}

// runs reports whether the process has not ended.
func (p *process) runs() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

func (w *world) getOK(client *http.Client, path string) error {
	resp, err := client.Get("https://" + w.host + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
