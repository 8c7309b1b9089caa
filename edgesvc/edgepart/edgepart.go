// Package edgepart encrypts what edges alone may know of an environment, and opens it.
//
// What lives here: the keys of edges for it, sealing and opening. What may not: what is sealed
// (package mezu), when (control/config), and who believes it (package trust). Both sides meet
// here: the control plane, and edge/identity, which has the edge's key.
//
// The content is encrypted once under a key of its own (AES-256-GCM), and that key to each edge
// (HPKE, RFC 9180: DHKEM of X25519, HKDF-SHA256, AES-256-GCM). Both are bound to the environment.
// Who may have made it, and when, is not said here: the statement that it is in is signed.
package edgepart

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
)

// keySize is that of AES-256, and of keys of X25519 too.
const keySize = 32

// info binds what HPKE encrypts to its use.
const info = "mezusphere edge part 1\x00"

var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	suit = hpke.AES256GCM()
)

// Key is an edge's, to which is encrypted what it may read.
type Key struct{ private hpke.PrivateKey }

// NewKey makes one.
func NewKey() (*Key, error) {
	private, err := kem.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return &Key{private}, nil
}

// ParseKey reads what Bytes gives.
func ParseKey(secret []byte) (*Key, error) {
	private, err := kem.NewPrivateKey(secret)
	if err != nil {
		return nil, errors.New("parsing an edge's key: not of X25519")
	}
	return &Key{private}, nil
}

// Bytes is the key as it is kept.
func (k *Key) Bytes() ([]byte, error) { return k.private.Bytes() }

// Public is what the edge registers.
func (k *Key) Public() []byte { return k.private.PublicKey().Bytes() }

// CheckPublic refuses what nothing can be encrypted to. It tries: with some points of the curve
// there is no secret (RFC 7748, 6.1), and one such key would keep a part from all edges.
func CheckPublic(public []byte) error {
	key, err := kem.NewPublicKey(public)
	if err == nil {
		_, err = hpke.Seal(key, kdf, suit, nil, nil)
	}
	if err != nil {
		return mezu.Invalid("sealing_key", "is no public key of X25519")
	}
	return nil
}

// Seal encrypts a content for the edges with these public keys, by their ids, into a part whose
// environment is set.
func Seal(p *mezu.EdgePart, content *mezu.EdgeContent, edges map[string][]byte) error {
	plain, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encoding an edge's part: %w", err)
	}
	secret := make([]byte, keySize)
	rand.Read(secret)
	aead, err := newAEAD(secret)
	if err != nil {
		return err
	}
	p.Sealed, p.Keys = aead.Seal(nil, nil, plain, bound(p)), nil
	for _, id := range slices.Sorted(maps.Keys(edges)) {
		public, err := kem.NewPublicKey(edges[id])
		if err != nil {
			return fmt.Errorf("reading the key of edge %s: %w", id, err)
		}
		sealed, err := hpke.Seal(public, kdf, suit, []byte(info+p.Environment), secret)
		if err != nil {
			return fmt.Errorf("encrypting to edge %s: %w", id, err)
		}
		p.Keys = append(p.Keys, mezu.EdgePartKey{Edge: id, Sealed: sealed})
	}
	return nil
}

// ErrNotForUs is about a part that is not encrypted to this edge's key: it was made before the edge
// had registered that.
var ErrNotForUs = errors.New("the part is not encrypted to this edge")

// Open decrypts a part for the edge of this id.
func (k *Key) Open(p *mezu.EdgePart, edge string) (*mezu.EdgeContent, error) {
	if len(p.Sealed) == 0 {
		return &mezu.EdgeContent{}, nil
	}
	secret, err := hpke.Open(k.private, kdf, suit, []byte(info+p.Environment), p.KeyOf(edge))
	if err != nil {
		return nil, ErrNotForUs
	}
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, p.Sealed, bound(p))
	if err != nil {
		return nil, errors.New("an edge's part does not open")
	}
	var content mezu.EdgeContent
	if err := json.Unmarshal(plain, &content); err != nil {
		return nil, errors.New("an edge's part has no content that this build can read")
	}
	return &content, nil
}

func newAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// bound is what is authenticated beside the content.
func bound(p *mezu.EdgePart) []byte {
	return []byte("mezusphere edge content 1\x00" + p.Environment)
}
