package state

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/trust"
)

// acceptAssertions puts the list of the environment's keys in force; s.mu is held or s is not
// shared yet.
func (s *State) acceptAssertions(statement mezu.Signed) (bool, error) {
	list, known, err := s.anchor.Load().NextAssertions(statement, func(environment string) *trust.InForce {
		if own := s.own.Load(); own == nil || own.identity.Environment != environment {
			return nil
		}
		return s.keys
	})
	if known || errors.Is(err, trust.ErrConflict) {
		return false, nil // nothing replaces the one at the same position
	}
	if err != nil {
		return false, err
	}
	own := s.own.Load()
	if own == nil {
		return false, ErrUnregistered
	}
	if list.Environment != own.identity.Environment {
		return false, fmt.Errorf("%w: keys of %s, not %s", ErrForeign, list.Environment, own.identity.Environment)
	}
	s.keys, s.listed = &trust.InForce{Signed: statement, Position: list.Position}, list
	return true, s.sign()
}

// sign has assertions signed, or no longer: by the own key once it is listed, in the name of the
// environment's URL. s.mu is held.
func (s *State) sign() error {
	own := s.own.Load()
	if own == nil || s.key == nil || s.registration == nil || s.registration.URL == "" || s.listed == nil {
		s.minter.Store(nil)
		return nil
	}
	key, err := trust.AssertionKey(s.key)
	if err != nil {
		s.minter.Store(nil)
		return err
	}
	if !s.listed.InUse(key.Public().(ed25519.PublicKey)) {
		s.minter.Store(nil)
		return nil
	}
	s.minter.Store(assertion.NewMinter(key, s.registration.URL, own.identity.Environment))
	return nil
}

// Assert gives the signed statement of who a user is, nil while the own key is not listed where
// workloads look for it.
func (s *State) Assert(g *grant.Verified) []byte {
	m := s.minter.Load()
	if m == nil {
		return nil
	}
	text, err := g.Assertion.Get(m, g.Grant, s.now())
	if err != nil {
		s.log.Error("signing an assertion", "error", err)
		return nil
	}
	return text
}
