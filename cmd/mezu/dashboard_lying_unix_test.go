//go:build unix

package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/mezusphere/mezu/testkit"
)

// lies are what a control plane sends that wants to drive terminals and fill memories.
type lies struct {
	t    *testing.T
	text string
	n    atomic.Int64
	// broken has answers be errors, of other types, and too long, in turns.
	broken bool
}

// record has each name that any record has, and each is a lie.
func (l *lies) record(id string) map[string]any {
	bad := l.text
	return map[string]any{"id": id, "name": bad, "email": bad, "prefix": "/" + bad, "upstream": bad, "methods": []string{bad}, "auth": bad, "status": bad, "address": bad, "version": bad,
		"registered_by": bad, "edges": []string{bad}, "roles": []string{bad}, "profile": map[string]any{"email": bad, "name": bad}, "operation": bad, "outcome": bad, "request_id": bad,
		"target": map[string]any{"kind": bad, "name": bad, "id": bad}, "actor": map[string]any{"kind": bad, "id": bad, "address": bad}, "before": map[string]any{bad: bad}, "after": map[string]any{bad: bad + bad},
		"directory_id": "dir_lie"}
}

func (l *lies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := l.n.Add(1)
	if l.broken {
		l.fail(w, r, n)
		return
	}
	write := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/watch"):
		// Without end, and each record is another one.
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			text, _ := json.Marshal(l.record(fmt.Sprintf("%s%d", l.text[:20], i)))
			fmt.Fprintf(w, "event: put\nid: %d\ndata: %s\n\n", i, text)
		}
		fmt.Fprint(w, "event: synced\ndata: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		long := strings.Repeat("x", 256<<10)
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(w, "event: put\ndata: {\"id\":\"one_%d\",\"name\":\"%s\",\"address\":\"%s\"}\n\n", i, long, long); err != nil {
				return
			}
		}
	case strings.HasSuffix(path, "/routes"):
		write(map[string]any{"routes": []any{l.record("rte_1"), l.record("rte_2")}, "position": map[string]any{"epoch": 1, "revision": 7}, "warnings": []string{l.text}, "applied": []any{map[string]any{"id": l.text}}})
	case strings.HasSuffix(path, "/self"):
		write(map[string]any{"id": l.text, "email": l.text, "organizations": []any{map[string]any{"organization": "acme", "role": l.text}}})
	case strings.HasSuffix(path, "/directories"):
		write(map[string]any{"items": []any{l.record("dir_lie")}, "next_page_token": l.text}) // never the last page
	case strings.HasSuffix(path, "/environments/dev"):
		write(l.record("env_1"))
	default:
		write(map[string]any{"items": []any{l.record(fmt.Sprint("one", n))}, "next_page_token": "more"})
	}
}

// fail answers with what no client expects.
func (l *lies) fail(w http.ResponseWriter, r *http.Request, n int64) {
	bad, _ := json.Marshal(l.text)
	switch n % 5 {
	case 0:
		w.WriteHeader(http.StatusConflict)
		fmt.Fprintf(w, `{"code":"conflict","detail":%s,"hint":%s,"field":%s,"request_id":%s}`, bad, bad, bad, bad)
	case 1:
		fmt.Fprint(w, `{"items":{"a":7},"routes":"none","organizations":7,"id":[]}`)
	case 2:
		fmt.Fprint(w, strings.Repeat("[", 10_000))
	case 3:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, strings.Repeat(l.text, 2))
	case 4:
		// An answer without end.
		_, _ = io.WriteString(w, `{"items":[{"name":"`)
		for more := []byte(strings.Repeat("x", 64<<10)); ; {
			if _, err := w.Write(more); err != nil {
				return
			}
		}
	}
}

