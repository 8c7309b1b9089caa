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
// if there is more than that.
const credentials = "credentials"

// Credential reads the credential of a profile. If others could read the file, it is made
// private again, and repaired tells so, because somebody may have read it.
func (s Store) Credential(name string) (c Credential, repaired bool, err error) {
	path, err := s.path(credentials, name, "")
	if err != nil {
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

// SaveCredential writes the credential of a profile.
func (s Store) SaveCredential(name string, c Credential) error {
	path, err := s.path(credentials, name, "")
	if err != nil {
		return err
	}
	if s.Dir == "" {
		return errNoFolder()
	}
	data := []byte(c.Token)
	if c.Refresh != "" {
		if data, err = json.Marshal(c); err != nil {
			return fmt.Errorf("encoding the credentials of profile %s: %w", name, err)
		}
	}
	return save(path, name, append(data, '\n'))
}

// RemoveCredential deletes the credential of a profile. If there is none, that is no error.
func (s Store) RemoveCredential(name string) error {
	path, err := s.path(credentials, name, "")
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the credentials of profile %s: %w", name, err)
	}
	return nil
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
