package profile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// Credential is what a profile calls with. The zero value is none.
type Credential struct {
	Token string `json:"token"`
	// Refresh gives the next Token when this one has ended, at ExpiresAt. A token that
	// somebody gave has neither.
	Refresh   string    `json:"refresh_token,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// credentials is the folder of credentials. Each is a file with a token, or with a JSON object
// if there is more than that. What a keyring has is the same.
const credentials = "credentials"

// Credential reads the credential of a profile. If others could read the file, it is made
// private again, and repaired tells so, because somebody may have read it.
func (s Store) Credential(name string) (c Credential, repaired bool, err error) {
	path, err := s.path(credentials, name, "")
	if err != nil {
		return c, false, err
	}
	account, err := s.account(name)
	if err != nil {
		return c, false, err
	}
	if account != "" {
		c, err = s.ofKeyring(name, account)
		return c, false, err
	}
	data, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("reading the credentials of profile %s: %w", name, err)
	}
	info, err := os.Stat(path)
	if err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		repaired, err = true, os.Chmod(path, 0o600)
	}
	if err != nil {
		return c, false, fmt.Errorf("making the credentials of profile %s private: %w", name, err)
	}
	if c, err = parseCredential(data); err != nil {
		err = fmt.Errorf("reading the credentials of profile %s: %s %w", name, path, err)
	}
	return c, repaired, err
}

func parseCredential(data []byte) (c Credential, err error) {
	if len(data) > 0 && data[0] == '{' {
		// What json says of a file that isn't one may quote a secret.
		if json.Unmarshal(data, &c) != nil {
			return Credential{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: "is damaged", Hint: "mezu login"}
		}
	} else {
		c.Token = string(data)
	}
	for _, secret := range []*string{&c.Token, &c.Refresh} {
		if *secret, err = mezu.ParseSecret(*secret); err != nil {
			return Credential{}, err
		}
	}
	return c, nil
}

// SaveCredential writes the credential of a profile where the profile keeps it. If that is the
// keyring, and it doesn't take it, the credential goes to the file and stays there.
func (s Store) SaveCredential(name string, c Credential) error {
	account, err := s.account(name)
	if err != nil {
		return err
	}
	err = s.write(name, account, c)
	if err == nil || account == "" {
		return err
	}
	p, failed := s.Load(name)
	if failed != nil {
		return errors.Join(err, failed)
	}
	p.Keyring = ""
	if failed := s.Save(name, *p, c); failed != nil && !errors.Is(failed, ErrLeft) {
		return errors.Join(err, failed)
	}
	return nil // a credential that was exchanged for this one opens nothing where it is left
}

// RemoveCredential deletes the credential of a profile. If there is none, that is no error.
func (s Store) RemoveCredential(name string) error {
	path, err := s.path(credentials, name, "")
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !missing(path) {
		return fmt.Errorf("removing the credentials of profile %s: %w", name, err)
	}
	p, err := s.Load(name)
	if err != nil || p.Keyring == "" {
		return nil // a profile that can't be read names no keyring
	}
	if err := s.forget(name, p.Keyring, ""); err != nil {
		return err
	}
	p.Keyring = ""
	return s.SaveProfile(name, *p)
}

// LockCredential is held by whoever exchanges the credential of a profile for the next one, so
// that several processes do so once. It waits for the others until ctx ends.
func (s Store) LockCredential(ctx context.Context, name string) (io.Closer, error) {
	if _, err := s.path(credentials, name, ""); err != nil {
		return nil, err
	}
	if s.Dir == "" {
		return nil, errNoFolder()
	}
	dir := filepath.Join(s.Dir, credentials)
	if err := private(dir); err != nil {
		return nil, err
	}
	return atomicfile.LockFile(ctx, filepath.Join(dir, "."+name+".lock")) // no name begins with a dot
}
