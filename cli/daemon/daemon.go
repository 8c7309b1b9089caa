// Package daemon is the local daemon as commands see it: the way to the one that hosts the
// tunnels of the profile in use, which is started or replaced if need be; and "mezu daemon".
//
// What may not live here: running a daemon, or starting its process, which cmd/mezu hands in;
// what a tunnel is. It imports local and the packages of cli that every command uses; cli and
// the commands that need a daemon import it.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

const (
	// startTime is how long a daemon may take until its socket answers.
	startTime = 5 * time.Second
	// endTime is how long one may take to end: to drain, and to close what it has.
	endTime = local.RestartDrain + 5*time.Second
	// poll is how often the socket is looked at meanwhile. It costs microseconds.
	poll = 5 * time.Millisecond
	// endingTime is how long a daemon that closes connections may take to be gone.
	endingTime = 100 * time.Millisecond
	// askTime is how long a daemon that is to end has to answer, before it counts as one that
	// hangs.
	askTime = 2 * time.Second
	// termTime is how long a process that does not answer has to end by itself when it is told
	// to, before it is killed.
	termTime = 2 * time.Second
)

// Names below the state folder of the user.
const (
	// Folder is the daemon's.
	Folder = "daemon"
	// LogName is the file of its log in there.
	LogName = "log"
	// PIDName is the file with the number of its process.
	PIDName = "pid"
)

// startLock is the file in the daemon's folder that is locked by whoever starts it.
const startLock = "start.lock"

// Started is a process that was started.
type Started struct {
	// Ended gives how it ended, if it does while somebody waits.
	Ended <-chan error
}

// Starter starts the process of the daemon, and doesn't wait for it to be ready.
type Starter func() (Started, error)

// Daemon is the way to the daemon that hosts the tunnels of the profile in use.
type Daemon struct {
	inv   *invocation.Invocation
	start Starter
	// told says that this command has said that the daemon is an older one.
	told atomic.Bool
}

// New makes it for one run of the command. start may be nil; then no daemon is started.
func New(inv *invocation.Invocation, start Starter) *Daemon { return &Daemon{inv: inv, start: start} }

// Connect gives a client of the daemon that hosts the tunnels of the profile in use. That of
// this user is started if it isn't running, and replaced if it is older than this program and
// nothing is in flight. "mezu dev" is not started for its profile.
func (d *Daemon) Connect(ctx context.Context, s invocation.Settings) (*local.Client, error) {
	if s.Socket != "" {
		return d.Running(ctx, s)
	}
	path, err := d.socket()
	if err != nil {
		return nil, err
	}
	c, st, err := d.dial(ctx, path)
	switch {
	case errors.Is(err, local.ErrNotRunning):
		c, _, err = d.started(ctx, path)
		return c, err
	case err != nil:
		return nil, err
	case older(st.Version, d.inv.Version):
		return d.replaced(ctx, path, c, st)
	}
	return c, nil
}

// Running is Connect without starting or replacing anything. If none is running, the error is
// local.ErrNotRunning.
func (d *Daemon) Running(ctx context.Context, s invocation.Settings) (*local.Client, error) {
	path := s.Socket
	if path == "" {
		var err error
		if path, err = d.socket(); err != nil {
			return nil, err
		}
	}
	c, _, err := d.dial(ctx, path)
	if s.Socket != "" && errors.Is(err, local.ErrNotRunning) {
		return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("mezu dev, which hosts the tunnels of profile %s, is not running", s.Profile), Hint: "mezu dev", Cause: err}
	}
	return c, err
}

// dial gives a client of the daemon at a socket, once it has answered.
func (d *Daemon) dial(ctx context.Context, path string) (*local.Client, local.Status, error) {
	began := time.Now()
	c, st, err := d.dialOnce(ctx, path)
	if errors.Is(err, local.ErrSilent) && time.Since(began) < endingTime {
		// One that ends closes its connections, and is gone a moment later.
		if err := invocation.Pause(ctx, endingTime); err != nil {
			return nil, local.Status{}, err
		}
		return d.dialOnce(ctx, path)
	}
	return c, st, err
}

func (d *Daemon) dialOnce(ctx context.Context, path string) (*local.Client, local.Status, error) {
	c := local.New(path, d.inv.Version)
	st, err := c.Status(ctx)
	if err != nil {
		c.Close()
		return nil, local.Status{}, err
	}
	return c, st, nil
}

// folder is where the daemon of this user keeps its state and log.
func (d *Daemon) folder() (string, error) {
	if d.inv.State == "" {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Detail: "there is no home directory to keep a daemon's state in", Hint: "set HOME, or MEZU_HOME to a directory of yours"}
	}
	return filepath.Join(d.inv.State, Folder), nil
}

