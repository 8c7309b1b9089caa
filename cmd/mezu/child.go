package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
)

// childGrace is how long a program has to end after it was asked to, before it is killed.
const childGrace = 10 * time.Second

// child runs programs for "mezu tunnel --exec".
type child struct {
	// Streams are those of this process, as they are: a program may look whether they are
	// terminals.
	terminal.Streams
	// hold keeps signals from ending this command.
	hold func() (release func())
	// flush writes what was said before.
	flush func()
}

// run runs a program with variables beside those of this process, and gives its exit code: 128
// and the number of the signal that ended it, as shells have it. It stays in the process group
// of this one, so signals of the terminal reach it without help; others are passed on.
func (c child) run(ctx context.Context, argv, variables []string) (int, error) {
	release := c.hold()
	defer release()
	c.flush()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), variables...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, c.Out, c.Err
	cmd.Cancel, cmd.WaitDelay = func() error { return terminate(cmd.Process) }, childGrace
	if err := cmd.Start(); err != nil {
		return 0, &mezu.Error{Code: mezu.CodeInvalid, Field: "exec", Detail: err.Error(), Cause: err}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM || !controlled() {
				_ = cmd.Process.Signal(s) // it may have ended
			}
		case err := <-ended:
			return codeOf(err)
		}
	}
}

// codeOf is the exit code of a program that ended.
func codeOf(err error) (int, error) {
	e, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, err
	}
	if code := bySignal(e.ProcessState); code > 0 {
		return code, nil
	}
	return e.ExitCode(), nil
}
