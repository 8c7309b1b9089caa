package mezu

import (
	"cmp"
	"context"
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
	p := &Pattern{Source: source}
	p.compile(new(subsets), prog, maxRegexpWork)
	return p, nil
}

// compile makes the table with at most this work, and gives what it took.
func (p *Pattern) compile(b *subsets, prog *syntax.Prog, limit int) (took int) {
	table, took, ok := b.newTable(prog, limit)
	switch {
	case ok:
		p.table, p.Literal = table, table.literal()
		return took
	case took > limit:
		p.Refused = Invalid("regexp", "takes more than %d steps to compile, which is the most that is allowed, because each repetition behind «.*» or behind alternatives multiplies its states; say with narrower classes what may stand there («[^/]+» for «.*»), or match by prefix", maxRegexpWork)
	default:
		p.Refused = Invalid("regexp", "compiles to a table of more than %d entries, which is the most that is allowed; repeat less often, use fewer kinds of characters, or match by prefix", MaxRegexpTable)
	}
	p.Literal, _ = prog.Prefix()
	return took
}

// CompilePatterns compiles the patterns of an environment's routes, in the order in which
// they are tried: by descending priority, then by their bytes. Those that would make a
// request, or the environment, cost more than is allowed are Refused, the first in this
// order last. Its error is of a pattern's form, and names the route below field.
func CompilePatterns(ctx context.Context, field string, routes []Route) ([]*Pattern, error) {
	c := newCompiler(true)
	c.expect(routes)
	for i := range routes {
		if err := look(ctx, i); err != nil {
			return nil, err
		}
		if routes[i].Mode() != MatchRegexp {
			continue
		}
		if err := c.add(&routes[i]); err != nil {
			return nil, at(indexed(field, i), err)
		}
	}
	return c.finish(ctx)
}

// compiler compiles the patterns of an environment's routes, each once. A program is
// dropped as soon as its table is made.
type compiler struct {
	tables  bool // else patterns are parsed and no more
	most    int  // work that all tables may take
	subsets subsets
	index   map[string]int
	all     []compiled
	steps   int // of all programs
	work    int // of all tables
}

// compiled is a pattern and what its table took; zero while there is none.
type compiled struct {
	*Pattern
	took int
}

func newCompiler(tables bool) *compiler {
	return &compiler{tables: tables, most: maxRegexpWorkTotal, index: map[string]int{}}
}

// expect makes room for the patterns of these routes.
func (c *compiler) expect(routes []Route) {
	n := 0
	for i := range routes {
		if routes[i].Mode() == MatchRegexp {
			n++
		}
	}
	c.index = make(map[string]int, n)
	if c.tables {
		c.all = make([]compiled, 0, n)
	}
}

// add adds a route with a pattern. Its error is of the pattern's form.
func (c *compiler) add(r *Route) error {
	if k, known := c.index[r.Regexp]; known {
		if c.tables {
			c.all[k].Priority = max(c.all[k].Priority, r.Priority)
		}
		return nil
	}
	prog, err := parsePattern(r.Regexp)
	if err != nil {
		return err
	}
	if c.steps += len(prog.Inst); c.steps > MaxRegexpStepsTotal {
		return Invalid("regexp", "all patterns of an environment together have at most %d steps; write out fewer repetitions and character classes", MaxRegexpStepsTotal)
	}
	c.index[r.Regexp] = len(c.all)
	if !c.tables {
		return nil
	}
	p := compiled{Pattern: &Pattern{Source: r.Regexp, Priority: r.Priority}}
	// Once all together take more than is allowed, which of them may counts their order.
	if c.work <= c.most {
		p.took = p.compile(&c.subsets, prog, maxRegexpWork)
		c.work += p.took
	}
	c.all = append(c.all, p)
	return nil
}

// finish gives the patterns as CompilePatterns does.
func (c *compiler) finish(ctx context.Context) ([]*Pattern, error) {
	if len(c.all) == 0 {
		return nil, nil
	}
	slices.SortFunc(c.all, func(a, b compiled) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), strings.Compare(a.Source, b.Source))
	})
	patterns := make([]*Pattern, len(c.all))
	left := c.most
	for i, p := range c.all {
		if err := look(ctx, i); err != nil {
			return nil, err
		}
		if err := c.within(&p, left); err != nil {
			return nil, err
		}
		left -= p.took
		patterns[i] = p.Pattern
	}
	costs := newChains(patterns)
	for i, p := range patterns {
		if err := look(ctx, i); err != nil {
			return nil, err
		}
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

// within makes the table of a pattern that has none yet, and refuses the pattern if that
// takes more than is left of what all may take.
func (c *compiler) within(p *compiled, left int) error {
	if p.took == 0 {
		prog, err := parsePattern(p.Source)
		if err != nil {
			return err
		}
		p.took = p.compile(&c.subsets, prog, min(left, maxRegexpWork))
	}
	if p.took > left {
		p.refuse(Invalid("regexp", "all patterns of an environment together may take %d steps to compile, and the ones tried before this take most of them; write fewer patterns that begin with «.*» or alternatives before a repetition", c.most))
	}
	return nil
}

// refuse makes a pattern one that may not be used, and drops its table.
func (p *Pattern) refuse(why *Error) { p.Refused, p.table = why, table{} }

// chains adds up the costs of patterns that one path may have to be read by: those whose
// literals are prefixes of one another.
type chains struct {
	literals []string // sorted, each once
	parent   []int    // the longest other literal that is a prefix of it, -1 if none
	own      []int    // what the patterns with this literal cost
	below    []int    // the most that a chain of longer ones costs
}

func newChains(patterns []*Pattern) *chains {
	c := &chains{literals: make([]string, 0, len(patterns))}
	for _, p := range patterns {
		c.literals = append(c.literals, p.Literal)
	}
	slices.Sort(c.literals)
	c.literals = slices.Compact(c.literals)
	c.own, c.below, c.parent = make([]int, len(c.literals)), make([]int, len(c.literals)), make([]int, 0, len(c.literals))
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
