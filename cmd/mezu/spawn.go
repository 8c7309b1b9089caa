package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	clidaemon "github.com/mezusphere/mezu/cli/daemon"
)

// spawner starts the local daemon as a process that has nothing in common with this one: no
// terminal, no open file, no working directory, and of its environment only what the daemon is
// to know.
func spawner(getenv func(string) string) clidaemon.Starter {
	return func() (clidaemon.Started, error) { return spawn(clidaemon.Environment(getenv, os.Environ())) }
}

func spawn(env []string) (clidaemon.Started, error) {
	program, err := clidaemon.Executable()
	if err != nil {
		return clidaemon.Started{}, err
	}
	cmd := exec.Command(program, clidaemon.DetachedArguments()...)
	cmd.Env = env
	// Without streams it gets the null device. Its directory is one that nobody wants to
	// remove or unmount.
	cmd.Dir = filepath.VolumeName(program) + string(filepath.Separator)
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return clidaemon.Started{}, fmt.Errorf("starting the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return clidaemon.Started{Ended: ended}, nil
}
