// Package seal encrypts records at rest. Records are sealed under data keys; the
// data keys lie beside the records, wrapped under a key that is kept outside the store:
// in a file, or in a key service that a command speaks to (Wrapper).
//
// What lives here: these keys, their ring and its rotation, sealing and opening.
// What may not: what is sealed, where the ring lies, and keys of any other use. Only
// edgesvc packages import it.
//
// A sealed record is bound to a context that its owner names, such as the record's
// key in the store: moved to another place it doesn't open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
)

// Errors of Open and Unwrap. There are two of them so that an operator who restored a backup
// without its key learns that the key is missing.
var (
	// ErrOtherKey: the record was sealed under another key.
	ErrOtherKey = errors.New("sealed under another key")
	// ErrNotAuthentic: the record is damaged, forged, or of another context.
	ErrNotAuthentic = errors.New("sealed record is not authentic")
)

// A sealed record is version | key id | nonce | ciphertext and tag. Version, key id and
// context are authenticated with it (AES-256-GCM, NIST SP 800-38D). Random nonces of 96
// bits are safe for 2³² records under one key; KeyLife keeps a key far below that.
const (
	// versionFile is sealed under a key of the key file itself: wrapped data keys, and
	// the CA's record in stores of the first format.
	versionFile = 1
	// versionRing is sealed under a data key of a ring.
	versionRing = 2
	// versionAgain is the same, of a record that was sealed again without a change of its
	// plain text.
	versionAgain = 3

	idSize    = 8
	keySize   = 32 // AES-256
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + idSize

	// Overhead is how many bytes a sealed record has more than its plain text.
	Overhead = headSize + nonceSize + tagSize
)

// keyID names a key. The key can't be found out from it.
type keyID [idSize]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// key seals and opens. It is immutable.
type key struct {
	id     keyID
	secret []byte
	aead   cipher.AEAD
}

// newSecret makes the random bytes of a key.
func newSecret() []byte {
	secret := make([]byte, keySize)
	rand.Read(secret)
	return secret
}

// newKey makes a key of its random bytes, which it keeps.
func newKey(secret []byte) (key, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return key{}, err
	}
	return key{idOf(secret), secret, aead}, nil
}

func idOf(secret []byte) (id keyID) {
	sum := sha256.Sum256(append([]byte("mezu seal key id\x00"), secret...))
	copy(id[:], sum[:])
	return id
}

// seal encrypts plain for the context. Two calls never give the same bytes.
func (k key) seal(version byte, context string, plain []byte) []byte {
	b := make([]byte, headSize, len(plain)+Overhead)
	b[0] = version
	copy(b[1:], k.id[:])
	return k.aead.Seal(b, nil, plain, bound(b, context))
}

// open gives back what seal got, if the context is the same and every byte is as
// seal wrote it. The caller has found the key by idIn.
func (k key) open(context string, sealed []byte) ([]byte, error) {
	head := sealed[:headSize:headSize]
	plain, err := k.aead.Open(nil, nil, sealed[headSize:], bound(head, context))
	if err != nil {
		return nil, ErrNotAuthentic
	}
	return plain, nil
}

// idIn is the id of the key under which something of one of these versions was
// sealed.
func idIn(sealed []byte, versions ...byte) (id keyID, err error) {
	if len(sealed) < Overhead || !slices.Contains(versions, sealed[0]) {
		return id, ErrNotAuthentic
	}
	copy(id[:], sealed[1:headSize])
	return id, nil
}

// bound is what is authenticated beside the plain text.
func bound(head []byte, context string) []byte {
	b := make([]byte, 0, len(head)+len(context))
	return append(append(b, head...), context...)
}
