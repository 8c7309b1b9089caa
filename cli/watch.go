package cli

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/argv"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// lookEvery is how often --watch looks if it has no span, and shortestWatch how often at most:
	// each look is a connection and some calls.
	lookEvery     = 2 * time.Second
	shortestWatch = time.Second
	// gathering is how long news are gathered before they are looked at.
	gathering = 200 * time.Millisecond
	// sizeEvery is how often the size of the terminal is looked at between two looks.
	sizeEvery = 250 * time.Millisecond
)

// watchFlag is --watch, which may have a span.
func watchFlag() cli.Flag {
	return argv.OptionalFlag{
		GenericFlag: invocation.SpanFlag("watch", "show it again at each change, and every `SPAN`", 0, "2s"),
		Alone:       lookEvery.String(),
		Takes:       func(word string) bool { return invocation.ParseSpan(word) > 0 },
	}
}

func readWatch(c *cli.Context, inv *invocation.Invocation) error {
	if !c.IsSet("watch") {
		return nil
	}
	inv.Flags.Watch = invocation.Span(c, "watch")
	if inv.Flags.Watch < shortestWatch {
		return exit.Usagef("--watch looks every %v at most, not every %v", shortestWatch, inv.Flags.Watch)
	}
	return nil
}

// refused is the error of global flags about results that a command of a kind can't satisfy.
func refused(inv *invocation.Invocation, kind invocation.Kind, command string) error {
	is := func(some invocation.Kind) bool { return kind&some != 0 }
	output := inv.Flags.Output
	switch {
	case output == terminal.Names && !is(invocation.Named):
		return exit.Usagef("%s writes no names; -o name is for what lists, shows or makes something", command)
	case inv.Select != nil && is(invocation.Silent|invocation.Text):
		return exit.Usagef("%s writes no JSON; --jq is for what lists, shows or makes something", command)
	case (output == terminal.JSON || output == terminal.YAML) && is(invocation.Text):
		return exit.Usagef("%s writes text and no %s; -o is for what lists, shows or makes something", command, strings.ToUpper(string(output)))
	case output == terminal.YAML && is(invocation.Events):
		return exit.Usagef("%s writes lines or, with -o json, events; -o yaml is for what lists, shows or makes something", command)
	}
	return nil
}

// repeatable has a command, and those below it, do what the global flags --watch, --jq and -o ask
// for, or refuse it.
func repeatable(inv *invocation.Invocation, c *cli.Command, path string) {
	for _, s := range c.Subcommands {
		repeatable(inv, s, path+" "+s.Name)
	}
	if c.Action == nil {
		return
	}
	action := c.Action
	c.Action = func(line *cli.Context) error {
		kind := inv.TakeKind()
		if err := refused(inv, kind, "mezu "+path); err != nil {
			return err
		}
		if inv.Flags.Watch == 0 {
			return action(line)
		}
		if kind&invocation.Shows == 0 {
			return exit.Usagef("mezu %s can't be repeated; --watch is for commands that only show something", path)
		}
		w := &watch{Invocation: inv, line: line, action: action, title: "mezu " + path, real: inv.Streams}
		return w.run()
	}
}

// watch repeats a command.
type watch struct {
	*invocation.Invocation
	line   *cli.Context
	action cli.ActionFunc
	title  string
	// real are the streams of the process; the command gets others.
	real terminal.Streams
	// seen is what the last look gave, and told what it said.
	seen, told string
	// trouble is what was said last of looks that fail.
	trouble string
	// drawn says that the terminal shows the watch and nothing else.
	drawn bool
}

// draws reports whether the same place of a terminal is drawn on again and again.
func (w *watch) draws() bool { return w.real.OutTerminal && !w.real.Dumb }

func (w *watch) run() (err error) {
	if w.follows() {
		return w.action(w.line)
	}
	ctx := w.line.Context
	defer func() {
		w.line.Context, w.Streams = ctx, w.real
		if w.drawn {
			// What was seen last stays.
			w.put("\x1b[?7h\x1b[?25h\x1b[?1049l" + w.seen)
		}
	}()
	ringing, cancel := context.WithCancel(ctx)
	rung := make(chan struct{}, 1)
	var waking sync.WaitGroup
	defer waking.Wait()
	defer cancel()
	for first := true; ; first = false {
		out, notes, waker, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil, exit.Said(err):
			w.trouble = ""
			if err := w.show(out, notes); err != nil {
				return err
			}
		case first || !slices.Contains([]int{exit.Unreachable, exit.TimedOut}, exit.Of(err)):
			return err
		default:
			if err := w.fail(err); err != nil {
				return err
			}
		}
		if first && waker != nil {
			waking.Go(func() { w.listen(ringing, waker, rung) })
		}
		if err := w.wait(ctx, rung); err != nil {
			return err
		}
	}
}

