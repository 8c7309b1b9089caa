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

// explained is an error that has both itself.
type explained interface {
	error
	Explain() (what, hint string)
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
	if _, ok := errors.AsType[several](err); ok {
		return what, "" // each has its own behind it
	}
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		plain := *e
		plain.Hint = ""
		return strings.Replace(what, e.Error(), plain.Error(), 1), e.Hint
	}
	if e, ok := errors.AsType[explained](err); ok {
		own, hint := e.Explain()
		return strings.Replace(what, e.Error(), own, 1), hint
	}
	if exit.Of(err) == exit.TimedOut {
		hint = "--timeout allows more time"
	}
	return what, hint
}

// Problem is an error that ends a command, as scripts read it: with the field of the input that
// it is about and its place in a file, where there are such. Exit is the command's exit code.
type Problem struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Field   string    `json:"field,omitempty"`
	File    string    `json:"file,omitempty"`
	Line    int       `json:"line,omitempty"`
	Column  int       `json:"column,omitempty"`
	Hint    string    `json:"hint,omitempty"`
	Exit    int       `json:"exit_code,omitempty"`
	Errors  []Problem `json:"errors,omitempty"`
}

// Codes of problems that no service has spoken of.
const (
	codeFailed      = "failed"
	codeTimedOut    = "timed_out"
	codeInterrupted = "interrupted"
	codeDiffers     = "differs"
)

// placed is an error at a place of a file.
type placed interface {
	error
	At() (file string, line, column int)
}

// several are errors in one, and how many.
type several interface {
	error
	Summary() string
	Each() []error
}

// ProblemOf is an error as scripts read it.
func ProblemOf(err error) Problem {
	all, ok := errors.AsType[several](err)
	if !ok {
		p := problemOf(err)
		p.Exit = exit.Of(err)
		return p
	}
	p := Problem{Code: codeOf(err), Message: all.Summary(), Exit: exit.Of(err)}
	for _, one := range all.Each() {
		p.Errors = append(p.Errors, problemOf(one))
	}
	return p
}

// problemOf is ProblemOf for one error of several.
func problemOf(err error) (p Problem) {
	p.Message, p.Hint = Explain(err)
	p.Code = codeOf(err)
	alone := err
	if at, ok := errors.AsType[placed](err); ok {
		p.File, p.Line, p.Column = at.At()
		alone = errors.Unwrap(at)
	}
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		if p.Field = e.Field; error(e) == alone && e.Detail != "" {
			p.Message = e.Detail // field and place have their own members
		}
	}
	return p
}

// codeOf is the code of an error: that of the service or the rule, else a word for the exit code.
func codeOf(err error) string {
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		return string(e.Code)
	}
	switch exit.Of(err) {
	case exit.Usage:
		return string(mezu.CodeInvalid)
	case exit.Unreachable:
		return string(mezu.CodeUnavailable)
	case exit.TimedOut:
		return codeTimedOut
	case exit.Differs:
		return codeDiffers
	case exit.Interrupted:
		return codeInterrupted
	}
	return codeFailed
}

// ReportAs is Report in a format: lines for people if it is a table's or Select makes something
// else of results, else a record for scripts, on one line if it is JSON.
func (s Streams) ReportAs(format Format, program string, err error) {
	if format != JSON && format != YAML || s.Select != nil {
		s.Report(program, err)
		return
	}
	p := ProblemOf(err)
	to := s
	to.Out = s.Err
	write := func() error { return to.WriteLine(p) }
	if format == YAML {
		write = func() error { return to.WriteValue(format, p) }
	}
	if write() != nil {
		s.Report(program, err)
	}
}

// cleanLines cleans text that may have several lines, such as a quoted file.
func cleanLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = Clean(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}
