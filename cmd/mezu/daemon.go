package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	clidaemon "github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tunnel"
)

// runDaemon is "mezu daemon run": it hosts the tunnels of this user until ctx ends, somebody
// stops it, or it has nothing to do.
func runDaemon(ctx, cut context.Context, folders home.Home, o clidaemon.RunOptions) error {
	if o.Detached {
		if err := closeInherited(); err != nil {
			return err
		}
	}
	dir := filepath.Join(folders.State, clidaemon.Folder)
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: "the daemon has no folder: " + err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
	}
	path := filepath.Join(dir, clidaemon.LogName)
	log, outlets, err := daemonLog(path, o)
	if err != nil {
		return err
	}
	defer outlets.Close()
	if err := hostTunnels(ctx, cut, folders, dir, path, o, log); err != nil {
		what, hint := terminal.Explain(err)
		log.Error("the daemon can't go on: "+what, "hint", hint)
		return err
	}
	return nil
}

// daemonLog is the log of the daemon: its file, and stderr, which is nobody's if it is detached.
// A disk that is slow or full keeps nobody waiting.
func daemonLog(path string, o clidaemon.RunOptions) (*slog.Logger, io.Closer, error) {
	file, err := process.OpenLogFile(path)
	if err != nil {
		o.Warnf("there is no log: %v", err)
	}
	streams := terminal.Streams{Out: io.Discard, Err: both{file, o.Err}}
	outlets := process.NewOutlets(&streams)
	outlets.Serve()
	log, err := process.Logger(streams.Err, "text", "info")
	return log, closers{outlets, file}, err
}

// both writes to both, whatever the other one says.
type both struct{ a, b io.Writer }

func (w both) Write(p []byte) (int, error) {
	_, _ = w.a.Write(p)
	_, _ = w.b.Write(p)
	return len(p), nil
}

// closers ends the log: first what is queued for the file, then the file.
type closers struct {
	outlets *process.Outlets
	file    *process.LogFile
}

func (c closers) Close() error {
	c.outlets.Close()
	return c.file.Close()
}

// hostTunnels runs host and socket, and starts a newer daemon if this one made way for it.
func hostTunnels(ctx, cut context.Context, folders home.Home, dir, logPath string, o clidaemon.RunOptions, log *slog.Logger) error {
	if err := process.CheckDescriptors(process.MinWarpgate); err != nil {
		return err
	}
	program, err := clidaemon.Executable()
	if err != nil {
		return err
	}
	conns, because := process.DataConns(0, process.Divide(process.Services{Warpgate: true}).Warpgate, tunnel.MaxConns)
	h, err := newHosting(daemon.Config{
		StateDir: dir, Kind: local.HostDaemon, Version: o.Version, Program: program, LogFile: logPath, IdleEnd: o.IdleEnd, MaxConns: conns, Log: log,
	}, o.Inspect, func(most int) ([]byte, error) { return clidaemon.ReadLog(logPath, most) })
	if err != nil {
		return err
	}
	if err := h.listen(folders.Socket); err != nil {
		return err
	}
	pid := filepath.Join(dir, clidaemon.PIDName)
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		log.Warn("should the daemon hang, no command can end it", "error", err)
	}
	began := time.Now()
	log.Info("the daemon runs", "version", o.Version, "process", os.Getpid(), "socket", folders.Socket, "requests_at_once", conns, "because_of", because)
	err = process.RunParts(ctx, cut, h.parts(func(ctx context.Context) error {
		err := h.Host.Run(ctx)
		if err == nil && h.stopped(ctx) {
			if err := clidaemon.NoteStopped(dir); err != nil {
				log.Warn("a command that looks for its tunnel may start the daemon again", "error", err)
			}
		}
		return err
	})...)
	os.Remove(pid) // now: the daemon that follows writes its own
	log.Info("the daemon has ended", "after", time.Since(began).Round(time.Second).String())
	if err != nil || ctx.Err() != nil || !h.leavesTunnels() {
		return err
	}
	if o.Service { // a process of this one would end with it
		return mezu.Errorf(mezu.CodeUnavailable, "it makes way for another version, which the system is to start")
	}
	return startNext(ctx, o.Invocation, log)
}

// startNext starts the daemon that follows this one, unless a command has done so.
func startNext(ctx context.Context, inv *invocation.Invocation, log *slog.Logger) error {
	c, err := clidaemon.New(inv, spawner(inv.Getenv)).Connect(ctx, invocation.Settings{})
	if err != nil {
		return fmt.Errorf("starting the daemon that follows: %w", err)
	}
	defer c.Close()
	log.Info("another daemon has the tunnels now", "version", c.DaemonVersion())
	return nil
}
