package terminal

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
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

// Confirm asks whether something is meant. Nothing, and whatever isn't yes, is no. Callers check
// CanPrompt first.
func (s Streams) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := s.Ask(ctx, question+" [y/N]")
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}
