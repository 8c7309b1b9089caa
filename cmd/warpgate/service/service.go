// Package service has the system run a Warpgate: it writes the unit of systemd, the property list
// of launchd or the service of Windows, and the file with the token, and removes them.
//
// What may not live here: what the flags of a Warpgate mean, and the library that cmd/mezu has for
// services, for which the sidecar is too small. It imports the domain and atomicfile only;
// cmd/warpgate imports it.
package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// Spec is a Warpgate that the system is to run.
type Spec struct {
	// Name tells it from others of this machine; empty for the one.
	Name string
	// Arguments are those with which the program is run, but for the files that the service gets.
	Arguments []string
	// Target is the workload, for people.
	Target string
	// Token is the key or token; if empty, the one that is there stays. CA are the certificates
	// of a private CA; if empty, the system's serve.
	Token string
	CA    []byte
	// Environment are variables that it runs with.
	Environment map[string]string
}

// Host is where a service is installed.
type Host struct {
	// OS is the system, as runtime.GOOS.
	OS string
	// User says that the service is the user's and not the system's.
	User bool
	// Home is the folder of the user.
	Home string
	// Program is the path of this program there.
	Program string
	// Root is the folder that the system's own are below: "/", but for tests.
	Root string
	// Account is whom launchd runs the system's service as.
	Account string
	// Say tells what was done.
	Say func(format string, args ...any)
}

// program is how services and their files are called.
const program = "warpgate"

// ID is what the system calls the service of a name.
func ID(name string) string {
	if name == "" {
		return program
	}
	return program + "-" + name
}

// manager is what a system runs services with.
type manager interface {
	// check says why no service can be installed.
	check(s Spec) error
	// install writes the service, and starts it in the place of one that runs.
	install(ctx context.Context, s Spec) error
	// uninstall ends and removes it. There is none if it reports false.
	uninstall(ctx context.Context, name string) (bool, error)
}

func (h Host) manager() (manager, error) {
	switch h.OS {
	case "linux":
		return &systemd{h}, nil
	case "darwin":
		return &launchd{h}, nil
	case "windows":
		return windowsServices(h)
	}
	return nil, mezu.Errorf(mezu.CodeUnavailable, "services of this system are not known")
}

// Install has the system run a Warpgate from now on, in the place of one of the same name.
func (h Host) Install(ctx context.Context, s Spec) error {
	m, err := h.manager()
	if err == nil {
		err = m.check(s)
	}
	if err != nil {
		return err
	}
	return m.install(ctx, s)
}

// Uninstall has the system forget the Warpgate of a name. If there is none, that is no error.
func (h Host) Uninstall(ctx context.Context, name string) error {
	m, err := h.manager()
	if err != nil {
		return err
	}
	there, err := m.uninstall(ctx, name)
	if err == nil && !there {
		h.Say("there is no service called %s", ID(name))
	}
	return err
}

// below is a folder of the system.
func (h Host) below(path string) string { return filepath.Join(h.Root, path) }

// What is in the folder of a service. That of systemd has its state elsewhere.
const (
	tokenFile   = "token"
	caFile      = "ca.pem"
	stateFolder = "state"
)

// needsToken refuses a service that would have no token.
func needsToken(dir string, s Spec) error {
	if s.Token != "" || exists(filepath.Join(dir, tokenFile)) {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "token-file", Detail: "a service account's key or an enrolment token is needed to install a service",
		Hint: "--token-file FILE, --token-file - for standard input, or MEZU_TOKEN"}
}

// keepFiles writes the token and the CA, for nobody but their owner, whom owner sets.
func (h Host) keepFiles(dir string, mode fs.FileMode, s Spec, owner func(path string) error) error {
	if err := needsToken(dir, s); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("making a folder for the token: %w", err)
	}
	if err := os.Chmod(dir, mode); err != nil { // whatever the umask is
		return fmt.Errorf("making a folder for the token: %w", err)
	}
	if err := atomicfile.CheckDir(dir); err != nil {
		return err
	}
	write := func(name string, content []byte) error {
		path := filepath.Join(dir, name)
		if err := atomicfile.Write(path, content, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		h.Say("wrote %s, for its owner only", path)
		return owner(path)
	}
	if s.Token != "" {
		if err := write(tokenFile, []byte(s.Token+"\n")); err != nil {
			return err
		}
	}
	if len(s.CA) > 0 {
		return write(caFile, s.CA)
	}
	return remove(filepath.Join(dir, caFile))
}

// dropFiles removes what keepFiles wrote, and its folder if nothing else is in it.
func (h Host) dropFiles(dir string) error {
	err := errors.Join(remove(filepath.Join(dir, tokenFile)), remove(filepath.Join(dir, caFile)))
	if entries, failed := os.ReadDir(dir); failed == nil && len(entries) == 0 {
		err = errors.Join(err, remove(dir))
	}
	return err
}

// sameUser owns what is written already.
func sameUser(string) error { return nil }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a file of the service: %w", err)
	}
	return nil
}

// writeService writes what the manager reads, if it is another one by now.
func (h Host) writeService(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of services: %w", err)
	}
	if is, err := os.ReadFile(path); err == nil && string(is) == text {
		h.Say("%s is as it should be", path)
		return nil
	}
	if err := atomicfile.Write(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the service: %w", err)
	}
	h.Say("wrote %s", path)
	return nil
}

// endPoll is how often to look whether a service has ended.
const endPoll = 100 * time.Millisecond

// awaitEnd asks until a service has ended.
func awaitEnd(ctx context.Context, ended func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, stopSeconds*time.Second)
	defer cancel()
	tick := time.NewTicker(endPoll)
	defer tick.Stop()
	for {
		if is, err := ended(); is || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the service's end: %w", ctx.Err())
		}
	}
}

// maxSaid bounds what is shown of what a manager says about its failure.
const maxSaid = 500

// command asks a manager for something.
func command(ctx context.Context, words ...string) error {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		said := strings.TrimSpace(string(out[:min(len(out), maxSaid)]))
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s: %v: %s", strings.Join(words, " "), err, said), Cause: err}
	}
	return nil
}
