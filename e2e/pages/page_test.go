package pages

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// Pages say what is run by the word behind a fence:
//
//   - sh: commands. A first line "# on NAME, NAME: …" names the machines, else it is the page's first.
//   - none, json or text, behind commands at once or after one line: what they print, or some
//     of it.
//   - console: commands that no test can run; the sentence above says why.
//   - anything else is a file's content. A first line "# NAME" or "// NAME" has it written
//     under that name, on all machines of the page.
const (
	fenceCommands = "sh"
	fenceSkipped  = "console"
)

// block is what stands between two fences.
type block struct {
	kind, text string
	line       int
	machines   []string // of commands; none for the first
	file       string   // of content
	shown      []string
}

var (
	fence     = regexp.MustCompile("^( *)```([a-z]*)$")
	onMachine = regexp.MustCompile(`^# on ([a-z0-9, -]+):`)
	fileName  = regexp.MustCompile(`^(?:#|//) ([A-Za-z0-9_./-]+\.[a-z]+)\n`)
)

// parse gives the blocks of a page in their order. What commands print is with them.
func parse(t *testing.T, text string) (out []block) {
	t.Helper()
	var open *block
	indent, said, shows := "", 0, false // lines since commands, and whether what comes is what they print
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m == nil && open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case m == nil && line != "":
			if said++; said > 1 {
				shows = false
			}
		case m == nil:
		case open == nil:
			open, indent = &block{kind: m[2], line: i + 1}, m[1]
		default:
			out = place(out, *open, shows)
			if said++; open.kind == fenceCommands {
				said, shows = 0, true
			}
			open = nil
		}
	}
	if open != nil {
		t.Fatalf("line %d: the block is not closed", open.line)
	}
	return out
}

// place adds a block, or gives what it shows to the commands before it.
func place(all []block, b block, shows bool) []block {
	switch b.kind {
	case fenceCommands:
		if m := onMachine.FindStringSubmatch(b.text); m != nil {
			b.machines = strings.Split(m[1], ", ")
		}
	case fenceSkipped:
	case "", "json", "text":
		if n := len(all); n > 0 && shows {
			all[n-1].shown = append(all[n-1].shown, b.text)
		}
		return all
	default:
		if m := fileName.FindStringSubmatch(b.text); m != nil {
			b.file = m[1]
		}
	}
	return append(all, b)
}

// readPage gives a page's blocks.
func readPage(t *testing.T, name string) []block {
	t.Helper()
	return parse(t, string(testkit.ReadData(t, "../../"+name)))
}

// Of what a page shows, these stand for others of their kind: what has a digit or an
// ellipsis, and paths and hosts of examples.
var (
	placeholder = regexp.MustCompile(`[0-9…]|/home/|example\.|•|Vite`)
	field       = regexp.MustCompile(`"[A-Za-z_0-9]+":`)
)

// missing gives the lines of what a page shows that are not in the output. Of JSON only the
// names of fields are looked for.
func missing(shown, output string) (lines []string) {
	if strings.HasPrefix(shown, "{") || strings.HasPrefix(shown, "[") {
		output = strings.ReplaceAll(output, `" :`, `":`)
		for _, f := range field.FindAllString(shown, -1) {
			if !strings.Contains(output, f) {
				lines = append(lines, f)
			}
		}
		return lines
	}
	for line := range strings.Lines(shown) {
		if !pattern(line).MatchString(output) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// status is what a line of commands says that curl -i shows.
var status = regexp.MustCompile(`(?m)^curl .*-i .*# ([1-5][0-9][0-9])\b`)

// wrong gives the lines of commands whose answer has another status than they say. Answers come in the
// order of the commands.
func wrong(commands, output string) (lines []string) {
	for _, m := range status.FindAllStringSubmatch(commands, -1) {
		if _, rest, found := strings.Cut(output, "HTTP/2 "+m[1]); found {
			output = rest
		} else {
			lines = append(lines, m[0])
		}
	}
	return lines
}

// pattern finds a line of which words that stand for others may be others.
func pattern(line string) *regexp.Regexp {
	words := strings.Fields(strings.TrimPrefix(line, "┊"))
	for i, word := range words {
		if strings.Contains(word, "{") { // of JSON, what comes before it
			words[i] = ".*"
		} else if placeholder.MatchString(word) {
			words[i] = `\S+`
		} else {
			words[i] = regexp.QuoteMeta(word)
		}
	}
	return regexp.MustCompile(`(?m)^\s*` + strings.Join(words, `\s+`) + `\s*$`)
}

func TestParse(t *testing.T) {
	page := "a\n```sh\n# on web-1: beside the workload\nx\n```\nsays\n\n```\nup 3 of 4\n```\n```json\n{\"a\": 1}\n```\n```yaml\n# c.yaml\na: b\n```\n" +
		"1. x\n   ```sh\n   y\n   ```\n```console\n$ z\n```\n```text\nno output of commands\n```\n"
	all := parse(t, page)
	if len(all) != 4 || len(all[0].machines) != 1 || all[0].machines[0] != "web-1" || len(all[0].shown) != 2 || all[1].file != "c.yaml" || all[2].text != "y\n" || all[2].line != 19 || all[3].kind != fenceSkipped {
		t.Fatalf("%+v", all)
	}
	if got := missing(all[0].shown[0], "so it is\n  up  17 of 20\n"); len(got) > 0 {
		t.Errorf("not found: %q", got)
	}
	if got := missing(all[0].shown[0], "down 3 of 4\n"); len(got) != 1 {
		t.Errorf("found: %q", got)
	}
	if got := wrong("curl -i x  # 204\ncurl -i y # 400: so\ncurl z # 500\n", "HTTP/2 204\n"); len(got) != 1 {
		t.Errorf("of two, one of them wrong: %q", got)
	}
	if got := wrong("curl -i x  # 204\ncurl -i y # 204\n", "HTTP/2 204\nHTTP/2 404\n"); len(got) != 1 {
		t.Errorf("of two that say the same, one of them wrong: %q", got)
	}
	if got := missing(all[0].shown[1], `{"b": 1}`); len(got) != 1 {
		t.Errorf("found: %q", got)
	}
}
