package mezu

import (
	"cmp"
	"context"
	"regexp/syntax"
	"slices"
	"strings"
)

// Limits of patterns. The cost of a path is counted in steps, one for each byte of it that
// a pattern reads. So the cost does not depend on how a pattern is written.
const (
	// MaxRegexpProgram bounds the bytes of a pattern, and with them the cost of parsing it.
	MaxRegexpProgram = 1 << 10
	// MaxRegexpSteps bounds the instructions of the program that a pattern is parsed to:
	// «.{1000}» is seven bytes and 1,000 instructions.
	MaxRegexpSteps = 1 << 12
	// MaxRegexpStepsTotal bounds the programs of an environment together, and with them
	// the cost of parsing all. 10,000 patterns of usual size are allowed.
	MaxRegexpStepsTotal = 1 << 19
	// MaxRegexpTable bounds the table of one pattern, states × kinds of characters:
	// 128 KiB fit the level 2 cache of a processor.
	MaxRegexpTable = 1 << 16
	// maxRegexpWork bounds the work of making one table to some 3 ms. A usual pattern
	// takes a hundredth of that.
	maxRegexpWork = 1 << 17
	// maxRegexpWorkTotal bounds the work of making the tables of an environment to some
	// 0.3 s, and their size to 16 MiB, because an entry takes two steps. 10,000 patterns
	// of usual size take half of it.
	maxRegexpWorkTotal = 1 << 24
	// MaxRegexpPath is the longest path for which the steps of patterns are counted. A
	// longer path is answered 414 if a pattern would have to read more of it.
	MaxRegexpPath = 4 << 10
	// MaxRegexpCost bounds the steps that all patterns of an environment together can
	// cost one request, to 2 ms even when no table is in a cache.
	MaxRegexpCost = 1 << 19
)

// tableShare is how many entries of a table count as one step, because reading them into
// the cache takes as long as a step.
const tableShare = 16

// Pattern is a regular expression of a route, compiled to a table of states. With the table
// it reads a path once, one byte a step. It is immutable and safe for concurrent use.
type Pattern struct {
	// Source is the expression (RE2), anchored at both ends.
	Source string
	// Priority is the highest priority of the routes that have this pattern.
	Priority int
	// Literal is what every path that it matches begins with.
	Literal string
	// Refused says why the pattern may not be used; nil if it may. A refused pattern has
	// no table: Matches must not be called.
	Refused *Error

	table table
}

// Matches reports whether the pattern matches a canonical path from end to end.
func (p *Pattern) Matches(path string) bool {
	return strings.HasPrefix(path, p.Literal) && p.table.matches(path)
}

// TooLong reports whether reading a path may take more steps than its cost.
func (p *Pattern) TooLong(path string) bool {
	return len(path) > MaxRegexpPath && p.table.reads > MaxRegexpPath
}

// cost is the highest number of steps that the pattern takes for one path.
func (p *Pattern) cost() int {
	return min(p.table.reads, MaxRegexpPath) + len(p.table.next)/tableShare
}

// canStartWith reports whether it matches any path that begins with prefix.
func (p *Pattern) canStartWith(prefix string) bool {
	if p.Refused != nil {
		return strings.HasPrefix(prefix, p.Literal) || strings.HasPrefix(p.Literal, prefix)
	}
	return p.table.alive(prefix)
}

// parsePattern parses a pattern to a program. Its error is about the syntax, and names the
// field.
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

// CompilePattern compiles one pattern. Its error is about the syntax. A pattern that costs
// too much is no error, but Refused.
func CompilePattern(source string) (*Pattern, error) {
	prog, err := parsePattern(source)
	if err != nil {
		return nil, err
	}
	p := &Pattern{Source: source}
	p.compile(new(subsets), prog, maxRegexpWork)
	return p, nil
}

// compile makes the table with at most this work, and gives the work that it took.
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

// CompilePatterns compiles the patterns of an environment's routes. It gives them in the
// order in which they are tried: by descending priority, then by their bytes. If a request
// or the environment would cost more than is allowed, patterns are Refused, beginning with
// the last in this order. Its error is about a pattern's syntax, and names the route below
// field.
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

// compiler compiles the patterns of an environment's routes, each once. It drops a program
// as soon as it has made the table.
type compiler struct {
	tables  bool // false: patterns are only parsed
	most    int  // the most work for all tables
	subsets subsets
	index   map[string]int
	all     []compiled
	steps   int // of all programs
	work    int // of all tables
}

// compiled is a pattern and the work that its table took; zero while there is no table.
type compiled struct {
	*Pattern
	took int
}

func newCompiler(tables bool) *compiler {
	return &compiler{tables: tables, most: maxRegexpWorkTotal, index: map[string]int{}}
}

// expect allocates room for the patterns of these routes.
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

// add adds a route with a pattern. Its error is about the pattern's syntax.
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
	// All together take more than is allowed. Which of them are refused depends on their
	// order, which finish knows.
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

// within makes the table of a pattern that has none yet. It refuses the pattern if that
// takes more than is left of the work for all.
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

// refuse marks a pattern as refused, and drops its table.
func (p *Pattern) refuse(why *Error) { p.Refused, p.table = why, table{} }

// chains adds up the costs of those patterns that may all have to read the same path: their
// literals are prefixes of one another.
type chains struct {
	literals []string // sorted, each once
	parent   []int    // the longest other literal that is a prefix of it, -1 if none
	own      []int    // the cost of the patterns with this literal
	below    []int    // the highest cost of a chain of longer ones
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
		// In sorted order a literal follows its parent, or another descendant of its parent.
		parent := i - 1
		for parent >= 0 && !strings.HasPrefix(l, c.literals[parent]) {
			parent = c.parent[parent]
		}
		c.parent = append(c.parent, parent)
	}
	return c
}

// with is the highest cost of a path that is read by this pattern, with all that were added.
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
