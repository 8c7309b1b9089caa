package store

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// thumbprint is the SHA-1 by which Windows and macOS name a certificate. Which one it is, the
// whole certificate decides.
func thumbprint(ca CA) string {
	sum := sha1.Sum(ca.Certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// temporary writes the CA where a program that reads no standard input finds it. remove deletes it.
func temporary(ca CA) (path string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "mezu-trust-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	path = filepath.Join(dir, ca.label()+".crt")
	if err := os.WriteFile(path, ca.Text(), 0o600); err != nil {
		remove()
		return "", nil, err
	}
	return path, remove, nil
}

// keychain is the store of macOS, for all its users (security(1)).
func (m Machine) keychain() Store {
	return Store{Kind: Keychain, Location: systemKeychain, Users: "macOS: Safari, Chrome, Firefox from 120 on, curl", Restart: "browsers", Sudo: !m.Superuser, keeper: &keychain{m}}
}

const (
	securityProgram = "/usr/bin/security"
	systemKeychain  = "/Library/Keychains/System.keychain"
)

type keychain struct{ m Machine }

// Has looks through all certificates of the keychain. One of them is trusted if the settings say
// so, but whoever puts a CA there means that.
func (k *keychain) Has(ctx context.Context, ca CA) (Presence, string, error) {
	out, err := k.m.run(ctx, nil, k.m.below(securityProgram), "find-certificate", "-a", "-p", systemKeychain)
	if err != nil {
		return Absent, "", err
	}
	for {
		var block *pem.Block
		if block, out = pem.Decode(out); block == nil {
			return Absent, "", nil
		}
		if bytes.Equal(block.Bytes, ca.Certificate.Raw) {
			return Own, systemKeychain, nil
		}
	}
}

// Add trusts the CA as a root. The program first adds the certificate and then the trust in it, which
// may be refused.
func (k *keychain) Add(ctx context.Context, ca CA) error {
	path, remove, err := temporary(ca)
	if err != nil {
		return err
	}
	defer remove()
	err = k.m.sudo(ctx, nil, k.m.below(securityProgram), "add-trusted-cert", "-d", "-r", "trustRoot", "-k", systemKeychain, path)
	if err == nil {
		return nil
	}
	if has, _, failed := k.Has(ctx, ca); failed == nil && has != Absent {
		if undo := k.discard(ctx, ca); undo != nil {
			return fmt.Errorf("%w; and it stays there untrusted: %w", err, undo)
		}
	}
	return err
}

// Remove deletes the settings of trust, and the certificate.
func (k *keychain) Remove(ctx context.Context, ca CA) error {
	path, remove, err := temporary(ca)
	if err != nil {
		return err
	}
	defer remove()
	if err := k.m.sudo(ctx, nil, k.m.below(securityProgram), "remove-trusted-cert", "-d", path); err != nil {
		return err
	}
	return k.discard(ctx, ca)
}

// discard deletes the certificate.
func (k *keychain) discard(ctx context.Context, ca CA) error {
	return k.m.sudo(ctx, nil, k.m.below(securityProgram), "delete-certificate", "-Z", strings.ToUpper(thumbprint(ca)), systemKeychain)
}

// isWSL reports whether this Linux runs in Windows, whose programs can be run.
func (m Machine) isWSL() bool { return m.Getenv("WSL_DISTRO_NAME") != "" }

// windows is the store of this user of Windows; none if its program can't be run.
func (m Machine) windows(place string) []Store {
	program := m.program("certutil.exe")
	for _, dir := range []string{m.Getenv("SystemRoot") + `\System32`, "/mnt/c/Windows/System32"} {
		if path := filepath.Join(dir, "certutil.exe"); program == "" && filepath.IsAbs(path) {
			if _, err := os.Stat(path); err == nil {
				program = path
			}
		}
	}
	if program == "" {
		return nil
	}
	return []Store{{Kind: Windows, Location: place, Users: "Windows: Edge, Chrome, Firefox", Restart: "browsers", keeper: &windowsRoot{m, program}}}
}

// windowsRoot is the store called Root of the current user.
type windowsRoot struct {
	m       Machine
	program string
}

// Has looks for the thumbprint in the whole store. Asked for that alone, the program fails as much if
// it has none as if it can't read the store.
func (w *windowsRoot) Has(ctx context.Context, ca CA) (Presence, string, error) {
	out, err := w.m.run(ctx, nil, w.program, "-user", "-store", "Root")
	if err != nil {
		return Absent, "", err
	}
	// It writes the hash with or without spaces, by its version.
	if strings.Contains(strings.ReplaceAll(strings.ToLower(string(out)), " ", ""), thumbprint(ca)) {
		return Own, "Root", nil
	}
	return Absent, "", nil
}

// Add asks Windows to trust the CA, which asks the user in a window of its own.
func (w *windowsRoot) Add(ctx context.Context, ca CA) error {
	path, remove, err := temporary(ca)
	if err != nil {
		return err
	}
	defer remove()
	if w.m.OS == "linux" {
		out, err := w.m.run(ctx, nil, w.m.program("wslpath"), "-w", path)
		if err != nil {
			return fmt.Errorf("naming the file for Windows: %w", err)
		}
		path = strings.TrimSpace(string(out))
	}
	_, err = w.m.run(ctx, nil, w.program, "-user", "-f", "-addstore", "Root", path)
	return err
}

// Remove asks Windows to delete it.
func (w *windowsRoot) Remove(ctx context.Context, ca CA) error {
	_, err := w.m.run(ctx, nil, w.program, "-user", "-delstore", "Root", thumbprint(ca))
	return err
}
