package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

// one is a single result.
func one(state State, detail, cause, hint string) []Result {
	return []Result{{State: state, Detail: detail, Cause: cause, Hint: hint}}
}

// failed is the result of an error, with its own hint if it has one.
func failed(detail string, err error, hint string) []Result {
	cause, own := terminal.Explain(err)
	if own != "" {
		hint = own
	}
	if detail == "" {
		detail, cause = cause, ""
	}
	return one(Fail, detail, cause, hint)
}

// checkSettings speaks only if flags, variables, mezu.yaml and profile make no sense together.
func checkSettings(ctx context.Context, e *examination) []Result {
	if _, err := e.settings.wait(ctx); err != nil {
		return failed("", err, "mezu profiles list")
	}
	return nil
}

func checkVersion(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	mine := e.inv.Version
	switch {
	case errors.Is(err, local.ErrGeneration):
		return failed("mezu "+mine, err, "mezu daemon restart")
	case err != nil:
		return one(OK, "mezu "+mine, "", "")
	case f.status.Version != mine:
		return one(Warn, fmt.Sprintf("mezu %s, daemon %s", mine, f.status.Version), "the daemon is replaced when nothing is in flight", "mezu daemon restart")
	}
	return one(OK, fmt.Sprintf("mezu %s, daemon %s", mine, f.status.Version), "", "")
}

func checkSocket(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	switch {
	case err == nil:
		return one(OK, f.client.Path(), "", "")
	case errors.Is(err, local.ErrNotRunning):
		return one(OK, "nobody listens; a tunnel starts the daemon", "", "")
	}
	return failed("", err, "mezu daemon restart")
}

func checkDaemon(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	switch {
	case errors.Is(err, local.ErrNotRunning):
		if s, err := e.settings.wait(ctx); err == nil && s.Socket != "" {
			return one(Fail, "mezu dev, which hosts the tunnels of profile "+s.Profile+", is not running", "", "mezu dev")
		}
		return nil
	case err != nil:
		return nil // the socket says what there is to say
	case len(f.status.Damaged) > 0:
		return one(Warn, fmt.Sprintf("%d tunnels could not be read at its start: %s", len(f.status.Damaged), strings.Join(f.status.Damaged, ", ")), "their records are damaged; the others are not touched by it", "mezu tunnel TARGET opens one anew")
	}
	who := "daemon"
	if f.status.Host == local.HostDev {
		who = "mezu dev"
	}
	return one(OK, fmt.Sprintf("%s runs since %s (process %d), %s", who, f.status.StartedAt.Local().Format("2006-01-02 15:04"), f.status.PID, count(len(f.tunnels), "tunnel")), "", "")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

const (
	// keyFile is the name of the private keys that the daemon keeps (package daemon/state).
	keyFile = "identity.key"
	// maxKeyFile is far above a key in PEM.
	maxKeyFile = 16 << 10
	// maxKeys is that of the tunnels, twice.
	maxKeys = 2 * mezu.MaxTunnels
)

// checkKeys looks whether somebody else could read a tunnel's key.
func checkKeys(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	if err != nil || f.status.StateDir == "" {
		return nil
	}
	keys, read, cut := 0, 0, false
	var exposed error
	err = filepath.WalkDir(f.status.StateDir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && d.Name() == keyFile:
			keys++
			if _, err := atomicfile.ReadKey(path, maxKeyFile); err != nil && exposed == nil {
				exposed = err
			}
		}
		if read++; keys > maxKeys || read > 64*maxKeys {
			cut = true
			return filepath.SkipAll
		}
		return nil
	})
	switch {
	case err != nil:
		return failed("the keys of the tunnels can't be looked at", err, "ls -la "+f.status.StateDir)
	case exposed != nil:
		hint := atomicfile.Remedy(exposed)
		return failed("a tunnel's key is not safe", exposed, hint)
	case cut:
		return one(Warn, fmt.Sprintf("%s, for you alone, and more than tunnels have, which were not looked at", count(keys, "key")), "", "ls -la "+f.status.StateDir)
	case keys == 0:
		return nil
	}
	return one(OK, count(keys, "key")+", for you alone", "", "")
}

// Free space of the disk with the state, below which a file may not be written soon.
const (
	littleSpace = 256 << 20
	noSpace     = 16 << 20
)

func checkDisk(ctx context.Context, e *examination) []Result {
	dir := e.inv.State
	if f, err := e.daemon.wait(ctx); err == nil && f.status.StateDir != "" {
		dir = f.status.StateDir
	}
	if dir == "" {
		return one(Warn, "there is no home directory to keep anything in", "", "set HOME, or MEZU_HOME to a folder of yours")
	}
	there := dir
	for {
		if _, err := os.Stat(there); err == nil || filepath.Dir(there) == there {
			break
		}
		there = filepath.Dir(there) // what is not there yet will be made here
	}
	free, err := freeSpace(there)
	if err != nil {
		return failed("the free space at "+there+" is not told", err, "df -h "+there)
	}
	says := fmt.Sprintf("%s free at %s", size(free), there)
	switch {
	case free < noSpace:
		return one(Fail, says, "keys, certificates and logins can't be kept", "make room there, or set MEZU_HOME to another disk")
	case free < littleSpace:
		return one(Warn, says, "", "make room there")
	}
	if err := tryWrite(there); err != nil {
		return failed("nothing can be written at "+there, err, "ls -ld "+there)
	}
	return one(OK, says, "", "")
}

// tryWrite makes a file and removes it.
func tryWrite(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString("written by mezu doctor\n")
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

func size(bytes uint64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// fewFiles is how many files a process should be able to open: each request under way takes two.
const fewFiles = 1024

func checkDescriptors(context.Context, *examination) []Result {
	limit, ok := openFiles()
	switch {
	case !ok:
		return nil
	case limit < fewFiles:
		return one(Warn, fmt.Sprintf("%d files may be open", limit), "each request under way takes two", "raise the limit that ulimit -Hn shows, then mezu daemon restart")
	case limit > 1<<40:
		return one(OK, "any number of files may be open", "", "")
	}
	return one(OK, fmt.Sprintf("%d files may be open", limit), "", "")
}

// setClock is the command that sets the clock of this system.
func setClock() string {
	switch runtime.GOOS {
	case "darwin":
		return "sudo sntp -sS time.apple.com"
	case "windows":
		return "w32tm /resync"
	}
	return "sudo timedatectl set-ntp true"
}
