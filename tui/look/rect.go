package look

// Rect is where something is drawn, in cells. One of height one is a folded panel; one of height
// zero isn't drawn.
type Rect struct{ X, Y, W, H int }

// Has reports whether a cell is in it.
func (r Rect) Has(x, y int) bool {
	return x >= r.X && x < r.X+r.W && y >= r.Y && y < r.Y+r.H
}

// Body is how many lines the inside of a panel has here.
func (r Rect) Body() int { return max(0, r.H-2) }
