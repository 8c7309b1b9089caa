package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// named is a listener in front of an edge for a program that names no server in its
// handshakes: it speaks HTTP without TLS, and gets the environment that the world has. What the
// program doesn't take it doesn't either.
func (w *world) named(e *edgeNode) (addr string) {
	w.t.Helper()
	const buffer = 4 << 10
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	addr = l.Addr().String()
	var all sync.WaitGroup
	carry := func(program *net.TCPConn) {
		defer program.Close()
		program.SetWriteBuffer(buffer)
		raw, err := net.Dial("tcp", e.https)
		if err != nil {
			return
		}
		defer raw.Close()
		raw.(*net.TCPConn).SetReadBuffer(buffer)
		c := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: w.host, NextProtos: []string{"http/1.1"}})
		first := make([]byte, 64<<10)
		n, err := program.Read(first)
		if err != nil {
			return
		}
		if _, err := c.Write(bytes.Replace(first[:n], []byte("Host: "+addr), []byte("Host: "+w.host), 1)); err != nil {
			return
		}
		all.Go(func() {
			io.Copy(c, program)
			c.Close()
		})
		io.Copy(program, c)
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { carry(c.(*net.TCPConn)) })
		}
	})
	w.t.Cleanup(func() { l.Close(); all.Wait() })
	return addr
}

// TestSlowHTTPTest: each of slowhttptest's four modes ends with all of its connections closed by
// the edge, which serves others meanwhile. Its slow readers don't notice: what they did not read
// lies before them.
func TestSlowHTTPTest(t *testing.T) {
	t.Parallel()
	testkit.Programs(t, "slowhttptest")
	if raceEnabled {
		t.Skip("slowhttptest waits five seconds for a probe, and the race detector's programs have gigabytes to move; make soak runs it without")
	}
	conns := 100
	if os.Getenv(soakVariable) != "" {
		conns = 300
	}
	w := newWorld(t, 1, mezu.Route{Prefix: "/", IdleTimeout: mezu.Duration(2 * time.Second)})
	w.addGate("gate", newWorkload(t, false).addr())
	addr := w.named(w.edges[0])
	url := "http://" + addr + "/bytes/20000000"
	ctx, enough := context.WithCancel(t.Context())
	defer enough()
	var ran atomic.Int64 // modes to their end
	var modes sync.WaitGroup
	for name, mode := range map[string][]string{
		"slow heads": {"-H", "-i", "1"}, "slow bodies": {"-B", "-i", "1", "-s", "8192", "-x", "10"}, "ranges": {"-R"},
		"slow readers": {"-X", "-w", "1", "-y", "512", "-n", "1", "-z", "1"},
	} {
		modes.Go(func() {
			args := append(mode, "-u", url, "-c", strconv.Itoa(conns), "-r", strconv.Itoa(conns), "-l", "30", "-p", "5")
			out, err := exec.CommandContext(ctx, "slowhttptest", args...).CombinedOutput()
			ran.Add(1)
			told := name == "slow readers" || strings.Contains(string(out), "No open connections left")
			if ctx.Err() == nil && err != nil || !told || strings.Contains(string(out), "NO\x1b") {
				t.Errorf("%s: %v\n%s", name, err, out[max(0, len(out)-1500):])
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); modes.Wait() }()
	one, two := w.http(w.edges[0]), w.http2(w.edges[0])
	most := 0.0
	for {
		for _, c := range []*http.Client{one, two} {
			resp, err := c.Post("https://"+w.host+"/echo", "text/plain", strings.NewReader("small"))
			if err != nil {
				t.Fatal(err)
			}
			if body := readAll(t, resp); resp.StatusCode != 200 {
				t.Errorf("beside them: %d %s", resp.StatusCode, body)
			}
		}
		n, err := metric(w.edges[0].admin, `mezu_edge_connections{http="1.1"}`)
		if err != nil {
			t.Log(err) // a machine that is busy with all of it
			continue
		}
		if most = max(most, n); most > float64(conns) && n <= 2 && ran.Load() == 3 {
			break // ours, and a probe
		}
		select {
		case <-ended:
			t.Fatalf("%v of %v connections are there when it ends", n, most)
		case <-time.After(50 * time.Millisecond):
		}
	}
	enough()
	<-ended
}
