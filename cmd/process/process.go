// Package process is what all programs do in the same way with the process that they run
// in: signals, the limit on descriptors, the log, secrets that come from outside, and
// the lines of --json.
//
// What may not live here: what a single program does. It imports the domain and
// the packages of cli that print; only the programs below cmd import it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/namedfile"
)

// Limits on descriptors below which a program refuses to start. With less it would fail
// as soon as one Warpgate is busy.
const (
	// MinServer is for edges: a data connection and a client's connection for each of
	// 1,024 exchanges, and as many idle connections.
	MinServer = 4096
	// MinWarpgate is for Warpgates: a data connection and a connection to the workload
	// for each of some 500 exchanges.
	MinWarpgate = 1024
)

// CheckDescriptors refuses a limit below least. It sees the hard limit, because Go raised
// the soft one to it before main.
func CheckDescriptors(least uint64) error {
	have, ok := descriptors()
	if !ok || have >= least {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("this process may open %d files and connections, and needs at least %d", have, least),
		Hint: fmt.Sprintf("ulimit -Hn %d, or LimitNOFILE=%d in the service's unit", least, least)}
}

// SilenceLibraries ends what libraries log by themselves, which would come between the lines of
// a program's own output. What is worth a line goes to the log that a part was handed.
func SilenceLibraries() { slog.SetDefault(slog.New(slog.DiscardHandler)) }

// Signals gives two contexts. drain ends with the first SIGINT, SIGTERM or SIGHUP, or with
// parent; cut ends with the second SIGINT or SIGTERM. Call stop when the work is done. If that
// takes longer than cutTime after a cut, or at a third signal, the process ends at once. On
// Windows the signals are Ctrl-C and the closing of the console. A SIGHUP that nohup had
// ignored stays ignored.
func Signals(parent context.Context) (drain, cut context.Context, stop func()) {
	drain, cut, _, stop = HeldSignals(parent)
	return drain, cut, stop
}

// HeldSignals is Signals, and a function that holds them: from then until the function that it
// gives is called, signals end nothing. They are then a program's that was started.
func HeldSignals(parent context.Context) (drain, cut context.Context, hold func() (release func()), stop func()) {
	var held atomic.Int32
	hold = func() func() {
		held.Add(1)
		return sync.OnceFunc(func() { held.Add(-1) })
	}
	drain, cut, stop = signals(parent, &held, endAtOnce)
	return drain, cut, hold, stop
}

func signals(parent context.Context, held *atomic.Int32, end func()) (drain, cut context.Context, stop func()) {
	cut, cutNow := context.WithCancel(context.WithoutCancel(parent))
	drain, drainNow := context.WithCancel(parent)
	came := make(chan os.Signal, 2)
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		ending = append(ending, syscall.SIGHUP)
	}
	signal.Notify(came, ending...)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() { follow(done, came, held, drainNow, cutNow, end) })
	wg.Go(func() { endLate(done, cut.Done(), end) })
	return drain, cut, sync.OnceFunc(func() {
		signal.Stop(came)
		close(done)
		wg.Wait()
		drainNow()
		cutNow()
	})
}

// sameSignal is the time within which a second signal counts as the first one:
// timeout(1) and some supervisors signal both a process and its group.
const sameSignal = 100 * time.Millisecond

// follow takes one step towards the end with each signal. A second SIGHUP ends none: when a terminal
// goes away, the kernel and the shell both send one.
func follow(done <-chan struct{}, signals <-chan os.Signal, held *atomic.Int32, ends ...func()) {
	var last time.Time
	for len(ends) > 0 {
		select {
		case s := <-signals:
			if held.Load() > 0 {
				continue
			}
			if !last.IsZero() && (time.Since(last) < sameSignal || s == syscall.SIGHUP) {
				continue
			}
			last = time.Now()
			ends[0]()
			ends = ends[1:]
		case <-done:
			return
		}
	}
}

// Finish is the exit code of a program that served. It is Done after an end that was
// asked for, unless that was cut short.
func Finish(drain, cut context.Context, err error) int {
	switch {
	case cut.Err() != nil:
		return exit.Interrupted
	case drain.Err() != nil && exit.Of(err) == exit.Interrupted:
		return exit.Done
	}
	return exit.Of(err)
}

