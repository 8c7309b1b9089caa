package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// screenTimeout is how long a script may take to write what it writes.
const screenTimeout = 2 * time.Minute

// screenEnd is what stands below all that a script has written.
const screenEnd = "-- that was all --"

// Screen runs a script of sh in a real terminal (tmux) of so many columns, in the environment of
// the test and with more variables, and gives what it has written: the rows of the terminal, and
// the lines that were written, which a terminal breaks if they are wider.
func Screen(t *testing.T, columns int, script string, env ...string) (rows, lines string) {
	t.Helper()
	Programs(t, "tmux", "sh")
	folder := t.TempDir()
	for name, text := range map[string]string{
		"conf":   "set -g history-limit 50000\n",
		"script": script + "\necho '" + screenEnd + "'\nread more\n", // a terminal whose program has ended may lose its last lines
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := func(args ...string) *exec.Cmd {
		c := exec.Command("tmux", append([]string{"-L", "screen", "-f", filepath.Join(folder, "conf")}, args...)...)
		c.Env = append(append(os.Environ(), "TMUX=", "TMUX_TMPDIR="+folder, "LANG=C.UTF-8", "LC_ALL=C.UTF-8"), env...)
		return c
	}
	capture := func(more ...string) string {
		out, err := command(append([]string{"capture-pane", "-p", "-S", "-", "-t", "s"}, more...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux: %v: %s", err, out)
		}
		return string(out)
	}
	if out, err := command("-u", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", "24", "-s", "s", "sh "+filepath.Join(folder, "script")).CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = command("kill-server").Run() })
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(screenTimeout); ; {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("the script has not ended:\n%s", capture())
		}
		if strings.Contains(capture(), "\n"+screenEnd) {
			return written(capture()), written(capture("-J"))
		}
	}
}

// written is what a terminal shows above the end, without the blanks that fill its rows.
func written(text string) string {
	text, _, _ = strings.Cut(text, screenEnd)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}
