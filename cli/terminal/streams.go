// Package terminal is for everything that a command prints: the streams, with results on
// stdout and messages on stderr, the output formats, and the cleaning of text that did not
// come from this program.
//
// What may not live here: what is said, commands, the network. It imports the
// domain, cli/exit, x/sys and a measure of characters only; cli and cmd import it.
package terminal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Streams are the standard streams of a process, and what may be printed to them. The zero
// value is right for pipes: no terminal, no colour, messages on.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// InTerminal, OutTerminal and ErrTerminal say which of the three is a
	// terminal.
	InTerminal, OutTerminal, ErrTerminal bool
	// ColorOff and PromptOff forbid what a terminal would allow.
	ColorOff, PromptOff bool
	// Quiet drops messages. Errors and warnings remain.
	Quiet bool
	// Unicode says that characters beyond ASCII can be shown, as signs or lines.
	Unicode bool
	// Columns is how wide the terminal of Out is, now; if nil, nobody knows.
	Columns func() int
	// Rows is how high it is.
	Rows func() int
	// Dumb says that the cursor of a terminal can't be moved.
	Dumb bool
	// Masking says that what is written becomes a log of GitHub Actions, which hides what it
	// is told to.
	Masking bool
	// Present is the clock by which times are told; if nil, time.Now. Absolute tells none by it.
	Present  func() time.Time
	Absolute bool
	// Select makes of a JSON text what is written in its place; if nil, nothing does.
	Select func(json []byte) ([]byte, error)
	// Compact writes each value as a document among others: JSON in one line, YAML behind "---".
	Compact bool
}

// System are the streams of this process under the rules that its environment
// sets: NO_COLOR and TERM=dumb turn colour off, CI=true turns prompts off, and the locale
// says which characters there are.
func System(in, out, err *os.File, getenv func(string) string) Streams {
	return Streams{
		In: in, Out: out, Err: err,
		InTerminal: isTerminal(in), OutTerminal: isTerminal(out), ErrTerminal: isTerminal(err),
		Columns: func() int { columns, _ := size(out); return columns },
		Rows:    func() int { _, rows := size(out); return rows },
	}.Under(getenv)
}

// Under applies the rules of the environment to s.
func (s Streams) Under(getenv func(string) string) Streams {
	ci := getenv("CI") == "true" || getenv("CI") == "1"
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" || ci {
		s.ColorOff = true
	}
	if ci {
		s.PromptOff = true
	}
	s.Dumb = getenv("TERM") == "dumb"
	s.Unicode = unicodeLocale(getenv)
	s.Masking = getenv("GITHUB_ACTIONS") == "true"
	return s
}

// defaultWidth is the width of a terminal that does not tell its own.
const defaultWidth = 80

// Width is how many columns a line of stdout has; zero, which is no limit, if that is no
// terminal.
func (s Streams) Width() int {
	if !s.OutTerminal {
		return 0
	}
	if s.Columns != nil {
		if n := s.Columns(); n > 0 {
			return n
		}
	}
	return defaultWidth
}

// defaultHeight is the height of a terminal that does not tell its own.
const defaultHeight = 24

// Height is how many lines the terminal of stdout has.
func (s Streams) Height() int {
	if s.Rows != nil {
		if n := s.Rows(); n > 0 {
			return n
		}
	}
	return defaultHeight
}

// Color reports whether what goes to stdout may be decorated.
func (s Streams) Color() bool { return s.OutTerminal && !s.ColorOff }

// CanPrompt reports whether a person can be asked.
func (s Streams) CanPrompt() bool { return s.InTerminal && s.ErrTerminal && !s.PromptOff }

// Printf writes a result to stdout. Text from outside goes through Clean first.
func (s Streams) Printf(format string, args ...any) error {
	_, err := fmt.Fprintf(s.Out, format, args...)
	return err
}

// Sayf writes a message to stderr, unless quiet.
func (s Streams) Sayf(format string, args ...any) {
	if !s.Quiet {
		fmt.Fprintf(s.Err, format+"\n", args...)
	}
}

// Warnf writes a warning to stderr.
func (s Streams) Warnf(format string, args ...any) {
	fmt.Fprintf(s.Err, "warning: "+format+"\n", args...)
}

// Try writes what helps, each alone, to stderr, quiet or not. Further lines of one stand below
// the first.
func (s Streams) Try(fixes ...string) {
	if len(fixes) == 0 {
		return
	}
	start := "  try: "
	for line := range strings.SplitSeq(strings.Join(fixes, ", or "), "\n") {
		fmt.Fprintf(s.Err, "%s%s\n", start, Clean(line))
		start = "       "
	}
}

// maxAnswer bounds what a person types at a prompt.
const maxAnswer = 1 << 10

// ReadAll reads standard input to its end, at most max bytes. Nothing can interrupt the
// read. When ctx ends, ReadAll returns and the read goes on until the process ends.
func (s Streams) ReadAll(ctx context.Context, max int64) ([]byte, error) {
	type input struct {
		data []byte
		err  error
	}
	read := make(chan input, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(s.In, max))
		read <- input{data, err}
	}()
	select {
	case in := <-read:
		if in.err != nil {
			return nil, fmt.Errorf("reading standard input: %w", in.err)
		}
		return in.data, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("reading standard input: %w", ctx.Err())
	}
}

// Ask prints a question to stderr and reads one line. Callers check CanPrompt first. At the
// end of the input the answer is empty. Nothing can interrupt the read from the terminal.
// When ctx ends, Ask returns and the read goes on until the process ends.
func (s Streams) Ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(s.Err, question+" ")
	answers := make(chan answer, 1)
	go s.readAnswer(answers)
	select {
	case a := <-answers:
		if a.err != nil && a.err != io.EOF {
			return "", fmt.Errorf("reading the answer: %w", a.err)
		}
		return strings.TrimSpace(a.line), nil
	case <-ctx.Done():
		fmt.Fprintln(s.Err)
		return "", ctx.Err()
	}
}

// answer is the result of reading a line from the terminal.
type answer struct {
	line string
	err  error
}

// readAnswer reads one line.
func (s Streams) readAnswer(to chan<- answer) {
	line, err := bufio.NewReader(io.LimitReader(s.In, maxAnswer)).ReadString('\n')
	to <- answer{line, err}
}
