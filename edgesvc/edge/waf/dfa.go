package waf

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// Bounds on an automaton.
const (
	// maxStates bounds the states of one pattern that are kept. Nearly all patterns need some dozens for
	// what people send. With 400 patterns, and some hundred bytes for a state, all take 64 MiB at most.
	maxStates = 256
	// maxClasses bounds the classes of characters of one pattern. A pattern with more has no automaton.
	maxClasses = 256
	// maxForgotten is how often all states are forgotten during one search before it is given up.
	maxForgotten = 4
)

// automaton finds whether a pattern matches, at a step for each character: it is made of the
// pattern's states as texts reach them (Thompson 1968; Cox, "Regular Expression Matching in the
// Wild"). It answers exactly as package regexp does. It may be used by many goroutines.
type automaton struct {
	prog    *syntax.Prog
	bounds  []rune     // the first character of each class but the first
	ascii   [128]uint8 // the class of each of these
	samples []rune     // one character of each class
	begin   atomic.Pointer[state]
	matched state // stands for a match

	mu     sync.Mutex
	states map[string]*state
	resets atomic.Uint64 // how often states were forgotten
	seen   []bool        // instructions, while a step is made
	stack  []uint32
}

// state is where a search may be in the pattern, between two characters.
type state struct {
	at   []uint32 // instructions, sorted
	last rune     // a character of the kind that comes before
	next []atomic.Pointer[state]
	end  atomic.Uint32 // whether it matches where the text ends: endUnknown, endNo, endYes
}

const (
	endUnknown = iota
	endNo
	endYes
)

// Characters that stand for their kind, as far as assertions ask for it: the beginning or the end of
// a text, a line's end, a word, and all else.
const (
	noRune    = -1
	wordRune  = 'a'
	otherRune = ' '
)

// newAutomaton makes one, nil if the pattern has too many classes of characters.
func newAutomaton(pattern string) (*automaton, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	a := &automaton{prog: prog, states: map[string]*state{}, seen: make([]bool, len(prog.Inst))}
	if !a.classify() {
		return nil, nil
	}
	a.begin.Store(a.state(nil, noRune))
	return a, nil
}

// classify divides characters into classes that the pattern doesn't tell apart.
func (a *automaton) classify() bool {
	var cuts []rune
	add := func(lo, hi rune) { cuts = append(cuts, lo, hi+1) }
	add('\n', '\n')
	add('0', '9')
	add('A', 'Z')
	add('_', '_')
	add('a', 'z')
	for i := range a.prog.Inst {
		in := &a.prog.Inst[i]
		switch in.Op {
		case syntax.InstRune1, syntax.InstRune:
			for r := 0; r+1 < len(in.Rune); r += 2 {
				add(in.Rune[r], in.Rune[r+1])
			}
			if len(in.Rune) == 1 { // and its other cases
				add(in.Rune[0], in.Rune[0])
				for f := unicode.SimpleFold(in.Rune[0]); f != in.Rune[0]; f = unicode.SimpleFold(f) {
					add(f, f)
				}
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	a.bounds = slices.DeleteFunc(cuts, func(r rune) bool { return r <= 0 || r > unicode.MaxRune })
	if len(a.bounds) >= maxClasses {
		return false
	}
	a.samples = append([]rune{0}, a.bounds...)
	for c := range a.ascii {
		a.ascii[c] = uint8(a.class(rune(c)))
	}
	return true
}

// class is the class of a character.
func (a *automaton) class(r rune) int {
	i, found := slices.BinarySearch(a.bounds, r)
	if found {
		i++
	}
	return i
}

// match finds whether the pattern matches somewhere in a text. end is where the match that ends first
// does, negative if there is none. sure is false if the search was given up, since the text leads to
// ever new states.
func (a *automaton) match(s string) (end int, sure bool) {
	at := a.begin.Load()
	resets := a.resets.Load()
	for i := 0; i < len(s); {
		c, size := 0, 1
		if b := s[i]; b < utf8.RuneSelf {
			c = int(a.ascii[b])
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			c = a.class(r)
		}
		to := at.next[c].Load()
		if to == nil {
			if to = a.step(at, c); a.resets.Load()-resets > maxForgotten {
				return -1, false
			}
		}
		if to == &a.matched {
			return i, true
		}
		at = to
		i += size
	}
	ends := at.end.Load()
	if ends == endYes || ends == endUnknown && a.ends(at) {
		return len(s), true
	}
	return -1, true
}

// step finds where a character of a class leads to.
func (a *automaton) step(from *state, class int) *state {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.samples[class]
	to := &a.matched
	if reached, matches := a.follow(from, r); !matches {
		var at []uint32
		for _, pc := range reached {
			if in := &a.prog.Inst[pc]; in.MatchRune(r) && !slices.Contains(at, in.Out) {
				at = append(at, in.Out)
			}
		}
		slices.Sort(at)
		last := rune(otherRune)
		switch {
		case r == '\n':
			last = r
		case syntax.IsWordChar(r):
			last = wordRune
		}
		to = a.state(at, last)
	}
	from.next[class].Store(to)
	return to
}

// ends finds whether a state matches where the text ends.
func (a *automaton) ends(from *state) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, matches := a.follow(from, noRune)
	from.end.Store(endNo)
	if matches {
		from.end.Store(endYes)
	}
	return matches
}

// follow goes from a state, and from the pattern's beginning, along all that takes no character, if
// next comes. It gives the instructions that take one. The lock is held.
func (a *automaton) follow(from *state, next rune) (takes []uint32, matches bool) {
	flags := syntax.EmptyOpContext(from.last, next)
	clear(a.seen)
	a.stack = append(append(a.stack[:0], from.at...), uint32(a.prog.Start))
	for len(a.stack) > 0 {
		pc := a.stack[len(a.stack)-1]
		a.stack = a.stack[:len(a.stack)-1]
		if a.seen[pc] {
			continue
		}
		a.seen[pc] = true
		switch in := &a.prog.Inst[pc]; in.Op {
		case syntax.InstMatch:
			return nil, true
		case syntax.InstAlt, syntax.InstAltMatch:
			a.stack = append(a.stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			a.stack = append(a.stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^flags == 0 {
				a.stack = append(a.stack, in.Out)
			}
		case syntax.InstFail:
		default:
			takes = append(takes, pc)
		}
	}
	return takes, false
}

// state finds a state, or makes it. When there are too many, all are forgotten but those that
// searches are at. The lock is held, or nobody else knows the automaton yet.
func (a *automaton) state(at []uint32, last rune) *state {
	key := make([]byte, 0, 4*len(at)+4)
	key = binary.LittleEndian.AppendUint32(key, uint32(last))
	for _, pc := range at {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	if s := a.states[string(key)]; s != nil {
		return s
	}
	if len(a.states) >= maxStates {
		clear(a.states)
		a.resets.Add(1)
		first := &state{last: noRune, next: make([]atomic.Pointer[state], len(a.samples))}
		a.begin.Store(first)
	}
	s := &state{at: at, last: last, next: make([]atomic.Pointer[state], len(a.samples))}
	a.states[string(key)] = s
	return s
}
