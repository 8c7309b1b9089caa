package terminal

import (
	"slices"
	"time"
)

// Column is one column of a table over rows of type T.
type Column[T any] struct {
	Head  string
	Value func(T) string
	// At gives a time, in the place of Value. A terminal shows how long ago it is.
	At func(T) time.Time
	// Rank is what becomes of the column where a terminal has no room for all of them.
	Rank Rank
}

// Rank is how much a column of a table matters.
type Rank int

// Ranks. A table that a terminal has no room for loses columns that say nothing, and those of
// rank ID, if it has one of rank Name or Handle beside them; then columns of rank Detail are cut and, from the right, left out;
// then those of rank Plain are cut, and those of rank Name last of all. One of rank Handle is
// never cut.
const (
	Plain  Rank = iota
	Detail      // what "show" is enough for
	ID          // an id that nobody has to type, because there is something else to name the record by
	Name        // what people know a record by, and commands
	Handle      // an id that commands know a record by, and nothing else
)

// names reports whether commands name a record by what is in a column of this rank.
func (r Rank) names() bool { return r == Name || r == Handle }

// cell is what a column has of an item.
func (c Column[T]) cell(s Streams, item T) string {
	if c.At != nil {
		return s.Moment(c.At(item))
	}
	return Clean(c.Value(item))
}

// Of makes columns over a type of those over another one, which is a part of it.
func Of[T, U any](columns []Column[U], part func(T) U) []Column[T] {
	out := make([]Column[T], len(columns))
	for i, c := range columns {
		out[i] = Column[T]{Head: c.Head, Rank: c.Rank}
		if c.At != nil {
			out[i].At = func(v T) time.Time { return c.At(part(v)) }
		} else {
			out[i].Value = func(v T) string { return c.Value(part(v)) }
		}
	}
	return out
}

// namedBy is the column that commands name a record by; false if none says so.
func namedBy[T any](columns []Column[T]) (Column[T], bool) {
	i := slices.IndexFunc(columns, func(c Column[T]) bool { return c.Rank.names() })
	if i < 0 {
		return Column[T]{}, false
	}
	return columns[i], true
}
