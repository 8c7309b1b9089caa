package profile

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/mezusphere/mezu"
)

// Keyring is that of the operating system. It has one secret for each account.
type Keyring interface {
	// Try reports why nothing can be kept, by keeping something and reading it again.
	Try(ctx context.Context) error
	// Get gives the secret of an account. If there is none, the error is ErrNoSecret.
	Get(ctx context.Context, account string) (string, error)
	// Set replaces the secret of an account. One that is too long for it is refused.
	Set(ctx context.Context, account, secret string) error
	// Delete removes the secret of an account. If there is none, that is no error.
	Delete(ctx context.Context, account string) error
}

// ErrNoSecret is in the chain of the error about an account without a secret.
var ErrNoSecret = errors.New("the keyring has no such secret")

// ErrLeft is in the chain of the error about a credential that could not be deleted in the
// keyring when another one took its place.
var ErrLeft = errors.New("the credential of before is still in the keyring")

// Account is where the next credential of a profile is to be kept: an account of the keyring
// if that works, else "" for a file. An account that the profile has is used again.
func (s Store) Account(ctx context.Context, name string) string {
	if s.Keyring == nil || s.Keyring.Try(ctx) != nil {
		return ""
	}
	if account, err := s.account(name); err == nil && account != "" {
		return account
	}
	return NewAccount(name)
}

// CredentialPlace says where the credential of a profile is, for people; "" if there is none.
// The path of the file is not cleaned.
func (s Store) CredentialPlace(name string, p Profile) string {
	if p.Keyring != "" {
		return "the keyring"
	}
	path, err := s.path(credentials, name, "")
	if err != nil || missing(path) {
		return ""
	}
	return path
}

// account is the account of the keyring in which the credential of a profile is, or "".
func (s Store) account(name string) (string, error) {
	p, err := s.Load(name)
	if errors.Is(err, ErrNone) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return p.Keyring, nil
}

// ofKeyring reads a credential from the keyring.
func (s Store) ofKeyring(name, account string) (c Credential, err error) {
	if s.Keyring == nil {
		return c, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf("the token of profile %s is in the keyring, and there is none here", name),
			Hint: "mezu login --profile " + name + " keeps one in a file; or is MEZU_NO_KEYRING set?"}
	}
	data, err := s.Keyring.Get(context.Background(), account)
	if errors.Is(err, ErrNoSecret) {
		return c, nil
	}
	if err != nil {
		return c, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf("the token of profile %s can't be read: %v", name, err),
			Hint: "unlock the keyring and try again; or MEZU_NO_KEYRING=1 mezu login --profile " + name, Cause: err}
	}
	if c, err = parseCredential([]byte(data)); err != nil {
		err = fmt.Errorf("reading the credentials of profile %s: what the keyring has %w", name, err)
	}
	return c, err
}

// write keeps a credential in the keyring, or in the file if account is empty.
func (s Store) write(name, account string, c Credential) error {
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
	if account == "" {
		return save(path, name, append(data, '\n'))
	}
	if s.Keyring == nil {
		return errors.New("there is no keyring here")
	}
	return s.Keyring.Set(context.Background(), account, string(data))
}

// forget deletes a credential from the place that is another one than the one that is used.
func (s Store) forget(name, was, account string) error {
	path, err := s.path(credentials, name, "")
	if err != nil {
		return err
	}
	if account != "" {
		if err := os.Remove(path); err != nil && !missing(path) {
			return fmt.Errorf("removing the credentials of profile %s: %w", name, err)
		}
	}
	if was == "" || was == account {
		return nil
	}
	if s.Keyring == nil {
		return fmt.Errorf("%w: there is none here (is MEZU_NO_KEYRING set?)", ErrLeft)
	}
	if err := s.Keyring.Delete(context.Background(), was); err != nil {
		return fmt.Errorf("%w: %w", ErrLeft, err)
	}
	return nil
}

// NewAccount makes the name of an account for a profile. It is random beyond the profile's
// name, because a person may have several folders with a profile of that name.
func NewAccount(name string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return name + "-" + hex.EncodeToString(b[:])
}

// accountName is what NewAccount makes of a profile's name.
var accountName = regexp.MustCompile(`^[a-z0-9-]{1,63}-[0-9a-f]{16}$`)
