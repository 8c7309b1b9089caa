package mezu

import (
	"encoding/binary"
	"math"
	"math/bits"
	"regexp/syntax"
	"slices"
)

// table is a deterministic automaton over the bytes of canonical paths, which are
// visible ASCII. A row is a state, a column a kind of bytes. Bytes are of the same kind if
// the pattern doesn't tell them apart.
type table struct {
	// next is the offset of the next state's row. The first row is the state from which
	// nothing matches, the second the one from which everything does. The last rows are
	// the states in which a path may end.
	next  []uint16
	kind  [256]uint8 // the column of a byte; 0 is of bytes that no canonical path has
	width uint16
	start uint16
	ends  uint16 // the first offset of a state in which a path may end
	// shortest and longest bound the paths that match.
	shortest, longest int
	// reads is the highest number of bytes that are looked at, math.MaxInt if there
	// is no such number.
	reads int
}

// The first two rows.
const (
	rowNothing = iota
	rowAnything
	firstRow
)

func (t *table) matches(path string) bool {
	if len(path) < t.shortest || len(path) > t.longest {
		return false
	}
	s := t.start
	for i := 0; i < len(path); i++ {
		if s <= t.width {
			return s == t.width
		}
		s = t.next[int(s)+int(t.kind[path[i]])]
	}
	return s == t.width || s >= t.ends
}

// alive reports whether a path that begins with prefix can match.
func (t *table) alive(prefix string) bool {
	s := t.start
	for i := 0; i < len(prefix) && s > t.width; i++ {
		s = t.next[int(s)+int(t.kind[prefix[i]])]
	}
	return s != 0
}

// literal is what every path that matches begins with.
func (t *table) literal() string {
	var sole [256]byte // by column: its byte, if the column has only one
	for _, c := range pathList {
		if k := t.kind[c]; sole[k] == 0 {
			sole[k] = c
		} else {
			sole[k] = math.MaxUint8 // a byte that is in no path
		}
	}
	var out []byte
	for s := t.start; s > t.width && s < t.ends && len(out) < MaxRegexpProgram; {
		row := t.next[s : s+t.width]
		only := 0
		for k, n := range row {
			switch {
			case n == 0:
			case only != 0 || sole[k] == math.MaxUint8:
				return string(out)
			default:
				only = k
			}
		}
		out, s = append(out, sole[only]), row[only]
	}
	return string(out)
}

// charset is a set of ASCII characters.
type charset [2]uint64

func (s *charset) add(c byte)           { s[c>>6] |= 1 << (c & 63) }
func (s charset) has(c byte) bool       { return s[c>>6]&(1<<(c&63)) != 0 }
func (s charset) and(o charset) charset { return charset{s[0] & o[0], s[1] & o[1]} }
func (s charset) not(o charset) charset { return charset{s[0] &^ o[0], s[1] &^ o[1]} }

// first is the lowest character of a set that has one.
func (s charset) first() byte {
	if s[0] != 0 {
		return byte(bits.TrailingZeros64(s[0]))
	}
	return byte(64 + bits.TrailingZeros64(s[1]))
}

// size is how many characters a set has.
func (s charset) size() int { return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) }

// drop takes the lowest character out of a set that has one.
func (s *charset) drop() {
	if s[0] != 0 {
		s[0] &= s[0] - 1
	} else {
		s[1] &= s[1] - 1
	}
}

// pathBytes are the bytes that a canonical path may have.
var pathBytes = func() (s charset) {
	s.add('/')
	s.add('%')
	for c, plain := range pathPlain {
		if plain {
			s.add(byte(c))
		}
	}
	return s
}()

// pathList is pathBytes as a list.
var pathList = func() (list []byte) {
	for s := pathBytes; s != (charset{}); s.drop() {
		list = append(list, s.first())
	}
	return list
}()

// wordBytes are the bytes of words, of which «\b» and «\B» look for the boundaries.
var wordBytes = func() (s charset) {
	for c := byte(0); c < 0x80; c++ {
		if syntax.IsWordChar(rune(c)) {
			s.add(c)
		}
	}
	return s.and(pathBytes)
}()

// reads gives the characters that an instruction accepts.
func reads(i *syntax.Inst) (s charset) {
	switch i.Op {
	case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return pathBytes
	case syntax.InstRune1:
		if c := i.Rune[0]; c < 0x7f {
			s.add(byte(c))
		}
	case syntax.InstRune:
		if len(i.Rune) == 1 { // one character, which may be folded: then either case
			for c := byte('!'); c < 0x7f; c++ {
				if i.MatchRune(rune(c)) {
					s.add(c)
				}
			}
			break
		}
		for k := 0; k+1 < len(i.Rune); k += 2 {
			for c := i.Rune[k]; c <= min(i.Rune[k+1], 0x7e); c++ {
				s.add(byte(c))
			}
		}
	}
	return s.and(pathBytes)
}

