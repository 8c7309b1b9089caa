package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// Program is what the program around the command does for it. All may be nil.
type Program struct {
	Start Starter
	// Run is the daemon itself: it serves until ctx ends, or until it has nothing to do.
	Run func(ctx context.Context, o RunOptions) error
}

// RunOptions are those of "mezu daemon run".
type RunOptions struct {
	*invocation.Invocation
	// IdleEnd is how long it waits for work after the last tunnel and client; if zero, for
	// ever.
	IdleEnd time.Duration
	// Inspect is how much its inspector keeps, as local.ParseInspect reads it.
	Inspect string
	// Detached says that nobody looks at its output, and that what it inherited is not for it.
	Detached bool
	// Service says that the system runs it, and starts it again if it fails.
	Service bool
}

// Names of the arguments with which the daemon is started.
const (
	commandName  = "daemon"
	runName      = "run"
	idleFlag     = "idle-end"
	detachedFlag = "detached"
	serviceFlag  = "service"
)

// DetachedArguments are those with which a Starter starts this program.
func DetachedArguments() []string { return []string{commandName, runName, "--" + detachedFlag} }

// Command is "mezu daemon". It is about the daemon of this user, whatever the profile.
func Command(inv *invocation.Invocation, d *Daemon, p Program) *cli.Command {
	silent := []*cli.Command{newRun(inv, d, p), d.inspects(newStart(inv, d)), newStop(inv, d), d.inspects(newRestart(inv, d)), newInstall(inv, d), newUninstall(inv)}
	for _, c := range silent {
		c.Before = inv.Is(invocation.Silent)
	}
	return &cli.Command{
		Name: commandName, Usage: "Run, stop and look at the local daemon, which holds the tunnels of this user", Category: "program",
		Description: "mezu tunnel starts the daemon when it needs it, and it ends by itself when there is nothing to do.\n" +
			"Its folder is daemon in the state folder of the user; docs/daemon.md has all of it.",
		Subcommands: slices.Concat(silent[:4], []*cli.Command{newStatus(inv, d), newLogs(inv, d)}, silent[4:]),
	}
}

func newRun(inv *invocation.Invocation, d *Daemon, p Program) *cli.Command {
	return &cli.Command{
		Name: runName, Usage: "Run the daemon here, in the foreground, until a signal ends it", Category: dev.Category,
		Description: "Its log goes to stderr and to its file. Requests in flight get 5 s at the end.",
		Flags: []cli.Flag{
			invocation.SpanFlag(idleFlag, "end after `TIME` without tunnel and client; 0s never", local.IdleEnd, ""),
			newInspectFlag(),
			&cli.BoolFlag{Name: detachedFlag, Hidden: true},
			&cli.BoolFlag{Name: serviceFlag, Hidden: true},
		},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := RunOptions{Invocation: inv, IdleEnd: invocation.Span(c, idleFlag), Detached: c.Bool(detachedFlag), Service: c.Bool(serviceFlag)}
			var err error
			if o.Inspect, err = d.inspecting(c); err != nil {
				return err
			}
			if p.Run == nil {
				return mezu.Errorf(mezu.CodeUnavailable, "this program has no daemon")
			}
			return p.Run(c.Context, o)
		},
	}
}

// plain is a command without flags and arguments.
func plain(name, usage, description string, run func(context.Context) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Description: description,
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context)
		},
	}
}

