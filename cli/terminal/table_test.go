package terminal_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu/cli/terminal"
)

var update = flag.Bool("update", false, "write golden files")

// now is the time of these tests.
var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// gate is a record as tables have them.
type gate struct {
	id, name, status, address, edges, version string
	seen                                      time.Time
}

func gates() []gate {
	return []gate{
		{"wgt_06h26kh6kmnrhmzmsjng20d7zg", "web-1", "connected", "192.0.2.17:51234", "edge-1,edge-2", "1.2.3", now.Add(-3 * time.Second)},
		{"wgt_06h26kh6kmnrhmzmsjng20d7zh", "日本語のゲート", "connected", "[2001:db8:85a3::8a2e:370:7334]:443", "edge-1,edge-2,edge-of-the-third-region", "1.2.3", now.Add(-7 * time.Minute)},
		{"wgt_06h26kh6kmnrhmzmsjng20d7zj", "rocket 🚀 a\u0301", "gone", "", "", "", now.AddDate(-1, 0, 0)},
	}
}

func gateColumns(first terminal.Rank) []terminal.Column[gate] {
	columns := []terminal.Column[gate]{
		{Head: "ID", Value: func(g gate) string { return g.id }, Rank: first},
		{Head: "NAME", Value: func(g gate) string { return g.name }, Rank: terminal.Name},
		{Head: "STATUS", Value: func(g gate) string { return g.status }},
		{Head: "ADDRESS", Value: func(g gate) string { return g.address }},
		{Head: "EDGES", Value: func(g gate) string { return g.edges }},
		{Head: "VERSION", Value: func(g gate) string { return g.version }, Rank: terminal.Detail},
		{Head: "LAST SEEN", At: func(g gate) time.Time { return g.seen }, Rank: terminal.Detail},
	}
	if first == terminal.Handle {
		columns[1].Rank = terminal.Plain
	}
	return columns
}

// at is a terminal with so many columns.
func at(width int, out *bytes.Buffer) terminal.Streams {
	return terminal.Streams{Out: out, OutTerminal: true, ColorOff: true, Unicode: true, Columns: func() int { return width }, Present: func() time.Time { return now }}
}

// TestTablesFit holds tables at several widths against what they are known to be.
func TestTablesFit(t *testing.T) {
	for _, width := range []int{40, 60, 80, 120, 200} {
		var out bytes.Buffer
		s := at(width, &out)
		for _, first := range []terminal.Rank{terminal.ID, terminal.Handle} {
			if err := terminal.WriteList(s, terminal.Table, gates(), gateColumns(first)); err != nil {
				t.Fatal(err)
			}
			out.WriteString("\n")
		}
		if err := terminal.WriteRecord(s, terminal.Table, gates()[1], gateColumns(terminal.ID)); err != nil {
			t.Fatal(err)
		}
		fits(t, out.String(), width)
		file := filepath.Join("testdata", fmt.Sprintf("table-%d.txt", width))
		if *update {
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || out.String() != string(want) {
			t.Errorf("at %d columns (-update writes it): %v\n%s", width, err, out.String())
		}
	}
}

// fits says which lines are too long. A word that is longer than a line may be.
func fits(t interface{ Errorf(string, ...any) }, text string, width int) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if terminal.Wide(line) > width && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%d columns of %d: %s", terminal.Wide(line), width, line)
		}
		if strings.HasSuffix(line, " ") {
			t.Errorf("blanks at the end: %q", line)
		}
	}
}

// TestAnyTableFits holds tables of anything to the width of the terminal, and ids that have to be
// typed to being there.
func TestAnyTableFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		width := rapid.IntRange(20, 200).Draw(rt, "width")
		ranks := rapid.SliceOfN(rapid.SampledFrom([]terminal.Rank{terminal.Plain, terminal.Detail, terminal.ID, terminal.Name, terminal.Handle}), 1, 8).Draw(rt, "ranks")
		words := rapid.StringMatching(`([a-z,]{1,12} ?|日本|🚀|é){0,8}`)
		var columns []terminal.Column[[]string]
		for i, rank := range ranks {
			columns = append(columns, terminal.Column[[]string]{Head: fmt.Sprintf("HEAD %d", i), Rank: rank, Value: func(row []string) string { return row[i] }})
		}
		rows := rapid.SliceOfN(rapid.SliceOfN(words, len(ranks), len(ranks)), 1, 4).Draw(rt, "rows")
		var out bytes.Buffer
		if err := terminal.WriteList(at(width, &out), terminal.Table, rows, columns); err != nil {
			rt.Fatal(err)
		}
		fits(rt, out.String(), width)
		squeezed := strings.Join(strings.Fields(out.String()), "")
		for i, rank := range ranks {
			for _, row := range rows {
				if rank == terminal.Handle && !strings.Contains(squeezed, strings.Join(strings.Fields(row[i]), "")) {
					rt.Fatalf("%q is cut:\n%s", row[i], out.String())
				}
			}
		}
	})
}

