package pages

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	// requiredVariable says that pages have to be run: "make docs" was asked for nothing else. Without
	// it they are left out where the kernel lets nobody make namespaces, as what needs another
	// right is, and the reason is written to the file of leftOutVariable, so that "make test" says it.
	requiredVariable = "MEZU_PAGES_REQUIRED"
	leftOutVariable  = "MEZU_PAGES_LEFT_OUT"
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
		// Some kernels give namespaces in which nothing may be done.
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			os.Exit(leaveOut(m, fmt.Errorf("mounting in a namespace: %w", err)))
		}
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
		return leaveOut(m, err)
	}
	return 0
}

// leaveOut runs the tests that need no machine, if err is that of a kernel which lets nobody make
// namespaces. Any other one is a fault.
func leaveOut(m *testing.M, err error) int {
	refusals := []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EINVAL, syscall.ENOSPC, syscall.ENOSYS} // by rules, by its build, by a limit of none
	if !slices.ContainsFunc(refusals, func(no syscall.Errno) bool { return errors.Is(err, no) }) {
		fmt.Fprintf(os.Stderr, "making namespaces: %v\n", err)
		return 1
	}
	err = os.Setenv(forbiddenVariable, err.Error())
	if file := os.Getenv(leftOutVariable); file != "" {
		err = errors.Join(err, os.WriteFile(file, []byte(os.Getenv(forbiddenVariable)), 0o600))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