// subsets makes tables by the subset construction: a state is the set of instructions of
// the program that may come next. It makes one table after the other and uses its buffers
// again.
type subsets struct {
	prog  *syntax.Prog
	reads []charset // by instruction: the characters that it accepts
	kinds []charset // characters that no instruction tells apart
	words bool      // the program looks at word boundaries

	index  map[string]int32 // of states, by their key; used from fewStates on
	states []subset
	sets   []uint16 // of all states
	nexts  []int32  // of all states, by kind; -1 where nothing follows

	seen  []int // by instruction: the number of the last closure that has it
	turn  int
	stack []uint16
	from  []uint16
	out   []uint16 // of the last closure
	key   []byte
	ints  []int
	marks []bool
	todo  []int
	work  int
	limit int
}

// fewStates is the number of states up to which a search through all is cheaper than an
// index.
const fewStates = 16

// maxKeptStates is the number of states up to which an index is cleared and used again.
// Clearing a larger one takes as long as filling it did.
const maxKeptStates = 64

// subset is one state.
type subset struct {
	// begin and end are where its instructions are in sets: those that accept a
	// character, end the match, or ask for a condition.
	begin, end int
	asks       bool // one asks for a condition, which depends on the characters on both sides
	after      rune // a character like the last one, -1 if there was none; 0 unless asks
	final      bool // a path may end here
}

// sized gives n zero values, in the buffer if it is large enough, else in a new one.
func sized[T any](buffer *[]T, n int) []T {
	if cap(*buffer) < n {
		*buffer = make([]T, n)
	}
	*buffer = (*buffer)[:n]
	clear(*buffer)
	return *buffer
}

// newTable makes the table of a program. took is the work that it took. ok is false if the
// work would exceed limit, and then took is above it, or if the table would exceed
// MaxRegexpTable.
func (b *subsets) newTable(prog *syntax.Prog, limit int) (t table, took int, ok bool) {
	if b.index == nil || len(b.index) > maxKeptStates {
		b.index = map[string]int32{}
	}
	clear(b.index)
	b.prog, b.limit, b.work, b.words, b.turn = prog, limit, len(prog.Inst), false, 0
	b.states, b.sets, b.nexts = b.states[:0], b.sets[:0], b.nexts[:0]
	sized(&b.seen, len(prog.Inst))
	b.split()
	b.state(b.closure([]uint16{uint16(prog.Start)}, 0), -1)
	for i := 0; i < len(b.states); i++ {
		b.expand(i)
		if b.work > limit {
			return table{}, b.work, false
		}
		// Offsets up to the end of the table are 16 bits.
		if (len(b.states)+firstRow)*(len(b.kinds)+1) >= MaxRegexpTable {
			return table{}, b.work, false
		}
	}
	return b.table(), b.work, true
}

// manyInstructions is the number of instructions from which on it pays to remember by which
// sets the characters have been split already.
const manyInstructions = 32

// split divides the characters into kinds.
func (b *subsets) split() {
	b.kinds = append(b.kinds[:0], pathBytes)
	sized(&b.reads, len(b.prog.Inst))
	var known map[charset]bool
	if len(b.prog.Inst) > manyInstructions {
		known = map[charset]bool{}
	}
	last := pathBytes
	refine := func(s charset) {
		if s == last || s == (charset{}) || known[s] {
			return
		}
		if last = s; known != nil {
			known[s] = true
		}
		for k := range b.kinds {
			in, out := b.kinds[k].and(s), b.kinds[k].not(s)
			if in != (charset{}) && out != (charset{}) {
				b.kinds[k] = in
				b.kinds = append(b.kinds, out)
			}
		}
	}
	for pc := range b.prog.Inst {
		i := &b.prog.Inst[pc]
		if i.Op == syntax.InstEmptyWidth && syntax.EmptyOp(i.Arg)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
			b.words = true
			refine(wordBytes)
		}
		b.reads[pc] = reads(i)
		refine(b.reads[pc])
	}
}

