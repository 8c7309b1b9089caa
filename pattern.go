package mezu

import (
	"cmp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Limits of patterns. What a path costs is counted in steps, one for each of its bytes
// that a pattern reads, so that it does not depend on how a pattern is written.
const (
	// MaxRegexpProgram bounds the bytes of a pattern, and so what parsing it costs.
	MaxRegexpProgram = 1 << 10
	// MaxRegexpSteps bounds the program that a pattern is parsed to: «.{1000}» is
	// seven bytes and 1,000 instructions.
	MaxRegexpSteps = 1 << 12
	// MaxRegexpStepsTotal bounds the programs of an environment, and so what parsing
	// all of them costs. 10,000 patterns of usual size are allowed.
	MaxRegexpStepsTotal = 1 << 19
	// MaxRegexpTable bounds the table of one pattern, states × kinds of characters:
	// 128 KiB stay in the second cache of a processor.
	MaxRegexpTable = 1 << 16
	// maxRegexpWork bounds what making one table costs to some 3 ms. What a usual
	// pattern takes is a hundredth of that.
	maxRegexpWork = 1 << 17
	// maxRegexpWorkTotal bounds what making the tables of an environment costs to some
	// 0.3 s, and to 16 MiB: an entry takes two steps. 10,000 patterns of usual size
	// take half of it.
	maxRegexpWorkTotal = 1 << 24
	// MaxRegexpPath is the longest path that a pattern may have to read to its end. A
	// longer one is answered 414 where a pattern would.
	MaxRegexpPath = 4 << 10
	// MaxRegexpCost bounds the steps that one request can cost with all patterns of
	// its environment to 2 ms, tables that are in no cache included.
	MaxRegexpCost = 1 << 19
)

// tableShare is how many entries of a table count as one step: reading them into the
// cache takes as long.
const tableShare = 16

// Pattern is a regular expression of a route, compiled to a table of states by which it
// reads a path once, a byte a step. It is immutable and safe for concurrent use.
type Pattern struct {
	// Source is the expression (RE2), anchored at both ends.
	Source string
	// Priority is the highest of the routes that have it.
	Priority int
	// Literal begins every path that it matches.
	Literal string
	// Refused says why the pattern may not be used, nil if it may. Matches must not
	// be asked then.
	Refused *Error

	table table
}

// Matches reports whether it matches the whole of a canonical path.
func (p *Pattern) Matches(path string) bool {
	return strings.HasPrefix(path, p.Literal) && p.table.matches(path)
}

// TooLong reports whether reading a path may take more steps than were counted for.
func (p *Pattern) TooLong(path string) bool {
	return len(path) > MaxRegexpPath && p.table.reads > MaxRegexpPath
}

// cost is the highest number of steps that the pattern takes for one path.
func (p *Pattern) cost() int {
	return min(p.table.reads, MaxRegexpPath) + len(p.table.next)/tableShare
}

// canStartWith reports whether it matches a path that begins with prefix.
func (p *Pattern) canStartWith(prefix string) bool {
	if p.Refused != nil {
		return strings.HasPrefix(prefix, p.Literal) || strings.HasPrefix(p.Literal, prefix)
	}
	return p.table.alive(prefix)
}

// parsePattern parses a pattern to a program. Its error is of the pattern's form, and
// names the field.
func parsePattern(source string) (*syntax.Prog, error) {
	if len(source) > MaxRegexpProgram {
		return nil, Invalid("regexp", "at most %d bytes, this has %d", MaxRegexpProgram, len(source))
	}
	// The pattern is parsed by itself, so that «a)|(b» can't slip out of the anchors.
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, Invalid("regexp", "is not a regular expression: %v", err)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, Invalid("regexp", "is not a regular expression: %v", err)
	}
	if n := len(prog.Inst); n > MaxRegexpSteps {
		return nil, Invalid("regexp", "compiles to %d steps, at most %d are allowed; write out fewer repetitions", n, MaxRegexpSteps)
	}
	return prog, nil
}

// CompilePattern compiles one pattern. Its error is of the pattern's form; what it costs
// too much is in Refused.
func CompilePattern(source string) (*Pattern, error) {
	prog, err := parsePattern(source)
	if err != nil {
		return nil, err
	}
	p, _ := newPattern(source, prog, maxRegexpWork)
	return p, nil
}

