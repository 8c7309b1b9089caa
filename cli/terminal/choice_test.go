package terminal_test

import (
	"bytes"
	"cmp"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
)

func TestChoose(t *testing.T) {
	choices := [][]string{{"acme", "owner"}, {"globex\x1b[2J", "viewer"}}
	for typed, want := range map[string]int{"2\n": 1, "acme\n": 0, "": -1, "\n": -1, "0\n": -1, "x": -1} {
		var said bytes.Buffer
		got, err := terminal.Streams{In: strings.NewReader(typed), Err: &said}.Choose(t.Context(), "Which one?", choices)
		if got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", typed, got, err, want)
		}
		if !strings.HasPrefix(said.String(), "Which one?\n  1  acme           owner\n  2  globex\\x1b[2J  viewer\n1 to 2: ") {
			t.Errorf("%q", said.String())
		}
	}
}

func TestConfirm(t *testing.T) {
	for typed, want := range map[string]int{"y\n": exit.Done, "YES\n": exit.Done, "n\n": exit.Usage, "\n": exit.Usage, "": exit.Usage, "yep\n": exit.Usage} {
		var said bytes.Buffer
		s := terminal.Streams{In: strings.NewReader(typed), Err: &said, InTerminal: true, ErrTerminal: true}
		err := cmp.Or(s.Confirmable("removing it"), s.Confirm(t.Context(), "Remove it?", "removed"))
		if exit.Of(err) != want || said.String() != "Remove it? [y/N] " || err != nil && err.Error() != "nothing was removed" {
			t.Errorf("%q: %v, %q", typed, err, said.String())
		}
	}
	if err := (terminal.Streams{}).Confirmable("removing it"); exit.Of(err) != exit.Usage || err.Error() != "removing it has to be confirmed" {
		t.Error(err)
	}
}
