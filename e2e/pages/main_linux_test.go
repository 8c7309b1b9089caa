package pages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The test's program runs three times over: as what "go test" starts, which builds the programs; in
// a user namespace, where it may make machines, as the tests; and as the first process of each machine.
const (
	roleVariable = "MEZU_PAGES_ROLE"
	roleTests    = "tests"
	roleMachine  = "machine"
	// forbiddenVariable has the reason why there can be no namespaces.
	forbiddenVariable = "MEZU_PAGES_FORBIDDEN"
	// programsVariable names a folder with programs that are tested in place of those of
	// this commit.
	programsVariable = "MEZU_PROGRAMS"
)

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleMachine:
		if err := serveMachine(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case roleTests:
		os.Exit(m.Run())
	default:
		os.Exit(enter(m))
	}
}

// enter builds the programs and runs the tests in a user namespace.
func enter(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mezu-pages-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	programs := os.Getenv(programsVariable)
	if programs == "" {
		programs = dir
		if out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/mezu", "../../cmd/warpgate", "../../cmd/mezusphere").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), roleVariable+"="+roleTests, programsVariable+"="+programs)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		if err := os.Setenv(forbiddenVariable, err.Error()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	return 0
}
