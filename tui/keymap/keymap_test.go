package keymap_test

import (
	"testing"

	"github.com/mezusphere/mezu/tui/keymap"
)

func TestMove(t *testing.T) {
	for _, c := range []struct {
		key         string
		at, n, want int
	}{{"up", 3, 10, 2}, {"k", 0, 10, 0}, {"down", 9, 10, 9}, {"j", 3, 10, 4}, {"g", 5, 10, 0}, {"end", 5, 10, 9}, {"pgdown", 1, 10, 5}, {"pgup", 2, 10, 0}, {"down", 0, 0, 0}} {
		a, ok := keymap.Moves().Find(c.key)
		if got, moved := keymap.Move(a, c.at, c.n, 4); !ok || !moved || got != c.want {
			t.Errorf("%s from %d of %d: %d, want %d", c.key, c.at, c.n, got, c.want)
		}
	}
	if _, ok := keymap.Move("other", 0, 1, 1); ok {
		t.Error("another action is a move")
	}
}

func TestScroll(t *testing.T) {
	for _, c := range []struct{ top, at, n, page, want int }{{0, 5, 10, 3, 3}, {4, 2, 10, 3, 2}, {2, 3, 10, 3, 2}, {9, 3, 4, 3, 1}, {0, 0, 0, 3, 0}, {3, 2, 10, 0, 2}} {
		if got := keymap.Scroll(c.top, c.at, c.n, c.page); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