// follows has a command follow that can do so by itself, where a terminal is not drawn on.
func (w *watch) follows() bool {
	for _, f := range w.line.Command.Flags {
		if f.Names()[0] == "follow" {
			return w.line.Bool("follow") || !w.draws() && w.line.Set("follow", "true") == nil
		}
	}
	return false
}

// look runs the command once and gives what it wrote.
func (w *watch) look(ctx context.Context) (out, notes string, waker invocation.Waker, err error) {
	var result, messages bytes.Buffer
	s := w.real
	s.In, s.InTerminal, s.PromptOff = strings.NewReader(""), false, true
	s.Out, s.Err = &result, &messages
	if !w.draws() {
		s.Absolute, s.Compact = true, true
	}
	w.Streams = s
	defer func() { w.Streams = w.real }()
	if w.Flags.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.Flags.Timeout)
		defer cancel()
	}
	w.line.Context = ctx
	err = w.action(w.line)
	if login := w.Login(); login != nil {
		login.Client.CloseIdle()
	}
	return result.String(), messages.String(), w.TakeWaker(), err
}

// fail says, once, that a look failed.
func (w *watch) fail(err error) error {
	before := w.trouble
	what, _ := terminal.Explain(err)
	w.trouble = "warning: " + terminal.Clean(what) + "; trying again\n"
	switch {
	case w.draws():
		return w.draw(w.seen + w.told + w.trouble)
	case w.trouble != before:
		_, err = w.real.Err.Write([]byte(w.trouble))
		return err
	}
	return nil
}

// show shows what a look gave: all of it on a terminal, and elsewhere what has changed.
func (w *watch) show(out, notes string) error {
	seen, told := w.seen, w.told
	w.seen, w.told = out, notes
	if w.draws() {
		return w.draw(out + notes)
	}
	if notes != told {
		if _, err := w.real.Err.Write([]byte(notes)); err != nil {
			return err
		}
	}
	switch {
	case out == seen:
		return nil
	case w.Flags.Output == terminal.Table, w.Flags.Output == terminal.Names:
		return w.put(newLines(seen, out))
	}
	return w.put(out)
}

func (w *watch) put(text string) error {
	_, err := w.real.Out.Write([]byte(text))
	return err
}

// newLines are the lines of a text that the one before did not have.
func newLines(before, text string) string {
	had := map[string]int{}
	for line := range strings.Lines(before) {
		had[line]++
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if had[line]--; had[line] < 0 {
			b.WriteString(line)
		}
	}
	return b.String()
}

// draw fills the terminal.
func (w *watch) draw(text string) error {
	var b strings.Builder
	if !w.drawn {
		w.drawn = true
		b.WriteString("\x1b[?1049h\x1b[?25l") // another screen, without a cursor
	}
	width, height := w.real.Width(), w.real.Height()
	title := w.real.Fit("", w.title+", every "+mezu.Duration(w.Flags.Watch).String(), w.Clock().Local().Format(time.TimeOnly))
	lines := append([]string{title, ""}, strings.Split(strings.TrimRight(text, "\n"), "\n")...)
	if len(lines) > height {
		lines = append(lines[:max(0, height-1)], w.real.Cut("and more: -o json has all of it", width))
	}
	b.WriteString("\x1b[?7l\x1b[H") // what is too long is cut
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\x1b[2K" + line) // behind a line in the last column it would erase that
	}
	b.WriteString("\x1b[J\x1b[?7h")
	return w.put(b.String())
}

// listen rings for news until ctx ends. News that end are asked for again.
func (w *watch) listen(ctx context.Context, waker invocation.Waker, rung chan<- struct{}) {
	for {
		_ = waker(ctx, func() {
			select {
			case rung <- struct{}{}:
			default: // it rings already
			}
		})
		if invocation.Pause(ctx, w.Flags.Watch) != nil {
			return
		}
	}
}

// wait waits for the time of the next look, for news, or for another size of the terminal.
func (w *watch) wait(ctx context.Context, rung <-chan struct{}) error {
	next := time.NewTimer(w.Flags.Watch)
	defer next.Stop()
	tick := time.NewTicker(sizeEvery)
	defer tick.Stop()
	width, height := w.real.Width(), w.real.Height()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
			return nil
		case <-rung:
			return invocation.Pause(ctx, gathering)
		case <-tick.C:
			if w.drawn && (w.real.Width() != width || w.real.Height() != height) {
				return nil
			}
		}
	}
}
