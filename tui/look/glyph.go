package look

// Glyphs are the signs of the dashboard, each one cell wide.
type Glyphs struct {
	// Frames.
	Horizontal, Vertical                       string
	TopLeft, TopRight, BottomLeft, BottomRight string
	TeeLeft, TeeRight                          string // where two panels share a line
	// Signs of states.
	Up, Partly, Down, Waiting, Newest, Behind, Pinned, Replay string
	// Signs of lists and lines.
	Selected, Back, More, Less, Live, Paused, Ellipsis, Arrow, Dash, In, Out, Cursor string
	Times                                                                            string
	// TabLeft and TabRight are around the screen that is shown.
	TabLeft, TabRight string
	// Mask is shown in the place of a secret.
	Mask string
	// Spark are the heights of a sparkline, lowest first; Bar the eighths of a bar.
	Spark, Bar []string
	// ASCII says that the terminal shows nothing else.
	ASCII bool
}

// Unicode are the glyphs of a terminal that shows UTF-8.
func Unicode() Glyphs {
	return Glyphs{
		Horizontal: "─", Vertical: "│", TopLeft: "┌", TopRight: "┐", BottomLeft: "└", BottomRight: "┘", TeeLeft: "├", TeeRight: "┤",
		Up: "●", Partly: "◐", Down: "○", Waiting: "◌", Newest: "✓", Behind: "▲", Pinned: "★", Replay: "↻",
		Selected: "▸", Back: "‹", More: "▼", Less: "▲", Live: "▶", Paused: "‖", Ellipsis: "…", Arrow: "→", Dash: "–", In: "→", Out: "←", Cursor: "█",
		Times: "×", TabLeft: "▐", TabRight: "▌", Mask: "••••••",
		Spark: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, Bar: []string{"▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"},
	}
}

// ASCII are the glyphs of any other.
func ASCII() Glyphs {
	return Glyphs{
		Horizontal: "-", Vertical: "|", TopLeft: "+", TopRight: "+", BottomLeft: "+", BottomRight: "+", TeeLeft: "+", TeeRight: "+",
		Up: "*", Partly: "~", Down: "o", Waiting: ".", Newest: "=", Behind: "^", Pinned: "!", Replay: "@",
		Selected: ">", Back: "<", More: "v", Less: "^", Live: ">", Paused: "=", Ellipsis: "~", Arrow: ">", Dash: "-", In: ">", Out: "<", Cursor: "_",
		Times: "x", TabLeft: "[", TabRight: "]", Mask: "******",
		ASCII: true, Spark: []string{"_", ".", ".", "-", "-", "=", "=", "#"}, Bar: []string{" ", " ", "-", "-", "=", "=", "#", "#"},
	}
}

// spelling is an ASCII sign in the place of one that words and footers are written with; empty for
// all others.
func spelling(r rune) string {
	switch r {
	case '↑':
		return "^"
	case '↓':
		return "v"
	case '←':
		return "<"
	case '→':
		return ">"
	case '…':
		return "~"
	case '·', '–':
		return "-"
	case '×':
		return "x"
	case '•':
		return "*"
	}
	return ""
}