// dashboardAt runs the dashboard on a terminal of its own.
func dashboardAt(t *testing.T, env ...string) (*held, *os.File, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "dashboard")
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"MEZU_TEST_PROGRAM=1", "GORACE=" + os.Getenv("GORACE"), "MEZU_HOME=" + t.TempDir(), "MEZU_NO_KEYRING=1", "PATH=" + os.Getenv("PATH")}, env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	seen := &testkit.Buffer{}
	h := &held{t: t, out: seen, talk: seen, end: func() { _ = cmd.Process.Kill() }, code: make(exitCode, 1)}
	go func() {
		_, _ = io.Copy(seen, tty) // its end is an error on Linux
		_ = cmd.Wait()
		h.code <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		h.stop()
		tty.Close()
	})
	return h, tty, cmd
}

// TestC2_DashboardOfALyingControlPlane: names, errors, endless streams and pages of a control plane
// drive no terminal and fill no memory, and the dashboard goes on; on a terminal that shows ASCII
// alone nothing else comes.
func TestC2_DashboardOfALyingControlPlane(t *testing.T) {
	used := regexp.MustCompile("\x1b\\[(\\?(25|1002|1003|1006|1049|2004|1000|1015)[hl]|[0-9;]*m|[0-9;]*[HJK]|[0-9]*[ABCD])|\x1b\\]2;[^\x07\x1b]*\x07|\x1b\\]11;\\?\x07\x1b\\[c")
	for _, c := range []struct {
		name   string
		broken bool
		env    []string
		ascii  bool
	}{
		{"names and streams", false, []string{"TERM=linux", "LANG=C"}, true},
		{"errors", true, []string{"TERM=xterm-256color", "LANG=C.UTF-8", "COLORTERM=truecolor"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := &lies{t: t, broken: c.broken, text: "evil-花\x1b]0;gotcha\x07\x1b[2J\x1b]52;c;ZXZpbA==\x07\u202egnp\u2066\u0000\r\n\t" + strings.Repeat("long", 250)}
			server := httptest.NewTLSServer(l)
			defer server.Close()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			defer server.CloseClientConnections() // or Close waits for who reads without end
			h, tty, cmd := dashboardAt(t, append(c.env, "MEZU_API="+server.URL, "MEZU_CA_FILE="+ca, "MEZU_TOKEN=mzt_lies", "MEZU_ORG=acme", "MEZU_PROJECT=shop", "MEZU_ENVIRONMENT=dev")...)
			h.said(h.out, `1 Tunnels`)
			press := func(key, until string) {
				t.Helper()
				from := len(h.out.String())
				if _, err := tty.WriteString(key); err != nil {
					t.Fatal(err)
				}
				late := time.After(startTimeout)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for !regexp.MustCompile(until).MatchString(h.out.String()[from:]) {
					select {
					case <-tick.C:
					case <-late:
						t.Fatalf("after %q there is no %q but %q", key, until, h.out.String()[from:])
					}
				}
			}
			what := "evil-"
			if c.broken {
				what = "evil-|answer|control plane|not what|Routes"
			}
			press("3", what)
			press("4", what)
			press("5", what)
			press("6", what)
			press(":", "Go to or do")
			press("\x1b", "Audit/Daemon") // of the last line, which the palette had
			if _, err := tty.WriteString("q"); err != nil {
				t.Fatal(err)
			}
			if code := h.code.wait(t, h.out); code != 0 {
				t.Errorf("code %d", code)
			}
			sent := h.out.String()
			text := used.ReplaceAllString(sent, "")
			if i := strings.IndexFunc(text, func(r rune) bool {
				return r < ' ' && r != '\r' && r != '\n' || r == 0x7f || r == '\u202e' || r == '\u2066' || r == '\ufffd' || c.ascii && r > '~'
			}); i >= 0 {
				t.Errorf("the terminal got %q", text[max(0, i-60):min(len(text), i+60)])
			}
			usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			if !ok {
				t.Fatal("nobody knows how much memory it took")
			}
			kib := usage.Maxrss
			if runtime.GOOS == "darwin" {
				kib >>= 10 // it counts bytes
			}
			const most = 1 << 20 // the race detector takes most of it
			if kib > most {
				t.Errorf("it took %d MiB", kib>>10)
			}
			t.Logf("%d MiB, %v of CPU, %d bytes drawn, %d requests", kib>>10, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), len(sent), l.n.Load())
		})
	}
}
