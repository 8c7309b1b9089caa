//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// completing is somebody whose shells complete mezu. What they then run is noted.
type completing struct {
	*person
	dir, log string
	env      []string
}

// newCompleting has a daemon with one tunnel, whose control plane is not there.
func newCompleting(t *testing.T) *completing {
	c := &completing{person: newPerson(t, nil), dir: t.TempDir()}
	c.do("daemon", "start")
	client := local.New(c.folders().Socket, version)
	defer client.Close()
	_, err := client.Open(t.Context(), local.Open{Profile: "acme", API: "https://127.0.0.1:1", Organization: "acme", Project: "shop", Environment: "dev-ada",
		TunnelTarget: mezu.TunnelTarget{Target: "localhost:1"}, Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	c.log = filepath.Join(c.dir, "log")
	program := "#!/bin/sh\ncase $1 in __complete) MEZU_TEST_PROGRAM=1 exec " + os.Args[0] + " \"$@\";; esac\necho \"$*\" >> " + c.log + "\n"
	files := map[string]string{"bin/mezu": program, "bits.yaml": ""}
	for shell, name := range map[string]string{"bash": "bash", "zsh": "functions/_mezu", "fish": "fish"} {
		files[name], _ = c.do("completion", shell)
	}
	for name, text := range files {
		path := filepath.Join(c.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	c.env = []string{"PATH=" + filepath.Join(c.dir, "bin") + ":" + os.Getenv("PATH"), "HOME=" + c.dir, "MEZU_HOME=" + c.person.env["MEZU_HOME"], "TERM=xterm", "LANG=C.UTF-8", "INPUTRC=/dev/null", "GORACE=" + os.Getenv("GORACE")}
	return c
}

// typed are lines with tabs in them, and what the shell makes of each.
func typed() [][2]string {
	return [][2]string{
		{"mezu prof\tli\t", "profiles list"},
		{"mezu tunnel show sh\t", "tunnel show shop/dev-ada"},
		{"mezu routes create --auth req\t", "routes create --auth required"},
		{"mezu routes create --waf=det\t", "routes create --waf=detect"},
		{"mezu apply -f bit\t", "apply -f bits.yaml"},
	}
}

// Completion proposes commands, values, what the daemon knows, and files, in real shells at a
// terminal.
func TestCompletion(t *testing.T) {
	c := newCompleting(t)
	for _, shell := range []struct{ argv, setup string }{
		{"bash --norc --noprofile -i", "bind 'set bell-style none'; source ./bash; PS1='rea''dy> '"},
		// The script is a file of fpath here, as it is where it is installed.
		{"zsh -f -i", "fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep; PS1='rea''dy> '"},
	} {
		argv := strings.Fields(shell.argv)
		t.Run(argv[0], func(t *testing.T) {
			testkit.Programs(t, argv[0])
			if err := os.RemoveAll(c.log); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir, cmd.Env = c.dir, c.env
			tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
			if err != nil {
				t.Fatal(err)
			}
			seen := &testkit.Buffer{}
			copied := make(chan struct{})
			go func() { defer close(copied); _, _ = io.Copy(seen, tty) }() // its end is an error on Linux
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); tty.Close(); <-copied }()
			fmt.Fprintln(tty, shell.setup)
			until(t, "the shell is ready", func() bool { return strings.Contains(seen.String(), "ready> ") })
			for _, line := range typed() {
				fmt.Fprint(tty, line[0]+"\n")
				until(t, "the line is run: "+seen.String(), func() bool {
					got, _ := os.ReadFile(c.log)
					return strings.HasSuffix(string(got), "\n")
				})
				got, err := os.ReadFile(c.log)
				if err != nil || strings.TrimSpace(string(got)) != line[1] {
					t.Errorf("%q: ran %q, %v; the screen is %q", line[0], got, err, seen)
				}
				if err := os.Remove(c.log); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("fish", func(t *testing.T) {
		testkit.Programs(t, "fish")
		script := "source fish\n"
		for _, line := range typed() {
			words := strings.Split(line[0], "\t")
			if len(words) == 2 { // fish is asked for the end of a line
				script += fmt.Sprintf("complete -C '%s'\n", words[0])
			}
		}
		cmd := exec.Command("fish", "--no-config", "-c", script)
		cmd.Dir, cmd.Env = c.dir, c.env
		out, err := cmd.CombinedOutput()
		if want := "shop/dev-ada\nrequired\n--waf=detect\nbits.yaml\n"; err != nil || string(out) != want {
			t.Errorf("%q, %v", out, err)
		}
	})
}
