//go:build darwin || windows

package listening

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// ask reads what a program of the system writes. It may end with that status too, beside 0.
func ask(ctx context.Context, read func(io.Reader) ([]socket, error), status int, program string, args ...string) ([]socket, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = lookTimeout
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	sockets, err := read(pipe)
	_ = pipe.Close() // the program ends when nobody reads on
	ended := cmd.Wait()
	if err != nil {
		return nil, err
	}
	if exit, ok := errors.AsType[*exec.ExitError](ended); ended != nil && !(ok && exit.ExitCode() == status) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(program), ended)
	}
	return sockets, nil
}
