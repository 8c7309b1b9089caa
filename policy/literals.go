package policy

// maxChain is how many literal beginnings of patterns, each a prefix of the next, are looked up for
// one path. Behind more of them all patterns are looked at in turn: real ones begin alike once or
// twice.
const maxChain = 8

// literals finds the patterns that a path may match, by their literal beginnings.
type literals struct {
	patterns int
	prefixes prefixes[[]int32] // of them that begin so, in the order in which they are tried
}

func newLiterals(patterns []pattern) literals {
	by := make(map[string][]int32)
	for i := range patterns {
		by[patterns[i].Literal] = append(by[patterns[i].Literal], int32(i))
	}
	return literals{len(patterns), newPrefixes(by)}
}

// candidates are indices of patterns, in the order in which they are tried.
type candidates struct {
	lists [maxChain][]int32
	chain int
	rest  int // of all, if their number is not bounded by lists
	all   int
}

// of gives the patterns that path may match; with everything, all of them.
func (l *literals) of(path string, everything bool) (c candidates) {
	for i := l.prefixes.find(path); i >= 0 && !everything; i = l.prefixes.parent[i] {
		if c.chain == maxChain {
			everything = true
			break
		}
		c.lists[c.chain] = l.prefixes.items[i]
		c.chain++
	}
	if everything {
		c.chain, c.rest, c.all = 0, l.patterns, l.patterns
	}
	return c
}

// next gives the next index, -1 if there is none.
func (c *candidates) next() int {
	if c.rest > 0 {
		c.rest--
		return c.all - c.rest - 1
	}
	first := -1
	for i := range c.chain {
		if len(c.lists[i]) > 0 && (first < 0 || c.lists[i][0] < c.lists[first][0]) {
			first = i
		}
	}
	if first < 0 {
		return -1
	}
	at := c.lists[first][0]
	c.lists[first] = c.lists[first][1:]
	return int(at)
}
