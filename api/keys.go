package api

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Rotation is what a rotation renews.
type Rotation string

const (
	// RotateSigning: the keys that sign statements, and the issuer of certificates.
	RotateSigning Rotation = "signing"
	// RotateRoot: the CA root, with an issuer under it. The old root goes with a
	// RotatePrune once the overlap is over.
	RotateRoot Rotation = "root"
	// RotatePrune: no key; roots whose overlap is over leave the keyset.
	RotatePrune Rotation = "prune"
)

// RotationRequest asks the control plane to make new keys and to propose the keyset
// that has them.
type RotationRequest struct {
	// What is what the rotation renews.
	What Rotation `json:"what"`
}

// KeyProposal is a rotation that waits to be endorsed by the offline roots. It holds no
// secret: the new keys stay at the control plane, those of the roots with the operator.
type KeyProposal struct {
	// What is what the rotation renews.
	What Rotation `json:"what"`
	// Previous is the keyset in use.
	Previous mezu.Signed `json:"previous"`
	// Keyset is the next one, without its dates. For RotateRoot it lacks the new root too,
	// which is made where the offline roots are.
	Keyset mezu.Keyset `json:"keyset"`
	// IssuerKey is the new issuer's public key (PKIX, DER), to be certified under the root; empty
	// for RotatePrune.
	IssuerKey []byte `json:"issuer_key,omitempty"`
	// RootVersion is that of the root under which the issuer is to be certified.
	RootVersion uint64 `json:"root_version,omitempty"`
	// ExpiresAt is until when it can be endorsed.
	ExpiresAt time.Time `json:"expires_at"`
}

// KeyEndorsement is a proposal's endorsement by the offline roots.
type KeyEndorsement struct {
	// Keyset is the proposed one, signed by the offline trust root.
	Keyset mezu.Signed `json:"keyset"`
	// Issuer is the new issuer's certificate (DER).
	Issuer []byte `json:"issuer,omitempty"`
	// Root is the new root's certificate (DER), for the rotation of a root only.
	Root []byte `json:"root,omitempty"`
}

// KeyStatus tells about the installation's keys, without the keys.
type KeyStatus struct {
	// KeysetVersion rises with each keyset.
	KeysetVersion uint64 `json:"keyset_version"`
	// NotAfter is when the first of the keys that sign now expires.
	NotAfter time.Time `json:"not_after"`
	// ActiveAt is when the newest keys begin to sign; zero if they do already.
	ActiveAt time.Time `json:"active_at,omitzero"`
	// Roots is how many CA roots the keyset has.
	Roots int `json:"ca_roots"`
	// Seal says under which keys the store is encrypted.
	Seal SealStatus `json:"seal"`
}

// SealStatus tells under which keys the store is encrypted.
type SealStatus struct {
	// Key is the id of the data key that seals.
	Key string `json:"key"`
	// Since is when that key began to.
	Since time.Time `json:"since"`
	// OldKeys is how many other data keys some records are still sealed under.
	OldKeys int `json:"old_keys"`
	// WrappedBy names the keys outside the store that must not be lost.
	WrappedBy []string `json:"wrapped_by"`
}
