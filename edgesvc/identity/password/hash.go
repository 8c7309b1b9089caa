package password

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// What new hashes are made with: Argon2id (RFC 9106) with the parameters that OWASP's
// Password Storage Cheat Sheet names for it, and salt and key as long as RFC 9106,
// section 4, has them. One thread, so that a worker is one core.
const (
	algorithm  = "argon2id"
	memory     = 19 * 1024 // KiB
	passes     = 2
	threads    = 1
	saltLength = 16
	keyLength  = 32
)

// Bounds on what a stored hash may ask for: some times what this build makes, so that
// parameters can rise and fall between builds. The memory counts in the bound on all
// workers; who lowers it keeps here the most that was ever written.
const (
	maxMemory = memory
	maxPasses = 8 * passes
	maxLength = 64 // of salt and key
)

// Hash is what is kept of a password. It names what it was made with, so that later builds
// can compare it and make a better one at the next login.
type Hash struct {
	Algorithm string `json:"algorithm"`
	// Memory in KiB.
	Memory  uint32 `json:"memory"`
	Time    uint32 `json:"time"`
	Threads uint8  `json:"threads"`
	Salt    []byte `json:"salt"`
	Key     []byte `json:"key"`
}

// IsZero reports whether it is of no password.
func (h Hash) IsZero() bool { return h.Algorithm == "" }

// String keeps salt and key out of logs.
func (h Hash) String() string {
	return fmt.Sprintf("%s m=%d t=%d p=%d", h.Algorithm, h.Memory, h.Time, h.Threads)
}

// Outdated reports whether this build would make another kind of hash. Then one is made
// as soon as the password is known: at the next login.
func Outdated(h Hash) bool {
	return h.Algorithm != algorithm || h.Memory != memory || h.Time != passes || h.Threads != threads ||
		len(h.Salt) != saltLength || len(h.Key) != keyLength
}

// blank is a hash with the parameters of this build and the given salt, without a key.
func blank(salt []byte) Hash {
	return Hash{Algorithm: algorithm, Memory: memory, Time: passes, Threads: threads, Salt: salt}
}

// newSalt never fails: crypto/rand ends the program before it gives less.
func newSalt() []byte {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	return salt
}

// check refuses what no build wrote: it may cost anything.
func (h Hash) check() error {
	if h.Algorithm != algorithm || h.Memory < 8 || h.Memory > maxMemory || h.Time < 1 || h.Time > maxPasses || h.Threads != threads ||
		len(h.Salt) < 8 || len(h.Salt) > maxLength || len(h.Key) < 16 || len(h.Key) > maxLength {
		return fmt.Errorf("a stored hash of a password is damaged, or of a later build: %v", h)
	}
	return nil
}

// derive makes the key of a normalised password.
func (h Hash) derive(password string, length int) []byte {
	return argon2.IDKey([]byte(password), h.Salt, h.Time, h.Memory, h.Threads, uint32(length))
}

// matches compares in constant time.
func (h Hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.derive(password, len(h.Key)), h.Key) == 1
}
