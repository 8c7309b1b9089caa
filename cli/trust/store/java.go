package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// storePassword is that of every cacerts as it comes. It protects nothing: the file has no secret.
const storePassword = "changeit"

// java is the store of the Java that JAVA_HOME names; none if it names none.
func (m Machine) java() []Store {
	home := m.Getenv("JAVA_HOME")
	if home == "" {
		return nil
	}
	for _, below := range []string{"lib", filepath.Join("jre", "lib")} { // the second until Java 8
		if found := m.javaAt(filepath.Join(home, below, "security", "cacerts")); len(found) > 0 {
			return found
		}
	}
	return nil
}

// javaAt is the store of Java in a file; none if there is no such file.
func (m Machine) javaAt(file string) []Store {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	above := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	suffix := ""
	if m.OS == "windows" {
		suffix = ".exe"
	}
	k := &cacerts{m: m, file: file, keytool: filepath.Join(above, "bin", "keytool"+suffix)}
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err == nil {
		_ = f.Close() // nothing was written
	}
	k.sudo = errors.Is(err, fs.ErrPermission) && m.OS != "windows"
	return []Store{{Kind: Java, Location: file, Users: "Java of " + above, Restart: "programs in Java", Sudo: k.sudo, keeper: k}}
}

// cacerts is a file of Java.
type cacerts struct {
	m             Machine
	file, keytool string
	sudo          bool
}

// words are those of a call of keytool, whose messages are to be English.
func (c *cacerts) words(verb string, more ...string) []string {
	return append([]string{c.keytool, verb, "-keystore", c.file, "-storepass", storePassword, "-J-Duser.language=en"}, more...)
}

// Has looks for the fingerprint in the list, in which it stands below the alias.
func (c *cacerts) Has(ctx context.Context, ca CA) (Presence, string, error) {
	out, err := c.m.run(ctx, nil, c.words("-list")...)
	if err != nil {
		return Absent, "", err
	}
	alias := ""
	for line := range strings.Lines(string(out)) {
		if name, _, ok := strings.Cut(line, ", "); ok && strings.Contains(line, "trustedCertEntry") {
			alias = name
		}
		if !strings.Contains(line, ca.Fingerprint()) {
			continue
		}
		if alias == ca.label() {
			return Own, alias, nil
		}
		return Foreign, alias, nil
	}
	return Absent, "", nil
}

// Add puts the CA into the file.
func (c *cacerts) Add(ctx context.Context, ca CA) error {
	return c.change(ctx, ca.Text(), c.words("-importcert", "-noprompt", "-trustcacerts", "-alias", ca.label()))
}

// Remove takes it out.
func (c *cacerts) Remove(ctx context.Context, ca CA) error {
	return c.change(ctx, nil, c.words("-delete", "-alias", ca.label()))
}

func (c *cacerts) change(ctx context.Context, input []byte, words []string) error {
	if c.sudo {
		return c.m.sudo(ctx, input, words...)
	}
	_, err := c.m.run(ctx, input, words...)
	return err
}
