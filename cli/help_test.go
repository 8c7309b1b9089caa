package cli_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/manual"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

// paths are those of all commands and groups of commands, the program's first.
func paths(c manual.Command) []string {
	out := []string{strings.TrimPrefix(strings.TrimPrefix(c.Name, "mezu"), " ")}
	for _, s := range c.Commands {
		if s.Name != "mezu help" { // "mezu help --help" is "mezu --help"
			out = append(out, paths(s)...)
		}
	}
	return out
}

// pageAt is the help of a command at a terminal of so many columns.
func pageAt(t *testing.T, path string, columns int) string {
	t.Helper()
	var out, talk bytes.Buffer
	inv := invocation.Invocation{Getenv: func(string) string { return "" }, Streams: terminal.Streams{
		In: strings.NewReader(""), Out: &out, Err: &talk, OutTerminal: true, Unicode: true, Columns: func() int { return columns },
	}}
	if code := cli.Main(t.Context(), append(strings.Fields(path), "--help"), inv, cli.Config{Version: "1.2.3"}); code != 0 || talk.Len() > 0 {
		t.Fatalf("mezu %s --help: code %d, %s", path, code, &talk)
	}
	return out.String()
}

// Every help page fits a terminal of 80 columns, has an example, and says the same at 40, where
// nothing is broken but what is to be copied in one piece.
func TestHelp_Fits(t *testing.T) {
	all := paths(manual.Of(cli.Tree()))
	if len(all) < 90 {
		t.Fatalf("found %d pages only", len(all))
	}
	for _, topic := range cli.Topics() {
		for line := range strings.Lines(terminal.Page(topic.Text, terminal.PageWidth)) {
			if n := terminal.Wide(strings.TrimRight(line, "\n")); n > terminal.PageWidth {
				t.Errorf("%s has %d columns: %s", topic.Title, n, line)
			}
		}
	}
	for _, path := range all {
		wide, narrow := pageAt(t, path, 80), pageAt(t, path, 40)
		if !strings.Contains(wide, "\nExample:\n   mezu "+path) {
			t.Errorf("mezu %s --help has no example", path)
		}
		for line := range strings.Lines(wide) {
			if n := terminal.Wide(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("mezu %s --help has %d columns: %s", path, n, line)
			}
		}
		if a, b := strings.Fields(wide), strings.Fields(narrow); strings.Join(a, " ") != strings.Join(b, " ") {
			t.Errorf("mezu %s --help says something else at 40 columns:\n%s\n%s", path, wide, narrow)
		}
		_, example, _ := strings.Cut(wide, "\nExample:\n")
		for line := range strings.Lines(narrow) {
			line = strings.TrimRight(line, "\n")
			if n := terminal.Wide(line); n > 40 && len(strings.Fields(line)) > 1 && !strings.Contains(example, line) && !strings.HasPrefix(line, "   -") {
				t.Errorf("mezu %s --help has %d columns at 40: %s", path, n, line)
			}
		}
		if piped := help(t, path); piped != wide {
			t.Errorf("mezu %s --help says something else into a pipe:\n%s", path, piped)
		}
	}
}

// writingPages says that this process writes all pages, at the terminal that it has.
const writingPages = "MEZU_TEST_PAGES"

// Every help page as a terminal shows it, of 80 columns and of 40.
func TestHelp_InATerminal(t *testing.T) {
	if os.Getenv(writingPages) != "" {
		for _, path := range paths(manual.Of(cli.Tree())) {
			inv := invocation.Invocation{Getenv: os.Getenv, Streams: terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv)}
			cli.Main(t.Context(), append(strings.Fields(path), "--help"), inv, cli.Config{Version: "1.2.3"})
		}
		return
	}
	for _, columns := range []int{80, 40} {
		var want strings.Builder
		for _, path := range paths(manual.Of(cli.Tree())) {
			want.WriteString(pageAt(t, path, columns))
		}
		rows, lines := testkit.Screen(t, columns, strconv.Quote(os.Args[0])+" -test.run '^TestHelp_InATerminal$'", writingPages+"=1")
		rows, _, _ = strings.Cut(rows, "PASS\n")
		lines, _, _ = strings.Cut(lines, "PASS\n")
		if lines != want.String() {
			t.Errorf("%d columns: a terminal shows\n%s\nnot\n%s", columns, lines, want.String())
		}
		if columns == 80 && rows != lines {
			t.Errorf("%d columns: a terminal breaks lines:\n%s", columns, rows)
		}
	}
}
