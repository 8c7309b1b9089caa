package browser

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
)

// Size of the terminal in pictures of the dashboard.
const (
	paneColumns = 110
	paneRows    = 32
)

// TestDashboardPictures draws each screen of the dashboard, from a real run in tmux. It is no test
// of anything, and skipped unless somebody asks for pictures.
func TestDashboardPictures(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		t.Skip("make pictures takes pictures")
	}
	testkit.Programs(t, "tmux")
	s := newScene(t, "grace@dev.test", mezu.RoleAdmin)
	s.logIn()
	shop := filepath.Join(s.dir, "src", "shop") // where this process runs, as the dialog shows it
	if err := os.MkdirAll(shop, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(shop)
	workload := httptest.NewServer(http.HandlerFunc(serveShop))
	t.Cleanup(workload.Close)
	port := workload.URL[strings.LastIndex(workload.URL, ":")+1:]
	p := s.pane("tunnel " + port)
	p.shows(`type another name`)
	p.press("Enter")
	p.shows(`● live`)
	address := regexp.MustCompile(`https://[^\s│]+`).FindString(p.shows(`https://\S+`))
	s.traffic(address)
	p.shows(`/hooks/stripe`)
	p.shows(`2xx █`)
	p.draw(dir, "tunnels")
	p.press("n")
	p.shows(`What answers on this machine`)
	p.shows(`│[ ▸]+` + port + ` `) // in the dialog, not behind it
	p.draw(dir, "new-tunnel")
	p.press("Escape")
	p.shows(`enter inspect`)
	p.types("2")
	p.shows(`▐2 Requests▌`)
	p.types("/path:/hooks")
	p.press("Enter")
	p.shows(`1 of 2 `)
	p.press("Tab")
	p.shows(`x hex|y copy`)
	p.draw(dir, "requests")
	p.press("Tab")
	p.types("/")
	p.press("C-u")
	p.types("is:ws")
	p.press("Enter")
	p.shows(`1 of 1`)
	p.press("Enter")
	p.shows(`Frame \d+`)
	p.draw(dir, "frames")
	p.press("Escape")
	p.shows(`enter full`)
	p.types("3")
	p.shows(`Try a request`)
	p.types("t")
	p.press("C-u")
	p.types("/api//orders/../orders?id=7")
	p.shows(`canonical +/api/orders`)
	p.press("Enter")
	p.draw(dir, "routes")
	p.types("4")
	p.shows(`● connected`)
	p.types("p")
	p.shows(`requests get through`)
	p.draw(dir, "warpgates")
	p.types("5")
	p.shows(`directory ▸|no directory`)
	p.draw(dir, "users")
	p.types("6")
	p.shows(`audit.read|TIME`)
	p.draw(dir, "log")
	p.types("1")
	p.shows(`enter inspect`)
	p.types("?")
	p.shows(`Help: Tunnels`)
	p.draw(dir, "help")
	p.press("Escape")
	p.shows(`enter inspect`)
	p.types(":sto")
	p.shows(`Go to or do`)
	p.draw(dir, "palette")
	p.press("Escape")
	p.shows(`enter inspect`)
	p.types("qq")
	p.shows(`closed after`)
	s.run("daemon", "stop")
}

// serveShop is an application that is being developed.
func serveShop(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/hooks/stripe":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"error":"no such customer","customer":"cus_42"}`)
	case r.URL.Path == "/socket":
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for _, text := range []string{`{"type":"connected"}`, `{"type":"update","updates":[{"type":"js-update","path":"/src/App.tsx","timestamp":1764165704020}]}`} {
			if c.Write(r.Context(), websocket.MessageText, []byte(text)) != nil {
				return
			}
		}
		_, _, _ = c.Read(r.Context())
	case strings.HasPrefix(r.URL.Path, "/old"):
		http.Redirect(w, r, "/", http.StatusMovedPermanently)
	case strings.HasSuffix(r.URL.Path, ".map"):
		http.NotFound(w, r)
	default:
		fmt.Fprintf(w, "<!doctype html><title>shop</title><h1>%s</h1>", strings.Repeat("shop ", 100))
	}
}

// traffic are visitors, and a webhook.
func (s *scene) traffic(address string) {
	s.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.public)
	}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	c, _, err := websocket.Dial(s.t.Context(), address+"/socket?token=secret", &websocket.DialOptions{HTTPClient: client, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.CloseNow() })
	for range 2 {
		if _, _, err := c.Read(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
	each := time.NewTicker(150 * time.Millisecond)
	defer each.Stop()
	paths := []string{"/", "/src/main.tsx", "/src/App.tsx", "/src/cart.tsx", "/old/offer", "/src/App.tsx.map", "/orders?session=secret", "/products/7"}
	for i := range 48 {
		<-each.C
		resp, err := client.Get(address + paths[i%len(paths)])
		if err != nil {
			s.t.Fatal(err)
		}
		resp.Body.Close()
	}
	for range 2 {
		req, err := http.NewRequest("POST", address+"/hooks/stripe?x=1", strings.NewReader(`{"id":"evt_1PzX","type":"payment_intent.succeeded","data":{"object":{"amount":4200,"currency":"eur","client_secret":"pi_3secret"}}}`))
		if err != nil {
			s.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Stripe-Signature", "t=1764165704,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd")
		req.Header.Set("User-Agent", "Stripe/1.0")
		resp, err := client.Do(req)
		if err != nil {
			s.t.Fatal(err)
		}
		resp.Body.Close()
	}
}

// pane is a terminal of tmux in which mezu runs.
type pane struct {
	*scene
	folder string
}

func (s *scene) pane(args string) *pane {
	s.t.Helper()
	p := &pane{s, s.t.TempDir()}
	script := filepath.Join(p.folder, "run")
	text := fmt.Sprintf("cd %s; exec env -i TERM=tmux-256color COLORTERM=truecolor LANG=C.UTF-8 MEZU_NO_KEYRING=1 HOME=%s MEZU_HOME=%s PATH=%s sh -c '%s %s --theme dark; sleep 1000'\n", s.dir, s.dir, s.home, os.Getenv("PATH"), s.program, args)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p.tmux("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(paneColumns), "-y", fmt.Sprint(paneRows), "-s", "t", "sh "+script)
	s.t.Cleanup(func() { _ = p.command("kill-server").Run() })
	return p
}

func (p *pane) command(args ...string) *exec.Cmd {
	c := exec.Command("tmux", append([]string{"-L", "mezu"}, args...)...)
	c.Env = append(os.Environ(), "TMUX=", "TMUX_TMPDIR="+p.folder)
	return c
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	out, err := p.command(args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (p *pane) press(keys ...string) {
	p.t.Helper()
	p.tmux(append([]string{"send-keys", "-t", "t"}, keys...)...)
}

func (p *pane) types(text string) {
	p.t.Helper()
	p.tmux("send-keys", "-t", "t", "-l", text)
}

// shows waits until the terminal shows what matches.
func (p *pane) shows(pattern string) (found string) {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	p.await(p.t, pattern, func() bool {
		found = re.FindString(p.tmux("capture-pane", "-p", "-t", "t"))
		return found != ""
	})
	return found
}

// draw writes a picture of the terminal.
func (p *pane) draw(dir, name string) {
	p.t.Helper()
	text := p.tmux("capture-pane", "-e", "-p", "-t", "t")
	keepDrawing(p.t, dir, "dashboard-"+name, text, paneColumns)
}
