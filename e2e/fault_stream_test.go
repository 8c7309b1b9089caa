package e2e

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/trust"
)

// pipe is a pipe whose writing end is for a process.
func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

// gonePipe is a pipe whose reader is gone.
func gonePipe(t *testing.T) *os.File {
	t.Helper()
	reader, writer := pipe(t)
	reader.Close()
	return writer
}

// startInto is start with stdout and stderr of the test's own. The process alone has
// them from then on.
func startInto(t *testing.T, name string, out, err *os.File, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, gone: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(binaries, program), args...)
	p.cmd.Stdout, p.cmd.Stderr = out, err
	p.cmd.Env = append(os.Environ(), "MEZU_HOME="+t.TempDir())
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	err.Close()
	go p.wait()
	t.Cleanup(p.cleanup)
	return p
}

// anonymousHandshake makes an edge log a line.
func anonymousHandshake(t *testing.T, addr string) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: mezu.TunnelServerName, NextProtos: []string{mezu.ProtocolControl}})
	if err == nil {
		// The refusal of a client without a certificate comes with the first read.
		_, err = conn.Read(make([]byte, 1))
		conn.Close()
	}
	if err == nil {
		t.Error("an anonymous tunnel was taken")
	}
}

// TestStreamReaderGone is row 23: when whoever read the log went away, the next line,
// which any client's handshake writes, ended each of the programs.
func TestStreamReaderGone(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t), admin: freeAddr(t)}
	e := &edgeNode{w: w, name: "edge", https: freeAddr(t), admin: freeAddr(t)}
	w.control = startInto(t, "all", gonePipe(t), gonePipe(t), "mezusphere", "all", "--state", w.dir, "--domain", "localhost",
		"--api-addr", w.api, "--admin-addr", w.admin, "--edge-admin-addr", e.admin, "--https-addr", e.https)
	e.process, w.edges = w.control, []*edgeNode{e}
	healthy(t, w.admin)
	w.bootstrap()
	healthy(t, e.admin)
	w.makeProject([]mezu.Route{open})
	g := &gate{w: w, health: freeAddr(t)}
	g.process = startInto(t, "gate", gonePipe(t), gonePipe(t), "warpgate", "--json", "--api", "https://"+w.api, "--ca-file", w.caFile(),
		"--token-file", w.secretFile("gate.key", w.key), "--upstream", newWorkload(t, false).addr(), "--state", filepath.Join(w.dir, "gate"), "--health-addr", g.health)
	healthy(t, g.health)
	w.reachable(e)
	for range 3 {
		anonymousHandshake(t, e.https)
		if code := statusOf(t, w.http(e), "https://"+w.host+"/"); code != 200 {
			t.Errorf("status %d", code)
		}
	}
	for addr, series := range map[string]string{w.admin: "mezusphere_log_lines_dropped_total", e.admin: "mezu_edge_log_lines_dropped_total", g.health: "mezu_warpgate_lines_dropped_total"} {
		if n := measured(t, addr, series); n < 3 {
			t.Errorf("%s is %v", series, n)
		}
	}
	for _, p := range []*process{g.process, w.control} {
		if code := p.stop(); code != exit.Done {
			t.Errorf("%s ended with %d", p.name, code)
		}
	}
}

func statusOf(t *testing.T, c *http.Client, url string) int {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// devClient is a client of a mezu dev that is ready.
func devClient(t *testing.T, ready mezu.Event) *http.Client {
	t.Helper()
	u, err := url.Parse(ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := trust.LoadRoots(ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dialTo("127.0.0.1:" + u.Port()), TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// TestStreamReaderStalls is row 23: when whoever read --json stopped reading, all
// traffic of mezu dev hung. Now events wait as far as there is room, those beyond are
// counted, and an end that is asked for comes.
func TestStreamReaderStalls(t *testing.T) {
	t.Parallel()
	out, w1 := pipe(t)
	_, w2 := pipe(t)
	p := startInto(t, "dev", w1, w2, "mezu", "dev", "--json", "--ephemeral", "--https-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", newWorkload(t, false).addr())
	events := bufio.NewScanner(out)
	events.Buffer(nil, 1<<20)
	next := func() (e mezu.Event) {
		if !events.Scan() {
			t.Fatalf("no further event: %v", events.Err())
		}
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	var ready mezu.Event
	for ready = next(); ready.Event != mezu.EventReady; ready = next() {
	}
	client := devClient(t, ready)
	// Each event has some 8 KB, so that 300 are more than pipe and queue take.
	const requests = 300
	for i := range requests {
		if code := statusOf(t, client, fmt.Sprintf("%s/%d/%s", ready.URL, i, strings.Repeat("x", 8000))); code != 200 {
			t.Fatalf("status %d", code)
		}
	}
	// Each stands where it belongs, once: what was dropped is told where it is missing. The last
	// one may come late, when there is room again. A client has its answer before the event is
	// there, so that the events of the next few requests may overtake it.
	const overtaken = 4
	seen, dropped, told := 0, 0, map[int]bool{}
	for seen+dropped < requests {
		switch e := next(); {
		case e.Code == mezu.CodeOverloaded:
			var lines int
			if _, err := fmt.Sscan(e.Message, &lines); err != nil {
				t.Fatal(err)
			}
			dropped += lines
		case e.Event == mezu.EventRequest:
			var n int
			if _, err := fmt.Sscanf(e.Path, "/%d/", &n); err != nil {
				t.Fatal(err)
			}
			if off := n - seen - dropped; told[n] || off < -overtaken || off > overtaken {
				t.Fatalf("after %d seen and %d dropped came %.10s", seen, dropped, e.Path)
			}
			told[n] = true
			seen++
		}
	}
	if seen+dropped != requests || seen < 100 || dropped < 10 {
		t.Errorf("%d seen, %d dropped of %d", seen, dropped, requests)
	}
	// Nobody reads its last words either.
	if code := statusOf(t, client, ready.URL+"/"+strings.Repeat("x", 8000)); code != 200 {
		t.Errorf("status %d", code)
	}
	if code := p.stop(); code != exit.Done {
		t.Errorf("mezu dev ended with %d", code)
	}
}

// TestStreamOfACommand is row 23: a command that only prints ends as others do when
// nobody reads on.
func TestStreamOfACommand(t *testing.T) {
	t.Parallel()
	out, w := pipe(t)
	p := startInto(t, "help", gonePipe(t), w, "mezu", "--help")
	talk, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	<-p.gone
	if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGPIPE || len(talk) > 0 {
		t.Errorf("it ended with %v and said %q", p.cmd.ProcessState, talk)
	}
}