// socket is that of the daemon of this user.
func (d *Daemon) socket() (string, error) {
	folders, err := home.Of(d.inv.Getenv)
	if err != nil {
		return "", &mezu.Error{Code: mezu.CodeInvalid, Detail: "the daemon has no place to listen: " + err.Error(), Cause: err}
	}
	return folders.Socket, nil
}

// started starts the daemon of this user, unless another command does so right now, and gives
// a client of it. It reports whether it was this command.
func (d *Daemon) started(ctx context.Context, path string) (c *local.Client, own bool, err error) {
	dir, err := d.folder()
	if err != nil {
		return nil, false, err
	}
	if d.start == nil {
		return nil, false, mezu.Errorf(mezu.CodeUnavailable, "no daemon is running, and this program can't start one")
	}
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return nil, false, &mezu.Error{Code: mezu.CodeInvalid, Detail: "the daemon has no folder: " + err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
	}
	waiting, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	lock, err := atomicfile.LockFile(waiting, filepath.Join(dir, startLock))
	if err != nil {
		return nil, false, d.notStarted(ctx, err, "")
	}
	defer lock.Close()
	if c, _, err := d.dial(ctx, path); !errors.Is(err, local.ErrNotRunning) {
		return c, false, err
	}
	log := openTail(filepath.Join(dir, LogName))
	process, err := d.startProcess()
	if err != nil {
		return nil, false, err
	}
	c, err = d.await(waiting, path, process.Ended)
	if err != nil && ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	if err != nil {
		return nil, false, d.notStarted(ctx, err, log.last())
	}
	return c, true, nil
}

// await waits until a daemon answers at path, until its process has ended, or until ctx ends.
func (d *Daemon) await(ctx context.Context, path string, ended <-chan error) (*local.Client, error) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		c, _, err := d.dial(ctx, path)
		if err == nil || ctx.Err() == nil && !errors.Is(err, local.ErrNotRunning) && !errors.Is(err, local.ErrSilent) {
			return c, err
		}
		select {
		case <-tick.C:
		case how := <-ended:
			// A service manager may have started another one at the same time.
			if c, _, err := d.dial(ctx, path); err == nil {
				return c, nil
			}
			if how == nil {
				how = errors.New("it ended at once")
			}
			return nil, how
		case <-ctx.Done():
			return nil, fmt.Errorf("it does not answer after %v", startTime)
		}
	}
}

// notStarted says why the daemon is not running, with what its log says.
func (d *Daemon) notStarted(ctx context.Context, err error, log string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	detail := "the daemon did not start: " + err.Error()
	if log != "" {
		detail += "\n" + log
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: detail, Hint: "mezu daemon run, to see it start", Cause: err}
}

// replaced replaces a daemon that is older than this program, if it has nothing in flight. Else
// it serves on, and ends when that is so.
func (d *Daemon) replaced(ctx context.Context, path string, c *local.Client, st local.Status) (*local.Client, error) {
	if d.start == nil {
		return c, nil
	}
	d.say(st.Version)
	if err := c.Shutdown(ctx, local.Shutdown{Idle: true, Restart: true}); err != nil {
		if ctx.Err() != nil {
			c.Close()
			return nil, ctx.Err()
		}
		return c, nil // it serves as it is
	}
	if st.InFlight > 0 {
		return c, nil
	}
	if err := d.awaitEnd(ctx, path); err != nil {
		if ctx.Err() != nil {
			c.Close()
			return nil, ctx.Err()
		}
		return c, nil // a request came in between
	}
	c.Close()
	next, _, err := d.started(ctx, path)
	return next, err
}

// say says, once, that the daemon is an older one.
func (d *Daemon) say(version string) {
	if !d.told.Swap(true) {
		d.inv.Signf(terminal.Caution, "the daemon is %s and this is %s: it is replaced when nothing is in flight\n  try: mezu daemon restart, to have it now", terminal.Clean(version), d.inv.Version)
	}
}

// awaitEnd waits until nobody listens at path any more.
func (d *Daemon) awaitEnd(ctx context.Context, path string) error {
	waiting, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		conn, err := local.Dial(waiting, path)
		if errors.Is(err, local.ErrNotRunning) {
			return nil
		}
		if err == nil {
			conn.Close()
		}
		select {
		case <-tick.C:
		case <-waiting.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("the daemon is still there after %v", endTime), Hint: "mezu daemon status"}
		}
	}
}
