package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/mezusphere/mezu"
)

// interrupted is the exit code after a second signal.
const interrupted = 130

// saysWhatItWaitsFor waits until the log of a program that ends names the three requests under way.
func (p *process) saysWhatItWaitsFor() {
	p.t.Helper()
	eventually(p.t, "the log to say what is waited for", func() error {
		if log := p.log.String(); !strings.Contains(log, ` waiting_for="3 requests under way (`) || !strings.Contains(log, `hint="another signal cuts them"`) {
			return errors.New("it does not")
		}
		return nil
	})
}

// TestDrainWarpgate: the first SIGTERM lets requests under way end and takes no
// new ones, the second cuts.
func TestDrainWarpgate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	g := w.addStationGates(1)[0]
	e := w.edges[0]
	client := w.http(e)

	held, stream := w.hold(e, "POST", 2), w.stream(w.http2(e))
	g.station.holds(t, 2)
	g.signal(syscall.SIGTERM)
	unready(t, g.health)
	g.saysWhatItWaitsFor()
	eventually(t, "the edge to send nothing new", func() error { return e.answers(client, "/", mezu.CodeNoWarpgate) })
	stream.goesOn(t)
	g.station.holds(t, 2)
	g.station.release()
	held.wait()
	if held.count("") != 2 {
		t.Errorf("requests under way were not answered:%v", held)
	}
	stream.ends(t)
	if code := g.exit(); code != 0 {
		t.Errorf("after a drain the exit code is %d", code)
	}

	g.run(g.name)
	healthy(t, g.health)
	held, stream = w.hold(e, "POST", 2), w.stream(w.http2(e))
	g.station.holds(t, 2)
	g.signal(syscall.SIGTERM)
	unready(t, g.health)
	stream.goesOn(t)
	began := time.Now()
	g.signal(syscall.SIGTERM)
	if code := g.exit(); code != interrupted {
		t.Errorf("after a second signal the exit code is %d", code)
	}
	held.wait()
	w.within("the cut", began, changeBound)
	if held.count(mezu.CodeWorkloadReset) != 2 {
		t.Errorf("requests under way were not answered as lost:%v", held)
	}
	if stream.read.Wait(); stream.whole || stream.err == nil {
		t.Error("the stream ended as if nothing had happened")
	}
}

// TestDrainEdge: the first SIGTERM closes idle connections, says GOAWAY, and lets
// requests under way end; the second cuts.
func TestDrainEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, open)
	g := w.addStationGates(1)[0]
	e := w.edges[0]

	idle, busy := w.raw(e), w.raw(e)
	idleReader, busyReader := bufio.NewReader(idle), bufio.NewReader(busy)
	for i, c := range []net.Conn{idle, busy} {
		ask(t, c, w.host, "/")
		resp := w.readAnswer([]*bufio.Reader{idleReader, busyReader}[i])
		if resp.StatusCode != http.StatusOK || resp.Close {
			t.Fatalf("the connection is not kept: %d", resp.StatusCode)
		}
	}
	second := w.rawH2(e)
	// Two that were taken in and have asked nothing yet.
	fresh, fresh2 := w.raw(e), w.freshH2(e)
	ask(t, busy, w.host, "/hold")
	held, stream := w.hold(e, "POST", 1), w.stream(w.http2(e))
	g.station.holds(t, 2)
	// Three data connections are in use. Those that have asked nothing need another, and
	// the Warpgate can't dial an edge whose listener is closed.
	eventually(t, "a data connection to spare", func() error {
		if v, err := metric(e.admin, `mezu_edge_places_taken{kind="data"}`); err != nil || v < 4 {
			return fmt.Errorf("there are %v, %v", v, err)
		}
		return nil
	})
	e.signal(syscall.SIGTERM)
	unready(t, e.admin)
	e.saysWhatItWaitsFor()
	if _, err := idleReader.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection ended with %v, want EOF", err)
	}
	eventually(t, "new connections to be refused", func() error {
		c, err := net.Dial("tcp", e.https)
		if err == nil {
			c.Close()
			return errors.New("one was taken")
		}
		return nil
	})
	ask(t, fresh, w.host, "/")
	freshReader := bufio.NewReader(fresh)
	if resp := w.readAnswer(freshReader); resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("the first answer of a connection that was taken in is %d, Connection: close is %v", resp.StatusCode, resp.Close)
	}
	if _, err := freshReader.ReadByte(); err != io.EOF {
		t.Errorf("after its answer the connection ended with %v, want EOF", err)
	}
	if resp, err := fresh2(t); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the first answer of a connection of HTTP/2 that was taken in is %v, %v", resp, err)
	}
	second.until(t, func(f http2.Frame) bool { g, ok := f.(*http2.GoAwayFrame); return ok && g.ErrCode == http2.ErrCodeNo })
	stream.goesOn(t)
	g.station.holds(t, 2)
	g.station.release()
	resp := w.readAnswer(busyReader)
	if resp.StatusCode != http.StatusOK || !resp.Close {
		t.Errorf("the answer under way is %d, Connection: close is %v", resp.StatusCode, resp.Close)
	}
	if _, err := busyReader.ReadByte(); err != io.EOF {
		t.Errorf("after its answer the connection ended with %v, want EOF", err)
	}
	held.wait()
	if held.count("") != 1 {
		t.Errorf("a request under way was not answered:%v", held)
	}
	stream.ends(t)
	if code := e.exit(); code != 0 {
		t.Errorf("after a drain the exit code is %d", code)
	}

	e.run()
	healthy(t, e.admin)
	w.tunnels(1)
	held, stream = w.hold(e, "POST", 1), w.stream(w.http2(e))
	g.station.holds(t, 1)
	e.signal(syscall.SIGTERM)
	unready(t, e.admin)
	stream.goesOn(t)
	began := time.Now()
	e.signal(syscall.SIGTERM)
	if code := e.exit(); code != interrupted {
		t.Errorf("after a second signal the exit code is %d", code)
	}
	if held.wait(); held.count(mezu.CodeWorkloadReset) == 0 && held.done[0].err == nil {
		t.Errorf("a request under way was neither cut nor answered as lost:%v", held)
	}
	if stream.read.Wait(); stream.whole || stream.err == nil {
		t.Error("the stream ended as if nothing had happened")
	}
	w.within("the cut", began, changeBound)
	g.station.holds(t, 0) // the workload learned of it
}

// ask sends a GET.
func ask(t *testing.T, c net.Conn, host, path string) {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// readAnswer reads a response and its body.
func (w *world) readAnswer(r *bufio.Reader) *http.Response {
	w.t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		w.t.Fatal(err)
	}
	return resp
}