func newStart(inv *invocation.Invocation, d *Daemon) *cli.Command {
	return plain("start", "Start the daemon, if it isn't running", "", func(ctx context.Context) error {
		c, own, err := d.running(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		already := ""
		if !own {
			already = " already"
		}
		inv.Signf(terminal.Good, "the daemon %s runs%s, process %d", terminal.Clean(st.Version), already, st.PID)
		return nil
	})
}

// running gives a client of this user's daemon, which is started if it isn't running. It
// reports whether this command has started it.
func (d *Daemon) running(ctx context.Context) (c *local.Client, own bool, err error) {
	path, err := d.socket()
	if err != nil {
		return nil, false, err
	}
	c, _, err = d.dial(ctx, path)
	if errors.Is(err, local.ErrNotRunning) {
		return d.started(ctx, path)
	}
	return c, false, err
}

func newStop(inv *invocation.Invocation, d *Daemon) *cli.Command {
	return plain("stop", "Stop the daemon and its tunnels; requests in flight get 5 s", "Tunnels that were opened with --detach come back with the next daemon.", func(ctx context.Context) error {
		// First the note: a command that has lost its tunnel may be about to start a daemon.
		if dir, err := d.folder(); err == nil {
			_ = NoteStopped(dir) // without a folder there is no daemon
		}
		tunnels, _, err := d.end(ctx, local.Shutdown{Drain: local.DrainFor(local.RestartDrain)})
		if errors.Is(err, local.ErrNotRunning) {
			inv.Sayf("no daemon is running")
			return nil
		}
		if err != nil {
			return err
		}
		inv.Signf(terminal.Good, "the daemon has ended%s", endedWith(tunnels))
		return nil
	})
}

func newRestart(inv *invocation.Invocation, d *Daemon) *cli.Command {
	return plain("restart", "Replace the daemon by this version; its tunnels come back", "Requests in flight get 5 s. Commands that hold tunnels open take them up again.", func(ctx context.Context) error {
		tunnels, before, err := d.end(ctx, local.Shutdown{Drain: local.DrainFor(local.RestartDrain), Restart: true})
		if err != nil && !errors.Is(err, local.ErrNotRunning) {
			return err
		}
		c, _, err := d.running(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		st, err := c.Status(ctx)
		if err != nil {
			return err
		}
		was := ""
		if before != "" && before != st.Version {
			was = ", after " + terminal.Clean(before)
		}
		inv.Signf(terminal.Good, "the daemon %s runs%s, process %d%s", terminal.Clean(st.Version), was, st.PID, comingBack(tunnels))
		return nil
	})
}

// end ends the daemon of this user and waits until it has. It gives the tunnels that were
// open, and its version.
func (d *Daemon) end(ctx context.Context, how local.Shutdown) (open []mezu.Tunnel, version string, err error) {
	path, err := d.socket()
	if err != nil {
		return nil, "", err
	}
	asking, cancel := context.WithTimeout(ctx, askTime)
	c, st, err := d.dial(asking, path)
	cancel()
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the daemon does not answer", Cause: local.ErrSilent}
	}
	if errors.Is(err, local.ErrSilent) || errors.Is(err, local.ErrGeneration) {
		return nil, "", d.kill(ctx, path, err)
	}
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	tunnels, err := c.Tunnels(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, t := range tunnels {
		if t.State != mezu.TunnelStopped {
			open = append(open, t)
		}
	}
	if err := c.Shutdown(ctx, how); err != nil {
		return nil, "", err
	}
	c.Close()
	return open, st.Version, d.awaitEnd(ctx, path)
}

// kill ends the process of a daemon that can't be asked to end, because it hangs or is of
// another generation.
func (d *Daemon) kill(ctx context.Context, path string, why error) error {
	dir, err := d.folder()
	if err != nil {
		return err
	}
	process, err := holder(dir)
	if err != nil {
		return errors.Join(why, err)
	}
	what, _ := terminal.Explain(why)
	d.inv.Signf(terminal.Caution, "%s: ending process %d", terminal.Clean(what), process.Pid)
	if process.Signal(syscall.SIGTERM) == nil { // Windows has no such signal
		ending, cancel := context.WithTimeout(ctx, termTime)
		err := d.awaitEnd(ending, path)
		cancel()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending process %d: %w", process.Pid, err)
	}
	return d.awaitEnd(ctx, path)
}

// maxPID bounds that file.
const maxPID = 32

// holder is the process that holds the daemon's folder. The file with its number may be older
// than it, but not while the folder is locked: whoever locks it writes the file first of all.
func holder(dir string) (*os.Process, error) {
	lock, err := atomicfile.Lock(dir)
	if err == nil {
		return nil, errors.Join(errors.New("no process of this user's daemon is running"), lock.Close())
	}
	if !errors.Is(err, atomicfile.ErrLocked) {
		return nil, err
	}
	data, _, err := readEnd(filepath.Join(dir, PIDName), maxPID)
	if err != nil {
		return nil, fmt.Errorf("looking for the daemon's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 || pid == os.Getpid() {
		return nil, fmt.Errorf("the file %s names no process", PIDName)
	}
	return os.FindProcess(pid)
}

// endedWith says what ended with the daemon.
func endedWith(tunnels []mezu.Tunnel) string {
	if len(tunnels) == 0 {
		return ""
	}
	return ", and with it " + counted(tunnels)
}

// comingBack says what a new daemon opens again.
func comingBack(tunnels []mezu.Tunnel) string {
	if len(tunnels) == 0 {
		return ""
	}
	return "; coming back: " + counted(tunnels)
}

// maxNamed is how many tunnels a line names.
const maxNamed = 5

func counted(tunnels []mezu.Tunnel) string {
	names := make([]string, 0, maxNamed)
	for _, t := range tunnels[:min(len(tunnels), maxNamed)] {
		names = append(names, terminal.Clean(t.Name))
	}
	if len(tunnels) > maxNamed {
		names = append(names, "…")
	}
	what := "tunnels"
	if len(tunnels) == 1 {
		what = "tunnel"
	}
	return fmt.Sprintf("%d %s (%s)", len(tunnels), what, strings.Join(names, ", "))
}

func newStatus(inv *invocation.Invocation, d *Daemon) *cli.Command {
	c := plain("status", "Show the daemon: version, process, files and load", "Exit code 6 says that none is running.", func(ctx context.Context) error {
		path, err := d.socket()
		if err != nil {
			return err
		}
		c, st, err := d.dial(ctx, path)
		if err != nil {
			return err
		}
		c.Close()
		if older(st.Version, inv.Version) {
			defer d.say(st.Version)
		}
		return terminal.WriteRecord(inv.Streams, inv.Flags.Output, st, statusColumns(path))
	})
	c.Before = inv.Is(invocation.Shows)
	return c
}

func statusColumns(socket string) []terminal.Column[local.Status] {
	number := func(of func(local.Status) int) func(local.Status) string {
		return func(s local.Status) string { return strconv.Itoa(of(s)) }
	}
	return []terminal.Column[local.Status]{
		{Head: "VERSION", Value: func(s local.Status) string { return s.Version }},
		{Head: "PROCESS", Value: number(func(s local.Status) int { return s.PID })},
		{Head: "PROGRAM", Value: func(s local.Status) string { return s.Program }},
		{Head: "SINCE", At: func(s local.Status) time.Time { return s.StartedAt }},
		{Head: "SOCKET", Value: func(local.Status) string { return socket }},
		{Head: "STATE", Value: func(s local.Status) string { return s.StateDir }},
		{Head: "LOG", Value: func(s local.Status) string { return s.LogFile }},
		{Head: "TUNNELS", Value: number(func(s local.Status) int { return s.Tunnels })},
		{Head: "CLIENTS", Value: number(func(s local.Status) int { return s.Clients })},
		{Head: "IN FLIGHT", Value: number(func(s local.Status) int { return s.InFlight })},
		{Head: "DAMAGED", Value: func(s local.Status) string { return strings.Join(s.Damaged, ", ") }},
	}
}

func newLogs(inv *invocation.Invocation, d *Daemon) *cli.Command {
	return &cli.Command{
		Name: "logs", Usage: "Show the end of the daemon's log", Category: dev.Category,
		Description: "It is there when no daemon is running too.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what is written from now on", DisableDefaultText: true}},
		Before:      inv.Is(invocation.Text),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return d.showLog(c.Context, c.Bool("follow"))
		},
	}
}

