// Package target reads what "mezu tunnel" is to lead to: a TARGET as it is typed, the tunnels of
// mezu.yaml, or a port that somebody chooses among those that listen on this machine.
//
// What may not live here: opening anything. It imports the domain, manifest, listening, cli/exit
// and what reads and remembers; only cli/tunnel imports it.
package target

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
)

// Target is one tunnel that is asked for.
type Target struct {
	// Name is that of the tunnel, or empty.
	Name string
	// Shown is the target as lines show it.
	Shown string
	// Environment is the one that mezu.yaml names, or empty.
	Environment string
	mezu.TunnelTarget
}

// forms is how targets are written.
const forms = "a port, host:port, http://, https://, h2c://, unix:/path or an existing folder"

// Parse reads [NAME=]TARGET. Paths are relative to dir.
func Parse(dir, text string) (Target, error) {
	t := Target{}
	if name, rest, ok := strings.Cut(text, "="); ok && mezu.ValidateName("", name) == nil {
		t.Name, text = name, rest
	}
	return t, t.set(dir, text)
}

// set reads the target itself. Of a folder and an address that are written alike, a port and a
// scheme are an address, and everything else that exists is the folder.
func (t *Target) set(dir, text string) error {
	if !addressed(text) {
		path := text
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		switch info, err := os.Stat(path); {
		case err == nil && info.IsDir():
			return t.folder(dir, text, path)
		case err == nil:
			e := exit.Usagef("%s is a file, and a tunnel serves a folder", text)
			e.Hint = "mezu tunnel " + filepath.Dir(text)
			return e
		}
	}
	u, err := mezu.ParseUpstream(text)
	if err != nil {
		e := exit.Usagef("TARGET is %s, not %q", forms, text)
		e.Hint = "mezu tunnel 8080, or mezu tunnel --help"
		return e
	}
	t.Target, t.Shown = u.String(), u.String()
	return nil
}

// addressed reports whether a text can't be meant as a path.
func addressed(text string) bool {
	return strings.Contains(text, "://") || strings.HasPrefix(text, "unix:") || text != "" && strings.Trim(text, "0123456789") == ""
}

func (t *Target) folder(dir, text, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	t.Target, t.Shown = path, text
	if text == "" {
		return exit.Usagef("TARGET is %s, and not empty", forms)
	}
	if here, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(here) && !filepath.IsAbs(text) {
		t.Shown = "." + string(filepath.Separator) + here
		if here == "." {
			t.Shown = "."
		}
	}
	return nil
}

// Show is a target of a tunnel as lines show it: a folder below dir is relative to it.
func Show(dir, target string) string {
	if target == mezu.TargetCapture {
		return mezu.CaptureOnly
	}
	if !filepath.IsAbs(target) {
		return target
	}
	t := Target{}
	if here, err := filepath.Rel(dir, target); err == nil && filepath.IsLocal(here) && t.folder(dir, here, target) == nil {
		return t.Shown
	}
	return target
}

// Loopback reports whether a target is on this machine, reached as such, or a folder.
func (t *Target) Loopback() bool {
	u, err := mezu.ParseUpstream(t.Target)
	return err == nil && u.Loopback()
}
