package mezu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
)

// leaving is a context whose caller hangs up when he was asked for so many times.
type leaving struct {
	context.Context
	after, asked int
}

func (l *leaving) Err() error {
	if l.asked++; l.asked > l.after {
		return context.Canceled
	}
	return nil
}

// Row 2 of the attacks: of a body that is read, work ends within so many routes after its
// caller hung up.
func TestRow2_WorkEndsWithItsCaller(t *testing.T) {
	routes := make([]Route, 400)
	for i := range routes {
		routes[i].Regexp = fmt.Sprintf("/%d[a-z]+", i)
	}
	manifest := Manifest{Environments: map[string]ManifestEnvironment{"a": {Routes: routes}, "b": {Routes: routes}}}
	bundle := Bundle{Environment: PrefixEnvironment + "_00000000000000000000000000", Position: Position{Epoch: 1}, Endpoint: "shop-acme", Routes: routes}
	for name, work := range map[string]func(context.Context) error{
		"ValidateRoutes":  func(ctx context.Context) error { return ValidateRoutes(ctx, "routes", routes) },
		"CompilePatterns": func(ctx context.Context) error { _, err := CompilePatterns(ctx, "routes", routes); return err },
		"Manifest":        manifest.Validate,
		"Bundle":          bundle.Validate,
	} {
		whole := &leaving{Context: t.Context(), after: math.MaxInt}
		if err := work(whole); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if least := len(routes) / looksEvery; whole.asked < least {
			t.Errorf("%s looks %d times at whether anybody waits, not %d", name, whole.asked, least)
		}
		for _, after := range []int{0, 1, whole.asked / 2, whole.asked - 1} {
			gone := &leaving{Context: t.Context(), after: after}
			// What follows the look at which he is gone is found out by the next one only.
			if err := work(gone); !errors.Is(err, context.Canceled) || gone.asked > after+2 {
				t.Errorf("%s, gone after %d looks: %d more, %v", name, after, gone.asked-after, err)
			}
		}
	}
}

// What is used again from one table to the next leaves nothing in it.
func TestCompiler_TablesAreTheirOwn(t *testing.T) {
	c := newCompiler(true)
	sources := []string{"/.*a.{7}", "/", "/\\ba|\\Bb", "/[a-z]{300}x", "/a.*b.*", "", "/(a|b)*", "/.*a.{7}b", "(?i)/k\\b", "/é"}
	for _, source := range sources {
		if err := c.add(&Route{Regexp: source}); err != nil {
			t.Fatal(err)
		}
	}
	for i, source := range sources {
		alone, err := CompilePattern(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.all[i].Pattern; !reflect.DeepEqual(got, alone) {
			t.Errorf("%q is another pattern behind others", source)
		}
	}
}

// Each pattern of a set is compiled once, whoever has it, and is judged in its order
// where all together are too much.
func TestCompiler_Once(t *testing.T) {
	one, many := newCompiler(true), newCompiler(true)
	for i := range 100 {
		r := Route{Regexp: "/a.*b", Priority: i}
		if i == 0 {
			if err := one.add(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := many.add(&r); err != nil {
			t.Fatal(err)
		}
	}
	if many.work != one.work || len(many.all) != 1 || many.all[0].Priority != 99 {
		t.Errorf("%d steps, %d patterns", many.work, len(many.all))
	}
	few := newCompiler(true)
	few.most = 1 << 17
	for i := range 100 {
		if err := few.add(&Route{Regexp: fmt.Sprintf("/p%d/.*a.{5}", i), Priority: i}); err != nil {
			t.Fatal(err)
		}
	}
	if few.work > few.most+maxRegexpWork {
		t.Errorf("%d steps, and %d are allowed", few.work, few.most)
	}
	patterns, err := few.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range patterns {
		if p.Priority != 99-i || i > 0 && patterns[i-1].Refused != nil && p.Refused == nil {
			t.Fatalf("pattern %d of priority %d is taken, and one that is tried before it is not", i, p.Priority)
		}
	}
	if patterns[0].Refused != nil || patterns[len(patterns)-1].Refused == nil {
		t.Error("those that are tried first are to be taken, and not all")
	}
}
