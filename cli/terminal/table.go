package terminal

import (
	"slices"
	"strings"
)

const (
	// gap is how far columns are apart.
	gap = 2
	// ampleWidth and leastWidth are how narrow a column of rank Plain may become, while others
	// can be left out and when none can. leastDetail and leastName are those of the others.
	ampleWidth  = 16
	leastWidth  = 8
	leastDetail = 10
	leastName   = 24
	// narrow is below which width a terminal shows blocks rather than columns of leastWidth, and
	// narrowWidth what they are there.
	narrow      = 60
	narrowWidth = 12
)

// grid is a table: its heads, the ranks of its columns, and its rows.
type grid struct {
	heads []string
	ranks []Rank
	rows  [][]string
}

// fields are columns of a grid by their numbers, each with its width.
type fields struct {
	columns, widths []int
}

// write writes a grid for people: as a table of what there is room for or, if that would leave
// too little of it, each row as a block of lines.
func (g grid) write(s Streams) string {
	f, ok := g.arrange(s.Width())
	if !ok {
		return g.blocks(s)
	}
	var b strings.Builder
	line := func(cells []string, before, after string) {
		text := ""
		for i, column := range f.columns {
			cell := s.Cut(cells[column], f.widths[i])
			if i < len(f.columns)-1 {
				cell = pad(cell, f.widths[i]+gap)
			}
			text += cell
		}
		b.WriteString(before + strings.TrimRight(text, " ") + after + "\n")
	}
	if s.Color() {
		line(g.heads, "\x1b[1m", "\x1b[0m")
	} else {
		line(g.heads, "", "")
	}
	for _, row := range g.rows {
		line(row, "", "")
	}
	return b.String()
}

// blocks are the rows as blocks of lines, one below the other.
func (g grid) blocks(s Streams) string {
	var b strings.Builder
	for i, row := range g.rows {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(block(s, g.heads, row))
	}
	return b.String()
}

// block shows one record as lines of head and value. What has no value is left out.
func block(s Streams, heads, cells []string) string {
	left := 0
	for i, head := range heads {
		if cells[i] != "" {
			left = max(left, Wide(head)+gap)
		}
	}
	var b strings.Builder
	for i, head := range heads {
		if cells[i] == "" {
			continue
		}
		b.WriteString(s.Beside(strings.ToLower(head), left, cells[i]))
	}
	return b.String()
}

// Beside gives lines with a text to the right of a head, from the column left on, folded to the
// width of the terminal. A text with a word for which that is not enough stands below the head.
func (s Streams) Beside(head string, left int, text string) string {
	text = strings.TrimRight(text, " ")
	width := s.Width()
	lines := Fold(text, width-left)
	if width == 0 {
		lines = []string{text}
	}
	if width == 0 || !slices.ContainsFunc(lines, func(l string) bool { return Wide(l) > width-left }) {
		return strings.TrimRight(pad(head, left)+strings.Join(lines, "\n"+strings.Repeat(" ", left)), " ") + "\n"
	}
	var b strings.Builder
	if head = strings.TrimRight(head, " "); head != "" {
		b.WriteString(head + "\n")
	}
	for _, line := range Fold(text, width-gap) {
		if Wide(line) <= width-gap {
			line = strings.Repeat(" ", gap) + line
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Hang gives a line that is folded to the width of the terminal, what follows indented.
func (s Streams) Hang(text string) string {
	return strings.Join(Fold(text, s.Width()-gap), "\n"+strings.Repeat(" ", gap)) + "\n"
}

// arrange chooses the columns for which there is room, and their widths. It reports false if
// there is none for a table.
func (g grid) arrange(room int) (fields, bool) {
	all := make([]int, len(g.heads))
	for i := range all {
		all[i] = i
	}
	sets := g.choices(all)
	least := sets[len(sets)-1]
	try := func(set []int, bounds map[Rank]int) (fields, bool) {
		widths, ok := g.fit(set, room, bounds)
		return fields{set, widths}, ok
	}
	for _, set := range sets[:2] {
		if f, ok := try(set, nil); ok {
			return f, true
		}
	}
	for _, set := range sets[1:] {
		if f, ok := try(set, map[Rank]int{Detail: leastDetail, Plain: ampleWidth}); ok {
			return f, true
		}
	}
	plain := leastWidth
	if room < narrow {
		plain = narrowWidth
	}
	if f, ok := try(least, map[Rank]int{Plain: plain}); ok {
		return f, true
	}
	return try(least, map[Rank]int{Plain: plain, Name: leastName})
}

// choices are sets of columns, each with less than the one before: all, then without those that
// say nothing, then without ids, and then without details.
func (g grid) choices(all []int) [][]int {
	without := func(set []int, not func(column int) bool) []int {
		return slices.DeleteFunc(slices.Clone(set), not)
	}
	set := without(all, func(c int) bool {
		return !g.ranks[c].names() && !slices.ContainsFunc(g.rows, func(row []string) bool { return row[c] != "" })
	})
	out := [][]int{all, set}
	if slices.ContainsFunc(g.ranks, Rank.names) {
		set = without(set, func(c int) bool { return g.ranks[c] == ID })
		out = append(out, set)
	}
	for c := range slices.Backward(all) {
		if g.ranks[c] == Detail && slices.Contains(set, c) {
			set = without(set, func(other int) bool { return other == c })
			out = append(out, set)
		}
	}
	return out
}

// fit gives the widths of columns. Those of a rank with a bound become no narrower than that;
// others are not cut.
func (g grid) fit(set []int, room int, bounds map[Rank]int) ([]int, bool) {
	widths, least := make([]int, len(set)), make([]int, len(set))
	total := gap * (len(set) - 1)
	for i, c := range set {
		widths[i] = Wide(g.heads[c])
		for _, row := range g.rows {
			widths[i] = max(widths[i], Wide(row[c]))
		}
		total += widths[i]
		least[i] = widths[i]
		if bound, cut := bounds[g.ranks[c]]; cut {
			least[i] = min(widths[i], max(bound, Wide(g.heads[c])))
		}
	}
	for _, rank := range []Rank{Detail, Plain, Name} {
		for total > room {
			widest := -1
			for i, c := range set {
				if g.ranks[c] == rank && widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest]) {
					widest = i
				}
			}
			if widest < 0 {
				break
			}
			widths[widest]--
			total--
		}
	}
	return widths, total <= room
}
