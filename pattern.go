package mezu

import (
	"regexp"
	"regexp/syntax"
)

// CompileMatch compiles a route's pattern, anchored at both ends.
func CompileMatch(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > MaxRegexpProgram {
		return nil, Invalid("regexp", "at most %d bytes, this has %d", MaxRegexpProgram, len(pattern))
	}
	// The pattern has to stand by itself: «a)|(b» must not slip out of the
	// anchors that are put around it.
	prog, err := patternProgram(pattern)
	if err != nil {
		return nil, Invalid("regexp", "is not a regular expression: %v", err)
	}
	if n := len(prog.Inst); n > MaxRegexpSteps {
		return nil, Invalid("regexp", "compiles to %d steps, at most %d are allowed; write out fewer repetitions", n, MaxRegexpSteps)
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, Invalid("regexp", "is not a regular expression: %v", err)
	}
	return re, nil
}

// patternProgram compiles a pattern, without anchors, to the steps of its
// automaton.
func patternProgram(pattern string) (*syntax.Prog, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return syntax.Compile(re.Simplify())
}

// patternSteps is the length of a valid pattern's program.
func patternSteps(pattern string) int {
	prog, err := patternProgram(pattern)
	if err != nil {
		return 0
	}
	return len(prog.Inst)
}

// canStartWith reports whether a text that the program matches from its start
// may begin with prefix: whether the automaton is still alive behind it. Word
// boundaries and the like are taken as fulfilled, so that it errs towards true.
// work is the number of steps that it took.
func canStartWith(prog *syntax.Prog, prefix string) (can bool, work int) {
	alive := closure(prog, []uint32{uint32(prog.Start)})
	for _, r := range prefix {
		work += 1 + len(alive)
		if len(alive) == 0 {
			return false, work
		}
		var next []uint32
		for _, pc := range alive {
			if i := &prog.Inst[pc]; i.MatchRune(r) {
				next = append(next, i.Out)
			}
		}
		alive = closure(prog, next)
	}
	for _, pc := range alive {
		// A pattern that ends with the prefix matches the prefix itself.
		if prog.Inst[pc].Op != syntax.InstFail {
			return true, work
		}
	}
	return false, work
}

// closure follows the steps that read nothing and gives those where the
// automaton reads a character, matches or fails.
func closure(prog *syntax.Prog, from []uint32) []uint32 {
	var out []uint32
	seen := make(map[uint32]bool, len(from))
	for stack := from; len(stack) > 0; {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[pc] {
			continue
		}
		seen[pc] = true
		switch i := &prog.Inst[pc]; i.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, i.Out, i.Arg)
		case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
			stack = append(stack, i.Out)
		default:
			out = append(out, pc)
		}
	}
	return out
}
