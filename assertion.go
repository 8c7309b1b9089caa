package mezu

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// AssertionKeys is the statement of the keys by which the Warpgates of one environment sign
// what they tell their workloads of users. Workloads find them at the environment's own host.
type AssertionKeys struct {
	Position    Position       `json:"position"`
	Environment string         `json:"environment"` // id
	Keys        []AssertionKey `json:"keys,omitempty"`
}

// AssertionKey is the key of one Warpgate.
type AssertionKey struct {
	Key      ed25519.PublicKey `json:"key"`
	Warpgate string            `json:"warpgate"` // id
	// Until is when it is listed no more, zero while its Warpgate has it.
	Until time.Time `json:"until,omitzero"`
}

// AssertionKeyRest is how long a key is listed after its Warpgate has ended, or has another
// one: longer than any assertion that it signed, and than workloads keep a list.
const AssertionKeyRest = time.Hour

// MaxAssertionKeys bounds the keys of one environment, those that have ended included. With so
// many the list that workloads fetch has some 700 KiB.
const MaxAssertionKeys = 4096

// ID is the key's id: its thumbprint (RFC 7638), in which everybody can compute it.
func (k *AssertionKey) ID() string { return AssertionKeyID(k.Key) }

// AssertionKeyID is the thumbprint of a key as a JSON Web Key (RFC 7638, RFC 8037).
func AssertionKeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, base64.RawURLEncoding.EncodeToString(key)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Listed are the keys that workloads may go by at a moment.
func (a *AssertionKeys) Listed(now time.Time) []AssertionKey {
	return slices.DeleteFunc(slices.Clone(a.Keys), func(k AssertionKey) bool { return !k.Until.IsZero() && now.After(k.Until) })
}

// InUse reports whether a Warpgate may sign by a key.
func (a *AssertionKeys) InUse(key ed25519.PublicKey) bool {
	return slices.ContainsFunc(a.Keys, func(k AssertionKey) bool { return k.Until.IsZero() && k.Key.Equal(key) })
}

// Validate checks that a list is one that the control plane can have made.
func (a *AssertionKeys) Validate() error {
	if err := ValidateID("environment", PrefixEnvironment, a.Environment); err != nil {
		return err
	}
	if a.Position.IsZero() {
		return Invalid("position", "a statement has a position")
	}
	if len(a.Keys) > MaxAssertionKeys {
		return Invalid("keys", "at most %d, this has %d", MaxAssertionKeys, len(a.Keys))
	}
	for i := range a.Keys {
		if len(a.Keys[i].Key) != ed25519.PublicKeySize {
			return Invalid("keys.key", "is no Ed25519 key")
		}
		if err := ValidateID("keys.warpgate", PrefixWarpgate, a.Keys[i].Warpgate); err != nil {
			return err
		}
	}
	return nil
}

// assertionProof is what a Warpgate signs to prove that it has the key for its assertions: with
// it goes the public key of its certificate, so that the proof is of no use to another.
func assertionProof(certified []byte) []byte {
	sum := sha256.Sum256(certified)
	return append([]byte("mezu-assertion-key-1\x00"), sum[:]...)
}

// ProveAssertionKey proves that whoever asks for a certificate for a public key
// (SubjectPublicKeyInfo) has the key.
func ProveAssertionKey(key ed25519.PrivateKey, certified []byte) []byte {
	return ed25519.Sign(key, assertionProof(certified))
}

// CheckAssertionKey checks such a proof.
func CheckAssertionKey(key ed25519.PublicKey, certified, proof []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return Invalid("assertion_key", "is no Ed25519 key")
	}
	if len(proof) != ed25519.SignatureSize || !ed25519.Verify(key, assertionProof(certified), proof) {
		return Invalid("assertion_proof", "does not prove that the key of the certificate and that of assertions are of one Warpgate")
	}
	return nil
}
