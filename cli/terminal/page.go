package terminal

import "strings"

// PageWidth is how wide a page of help is at most: what every terminal has, and what is read
// without losing the line.
const PageWidth = 80

// deepest is the part of a line, a half, behind which no second column begins.
const deepest = 2

// PageFor is how wide a page of help is here.
func (s Streams) PageFor() int {
	if width := s.Width(); width > 0 {
		return min(width, PageWidth)
	}
	return PageWidth
}

// Page lays a page of help out for a width. Lines that begin at the margin are text, those that
// are indented are rows of one column or two, which two spaces part, and a line that begins far in
// goes on with the row above it. What fits stays as it is, and so does an example, which is to
// be copied.
func Page(text string, width int) string {
	var out []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); {
		if strings.HasPrefix(lines[i], "Example") {
			for i < len(lines) && lines[i] != "" {
				out = append(out, lines[i])
				i++
			}
			continue
		}
		end := i + 1
		for end < len(lines) && goesOn(lines[i], lines[end]) {
			end++
		}
		out = append(out, lay(lines[i:end], width)...)
		i = end
	}
	return strings.Join(out, "\n")
}

// rowIndent is where rows begin; what begins further in than twice that goes on with one.
const rowIndent = 3

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// goesOn reports whether a line belongs to what began with another one.
func goesOn(first, line string) bool {
	if line == "" || first == "" || strings.HasSuffix(first, ":") {
		return false
	}
	if indent(first) == 0 {
		return indent(line) == 0
	}
	return indent(line) > 2*rowIndent
}

// lay lays out a paragraph or a row.
func lay(lines []string, width int) []string {
	fits := true
	for _, line := range lines {
		fits = fits && Wide(line) <= width
	}
	if fits {
		return lines
	}
	words := make([]string, len(lines))
	for i, line := range lines {
		words[i] = strings.TrimLeft(line, " ")
	}
	in := indent(lines[0])
	head, tail, two := strings.Cut(words[0], "  ")
	if in == 0 || !two && len(lines) == 1 {
		return folded(strings.Repeat(" ", in), in, strings.Join(words, " "), width)
	}
	tail = strings.TrimLeft(tail, " ")
	at := in + Wide(words[0]) - Wide(tail)
	words[0] = tail
	return row(head, strings.TrimLeft(strings.Join(words, " "), " "), in, at, width)
}

// Rows lays out rows of two columns, a name and what it is. Names that are longer than others have
// a line of their own.
func Rows(rows [][2]string, width int) []string {
	longest := 0
	for _, r := range rows {
		if n := Wide(r[0]); n*deepest <= width-2*rowIndent {
			longest = max(longest, n)
		}
	}
	var out []string
	for _, r := range rows {
		out = append(out, row(r[0], r[1], rowIndent, rowIndent+longest+2, width)...)
	}
	return out
}

// row is one of them, which begins in columns in, with the second column from at on.
func row(head, text string, in, at, width int) []string {
	before := strings.Repeat(" ", in) + head
	if at*deepest <= width+2*rowIndent && Wide(before)+2 <= at {
		return folded(pad(before, at), at, text, width)
	}
	if at*deepest > width+2*rowIndent {
		at = 2 * rowIndent
	}
	return append([]string{before}, folded(strings.Repeat(" ", at), at, text, width)...)
}

// folded is a text behind a beginning, whose further lines begin at a column.
func folded(before string, at int, text string, width int) []string {
	lines := Fold(text, width-at)
	for i := range lines {
		lines[i] = before + lines[i]
		before = strings.Repeat(" ", at)
	}
	return lines
}
