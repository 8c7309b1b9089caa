package daemon

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

const (
	// inspectFlag says how much the inspector keeps.
	inspectFlag = "inspect"
	// inspectName is the file with its last value. It is a file, because daemons are started by
	// commands, by one another and by the system.
	inspectName = "inspect"
	// maxInspect is room for two numbers with units.
	maxInspect = 64
)

func newInspectFlag() cli.Flag {
	return &cli.StringFlag{Name: inspectFlag, Usage: "keep the last `N,SIZE` of requests and their bytes for mezu requests, or off; of this and all later daemons", DefaultText: "500,64MiB"}
}

// inspects gives a command that starts the daemon the flag.
func (d *Daemon) inspects(c *cli.Command) *cli.Command {
	plain := c.Action
	c.Flags = append(c.Flags, newInspectFlag())
	c.Action = func(line *cli.Context) error {
		if line.IsSet(inspectFlag) {
			if err := d.noteInspect(line.String(inspectFlag)); err != nil {
				return err
			}
			if running, err := d.Running(line.Context, invocation.Settings{}); err == nil {
				running.Close()
				if c.Name == "start" {
					d.inv.Signf(terminal.Caution, "a daemon runs already, and keeps as much as before")
					d.inv.Try("mezu daemon restart")
				}
			}
		}
		return plain(line)
	}
	return c
}

// noteInspect writes down how much the inspector of the next daemon keeps.
func (d *Daemon) noteInspect(text string) error {
	if _, err := local.ParseInspect(text); err != nil {
		return err
	}
	dir, err := d.folder()
	if err != nil {
		return err
	}
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: "the daemon has no folder: " + err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
	}
	return atomicfile.Write(filepath.Join(dir, inspectName), []byte(text+"\n"), 0o600)
}

// inspecting is how much the inspector of the daemon that this command runs keeps: what the flag
// says, else what was written down. A file that says nothing of it is none.
func (d *Daemon) inspecting(line *cli.Context) (string, error) {
	if line.IsSet(inspectFlag) {
		return line.String(inspectFlag), d.noteInspect(line.String(inspectFlag))
	}
	dir, err := d.folder()
	if err != nil {
		return "", nil // it is said when the daemon needs it
	}
	data, err := atomicfile.ReadFile(filepath.Join(dir, inspectName), maxInspect)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	text := strings.TrimSpace(string(data))
	if err == nil {
		_, err = local.ParseInspect(text)
	}
	if err != nil {
		d.inv.Warnf("how many requests are kept is not known, so it is the default: %s", terminal.Clean(err.Error()))
		return "", nil
	}
	return text, nil
}