// closure follows the instructions that accept no character, and the conditions that hold.
// It gives the instructions where that ends. The result is valid until the next call.
func (b *subsets) closure(from []uint16, holds syntax.EmptyOp) []uint16 {
	out := b.out[:0]
	b.turn++
	b.stack = append(b.stack[:0], from...)
	for len(b.stack) > 0 {
		pc := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		if b.seen[pc] == b.turn {
			continue
		}
		b.seen[pc] = b.turn
		b.work++
		i := &b.prog.Inst[pc]
		switch i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			b.stack = append(b.stack, uint16(i.Out), uint16(i.Arg))
		case syntax.InstCapture, syntax.InstNop:
			b.stack = append(b.stack, uint16(i.Out))
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(i.Arg)&^holds == 0 {
				b.stack = append(b.stack, uint16(i.Out))
			} else {
				out = append(out, pc)
			}
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	b.out = out
	return out
}

// state is the number of the state with this set of instructions after this character. It
// is -1 if the set is empty.
func (b *subsets) state(set []uint16, after rune) int32 {
	if len(set) == 0 {
		return -1
	}
	var s subset
	for _, pc := range set {
		s.asks = s.asks || b.prog.Inst[pc].Op == syntax.InstEmptyWidth
	}
	if s.asks {
		s.after = after
	}
	slices.Sort(set)
	b.work += len(set)
	if len(b.states) <= fewStates {
		for i, o := range b.states {
			if o.after == s.after && slices.Equal(b.sets[o.begin:o.end], set) {
				return int32(i)
			}
		}
	} else if i, known := b.index[string(b.keyOf(set, s.after))]; known {
		return i
	}
	n := int32(len(b.states))
	s.begin, s.end = len(b.sets), len(b.sets)+len(set)
	b.sets = append(b.sets, set...)
	b.states = append(b.states, s)
	switch {
	case n == fewStates: // from now on states are found by the index
		for i, o := range b.states {
			b.index[string(b.keyOf(b.sets[o.begin:o.end], o.after))] = int32(i)
		}
	case n > fewStates:
		b.index[string(b.keyOf(set, s.after))] = n
	}
	return n
}

// keyOf is the key of a state in the index.
func (b *subsets) keyOf(set []uint16, after rune) []byte {
	b.key = b.key[:0]
	for _, pc := range set {
		b.key = binary.LittleEndian.AppendUint16(b.key, pc)
	}
	b.key = append(b.key, byte(after))
	return b.key
}

// at is a state's set after following the conditions that hold before the character c; c is
// -1 at the end of the path.
func (b *subsets) at(s subset, now rune) []uint16 {
	set := b.sets[s.begin:s.end]
	if !s.asks {
		return set
	}
	return b.closure(set, syntax.EmptyOpContext(s.after, now))
}

// next gives the states that follow a state, by kind of character.
func (b *subsets) next(state int) []int32 {
	return b.nexts[state*len(b.kinds) : (state+1)*len(b.kinds)]
}

// expand finds the states that follow one.
func (b *subsets) expand(state int) {
	s := b.states[state]
	for _, pc := range b.at(s, -1) {
		s.final = s.final || b.prog.Inst[pc].Op == syntax.InstMatch
	}
	b.states[state] = s
	for _, kind := range b.kinds {
		n := int32(-1)
		if b.work <= b.limit {
			c := kind.first()
			b.from = b.from[:0]
			set := b.at(s, rune(c))
			for _, pc := range set {
				if b.reads[pc].has(c) {
					b.from = append(b.from, uint16(b.prog.Inst[pc].Out))
				}
			}
			b.work += 1 + len(set)
			if len(b.from) > 0 { // for most kinds it is empty
				n = b.state(b.closure(b.from, 0), b.like(rune(c)))
			}
		}
		b.nexts = append(b.nexts, n)
	}
}

// like gives one character for all those that conditions don't tell from c.
func (b *subsets) like(c rune) rune {
	if b.words && syntax.IsWordChar(c) {
		return 'a'
	}
	return '/'
}

// before lists the states that lead to each state. Those that lead to state n are
// states[begins[n]:begins[n+1]].
func (b *subsets) before() (begins, states []int) {
	n, edges := len(b.states), 0
	begins = sized(&b.ints, n+1+len(b.nexts))
	begins, states = begins[:n+1], begins[n+1:]
	for _, to := range b.nexts {
		if to >= 0 {
			begins[to]++
			edges++
		}
	}
	for i, sum := 0, 0; i <= n; i++ {
		sum += begins[i]
		begins[i] = sum // its end; filling it goes from there to its beginning
	}
	for i := range b.states {
		for _, to := range b.next(i) {
			if to >= 0 {
				begins[to]--
				states[begins[to]] = i
			}
		}
	}
	return begins, states[:edges]
}

// leadingTo also marks all states that lead to a marked one, directly or not.
func (b *subsets) leadingTo(marked []bool, begins, states []int) {
	todo := b.todo[:0]
	for i, is := range marked {
		if is {
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, p := range states[begins[i]:begins[i+1]] {
			if !marked[p] {
				marked[p], todo = true, append(todo, p)
			}
		}
	}
	b.todo = todo
}

// table makes the table of the states. All states from which nothing matches share one row,
// and so do all from which everything matches.
func (b *subsets) table() table {
	marks := sized(&b.marks, 2*len(b.states))
	alive, open := marks[:len(b.states)], marks[len(b.states):]
	for i, s := range b.states {
		alive[i], open[i] = s.final, !s.final || slices.Contains(b.next(i), -1)
	}
	begins, states := b.before()
	b.leadingTo(alive, begins, states)
	b.leadingTo(open, begins, states)
	t := table{width: uint16(len(b.kinds) + 1)}
	// Most characters are of one kind: that of all which the pattern does not name.
	most := 0
	for k, kind := range b.kinds {
		if kind.size() > b.kinds[most].size() {
			most = k
		}
	}
	for _, c := range pathList {
		t.kind[c] = uint8(most + 1)
	}
	for k, kind := range b.kinds {
		for ; k != most && kind != (charset{}); kind.drop() {
			t.kind[kind.first()] = uint8(k + 1)
		}
	}
	row, rows := sized(&b.ints, len(b.states)), firstRow
	for _, final := range [...]bool{false, true} {
		if final {
			t.ends = uint16(rows) * t.width
		}
		for i := range b.states {
			switch {
			case !alive[i]:
				row[i] = rowNothing
			case !open[i]:
				row[i] = rowAnything
			case b.states[i].final == final:
				row[i] = rows
				rows++
			}
		}
	}
	t.next = make([]uint16, rows*int(t.width))
	for i := range b.states {
		if row[i] < firstRow {
			continue
		}
		for k, n := range b.next(i) {
			if n >= 0 {
				t.next[row[i]*int(t.width)+k+1] = uint16(row[n]) * t.width
			}
		}
	}
	t.start = uint16(row[0]) * t.width
	t.measure(&b.ints)
	return t
}

// measure finds how long paths that match can be, and how much of any path is read.
func (t *table) measure(buffer *[]int) {
	t.shortest, t.longest, t.reads = math.MaxInt, 0, 0
	width := int(t.width)
	rows := len(t.next) / width
	t.shortest = t.distance(sized(buffer, 2*rows))
	counts := sized(buffer, 3*rows)
	into, depth, todo := counts[:rows], counts[rows:2*rows], counts[2*rows:2*rows]
	for from := firstRow; from < rows; from++ {
		for _, n := range t.next[from*width : (from+1)*width] {
			into[n/t.width]++
		}
	}
	anything := t.start == t.width || into[rowAnything] > 0
	// The rows are taken in an order in which each comes after those that lead to it.
	// Rows in a cycle never come.
	done := firstRow
	for r := firstRow; r < rows; r++ {
		if into[r] == 0 {
			todo = append(todo, r)
		}
	}
	for ; len(todo) > 0; done++ {
		r := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if uint16(r*width) >= t.ends {
			t.longest = max(t.longest, depth[r])
		}
		for _, n := range t.next[r*width : (r+1)*width] {
			n := int(n / t.width)
			depth[n] = max(depth[n], depth[r]+1)
			if into[n]--; n >= firstRow && into[n] == 0 {
				todo = append(todo, n)
			}
		}
	}
	if anything {
		t.longest = math.MaxInt
	}
	for _, d := range depth {
		t.reads = max(t.reads, d)
	}
	if done < rows {
		t.longest, t.reads = math.MaxInt, math.MaxInt
	}
}

// distance is the length of the shortest path that matches, math.MaxInt if none does.
func (t *table) distance(buffer []int) int {
	width := int(t.width)
	at, todo := buffer[:len(t.next)/width], buffer[len(t.next)/width:]
	for i := range at {
		at[i] = -1
	}
	start := int(t.start) / width
	at[start] = 0
	todo[0] = start
	for done, known := 0, 1; done < known; done++ {
		r := todo[done]
		if r == rowAnything || r >= firstRow && uint16(r*width) >= t.ends {
			return at[r]
		}
		if r == rowNothing {
			continue
		}
		for _, n := range t.next[r*width : (r+1)*width] {
			if n := int(n / t.width); at[n] < 0 {
				at[n] = at[r] + 1
				todo[known] = n
				known++
			}
		}
	}
	return math.MaxInt
}
