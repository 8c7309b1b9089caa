package mezu

import (
	"context"
	"hash/maphash"
	"slices"
)

// looksEvery is how many routes or patterns are processed between two looks at whether
// anybody still waits for the result. A route takes a few microseconds, a pattern 3 ms at
// most.
const looksEvery = 32

// look gives the error of a context that has ended. It is called before the n-th of many
// things, and looks only now and then.
func look(ctx context.Context, n int) error {
	if n%looksEvery == 0 && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// ValidateRoutes checks all routes of an environment when they are written: each by itself,
// the cost of their patterns together, and that no two have the same identity or the same
// mode, value, methods and headers, because nothing would choose between those.
func ValidateRoutes(ctx context.Context, field string, routes []Route) error {
	_, err := validatedPatterns(ctx, field, routes)
	return err
}

// JudgeRoutes is ValidateRoutes and Warnings in one, so that each pattern is compiled
// once.
func JudgeRoutes(ctx context.Context, field string, routes []Route) (warnings []string, err error) {
	patterns, err := validatedPatterns(ctx, field, routes)
	if err != nil {
		return nil, err
	}
	return warningsOf(routes, func() ([]*Pattern, error) { return patterns, nil }), nil
}

// validatedPatterns is ValidateRoutes, and gives the patterns. None of them is refused.
func validatedPatterns(ctx context.Context, field string, routes []Route) ([]*Pattern, error) {
	c := newCompiler(true)
	if err := validateSet(ctx, field, routes, (*Route).validateNew, c); err != nil {
		return nil, err
	}
	patterns, err := c.finish(ctx)
	if err != nil {
		return nil, err
	}
	if err := firstRefused(field, routes, refusals(patterns)); err != nil {
		return nil, err
	}
	return patterns, refuseLoops(ctx, field, routes, func() ([]*Pattern, error) { return patterns, nil }, -1)
}

// validateNew checks a route when it is written, except its pattern.
func (r *Route) validateNew() error {
	if err := r.validateShape(); err != nil {
		return err
	}
	return r.validateLimits()
}

// ValidateRouteAmong checks one route when it is written, and the others as stored ones: a
// limit that those exceed, because there was no such limit before, is no reason to refuse
// this one. An error about the route itself names the route's field only.
func ValidateRouteAmong(ctx context.Context, field string, routes []Route, index int) error {
	one := &routes[index]
	if err := one.Validate(); err != nil {
		return err
	}
	if err := refuseLoops(ctx, field, routes, func() ([]*Pattern, error) { return CompilePatterns(ctx, field, routes) }, index); err != nil {
		return err
	}
	c := newCompiler(one.Mode() == MatchRegexp)
	if err := validateSet(ctx, field, routes, (*Route).validateShape, c); err != nil || one.Mode() != MatchRegexp {
		return err
	}
	patterns, err := c.finish(ctx)
	if err != nil {
		return err
	}
	refused := refusals(patterns)
	if len(refused) == 0 {
		return nil
	}
	if why := refused[one.Regexp]; why != nil {
		return why
	}
	before, err := CompilePatterns(ctx, field, slices.Delete(slices.Clone(routes), index, index+1))
	if err != nil {
		return err
	}
	for source := range refusals(before) {
		delete(refused, source)
	}
	return firstRefused(field, routes, refused)
}

// refusals gives for each refused pattern why it may not be used.
func refusals(patterns []*Pattern) map[string]*Error {
	refused := map[string]*Error{}
	for _, p := range patterns {
		if p.Refused != nil {
			refused[p.Source] = p.Refused
		}
	}
	return refused
}

// firstRefused is the error of the first route that has one of the refused patterns.
func firstRefused(field string, routes []Route, refused map[string]*Error) error {
	for i := range routes {
		if len(refused) == 0 {
			return nil
		}
		if why := refused[routes[i].Regexp]; why != nil && routes[i].Mode() == MatchRegexp {
			return at(indexed(field, i), why)
		}
	}
	return nil
}

// validateSet checks each route with check, and that no two are the same. It adds their
// patterns to c.
func validateSet(ctx context.Context, field string, routes []Route, check func(*Route) error, c *compiler) error {
	if len(routes) > MaxRoutes {
		return Invalid(field, "at most %d routes, not %d", MaxRoutes, len(routes))
	}
	c.expect(routes)
	same := sameRoutes{routes: routes, seed: maphash.MakeSeed(), names: map[string]int32{}, matches: make(map[uint64]int32, len(routes))}
	for i := range routes {
		if err := look(ctx, i); err != nil {
			return err
		}
		r := &routes[i]
		err := check(r)
		if err == nil && r.Mode() == MatchRegexp {
			err = c.add(r)
		}
		if err != nil {
			return at(indexed(field, i), err)
		}
		if j, detail, hint := same.add(i); detail != "" {
			return &Error{Code: CodeConflict, Field: indexed(field, i), Detail: detail + indexed(field, j), Hint: hint}
		}
	}
	return nil
}

// sameRoutes finds routes that are the same, or match the same. It keeps hashes, not texts.
type sameRoutes struct {
	routes  []Route
	seed    maphash.Seed
	names   map[string]int32
	matches map[uint64]int32 // by a hash of what they match; the next number after one of another's
}

// add adds the i-th route. If an earlier one, the j-th, is the same, detail says how.
func (s *sameRoutes) add(i int) (j int, detail, hint string) {
	r := &s.routes[i]
	if r.Name != "" {
		if j, known := s.names[r.Name]; known {
			return int(j), "is the same route as ", "give it another name or match"
		}
		s.names[r.Name] = int32(i)
	}
	for sum := s.sum(r); ; sum++ {
		j, known := s.matches[sum]
		if !known {
			s.matches[sum] = int32(i)
			return 0, "", ""
		}
		other := &s.routes[j]
		switch {
		case r.matchKey() != other.matchKey():
		case r.Name == "" && other.Name == "":
			return int(j), "is the same route as ", "give it another name or match"
		default:
			return int(j), "matches the same requests as ", "change its methods or headers"
		}
	}
}

// sum is a hash of what a route matches, with a secret seed.
func (s *sameRoutes) sum(r *Route) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, part := range [...]string{string(r.Mode()), r.Value(), r.MethodKey(), r.HeaderKey()} {
		h.WriteString(part)
		h.WriteByte(0)
	}
	return h.Sum64()
}
