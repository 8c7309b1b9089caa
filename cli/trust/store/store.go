// Package store puts a CA into the places where programs of this machine look for those that they
// trust, and takes it out again: the system's, those of NSS (Chromium, Firefox), Java's, and
// Windows' own, from WSL too.
//
// What may not live here: what a person is asked and told, and what is remembered of it. It
// imports the domain and cli/terminal only; cli/trust imports it.
//
// It asks the programs that each system has for that (update-ca-certificates, certutil, keytool,
// security), because they alone know their formats and locks. A library that does the same
// (github.com/smallstep/truststore, after mkcert) was not taken: it fixes folders by HOME in
// variables of its package before main, stops telling of the databases of NSS at the first error,
// doesn't know those of Chromium's other folder, Snap and Flatpak, nor Windows from WSL, and
// takes out by a name what other installations share.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu/cli/terminal"
)

// Presence says whether a store has a CA.
type Presence int

// Presences.
const (
	// Absent is a CA that the store doesn't have, or doesn't trust.
	Absent Presence = iota
	// Own is one that this package has put there.
	Own
	// Foreign is one that the store trusts, under a name that somebody else gave it.
	Foreign
)

// Kind is what a store is.
type Kind string

// Kinds of stores.
const (
	System   Kind = "system"
	Keychain Kind = "keychain" // of macOS
	Windows  Kind = "windows"  // of this user
	NSS      Kind = "nss"
	Java     Kind = "java"
)

// Store is one place where programs look for CAs.
type Store struct {
	Kind Kind
	// Location is the file or folder that it is in, or what the system calls it.
	Location string
	// Users are the programs that look there, Restart those that do so at their start only.
	Users, Restart string
	// Sudo says that a change asks for the rights of the superuser.
	Sudo bool
	keeper
}

// Labels reports whether the store keeps a CA under the name that this package gives it. In others
// it can't be told from one that somebody else has put there.
func (s Store) Labels() bool { return s.Kind == System || s.Kind == NSS || s.Kind == Java }

// OfUser reports whether the store is of this user alone.
func (s Store) OfUser() bool { return s.Kind == NSS || s.Kind == Windows }

// keeper is how one kind of store is changed. Has gives the name under which a store has a
// CA. What fails in Add is taken back.
type keeper interface {
	Has(ctx context.Context, ca CA) (Presence, string, error)
	Add(ctx context.Context, ca CA) error
	Remove(ctx context.Context, ca CA) error
}

// Machine is what the stores of this machine are found by.
type Machine struct {
	// OS is the system, as runtime.GOOS.
	OS string
	// Home is the folder of the user.
	Home   string
	Getenv func(string) string
	// Root is the folder that the system's own are below: "/", but for tests.
	Root string
	// Superuser says that sudo isn't needed, Prompt that it may ask for a password.
	Superuser, Prompt bool
}

// Stores are the ones that there are. Each is changed on its own.
func (m Machine) Stores() []Store {
	var out []Store
	switch m.OS {
	case "linux":
		out = append(out, m.system()...)
		if m.isWSL() {
			out = append(out, m.windows("Root of Windows, for you")...)
		}
	case "darwin":
		out = append(out, m.keychain())
	case "windows":
		out = append(out, m.windows("Root, for you")...)
	}
	return append(append(out, m.nss()...), m.java()...)
}

// At is a store that was there before; false if it is there no more.
func (m Machine) At(kind Kind, place string) (Store, bool) {
	candidates := m.Stores()
	switch kind {
	case NSS:
		if m.hasNSS() && isDatabase(place) {
			candidates = append(candidates, m.database(place, "programs with "+place))
		}
	case Java:
		candidates = append(candidates, m.javaAt(place)...)
	case System, Keychain, Windows: // they don't move
	}
	for _, s := range candidates {
		if s.Kind == kind && s.Location == place {
			return s, true
		}
	}
	return Store{}, false
}

// below is a folder of the system.
func (m Machine) below(path string) string { return filepath.Join(m.Root, path) }

// program is the path of a program; "" if there is none. Those for the superuser are often not on
// the path of others.
func (m Machine) program(names ...string) string {
	for _, name := range names {
		for _, dir := range append(filepath.SplitList(m.Getenv("PATH")), "/usr/sbin", "/sbin") {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && filepath.IsAbs(path) && (m.OS == "windows" || info.Mode().Perm()&0o111 != 0) {
				return path
			}
		}
	}
	return ""
}

const (
	// commandTime bounds one program: the slowest update rebuilds the store of Java too.
	commandTime = 2 * time.Minute
	// maxOutput bounds what is read of what it writes: a store of some thousand certificates.
	maxOutput = 16 << 20
)

// run runs a program, with a text as its standard input, and gives its standard output. Its
// messages are those of the C locale.
func (m Machine) run(ctx context.Context, input []byte, words ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(input)
	var out, said bounded
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(words[0]), failure(err, said.String(), out.String()))
	}
	return out.Bytes(), err
}

// sudo runs a program as the superuser.
func (m Machine) sudo(ctx context.Context, input []byte, words ...string) error {
	if !m.Superuser {
		sudo := m.program("sudo")
		if sudo == "" {
			return errors.New("it takes the rights of root, and there is no sudo here: run this as root")
		}
		if before := []string{sudo, "--"}; m.Prompt {
			words = append(before, words...)
		} else {
			words = append([]string{sudo, "-n", "--"}, words...)
		}
	}
	_, err := m.run(ctx, input, words...)
	return err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(maxOutput-b.Len(), 0))])
	return len(p), nil
}

// shownFailure is how much of what a program says about its failure is shown.
const shownFailure = 300

// failure is why a program failed: the last that it said, else its exit code.
func failure(err error, texts ...string) error {
	for _, text := range texts {
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
			return errors.New(terminal.Clean(last[:min(len(last), shownFailure)]))
		}
	}
	return err
}
