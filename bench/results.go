package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// number of one round; NaN if it was not taken.
type value float64

// MarshalJSON writes what JSON has no number for as null.
func (v value) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(v), 'g', 6, 64), nil
}

// figure is one number of one target, round by round.
type figure struct {
	Measure string  `json:"measure"`
	Target  string  `json:"target"`
	Name    string  `json:"name"`
	Median  value   `json:"median"`
	Rounds  []value `json:"rounds"`
}

// results are all figures, in the order in which they first came.
type results struct {
	list  []*figure
	about string // where and when, in a line
	notes []string
}

func (r *results) find(measure, target, name string) *figure {
	i := slices.IndexFunc(r.list, func(f *figure) bool { return f.Measure == measure && f.Target == target && f.Name == name })
	if i < 0 {
		return nil
	}
	return r.list[i]
}

// put keeps the number of a round. Rounds that were left out before it are not a
// number.
func (r *results) put(round int, measure, target, name string, v float64) {
	f := r.find(measure, target, name)
	if f == nil {
		f = &figure{Measure: measure, Target: target, Name: name}
		r.list = append(r.list, f)
	}
	for len(f.Rounds) <= round {
		f.Rounds = append(f.Rounds, value(math.NaN()))
	}
	f.Rounds[round] = value(v)
	f.Median = median(f.Rounds)
}

func (r *results) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// median of those that are numbers.
func median(values []value) value {
	var good []value
	for _, v := range values {
		if !math.IsNaN(float64(v)) {
			good = append(good, v)
		}
	}
	if len(good) == 0 {
		return value(math.NaN())
	}
	slices.Sort(good)
	if n := len(good); n%2 == 0 {
		return (good[n/2-1] + good[n/2]) / 2
	}
	return good[len(good)/2]
}

// get is the median of a figure.
func (r *results) get(measure, target, name string) float64 {
	if f := r.find(measure, target, name); f != nil {
		return float64(f.Median)
	}
	return math.NaN()
}

// against combines two targets' numbers of each round and gives the median over rounds.
// Changes in the machine's speed move that less than the ratio of two medians.
func (r *results) against(measure, name, target, reference string, combine func(a, b float64) float64) float64 {
	a, b := r.find(measure, target, name), r.find(measure, reference, name)
	if a == nil || b == nil {
		return math.NaN()
	}
	var out []value
	for i := range min(len(a.Rounds), len(b.Rounds)) {
		out = append(out, value(combine(float64(a.Rounds[i]), float64(b.Rounds[i]))))
	}
	return float64(median(out))
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }

// writeJSON writes all numbers.
func (r *results) writeJSON(w io.Writer) error {
	type judged struct {
		Goal    string `json:"goal"`
		Reach   string `json:"reach"`
		Value   value  `json:"value"`
		Reached bool   `json:"reached"`
	}
	var reached []judged
	for _, g := range goals {
		v := g.of(r)
		reached = append(reached, judged{g.what, g.reach(), value(v), g.met(v)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(struct {
		About   string    `json:"about"`
		Figures []*figure `json:"figures"`
		Goals   []judged  `json:"goals"`
		Notes   []string  `json:"notes,omitempty"`
	}{r.about, r.list, reached, r.notes})
}

// writeMarkdown writes a table a measure and one of what was to be reached.
func (r *results) writeMarkdown(w io.Writer, command string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`: %s\n\n", command, r.about)
	r.appendGoals(&b)
	r.appendBefore(&b)
	for _, m := range measures {
		r.appendMeasure(&b, m)
	}
	if len(r.notes) > 0 {
		b.WriteString("Failures:\n\n")
		for _, n := range r.notes {
			b.WriteString("- " + strings.ReplaceAll(strings.TrimSpace(n), "\n", "\n  ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *results) appendGoals(b *strings.Builder) {
	b.WriteString("| goal | reach | measured | |\n|---|---|---|---|\n")
	for _, g := range goals {
		v := g.of(r)
		if math.IsNaN(v) {
			continue
		}
		verdict := "missed"
		if g.met(v) {
			verdict = "reached"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", g.what, g.reach(), format(v), verdict)
	}
	b.WriteString("\n")
}

// appendBefore says what became of each figure since an earlier build: the median of
// the ratios of each round.
func (r *results) appendBefore(b *strings.Builder) {
	began := false
	for _, f := range r.list {
		if f.Target != nameOurs {
			continue
		}
		change := r.against(f.Measure, f.Name, nameOurs, nameBefore, ratio)
		if math.IsNaN(change) {
			continue
		}
		if !began {
			began = true
			b.WriteString("| measure | figure | now ÷ before |\n|---|---|---|\n")
		}
		fmt.Fprintf(b, "| %s | %s | %.3f |\n", f.Measure, f.Name, change)
	}
	if began {
		b.WriteString("\n")
	}
}

func (r *results) appendMeasure(b *strings.Builder, m measure) {
	var targets, names []string
	for _, f := range r.list {
		if f.Measure != m.name {
			continue
		}
		if !slices.Contains(targets, f.Target) {
			targets = append(targets, f.Target)
		}
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.SortStableFunc(targets, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	fmt.Fprintf(b, "### %s\n\n%s.\n\n| | %s |\n|---%s|\n", m.name, m.about, strings.Join(targets, " | "), strings.Repeat("|---", len(targets)))
	for _, n := range names {
		b.WriteString("| " + n)
		for _, t := range targets {
			b.WriteString(" | " + format(r.get(m.name, t, n)))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("\n")
}

// rank puts ours last and peers before it, whoever was measured first.
func rank(target string) int {
	if i := slices.Index([]string{nameDirect, nameDirectTLS, nameGoProxy, nameNginx}, target); i >= 0 {
		return i
	}
	if target == nameOurs {
		return math.MaxInt
	}
	return math.MaxInt - 1
}

// format keeps three digits that count, and all of a large number's.
func format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 1):
		return "never"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
