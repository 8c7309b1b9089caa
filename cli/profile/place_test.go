package profile_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/profile"
)

// ring stands for the keyring of a system. While it is shut it answers nothing.
type ring struct {
	kept map[string]string
	shut bool
}

var errShut = errors.New("the keyring did not answer")

func (r *ring) Try(context.Context) error {
	if r.shut {
		return errShut
	}
	return nil
}

func (r *ring) Get(_ context.Context, account string) (string, error) {
	secret, ok := r.kept[account]
	switch {
	case r.shut:
		return "", errShut
	case !ok:
		return "", profile.ErrNoSecret
	}
	return secret, nil
}

func (r *ring) Set(_ context.Context, account, secret string) error {
	if r.shut || len(secret) > 2000 {
		return errShut
	}
	r.kept[account] = secret
	return nil
}

func (r *ring) Delete(_ context.Context, account string) error {
	if r.shut {
		return errShut
	}
	delete(r.kept, account)
	return nil
}

// A credential is in one place, which the profile remembers, and moves with the next login.
func TestPlace(t *testing.T) {
	r := &ring{kept: map[string]string{}}
	s := profile.Store{Dir: filepath.Join(t.TempDir(), "config"), Keyring: r}
	file := filepath.Join(s.Dir, "credentials", "acme")
	p := profile.Profile{API: "https://a", Keyring: s.Account(t.Context(), "acme")}
	check := func(where, token string) {
		t.Helper()
		kept, err := s.Load("acme")
		if err != nil || s.CredentialPlace("acme", *kept) != where {
			t.Errorf("%+v, %v", kept, err)
		}
		if c, _, err := s.Credential("acme"); c.Token != token || err != nil {
			t.Errorf("%q, %v; want %q", c.Token, err, token)
		}
		_, missing := os.Stat(file)
		if inFile, inRing := missing == nil, len(r.kept); inFile == (where == "the keyring") || inRing > 1 || inRing == 1 && inFile {
			t.Errorf("in the file %v, %d in the keyring", inFile, inRing)
		}
	}
	if err := s.Save("acme", p, profile.Credential{Token: "mezu_a", Refresh: "mezu_b"}); err != nil || p.Keyring == "" {
		t.Fatal(err)
	}
	check("the keyring", "mezu_a")
	if again := s.Account(t.Context(), "acme"); again != p.Keyring {
		t.Errorf("another account: %s, %s", again, p.Keyring)
	}
	if err := s.SaveCredential("acme", profile.Credential{Token: "mezu_c", Refresh: "mezu_d"}); err != nil {
		t.Fatal(err)
	}
	check("the keyring", "mezu_c")

	// Where there is no keyring, nothing is taken for nobody's login.
	without := profile.Store{Dir: s.Dir}
	if c, _, err := without.Credential("acme"); c.Token != "" || mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("without a keyring: %q, %v", c.Token, err)
	}
	// A keyring that is shut meanwhile loses no login.
	r.shut = true
	if s.Account(t.Context(), "acme") != "" {
		t.Error("an account of a keyring that is shut")
	}
	if _, _, err := s.Credential("acme"); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("shut: %v", err)
	}
	if err := s.SaveCredential("acme", profile.Credential{Token: "mezu_e", Refresh: "mezu_f"}); err != nil {
		t.Fatal(err)
	}
	r.shut = false
	clear(r.kept)
	check(file, "mezu_e")

	// From the file to the keyring and back, with nothing left.
	p.Keyring = s.Account(t.Context(), "acme")
	if err := s.Save("acme", p, profile.Credential{Token: "mezu_g"}); err != nil {
		t.Fatal(err)
	}
	check("the keyring", "mezu_g")
	p.Keyring = ""
	if err := s.Save("acme", p, profile.Credential{Token: "mezu_h"}); err != nil {
		t.Fatal(err)
	}
	check(file, "mezu_h")

	// What can't be deleted in the keyring is said, and the new login is kept.
	p.Keyring = s.Account(t.Context(), "acme")
	if err := s.Save("acme", p, profile.Credential{Token: "mezu_i"}); err != nil {
		t.Fatal(err)
	}
	r.shut = true
	if err := s.RemoveCredential("acme"); !errors.Is(err, profile.ErrLeft) {
		t.Errorf("removed: %v", err)
	}
	if err := s.Remove("acme"); !errors.Is(err, profile.ErrLeft) {
		t.Errorf("removed: %v", err)
	}
	p.Keyring = ""
	if err := s.Save("acme", p, profile.Credential{Token: "mezu_j"}); !errors.Is(err, profile.ErrLeft) {
		t.Errorf("moved: %v", err)
	}
	if c, _, err := s.Credential("acme"); c.Token != "mezu_j" || err != nil {
		t.Errorf("%q, %v", c.Token, err)
	}
	r.shut = false
	clear(r.kept)

	// A logout leaves nothing anywhere, and the profile.
	p.Keyring = s.Account(t.Context(), "acme")
	if err := errors.Join(s.Save("acme", p, profile.Credential{Token: "mezu_k"}), s.RemoveCredential("acme")); err != nil {
		t.Fatal(err)
	}
	if kept, err := s.Load("acme"); err != nil || kept.Keyring != "" || s.CredentialPlace("acme", *kept) != "" || len(r.kept) > 0 {
		t.Errorf("%+v, %v", kept, err)
	}
}

// An account is none that a person could think of, so that no profile leads to another
// program's secret.
func TestAccount(t *testing.T) {
	s := profile.Store{Dir: t.TempDir(), Keyring: &ring{kept: map[string]string{"trial": "x"}}}
	if err := s.SaveProfile("acme", profile.Profile{API: "https://a", Keyring: "trial"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("acme"); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Error(err)
	}
	made := profile.NewAccount("acme")
	if err := s.SaveProfile("acme", profile.Profile{API: "https://a", Keyring: made}); err != nil || made == profile.NewAccount("acme") {
		t.Error(made, err)
	}
	if _, err := s.Load("acme"); err != nil {
		t.Error(err)
	}
}
