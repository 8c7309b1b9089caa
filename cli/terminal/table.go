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
	width := s.Width()
	var b strings.Builder
	for i, head := range heads {
		if cells[i] == "" {
			continue
		}
		head = strings.ToLower(head)
		text := strings.TrimRight(cells[i], " ")
		lines := Fold(text, width-left)
		if width > 0 && slices.ContainsFunc(lines, func(l string) bool { return Wide(l) > width-left }) {
			// It gets the whole width.
			b.WriteString(head + "\n")
			for _, line := range Fold(text, width-gap) {
				if Wide(line) <= width-gap {
					line = strings.Repeat(" ", gap) + line
				}
				b.WriteString(line + "\n")
			}
			continue
		}
		b.WriteString(pad(head, left) + strings.Join(lines, "\n"+strings.Repeat(" ", left)) + "\n")
	}
	return b.String()
}

// arrange chooses the columns for which there is room, and their widths. It reports false if
// there is none for a table.
func (g grid) arrange(room int) (fields, bool) {
	all := make([]int, len(g.heads))
	for i := range all {
		all[i] = i
	}
	for _, set := range g.choices(all) {
		if widths, ok := g.fit(set, room, ampleWidth, 0); ok {
			return fields{set, widths}, true
		}
	}
	sets := g.choices(all)
	least := sets[len(sets)-1]
	for _, name := range []int{0, leastName} {
		if widths, ok := g.fit(least, room, leastWidth, name); ok {
			return fields{least, widths}, true
		}
	}
	return fields{}, false
}

// choices are sets of columns, each with less than the one before: all, then without those that
// say nothing, then without ids, and then without details.
func (g grid) choices(all []int) [][]int {
	without := func(set []int, not func(column int) bool) []int {
		return slices.DeleteFunc(slices.Clone(set), not)
	}
	named := slices.Contains(g.ranks, Name)
	set := without(all, func(c int) bool {
		return !g.ranks[c].names() && !slices.ContainsFunc(g.rows, func(row []string) bool { return row[c] != "" })
	})
	out := [][]int{all, set}
	if named {
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

// fit gives the widths of columns. Those of rank Plain become no narrower than plain, and those
// of rank Name no narrower than name; with zero they are not cut.
func (g grid) fit(set []int, room, plain, name int) ([]int, bool) {
	widths, least := make([]int, len(set)), make([]int, len(set))
	total := gap * (len(set) - 1)
	for i, c := range set {
		widths[i] = Wide(g.heads[c])
		for _, row := range g.rows {
			widths[i] = max(widths[i], Wide(row[c]))
		}
		total += widths[i]
		least[i] = widths[i]
		if bound := map[Rank]int{Detail: leastDetail, Plain: plain, Name: name}[g.ranks[c]]; bound > 0 {
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
