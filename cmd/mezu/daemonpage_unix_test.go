//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// example is a block of commands of a page, and what the page shows of their output.
type example struct{ commands, shown string }

// examples are those of one section of a page.
func examples(t *testing.T, page, section string) []example {
	t.Helper()
	_, text, ok := strings.Cut(string(testkit.ReadData(t, page)), "\n"+section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", page, section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var out []example
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:\n```(?:json|text)\n(.*?)```)?").FindAllStringSubmatch(text, -1) {
		out = append(out, example{m[1], m[2]})
	}
	return out
}

// told are the fields and events that an output has.
var told = regexp.MustCompile(`"[a-z_0-9]+":|event: [a-z]+|id: `)

// TestDaemonPage runs the commands of docs/daemon.md as they are written there, one after the
// other, against "mezu daemon run". Their output has what the page shows.
func TestDaemonPage(t *testing.T) {
	testkit.Programs(t, "sh", "curl", "jq")
	dir, err := os.MkdirTemp("", "m") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	env := map[string]string{"HOME": filepath.Join(dir, "home"), "XDG_RUNTIME_DIR": filepath.Join(dir, "run"), "MEZU_NO_KEYRING": "1"}
	if err := os.Mkdir(env["XDG_RUNTIME_DIR"], 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var streams testkit.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"daemon", "run"}, func(key string) string { return env[key] }, terminal.Streams{In: strings.NewReader(""), Out: &streams, Err: &streams})
	}()
	socket := filepath.Join(env["XDG_RUNTIME_DIR"], "mezu", "daemon.sock")
	c := local.New(socket, version)
	until(t, "the daemon answers", func() bool {
		_, err := c.Status(ctx)
		return err == nil
	})
	c.Close()

	var script strings.Builder
	list := examples(t, filepath.Join("..", "..", "docs", "daemon.md"), "## The API")
	if len(list) < 8 {
		t.Fatalf("the page has %d examples only", len(list))
	}
	const mark = "\n@ end of example\n"
	for _, e := range list {
		fmt.Fprintf(&script, "%s\nprintf '%s'\n", e.commands, strings.ReplaceAll(mark, "\n", `\n`))
	}
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + env["XDG_RUNTIME_DIR"], "HOME=" + env["HOME"]}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	outputs := strings.Split(string(out), mark)
	if err != nil || len(outputs) != len(list)+1 {
		t.Fatalf("%v after %d of %d examples:\n%s%s", err, len(outputs)-1, len(list), out, complaints.String())
	}
	for i, e := range list {
		for _, want := range told.FindAllString(e.shown, -1) {
			if !strings.Contains(strings.ReplaceAll(outputs[i], `": `, `":`), want) {
				t.Errorf("the page shows %s after\n%swhich says\n%s", want, e.commands, outputs[i])
			}
		}
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("the daemon ended with code %d: %s", code, streams.String())
		}
	case <-ctx.Done():
		t.Errorf("the daemon did not end: %s", streams.String())
	}
}
