package terminal

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/mezusphere/mezu/cli/exit"
)

// maxTries is how often somebody may mistype a number.
const maxTries = 3

// Choose asks which of several choices is meant, each of which has its cells in a row, and
// gives its index. It is -1 if none was named. Callers check CanPrompt first.
func (s Streams) Choose(ctx context.Context, question string, choices [][]string) (int, error) {
	fmt.Fprintln(s.Err, question)
	w := tabwriter.NewWriter(s.Err, 0, 0, 2, ' ', 0)
	for i, cells := range choices {
		fmt.Fprintf(w, "  %d", i+1)
		for _, cell := range cells {
			fmt.Fprintf(w, "\t%s", Clean(cell))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return -1, fmt.Errorf("asking: %w", err)
	}
	for range maxTries {
		answer, err := s.Ask(ctx, fmt.Sprintf("1 to %d:", len(choices)))
		if err != nil || answer == "" {
			return -1, err
		}
		if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(choices) {
			return n - 1, nil
		}
		for i, cells := range choices {
			if len(cells) > 0 && cells[0] == answer {
				return i, nil
			}
		}
	}
	return -1, nil
}

// Confirmable is the error of what has to be confirmed where nobody can be asked; nil where
// somebody can.
func (s Streams) Confirmable(what string) error {
	if s.CanPrompt() {
		return nil
	}
	e := exit.Usagef("%s has to be confirmed", what)
	e.Hint = "add --yes"
	return e
}

// Confirm asks whether something is meant. Nothing, and whatever isn't yes, is no: the error says
// what was not done. Callers check Confirmable first.
func (s Streams) Confirm(ctx context.Context, question, undone string) error {
	answer, err := s.Ask(ctx, question+" [y/N]")
	if answer = strings.ToLower(answer); err == nil && answer != "y" && answer != "yes" {
		err = exit.Usagef("nothing was %s", undone)
	}
	return err
}
