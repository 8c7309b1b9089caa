package store

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxDatabases is how many databases of NSS are looked for in one folder: profiles of one person.
const maxDatabases = 64

// nss are the databases of NSS that this person has. Windows has none: Firefox reads the system's
// store there, and on macOS it does too.
func (m Machine) nss() []Store {
	if !m.hasNSS() {
		return nil
	}
	var out []Store
	add := func(users string, dirs ...string) {
		for _, dir := range dirs {
			if isDatabase(dir) {
				out = append(out, m.database(dir, users))
			}
		}
	}
	data := m.Getenv("XDG_DATA_HOME")
	if data == "" {
		data = m.home(".local", "share")
	}
	add("Chromium, Chrome, Edge, Brave", m.home(".pki", "nssdb"), filepath.Join(data, "pki", "nssdb"))
	if len(out) == 0 && m.program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "brave-browser") != "" {
		out = append(out, m.database(m.home(".pki", "nssdb"), "Chromium, Chrome, Edge, Brave"))
	}
	add("Chromium of Snap", m.home("snap", "chromium", "current", ".pki", "nssdb"))
	for _, app := range folders(m.home(".var", "app")) {
		add(filepath.Base(app)+" of Flatpak", filepath.Join(app, ".pki", "nssdb"), filepath.Join(app, "data", "pki", "nssdb"))
	}
	for _, f := range []struct{ users, dir string }{
		{"Firefox", m.home(".mozilla", "firefox")},
		{"Firefox", m.home(".config", "mozilla", "firefox")},
		{"Firefox of Snap", m.home("snap", "firefox", "common", ".mozilla", "firefox")},
		{"Firefox of Flatpak", m.home(".var", "app", "org.mozilla.firefox", ".mozilla", "firefox")},
		{"Firefox of Flatpak", m.home(".var", "app", "org.mozilla.firefox", "config", "mozilla", "firefox")},
	} {
		add(f.users, folders(f.dir)...)
	}
	return out
}

// hasNSS reports whether programs of this system read databases of NSS.
func (m Machine) hasNSS() bool { return m.OS == "linux" && m.Home != "" }

func (m Machine) home(parts ...string) string {
	return filepath.Join(append([]string{m.Home}, parts...)...)
}

// folders are those in a folder, the first of them if there are too many.
func folders(dir string) (out []string) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(maxDatabases)
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// isDatabase reports whether a folder is a database of NSS in its present form.
func isDatabase(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, databaseFile))
	return err == nil && info.Mode().IsRegular()
}

const databaseFile = "cert9.db"

func (m Machine) database(dir, users string) Store {
	return Store{Kind: NSS, Location: dir, Users: users, Restart: users, keeper: &database{m: m, dir: dir}}
}

// database is one of NSS.
type database struct {
	m   Machine
	dir string
}

// errNoCertutil names the package that brings certutil, by the distributions that have it.
var errNoCertutil = errors.New("certutil of NSS is not here: install libnss3-tools (Debian, Ubuntu), nss-tools (Fedora), mozilla-nss-tools (SUSE) or nss (Arch)")

// certutil runs the program of that name for this database. It gets no terminal, on which it would
// ask for passwords.
func (d *database) certutil(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	program := d.m.program("certutil")
	if program == "" {
		return nil, errNoCertutil
	}
	return d.m.run(ctx, input, append([]string{program, args[0], "-d", "sql:" + d.dir}, args[1:]...)...)
}

func nickname(ca CA) string { return ca.label() }

// listed is a line of the list of a database: a nickname, and what the certificate is trusted for.
var listed = regexp.MustCompile(`(?m)^(.*?\S) +([a-zA-Z]*),([a-zA-Z]*),([a-zA-Z]*) *$`)

// Has looks for the CA, under each nickname. One that it has untrusted is Absent, with the nickname.
func (d *database) Has(ctx context.Context, ca CA) (Presence, string, error) {
	if !isDatabase(d.dir) {
		return Absent, "", nil
	}
	out, err := d.certutil(ctx, nil, "-L")
	if err != nil {
		return Absent, "", err
	}
	untrusted := ""
	for _, l := range listed.FindAllStringSubmatch(string(out), -1) {
		trusted := strings.Contains(l[2], "C")
		switch {
		case l[1] == nickname(ca) && trusted:
			return Own, l[1], nil
		case l[1] == nickname(ca):
			return Absent, "", nil // Add trusts it again
		case d.isCalled(ctx, l[1], ca):
			if trusted {
				return Foreign, l[1], nil
			}
			untrusted = l[1]
		}
	}
	return Absent, untrusted, nil
}

// isCalled reports whether the CA has a nickname in the database. Those of tokens that aren't here
// can't be looked at.
func (d *database) isCalled(ctx context.Context, nickname string, ca CA) bool {
	text, err := d.certutil(ctx, nil, "-L", "-n", nickname, "-a")
	block, _ := pem.Decode(text)
	return err == nil && block != nil && bytes.Equal(block.Bytes, ca.Certificate.Raw)
}

// Add puts the CA into the database, which is made if there is none.
func (d *database) Add(ctx context.Context, ca CA) error {
	if !isDatabase(d.dir) {
		if err := os.MkdirAll(d.dir, 0o700); err != nil {
			return err
		}
		if _, err := d.certutil(ctx, nil, "-N", "--empty-password"); err != nil {
			return err
		}
	}
	// Adding it would change the trust of what somebody has put there, and keep that nickname.
	if _, other, err := d.Has(ctx, ca); err != nil {
		return err
	} else if other != "" {
		return fmt.Errorf("it is there as %q, untrusted; to trust it: certutil -M -d sql:%s -n %q -t C,,", other, d.dir, other)
	}
	_, err := d.certutil(ctx, ca.Text(), "-A", "-t", "C,,", "-n", nickname(ca), "-a")
	if err == nil {
		return nil
	}
	// A database with a password takes the certificate, and not the trust.
	if list, failed := d.certutil(ctx, nil, "-L"); failed == nil && bytes.Contains(list, []byte(nickname(ca)+" ")) {
		if undo := d.Remove(ctx, ca); undo != nil {
			return fmt.Errorf("%w; and it stays there untrusted: %w", err, undo)
		}
	}
	if strings.Contains(err.Error(), "SEC_ERROR_BAD_PASSWORD") {
		return errors.New("it has a password of its own (Firefox: the primary password), which only its programs ask for: import the CA there")
	}
	return err
}

// Remove takes the CA out of the database.
func (d *database) Remove(ctx context.Context, ca CA) error {
	_, err := d.certutil(ctx, nil, "-D", "-n", nickname(ca))
	return err
}
