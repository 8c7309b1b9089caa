package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu/testkit"
)

// paneTimeout is how long a terminal has to show something.
const paneTimeout = startTimeout

// pane is a terminal of tmux, which shows what a program draws as a terminal does.
type pane struct {
	t      *testing.T
	folder string
}

// tmux runs a shell in a terminal of that size, as this person.
func (p *tunneller) tmux(w, h int, more ...string) *pane {
	p.t.Helper()
	testkit.Programs(p.t, "tmux", "bash")
	a := &pane{t: p.t, folder: p.t.TempDir()}
	env := []string{"MEZU_TEST_PROGRAM=1", "LANG=C.UTF-8", "PS1=shell> ", "HISTFILE=/dev/null", "HOME=" + a.folder, "PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "mezu=" + os.Args[0]}
	for name, value := range p.env {
		env = append(env, name+"="+value)
	}
	env = append(env, more...)
	words := []string{"exec env -i TERM=\"$TERM\""}
	for _, e := range env {
		words = append(words, quoted(e))
	}
	script := filepath.Join(a.folder, "shell")
	if err := os.WriteFile(script, []byte(strings.Join(append(words, "bash --norc --noprofile -i"), " ")+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	a.run("-f", "/dev/null", "new-session", "-d", "-c", a.folder, "-x", fmt.Sprint(w), "-y", fmt.Sprint(h), "-s", "t", "sh "+quoted(script))
	p.t.Cleanup(func() { _ = a.command("kill-server").Run() })
	a.shows(`(?m)^shell>`)
	return a
}

// quoted is a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (a *pane) command(args ...string) *exec.Cmd {
	c := exec.Command("tmux", append([]string{"-L", "mezu"}, args...)...)
	c.Env = append(os.Environ(), "TMUX=", "TMUX_TMPDIR="+a.folder)
	return c
}

func (a *pane) run(args ...string) string {
	a.t.Helper()
	out, err := a.command(args...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// screen is what the terminal shows.
func (a *pane) screen() string { return a.run("capture-pane", "-p", "-t", "t") }

// press presses keys by their names in tmux.
func (a *pane) press(keys ...string) {
	a.t.Helper()
	a.run(append([]string{"send-keys", "-t", "t"}, keys...)...)
}

// escape presses the key, and waits until the terminal shows what matches. What follows the key at
// once would be taken for a sequence with it.
func (a *pane) escape(pattern string) {
	a.t.Helper()
	a.press("Escape")
	a.shows(pattern)
}

// types types text.
func (a *pane) types(text string) {
	a.t.Helper()
	a.run("send-keys", "-t", "t", "-l", text)
}

// shows waits until the terminal shows what matches.
func (a *pane) shows(pattern string) string {
	a.t.Helper()
	re := regexp.MustCompile(pattern)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(paneTimeout)
	for {
		text := strings.TrimRight(a.screen(), "\n")
		if got := re.FindString(text); got != "" {
			return got
		}
		select {
		case <-tick.C:
		case <-late:
			a.t.Fatalf("the terminal never shows %q, but\n%s", pattern, text)
		}
	}
}

// TestDashboardInATerminal: the program as people use it, in tmux against real daemon, edge and
// control plane. Each key of its screens is pressed once.
func TestDashboardInATerminal(t *testing.T) {
	world := start(t, t.TempDir())
	p := newTunneller(t, world, nil)
	port := serveText(t, "hello")
	a := p.tmux(80, 24, "VISUAL=cat", "BROWSER=true")
	a.types(`stty -a > before; "$mezu" tunnel ` + port + ` --name live`)
	a.press("Enter")
	a.shows(`type another name`)
	a.types("dev-ada")
	a.press("Enter")
	a.shows(`▐1 Tunnels▌`)
	a.shows(`▸ \S+ +localhost:` + port + ` +● live`)
	url := regexp.MustCompile(`https://\S+:\d+`).FindString(a.shows(`https://shop-dev-ada-live-dev\.localhost:\d+`))
	if status, body := p.get(url + "/first?token=hidden"); status != http.StatusOK || body != "hello /first" {
		t.Fatalf("%d %q", status, body)
	}
	a.shows(`GET +200 .*/first\?token=••••••`)

	t.Run("tunnels", func(t *testing.T) {
		a := &pane{t, a.folder}
		a.press("c")
		a.shows(`copied the|asked the terminal`)
		a.press("o")
		a.shows(`opened https://`)
		a.press("Q")
		a.shows(`█ ▄▄▄▄▄ █`)
		a.escape(`enter inspect`)
		a.press("h")
		a.shows(`Host`)
		a.escape(`enter inspect`)
		a.press("b")
		a.shows(`(?i)who|reach|password`)
		a.escape(`enter inspect`)
		a.press("n")
		a.shows(`New tunnel`)
		a.escape(`enter inspect`)
		a.press("x")
		a.shows(`Remove .*Type dev-ada-live, esc keeps it: _|Remove .*Type dev-ada-live, esc keeps it: █`)
		a.escape(`enter inspect`)
		a.press("s")
		a.shows(`○ stopped`)
		a.press("r")
		a.shows(`● live`)
		a.press("q")
		a.shows(`q again closes .*D leaves it running`)
	})
	t.Run("requests", func(t *testing.T) {
		a := &pane{t, a.folder}
		p := p.in(t)
		p.becomes(url+"/second", http.StatusOK)
		a.press("2")
		a.shows(`▐2 Requests▌`)
		a.shows(`▸ .*/second`)
		a.press("Down")
		a.shows(`▸ .*/first`)
		a.press("R")
		a.shows(`▼ 1 new`)
		a.press("g")
		a.shows(`▸ .*/first.*↻`)
		a.press("P")
		a.shows(`★`)
		a.press("u")
		a.shows(`GET /first\?token=hidden`)
		a.press("Right")
		a.shows(`▐Response▌`)
		a.press("w")
		a.shows(`Write to mezu-\S+-response`)
		a.press("Enter")
		a.shows(`wrote 12 B to \S+-response`)
		a.press("H")
		a.shows(`Write to mezu-\S+\.har`)
		a.press("Enter")
		a.shows(`wrote .* to \S+\.har`)
		a.press("e")
		a.shows(`nothing was changed, so nothing was sent`)
		a.escape(`y curl`)
		a.press("/")
		a.types("path:/second")
		a.press("Enter")
		a.shows(`1 of 1`)
		a.escape(`of [3-9] `)
		a.press("d")
		a.press("y")
		a.shows(`copied|asked the terminal`)
		a.press("Enter")
		a.shows(`‹ esc `)
		a.press("/")
		a.types("nothing like it")
		a.shows(`search: nothing like it`)
		a.press("Enter")
		a.shows(`there is no nothing like it here`)
		a.press("Tab")
		a.press("x")
		a.escape(`enter full`)
		a.press("Space")
		a.shows(`‖ paused`)
		a.press("Space")
		a.shows(`▶ live`)
	})
	t.Run("the control plane", func(t *testing.T) {
		a := &pane{t, a.folder}
		a.press("3")
		a.shows(`\^ / +any`)
		a.press("t")
		a.press("C-u")
		a.types("/api//x")
		a.shows(`canonical +/api/x`)
		a.press("Enter", "M")
		a.shows(`POST +/api//x`)
		a.press("a")
		a.shows(`nothing was changed|What applying it changes`)
		a.escape(`t try`)
		a.press("4")
		a.shows(`● connected`)
		a.press("p")
		a.shows(`requests get through|hop by hop.*p again`)
		a.press("d")
		a.shows(`◐ draining`)
		a.press("u")
		a.shows(`● connected`)
		a.press("5")
		a.shows(`directory ▸`)
		a.press("6")
		a.shows(`register-warpgate`)
		a.press("Tab")
		a.shows(`▐Daemon▌`)
		a.shows(`level=INFO`)
		a.press("?")
		a.shows(`Help: Log`)
		a.escape(`tab Audit/Daemon`)
		a.press(":")
		a.types("warp")
		a.shows(`▸ Warpgates`)
		a.press("Enter")
		a.shows(`▐4 Warpgates▌`)
		a.press("1")
		a.shows(`▐1 Tunnels▌`) // before the window becomes too small for keys
	})
	t.Run("resize storm", func(t *testing.T) {
		a := &pane{t, a.folder}
		for n := range 40 {
			a.run("resize-window", "-t", "t", "-x", fmt.Sprint(20+(n*37)%180), "-y", fmt.Sprint(6+(n*13)%50))
		}
		a.run("resize-window", "-t", "t", "-x", "30", "-y", "10")
		a.shows(`40×12 at least \(now 30×10\)`)
		a.press("x", "s")
		a.run("resize-window", "-t", "t", "-x", "80", "-y", "24")
		a.shows(`● live`)
	})
	t.Run("Ctrl-Z and fg", func(t *testing.T) {
		a := &pane{t, a.folder}
		a.press("C-z")
		a.shows(`(?m)^shell>`)
		a.types("fg")
		a.press("Enter")
		a.shows(`▐1 Tunnels▌`)
		a.press("C-l")
		a.shows(`● live`)
	})
	t.Run("the daemon is killed", func(t *testing.T) {
		a := &pane{t, a.folder}
		p := p.in(t)
		before := p.status().PID
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.becomes(url+"/third", http.StatusOK)
		a.shows(`GET +200 .*/third`)
		a.shows(`● live`)
		if now := p.status().PID; now == before {
			t.Errorf("it is process %d still", now)
		}
	})
	t.Run("D and q", func(t *testing.T) {
		a := &pane{t, a.folder}
		a.press("D")
		a.shows(`runs on when the dashboard ends`)
		a.press("q")
		a.shows(`stays open; mezu tunnel stop`)
		a.shows(`(?m)^shell>\s*\z`)
		a.types(`stty -a > after; cmp before after && echo the "same"`)
		a.press("Enter")
		a.shows(`the same`)
		p.in(t).becomes(url, http.StatusOK)
	})
	for _, signal := range []string{"TERM", "HUP", "INT"} {
		t.Run("SIG"+signal, func(t *testing.T) {
			a := &pane{t, a.folder}
			a.types(`clear; sh -c 'echo $$ > pid; exec "$0" dashboard' "$mezu"; stty -a > after; cmp before after && echo the "same"`)
			a.press("Enter")
			a.shows(`▐1 Tunnels▌`)
			pid, err := os.ReadFile(filepath.Join(paneDir(a), "pid"))
			if err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("kill", "-"+signal, strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
				t.Fatal(string(out))
			}
			a.shows(`the same`)
			if s := a.screen(); strings.Contains(s, "▐1 Tunnels▌") {
				t.Errorf("the screen from before is not back:\n%s", s)
			}
		})
	}
}

// paneDir is where the shell works.
func paneDir(a *pane) string {
	return strings.TrimSpace(a.run("display-message", "-p", "-t", "t", "#{pane_current_path}"))
}

// TestDashboardAsLines: where nothing may be redrawn there are lines, and mezu alone is its help.
// The commands of docs/dashboard.md run as they are written there.
func TestDashboardAsLines(t *testing.T) {
	p := newTunneller(t, start(t, t.TempDir()), nil)
	a := p.tmux(100, 30)
	page, err := os.ReadFile("../../docs/dashboard.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	port := serveText(t, "page")
	for line := range strings.Lines(block) {
		command, _, _ := strings.Cut(line, "#")
		a.types(`clear; "$mezu"` + strings.TrimPrefix(strings.ReplaceAll(strings.TrimSpace(command), "5173", port), "mezu"))
		a.press("Enter")
		if strings.Contains(command, "tunnel") {
			a.shows(`Your own environments`)
			a.press("Enter")
			a.shows(`● live`)
		}
		a.shows(`▐1 Tunnels▌`)
		a.types("qq")
		a.shows(`(?m)^shell>\s*\z`)
	}
	for _, how := range []string{"TERM=dumb", "ACCESSIBLE=1"} {
		a.types(`clear; ` + how + ` "$mezu" dashboard; echo code "$?"`)
		a.press("Enter")
		a.shows(`needs a terminal.*\n.*try: mezu tunnel list`)
		a.shows(`code 2`)
	}
	a.types(`clear; ACCESSIBLE=1 "$mezu" 2>&1 | head -3`)
	a.press("Enter")
	a.shows(`mezu - put a workload`)
	a.types(`clear; LANG=C "$mezu" --no-color dashboard`)
	a.press("Enter")
	a.shows(`\[1 Tunnels\]`)
	a.shows(`\+ Tunnels -`)
	a.press("q")
	a.shows(`(?m)^shell>`)
}
