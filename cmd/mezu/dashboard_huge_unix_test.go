//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/creack/pty"
)

// hugeFrames is how many messages come in one WebSocket: ten times as many as are kept.
const hugeFrames = 10_000

// huge is a workload whose answers are larger than anybody keeps.
func huge(t *testing.T) (port string) {
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := bytes.Repeat(member.Bytes(), 1024) // of 1 GiB
	_, port, _ = net.SplitHostPort(workload(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(bomb)
		case "/deep":
			_, _ = io.Copy(io.Discard, r.Body)
		case "/socket":
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer conn.CloseNow()
			for n := range hugeFrames {
				if conn.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, "message %d \x1b[2J", n)) != nil {
					return
				}
			}
			_ = conn.Close(websocket.StatusNormalClosure, "")
		}
	}))
	return port
}

// TestDashboardOfHugeRequests: bodies of a gigabyte, deep ones, many frames, and a dashboard whose
// terminal reads 1 kB a second: the requests go through, and what is shown is bounded and says so.
func TestDashboardOfHugeRequests(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	port := huge(t)
	first := p.look()
	first.Press("n", port, "tab", "huge", "enter")
	first.sees("● live")
	address := regexp.MustCompile(`https://[^\s"│]+`).FindString(first.View())
	p.becomes(address+"/", http.StatusOK)
	client := world.client()

	// The second screen is the one that is shown.
	look := p.look()
	both := look.Screen.(pair)
	look.Screen = pair{both.second, both.Screen}
	shows := func(row string) {
		t.Helper()
		look.sees(`▸ [0-9:]+ +` + row)
	}
	t.Run("zip bomb", func(t *testing.T) {
		req, err := http.NewRequest("GET", address+"/bomb", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip") // and it isn't undone here
		send(t, client, req)
		shows(`GET +200 .*/bomb`)
		look.Press("right")
		look.sees(`grows from`)
		look.Press("left", "esc")
	})
	t.Run("deep JSON", func(t *testing.T) {
		body := strings.Repeat(`{"a":[`, 10_000) + `"` + strings.Repeat("x", 10<<20) + `"` + strings.Repeat(`]}`, 10_000)
		req, err := http.NewRequest("POST", address+"/deep", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		send(t, client, req)
		shows(`POST +200 .*/deep`)
		look.sees(`body 1[01] MB, JSON`)
		look.Press("tab", "G")
		look.sees(`of 1[01] MB are kept`)
		look.Press("esc")
	})
	t.Run("10,000 frames", func(t *testing.T) {
		conn, _, err := websocket.Dial(t.Context(), address+"/socket", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		for range hugeFrames {
			if _, _, err := conn.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("the socket ends with %v", err)
		}
		shows(`WS +101 .*/socket`)
		look.Press("enter")
		if look.View(); !strings.Contains(look.sees(`Frames ─[^┐]*┐`), "1,000 of") {
			look.sees(`1,000 of`)
		}
		look.sees(`message \d+ \\x1b\[2J`)
		look.Press("esc")
	})
	t.Run("slow terminal", func(t *testing.T) { slowDashboard(t, p, address, first) })
}

// send sends a request, which is served.
func send(t *testing.T, client *http.Client, req *http.Request) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", req.URL.Path, resp.StatusCode, err)
	}
}

// slowDashboard opens another dashboard, whose terminal reads 1 kB a second, and many requests.
func slowDashboard(t *testing.T, p *tunneller, address string, other *looker) {
	cmd := exec.Command(os.Args[0], "dashboard")
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"MEZU_TEST_PROGRAM=1", "GORACE=" + os.Getenv("GORACE"), "TERM=xterm-256color", "LANG=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	drawn, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		const step = 64
		each := time.NewTicker(step * time.Millisecond)
		defer each.Stop()
		b := make([]byte, step)
		for read := 0; ; {
			<-each.C
			n, err := tty.Read(b)
			if err != nil {
				return // it has ended
			}
			if read += n; read > 2<<10 && read-n <= 2<<10 {
				close(drawn)
			}
		}
	}()
	go func() { ended <- cmd.Wait() }()
	<-drawn
	var sending sync.WaitGroup
	const workers, each = 8, 250
	client := p.world.client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = workers
	for range workers {
		sending.Go(func() {
			for range each {
				resp, err := client.Get(address + "/load")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d", resp.StatusCode)
					return
				}
			}
		})
	}
	sending.Wait()
	other.sees(`GET +200 .*/load`)
	if _, err := tty.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(startTimeout):
		_ = cmd.Process.Kill()
		t.Fatal("it does not end")
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.Logf("%d KiB at most", usage.Maxrss)
	}
}
