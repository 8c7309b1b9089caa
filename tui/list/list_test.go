package list_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/list"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// TestOld: what could not be asked for again is shown with its age, why, and what to do; the row
// at the cursor is never behind that. A million records are as many as a list holds.
func TestOld(t *testing.T) {
	l := list.New(func(s string) string { return s })
	begin := time.Date(2026, 11, 26, 14, 2, 31, 0, time.UTC)
	all := make([]string, 1_000_000)
	for i := range all {
		all[i] = strings.Repeat("x", i%7) + "row"
	}
	l.Take(all, begin)
	if l.Len() != list.MaxRows || !l.More {
		t.Fatalf("it holds %d, more %v", l.Len(), l.More)
	}
	c := &screen.Context{Theme: look.New(look.None, look.Unicode()), Now: begin.Add(2 * time.Minute)}
	view := func() string {
		lines := l.Panel(c, look.Panel{Title: "Rows"}, []look.Column{{Head: "ROW", Grow: 1}}, func(s string) []look.Cell { return []look.Cell{{Text: s}} }, nil, 60, 8)
		return strings.Join(lines, "\n")
	}
	for _, one := range []struct {
		err  error
		want []string
	}{
		{errors.New("no answer"), []string{"control plane away, 2 m old", "no answer"}},
		{&mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "your access ended", Hint: "mezu login"}, []string{"login ended, 2 m old", "your access ended; try: mezu login"}},
		{mezu.Errorf(mezu.CodeForbidden, "your role has no audit.read"), []string{"refused, 2 m old", "your role has no audit.read"}},
	} {
		l.Fail(one.err)
		l.End()
		got := view()
		for _, want := range append(one.want, "▸") {
			if !strings.Contains(got, want) {
				t.Errorf("%v is shown without %q:\n%s", one.err, want, got)
			}
		}
	}
	l.Take(all[:3], c.Now)
	if got := view(); strings.Contains(got, "old") || strings.Contains(got, "refused") {
		t.Errorf("it is back, and shows\n%s", got)
	}
	// A clock that jumps back by a day makes nothing older than now.
	l.Fail(errors.New("no answer"))
	c.Now = begin.Add(-24 * time.Hour)
	if got := view(); !strings.Contains(got, " control plane away ┐") {
		t.Errorf("after a jump of the clock it is\n%s", got)
	}
}
