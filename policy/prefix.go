package policy

import (
	"maps"
	"slices"
	"sort"
	"strings"
)

// prefixes finds the longest of many prefixes of a path with one binary search.
type prefixes[T any] struct {
	values []string // sorted
	items  []T
	// parent is the index of the longest other value that is a prefix of this
	// one, -1 if there is none.
	parent []int
}

func newPrefixes[T any](items map[string]T) prefixes[T] {
	p := prefixes[T]{values: slices.Sorted(maps.Keys(items))}
	for i, v := range p.values {
		p.items = append(p.items, items[v])
		// In sorted order a value follows its parent directly or follows
		// another descendant of it.
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(v, p.values[parent]) {
			parent = p.parent[parent]
		}
		p.parent = append(p.parent, parent)
	}
	return p
}

// find is the index of the longest prefix of path, -1 if there is none. The others are its
// ancestors.
//
// All values between a prefix of path and path, in order, begin with that
// prefix. So each prefix of path is the last value not after path or one of its
// ancestors, and the first of these that is short enough is the longest.
func (p *prefixes[T]) find(path string) int {
	i := sort.Search(len(p.values), func(i int) bool { return p.values[i] > path }) - 1
	if i < 0 {
		return -1
	}
	common := commonPrefix(p.values[i], path)
	for i >= 0 && len(p.values[i]) > common {
		i = p.parent[i]
	}
	return i
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
