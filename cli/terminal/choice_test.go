package terminal_test

import (
	"bytes"
	"strings"
	"testing"

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
