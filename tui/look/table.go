package look

import "strings"

// Column is one of a table.
type Column struct {
	Head string
	// Width is what it takes. A column with Grow gets what is left, in shares of Grow.
	Width int
	Grow  int
	Right bool // its text stands on the right
	// Rank says which columns go first when there is no room: the highest. Those of rank
	// zero stay.
	Rank int
}

// Cell is the text of a row in a column.
type Cell struct {
	Text string // escaped
	Tone Tone
}

// Table is rows in columns.
type Table struct {
	Columns []Column
	// Rows are those that are shown; Selected is the index of the one that the cursor is on,
	// -1 if none is.
	Rows     [][]Cell
	Selected int
	NoHead   bool
	// NoMark leaves out the room for the sign of the selected row.
	NoMark bool
}

// gap is between two columns, mark before each row.
const (
	gap  = 1
	mark = 2
)

// Draw gives the head and the rows, each of w cells. The selected row has a sign and is in
// reverse video.
func (b *Table) Draw(t *Theme, w int) []string {
	mark := mark
	if b.NoMark {
		mark = 0
	}
	widths := b.layout(w - mark)
	var out []string
	if !b.NoHead {
		cells := make([]Cell, len(b.Columns))
		for i, c := range b.Columns {
			cells[i] = Cell{Text: c.Head, Tone: Quiet}
		}
		out = append(out, strings.Repeat(" ", mark)+b.row(t, widths, cells, false))
	}
	for i, cells := range b.Rows {
		if i == b.Selected {
			out = append(out, t.Select(t.Fit(t.Selected+" "+b.row(t, widths, cells, true), w)))
			continue
		}
		out = append(out, strings.Repeat(" ", mark)+b.row(t, widths, cells, false))
	}
	return out
}

// layout gives each column its width; zero for one without room.
func (b *Table) layout(w int) []int {
	widths := make([]int, len(b.Columns))
	shown := make([]bool, len(b.Columns))
	for i := range shown {
		shown[i] = true
	}
	for {
		need, grow := 0, 0
		for i, c := range b.Columns {
			if shown[i] {
				need += c.Width + gap
				grow += c.Grow
			}
		}
		left := w - (need - gap)
		drop := -1
		if left < 0 {
			for i, c := range b.Columns {
				if shown[i] && c.Rank > 0 && (drop < 0 || c.Rank > b.Columns[drop].Rank) {
					drop = i
				}
			}
		}
		if drop >= 0 {
			shown[drop] = false
			continue
		}
		left = max(left, 0)
		for i, c := range b.Columns {
			if !shown[i] {
				continue
			}
			widths[i] = c.Width
			if grow > 0 && c.Grow > 0 {
				share := left * c.Grow / grow
				widths[i] += share
				left -= share
				grow -= c.Grow
			}
		}
		return widths
	}
}

// row gives the cells of one row.
func (b *Table) row(t *Theme, widths []int, cells []Cell, plain bool) string {
	var s strings.Builder
	first := true
	for i, w := range widths {
		if w == 0 {
			continue
		}
		if !first {
			s.WriteString(strings.Repeat(" ", gap))
		}
		first = false
		var c Cell
		if i < len(cells) {
			c = cells[i]
		}
		text := t.Fit(c.Text, w)
		if b.Columns[i].Right {
			text = t.FitRight(c.Text, w)
		}
		if !plain {
			text = t.Paint(c.Tone, text)
		}
		s.WriteString(text)
	}
	return s.String()
}
