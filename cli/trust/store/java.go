package store

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// storePassword is that of every cacerts as it comes. It protects nothing: the file has no secret.
const storePassword = "changeit"

// debianStore is what every Java of Debian and Ubuntu reads. The system's own update puts the
// CAs of the system in, by names of its own, and takes none out.
const debianStore = "/etc/ssl/certs/java/cacerts"

// java are the stores of the Java that JAVA_HOME names, and of that of the distribution.
func (m Machine) java() []Store {
	var out []Store
	if home := m.Getenv("JAVA_HOME"); home != "" {
		for _, below := range []string{"lib", filepath.Join("jre", "lib")} { // the second until Java 8
			if out = m.javaAt(filepath.Join(home, below, "security", "cacerts")); len(out) > 0 {
				break
			}
		}
	}
	for _, s := range m.javaAt(m.below(debianStore)) {
		if len(out) == 0 || out[0].Location != s.Location {
			out = append(out, s)
		}
	}
	return out
}

// javaAt is the store of Java in a file; none if there is no such file, or no keytool.
func (m Machine) javaAt(file string) []Store {
	name := "keytool"
	if m.OS == "windows" {
		name += ".exe"
	}
	above := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	keytool := filepath.Join(above, "bin", name)
	if _, err := os.Stat(keytool); err != nil {
		keytool, above = m.program(name), "the distribution"
	}
	file, err := filepath.EvalSymlinks(file)
	if err != nil || keytool == "" {
		return nil
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	k := &cacerts{m: m, file: file, keytool: keytool}
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

// own reports whether an alias is one that this package, or the system's update for its file of the
// system, gives a CA.
func own(alias string, ca CA) bool {
	return alias == ca.label() || alias == "debian:"+ca.label()+".pem"
}

// Has looks for the CA under each alias.
func (c *cacerts) Has(ctx context.Context, ca CA) (Presence, string, error) {
	aliases, err := c.aliases(ctx, ca)
	for _, alias := range aliases {
		if own(alias, ca) {
			return Own, alias, err
		}
	}
	if len(aliases) > 0 {
		return Foreign, aliases[0], err
	}
	return Absent, "", err
}

// aliases are the names under which the file has the CA. The whole certificate decides: of its
// fingerprints, versions of Java list different ones.
func (c *cacerts) aliases(ctx context.Context, ca CA) (out []string, err error) {
	list, err := c.m.run(ctx, nil, c.words("-list", "-rfc")...)
	if err != nil {
		return nil, err
	}
	for _, entry := range strings.Split(string(list), "\nAlias name: ")[1:] {
		alias, text, _ := strings.Cut(entry, "\n")
		if block, _ := pem.Decode([]byte(text)); block != nil && bytes.Equal(block.Bytes, ca.Certificate.Raw) {
			out = append(out, strings.TrimSpace(alias))
		}
	}
	return out, nil
}

// Add puts the CA into the file.
func (c *cacerts) Add(ctx context.Context, ca CA) error {
	return c.change(ctx, ca.Text(), c.words("-importcert", "-noprompt", "-trustcacerts", "-alias", ca.label()))
}

// Remove takes it out.
func (c *cacerts) Remove(ctx context.Context, ca CA) error {
	aliases, err := c.aliases(ctx, ca)
	for _, alias := range aliases {
		if own(alias, ca) && err == nil {
			err = c.change(ctx, nil, c.words("-delete", "-alias", alias))
		}
	}
	return err
}

func (c *cacerts) change(ctx context.Context, input []byte, words []string) error {
	if c.sudo {
		return c.m.sudo(ctx, input, words...)
	}
	_, err := c.m.run(ctx, input, words...)
	return err
}