// Logger writes records to w as text or json, from level on: debug, info, warn or
// error. Of lines that say the same within a while the first is written, and how many came
// after it.
func Logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	switch level {
	case "debug", "info", "warn", "error":
		l.UnmarshalText([]byte(level)) // the names are slog's own
	default:
		return nil, exit.Usagef("log-level is one of debug, info, warn, error, not %q", level)
	}
	options := &slog.HandlerOptions{Level: l}
	var handler func(io.Writer) slog.Handler
	switch format {
	case "text":
		handler = func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }
	case "json":
		handler = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }
	default:
		return nil, exit.Usagef("log-format is text or json, not %q", format)
	}
	say(w, logNotice(handler))
	return counting(w, handler(w)), nil
}

// PlainLogger is Logger of lines of text, from a level on.
func PlainLogger(w io.Writer, level slog.Level) *slog.Logger {
	return counting(w, slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// counting makes a logger whose equal lines are one. What was counted last is said when the
// outlets are closed that w is one of.
func counting(w io.Writer, to slog.Handler) *slog.Logger {
	h := countEqual(to)
	if o, ok := w.(*outlet); ok {
		o.of.atEnd(h.seen.close)
	}
	return slog.New(h)
}

// maxSecret bounds a file with a key or token; the longest has some 60
// characters.
const maxSecret = 4 << 10

// SecretFile reads a key or token from a file or a pipe. It waits for the writer of a pipe
// until ctx ends, and warns about a file that others may read.
func SecretFile(ctx context.Context, path string, log *slog.Logger) (string, error) {
	info, err := os.Stat(path)
	if err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
		log.Warn("everyone on this machine can read the secret; chmod 600 it", "file", path)
	}
	data, err := namedfile.ReadPipe(ctx, path, maxSecret+1)
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	secret, err := mezu.ParseSecret(string(data))
	if err != nil {
		return "", named(path, err)
	}
	if secret == "" || len(data) > maxSecret {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Detail: path + " holds no key or token", Hint: "write the key or token, and nothing else, into the file"}
	}
	return secret, nil
}

// named adds to an error in which file something is wrong.
func named(path string, err error) error {
	wrong, ok := errors.AsType[*mezu.Error](err)
	if !ok {
		return err
	}
	out := *wrong
	out.Detail = path + " " + out.Detail
	return &out
}

// SecretVariable reads a key or token from what an environment variable holds.
func SecretVariable(name, value string) (string, error) {
	secret, err := mezu.ParseSecret(value)
	if wrong, ok := errors.AsType[*mezu.Error](err); ok {
		out := *wrong
		out.Field = name
		return "", &out
	}
	return secret, err
}

// WarnArgument says why a secret should not be an argument.
func WarnArgument(log *slog.Logger, flag string) {
	log.Warn("process lists show a secret that is given as an argument; use a file or the environment", "flag", flag)
}

// Events writes events as JSON, one a line. It is safe for concurrent use.
type Events struct {
	Streams terminal.Streams
	// Log is where an error goes when stdout can't be written.
	Log *slog.Logger
	// Now gives the time of events that have none; if nil, time.Now.
	Now func() time.Time

	mu sync.Mutex
}

// NewEvents makes a stream of events on stdout.
func NewEvents(s terminal.Streams, log *slog.Logger) *Events {
	say(s.Out, eventNotice(time.Now))
	return &Events{Streams: s, Log: log}
}

// Write writes one event.
func (e *Events) Write(event mezu.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Time.IsZero() {
		event.Time = time.Now()
		if e.Now != nil {
			event.Time = e.Now()
		}
	}
	if err := e.Streams.WriteLine(event); err != nil {
		e.Log.Error("writing an event", "error", err)
	}
}

// Fail is the event for an error that ends a program.
func Fail(err error) mezu.Event {
	what, hint := terminal.Explain(err)
	code := mezu.Code(terminal.ProblemOf(err).Code)
	if !code.Known() { // a word for an exit code
		code = mezu.CodeOf(err)
	}
	return mezu.Event{Event: mezu.EventError, Code: code, Message: what, Hint: hint}
}
