package inspect

import "github.com/mezusphere/mezu"

const (
	// leastPiece is the least memory that is taken for a body at once: pieces of streams can be
	// a few bytes each.
	leastPiece = 512
	// mostPiece is the most: what is not filled is lost.
	mostPiece = 64 << 10
)

// collected is a body that is on its way.
type collected struct {
	Body
	room int64 // reserved
	full bool  // no more of it is kept
}

// add counts a piece and keeps its beginning, as long as reserve gives room for it.
func (c *collected) add(p []byte, reserve func(int64) bool) {
	c.Size += int64(len(p))
	if c.full {
		return
	}
	if most := mezu.MaxKeptBody - c.kept; len(p) >= most {
		p = p[:most]
		c.full = len(p) < most || c.Size > mezu.MaxKeptBody
	}
	for len(p) > 0 {
		last := len(c.pieces) - 1
		if last < 0 || len(c.pieces[last]) == cap(c.pieces[last]) {
			size := min(max(len(p), c.kept, leastPiece), mostPiece)
			if last < 0 && len(p) < mostPiece {
				size = len(p) // most bodies are one piece
			}
			if !reserve(int64(size)) {
				c.full = true
				return
			}
			c.room += int64(size)
			c.pieces = append(c.pieces, make([]byte, 0, size))
			last++
		}
		to := &c.pieces[last]
		n := copy((*to)[len(*to):cap(*to)], p)
		*to = (*to)[:len(*to)+n]
		c.kept += n
		p = p[n:]
	}
}

// view is the body as it is now. What is added later is not in it.
func (c *collected) view() Body {
	b := c.Body
	b.pieces = append([][]byte(nil), b.pieces...)
	return b
}
