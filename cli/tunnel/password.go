package tunnel

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/mezusphere/mezu"
)

const (
	// madeRounds are enough for a password that was made, which nobody guesses;
	// chosenRounds are those that OWASP advises for one that somebody chose.
	madeRounds   = 100_000
	chosenRounds = 600_000
	saltBytes    = 16
	hashBytes    = 32
)

// password makes what the tunnel checks, of MEZU_BASIC_AUTH or else a new password. shown is
// empty for one that somebody chose.
func password(user, chosen string) (p *mezu.TunnelPassword, shown string, err error) {
	secret, rounds := chosen, chosenRounds
	if secret == "" {
		secret, rounds = rand.Text(), madeRounds // 130 bits
		shown = secret
	}
	p = &mezu.TunnelPassword{User: user, Salt: make([]byte, saltBytes), Iterations: rounds}
	rand.Read(p.Salt)
	if p.Hash, err = pbkdf2.Key(sha256.New, secret, p.Salt, rounds, hashBytes); err != nil {
		return nil, "", fmt.Errorf("hashing the password: %w", err)
	}
	return p, shown, nil
}

// isPassword reports whether that is the user's password, which somebody chose.
func isPassword(p *mezu.TunnelPassword, user, chosen string) bool {
	if p == nil || p.User != user || chosen == "" {
		return false
	}
	hash, err := pbkdf2.Key(sha256.New, chosen, p.Salt, p.Iterations, len(p.Hash))
	return err == nil && subtle.ConstantTimeCompare(hash, p.Hash) == 1
}
