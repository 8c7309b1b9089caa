package sshsig

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// MaxSigners bounds a list of signers: room for hundreds of keys.
const MaxSigners = 256 << 10

// Signers are the keys whose signatures count.
type Signers []signer

type signer struct {
	key ssh.PublicKey
	// namespaces are patterns of what it may sign for; if nil, it may for all.
	namespaces []string
}

// ParseSigners reads a file as ssh-keygen(1) describes it under ALLOWED SIGNERS: a line for each
// key, with its principals, options, type and key. Of the options, namespaces alone is known: a
// list with another is refused, because what it restricts would be open here. Whose the
// principals are doesn't matter: whoever is in the list is trusted.
func ParseSigners(data []byte) (Signers, error) {
	if len(data) > MaxSigners {
		return nil, fmt.Errorf("the list of signers is over %d bytes", MaxSigners)
	}
	var out Signers
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		s, err := parseSigner(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the list of signers: %w", number, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// parseSigner reads one line. Behind the principals it is one of authorized_keys.
func parseSigner(line []byte) (signer, error) {
	_, rest, ok := cutPrincipals(string(line))
	if !ok {
		return signer{}, fmt.Errorf("it has no key")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return signer{}, err
	}
	s := signer{key: key}
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if !strings.EqualFold(name, "namespaces") || s.namespaces != nil {
			return signer{}, fmt.Errorf("it has the option %q, which is not known", name)
		}
		s.namespaces = strings.Split(strings.Trim(value, `"`), ",")
		for _, pattern := range s.namespaces {
			if _, err := path.Match(pattern, ""); err != nil || strings.ContainsAny(pattern, `[]\!`) {
				return signer{}, fmt.Errorf("%q is no namespace", pattern)
			}
		}
	}
	return s, nil
}

// cutPrincipals cuts off the first word, which may be in quotes.
func cutPrincipals(line string) (principals, rest string, ok bool) {
	if quoted, in := strings.CutPrefix(line, `"`); in {
		principals, rest, ok = strings.Cut(quoted, `"`)
		return principals, rest, ok
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, "", false
	}
	return line[:i], strings.TrimLeft(line[i:], " \t"), true
}

// allow reports whether a key is one that may sign for a namespace.
func (s Signers) allow(key ssh.PublicKey, namespace string) bool {
	return slices.ContainsFunc(s, func(one signer) bool {
		if !bytes.Equal(one.key.Marshal(), key.Marshal()) {
			return false
		}
		return one.namespaces == nil || slices.ContainsFunc(one.namespaces, func(pattern string) bool {
			fits, err := path.Match(pattern, namespace)
			return err == nil && fits
		})
	})
}
