package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// anchors is where a kind of Linux has the CAs that its administrator adds.
type anchors struct {
	dir string
	// update are the programs, any of which puts them into force, with its arguments; drop are
	// arguments more for when one was removed.
	update [][]string
	drop   []string
}

// distributions are the kinds of Linux. The first whose folder is there is this one.
func distributions() []anchors {
	fresh := []string{"--fresh"} // else the links of what was removed stay
	return []anchors{
		{dir: "/etc/pki/ca-trust/source/anchors", update: [][]string{{"update-ca-trust", "extract"}}},                            // Fedora, RHEL
		{dir: "/etc/ca-certificates/trust-source/anchors", update: [][]string{{"update-ca-trust"}, {"trust", "extract-compat"}}}, // Arch
		{dir: "/etc/pki/trust/anchors", update: [][]string{{"update-ca-certificates"}}, drop: fresh},                             // SUSE
		{dir: "/usr/local/share/ca-certificates", update: [][]string{{"update-ca-certificates"}}, drop: fresh},                   // Debian, Ubuntu, Alpine
	}
}

// system is the store of this Linux; none if it has no program for it.
func (m Machine) system() []Store {
	for _, a := range distributions() {
		dir := m.below(a.dir)
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		for _, words := range a.update {
			if program := m.program(words[0]); program != "" {
				k := &anchorFolder{m: m, dir: dir, update: append([]string{program}, words[1:]...), drop: a.drop}
				return []Store{{Kind: System, Location: dir, Users: "the system: curl, git, wget, and programs in Go, Python and Ruby",
					Restart: "services and programs that are running", Sudo: !m.Superuser, keeper: k}}
			}
		}
	}
	return nil
}

// anchorFolder is a folder of CAs, each a file.
type anchorFolder struct {
	m            Machine
	dir          string
	update, drop []string
}

const (
	// maxAnchors is how many files of the folder are looked at. Administrators add a handful.
	maxAnchors = 4096
	// maxAnchor bounds one of them.
	maxAnchor = 64 << 10
)

func (a *anchorFolder) path(ca CA) string { return filepath.Join(a.dir, ca.label()+".crt") }

// Has looks for a file that is the CA, whatever its name.
func (a *anchorFolder) Has(_ context.Context, ca CA) (Presence, string, error) {
	if own, err := isFile(a.path(ca), ca); err != nil {
		return Absent, "", err
	} else if own {
		return Own, a.path(ca), nil
	}
	d, err := os.Open(a.dir)
	if err != nil {
		return Absent, "", err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxAnchors)
	if err != nil && err != io.EOF {
		return Absent, "", err
	}
	for _, e := range entries {
		path := filepath.Join(a.dir, e.Name())
		if found, err := isFile(path, ca); err == nil && found {
			return Foreign, path, nil
		}
	}
	return Absent, "", nil
}

// isFile reports whether a file is the CA.
func isFile(path string, ca CA) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxAnchor {
		return false, ignoreMissing(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return false, ignoreMissing(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxAnchor))
	return err == nil && ca.same(text), err
}

func ignoreMissing(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// Add puts the file there and the change into force. If that fails, the file is removed.
func (a *anchorFolder) Add(ctx context.Context, ca CA) error {
	install := a.m.program("install")
	if install == "" {
		return fmt.Errorf("there is no program called install here")
	}
	err := a.m.sudo(ctx, ca.Text(), install, "-m", "0644", "/dev/stdin", a.path(ca))
	if err == nil {
		if err = a.m.sudo(ctx, nil, a.update...); err == nil {
			return nil
		}
	}
	if undo := a.unlink(ctx, ca); undo != nil {
		return fmt.Errorf("%w; and %s stays: %w", err, a.path(ca), undo)
	}
	return err
}

// Remove takes the file away and puts that into force.
func (a *anchorFolder) Remove(ctx context.Context, ca CA) error {
	if err := a.unlink(ctx, ca); err != nil {
		return err
	}
	return a.m.sudo(ctx, nil, append(a.update[:len(a.update):len(a.update)], a.drop...)...)
}

func (a *anchorFolder) unlink(ctx context.Context, ca CA) error {
	if _, err := os.Lstat(a.path(ca)); err != nil {
		return ignoreMissing(err)
	}
	return a.m.sudo(ctx, nil, a.m.program("rm"), "-f", a.path(ca))
}