// Log is the end of the log of the last daemon of this user, whether one is running or not.
func (d *Daemon) Log() ([]byte, error) {
	data, _, _, err := d.readLog()
	return data, err
}

// readLog is Log, and says where the present file is and where it ended.
func (d *Daemon) readLog() (data []byte, path string, end int64, err error) {
	dir, err := d.folder()
	if err != nil {
		return nil, "", 0, err
	}
	path = filepath.Join(dir, LogName)
	data, end, err = readLog(path, local.MaxLog)
	if errors.Is(err, fs.ErrNotExist) {
		err = &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no log yet: no daemon has run here", Hint: "mezu daemon start", Cause: err}
	} else if err != nil {
		err = fmt.Errorf("reading the daemon's log: %w", err)
	}
	return data, path, end, err
}

// showLog writes the log to stdout.
func (d *Daemon) showLog(ctx context.Context, goOn bool) error {
	data, path, end, err := d.readLog()
	if err != nil {
		return err
	}
	out := &cleanWriter{to: d.inv.Out}
	if _, err := out.Write(data); err != nil {
		return err
	}
	if !goOn {
		return out.flush()
	}
	return follow(ctx, path, end, out)
}

// cleanWriter passes complete lines on, made safe to show.
type cleanWriter struct {
	to   io.Writer
	rest []byte
}

// maxLogLine is the longest line of the log that is shown as one; the daemon writes none that
// long.
const maxLogLine = 64 << 10

// Write implements io.Writer.
func (w *cleanWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	var out bytes.Buffer
	for {
		line, rest, ended := bytes.Cut(w.rest, []byte{'\n'})
		if !ended && len(line) < maxLogLine {
			break
		}
		writeClean(&out, line)
		w.rest = rest
	}
	_, err := w.to.Write(out.Bytes())
	return len(p), err
}

// flush passes the last line on, which has no end.
func (w *cleanWriter) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	var out bytes.Buffer
	writeClean(&out, w.rest)
	w.rest = nil
	_, err := w.to.Write(out.Bytes())
	return err
}

// writeClean writes a line. The trace of a crash has tabs.
func writeClean(out *bytes.Buffer, line []byte) {
	out.WriteString(terminal.Clean(strings.ReplaceAll(string(line), "\t", "    ")) + "\n")
}