func TestTimesOnATerminalAndElsewhere(t *testing.T) {
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{
		{0, "now"}, {-200 * time.Millisecond, "now"}, {3 * time.Second, "3 s ago"}, {59600 * time.Millisecond, "1 min ago"}, {3 * time.Minute, "3 min ago"}, {-3 * time.Minute, "in 3 min"},
		{59*time.Minute + 40*time.Second, "1 h ago"}, {25 * time.Hour, "1 d ago"}, {-6*24*time.Hour - time.Hour, "in 6 d"}, {-30*24*time.Hour + time.Second, "in 30 d"},
		{400 * 24 * time.Hour, "2025-10-26"}, {-400 * 24 * time.Hour, "2028-01-04"},
	} {
		if got := terminal.Ago(now.Add(-c.ago), now); got != c.want {
			t.Errorf("%v: %q, want %q", c.ago, got, c.want)
		}
	}
	columns := []terminal.Column[time.Time]{{Head: "TIME", At: func(t time.Time) time.Time { return t }}}
	for _, c := range []struct {
		tty, absolute bool
		want          string
	}{{true, false, "TIME\n7 min ago\n\n"}, {true, true, "TIME\n2026-11-30T11:53:00Z\n\n"}, {false, false, "2026-11-30T11:53:00Z\n\n"}} {
		var out bytes.Buffer
		s := at(80, &out)
		s.OutTerminal, s.Absolute = c.tty, c.absolute
		if err := terminal.WriteList(s, terminal.Table, []time.Time{now.Add(-7 * time.Minute).In(time.FixedZone("", 3600)), {}}, columns); err != nil || out.String() != c.want {
			t.Errorf("%+v: %q, %v", c, out.String(), err)
		}
	}
}

func TestNamesAlone(t *testing.T) {
	var out bytes.Buffer
	s := at(80, &out)
	if err := terminal.WriteList(s, terminal.Names, gates()[:1], gateColumns(terminal.ID)); err != nil || out.String() != "web-1\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	if err := terminal.WriteRecord(s, terminal.Names, gates()[0], gateColumns(terminal.Handle)); err != nil || out.String() != gates()[0].id+"\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	for _, c := range []struct {
		value any
		want  string
	}{
		{[]map[string]string{{"name": "a", "id": "1"}, {"id": "2"}}, "a\n2\n"},
		{map[string]any{"name": "a\x1b", "n": 1}, "a\\x1b\n"},
		{[]int{}, ""},
	} {
		out.Reset()
		if err := s.WriteValue(terminal.Names, c.value); err != nil || out.String() != c.want {
			t.Errorf("%v: %q, %v", c.value, out.String(), err)
		}
	}
	for _, nameless := range []any{map[string]int{"n": 1}, []int{1}, "text"} {
		out.Reset()
		if err := s.WriteValue(terminal.Names, nameless); err == nil || out.Len() > 0 {
			t.Errorf("%v: %q, %v", nameless, out.String(), err)
		}
	}
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""}, {"one two", 10, "one two"}, {"one two three", 8, "one two|three"}, {"日本 語", 4, "日本|語"},
		{"a,bb,ccc,dddd", 6, "a,bb,|ccc,|dddd"}, {"x https://example.com/a,b,c y", 10, "x|https://example.com/a,b,c|y"},
		{"one two", 0, "one two"}, {"  lead", 20, "  lead"}, {"ends   here", 8, "ends|here"},
	} {
		if got := strings.Join(terminal.Fold(c.text, c.width), "|"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