// newPattern makes the table with at most this work, and gives what it took.
func newPattern(source string, prog *syntax.Prog, work int) (p *Pattern, took int) {
	p = &Pattern{Source: source}
	table, took, ok := newTable(prog, min(work, maxRegexpWork))
	switch {
	case ok:
		p.table, p.Literal = table, table.literal()
	case took > work:
		p.Refused = Invalid("regexp", "all patterns of an environment together may take %d steps to compile, and the ones tried before this take most of them; write fewer patterns that begin with «.*» or alternatives before a repetition", maxRegexpWorkTotal)
	case took > maxRegexpWork:
		p.Refused = Invalid("regexp", "takes more than %d steps to compile, which is the most that is allowed, because each repetition behind «.*» or behind alternatives multiplies its states; say with narrower classes what may stand there («[^/]+» for «.*»), or match by prefix", maxRegexpWork)
	default:
		p.Refused = Invalid("regexp", "compiles to a table of more than %d entries, which is the most that is allowed; repeat less often, use fewer kinds of characters, or match by prefix", MaxRegexpTable)
	}
	if p.Refused != nil {
		p.Literal, _ = prog.Prefix()
	}
	return p, took
}

// CompilePatterns compiles the patterns of an environment's routes, in the order in which
// they are tried: by descending priority, then by their bytes. Those that would make a
// request, or the environment, cost more than is allowed are Refused, the first in this
// order last. Its error is of a pattern's form, and names the route below field.
func CompilePatterns(field string, routes []Route) ([]*Pattern, error) {
	out, err := parsePatterns(field, routes)
	if err != nil || len(out) == 0 {
		return nil, err
	}
	slices.SortFunc(out, func(a, b parsed) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), strings.Compare(a.source, b.source))
	})
	patterns := make([]*Pattern, len(out))
	work := 0
	for i := range out {
		p, took := newPattern(out[i].source, out[i].prog, maxRegexpWorkTotal-work)
		out[i].prog = nil
		p.Priority = out[i].priority
		work += took
		patterns[i] = p
	}
	costs := newChains(patterns)
	for _, p := range patterns {
		if p.Refused != nil {
			continue
		}
		if all := costs.with(p); all > MaxRegexpCost {
			p.refuse(Invalid("regexp", "one request could cost %d steps with this pattern and those that begin alike or like a part of it, at most %d are allowed (2 ms); begin patterns with different text, bound their repetitions, or match by prefix", all, MaxRegexpCost))
			continue
		}
		costs.add(p)
	}
	return patterns, nil
}

// refuse makes a pattern one that may not be used, and drops its table.
func (p *Pattern) refuse(why *Error) { p.Refused, p.table = why, table{} }

// parsed is a pattern of an environment before its table is made.
type parsed struct {
	source   string
	prog     *syntax.Prog
	priority int
}

// parsePatterns parses each pattern once.
func parsePatterns(field string, routes []Route) ([]parsed, error) {
	var out []parsed
	index := map[string]int{}
	steps := 0
	for i := range routes {
		r := &routes[i]
		if r.Mode() != MatchRegexp {
			continue
		}
		if k, known := index[r.Regexp]; known {
			out[k].priority = max(out[k].priority, r.Priority)
			continue
		}
		prog, err := parsePattern(r.Regexp)
		if err != nil {
			return nil, at(indexed(field, i), err)
		}
		if steps += len(prog.Inst); steps > MaxRegexpStepsTotal {
			return nil, Invalid(indexed(field, i)+".regexp", "all patterns of an environment together have at most %d steps; write out fewer repetitions and character classes", MaxRegexpStepsTotal)
		}
		index[r.Regexp] = len(out)
		out = append(out, parsed{r.Regexp, prog, r.Priority})
	}
	return out, nil
}

// chains adds up the costs of patterns that one path may have to be read by: those whose
// literals are prefixes of one another.
type chains struct {
	literals []string // sorted, each once
	parent   []int    // the longest other literal that is a prefix of it, -1 if none
	own      []int    // what the patterns with this literal cost
	below    []int    // the most that a chain of longer ones costs
}

func newChains(patterns []*Pattern) *chains {
	c := &chains{}
	for _, p := range patterns {
		c.literals = append(c.literals, p.Literal)
	}
	slices.Sort(c.literals)
	c.literals = slices.Compact(c.literals)
	c.own, c.below = make([]int, len(c.literals)), make([]int, len(c.literals))
	for i, l := range c.literals {
		// In sorted order a literal follows its parent or another descendant of it.
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(l, c.literals[parent]) {
			parent = c.parent[parent]
		}
		c.parent = append(c.parent, parent)
	}
	return c
}

// with is the most that a path costs which is read by this pattern and those added.
func (c *chains) with(p *Pattern) int {
	i, _ := slices.BinarySearch(c.literals, p.Literal)
	sum := p.cost() + c.below[i]
	for ; i >= 0; i = c.parent[i] {
		sum += c.own[i]
	}
	return sum
}

func (c *chains) add(p *Pattern) {
	i, _ := slices.BinarySearch(c.literals, p.Literal)
	c.own[i] += p.cost()
	for ; c.parent[i] >= 0; i = c.parent[i] {
		up := c.parent[i]
		c.below[up] = max(c.below[up], c.own[i]+c.below[i])
	}
}
