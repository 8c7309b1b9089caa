package terminal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// Report writes an error that ends a program: what happened and, where one is
// known, the next thing to try.
func (s Streams) Report(program string, err error) {
	what, hint := Explain(err)
	red, plain := "", ""
	if s.ErrTerminal && !s.ColorOff {
		red, plain = "\x1b[31m", "\x1b[0m"
	}
	fmt.Fprintf(s.Err, "%s%s: %s%s\n", red, program, cleanLines(what), plain)
	if hint != "" {
		fmt.Fprintf(s.Err, "  try: %s\n", Clean(hint))
	}
}

// Explain splits an error into what happened and the next thing to try, which is
// empty if none is known. Neither is cleaned.
func Explain(err error) (what, hint string) {
	what = err.Error()
	if errors.Is(err, context.Canceled) {
		return "interrupted", ""
	}
	if e, ok := errors.AsType[*exit.UsageError](err); ok {
		return what, e.Hint
	}
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		plain := *e
		plain.Hint = ""
		return strings.Replace(what, e.Error(), plain.Error(), 1), e.Hint
	}
	switch exit.Of(err) {
	case exit.TimedOut:
		hint = "--timeout allows more time"
	case exit.Unreachable:
		hint = "is the control plane running? mezu dev starts one on this machine"
	}
	return what, hint
}

// cleanLines cleans text that may have several lines, such as a quoted file.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = Clean(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}
