package mezu

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Position orders the statements of an installation: by epoch, which a restore
// raises, then by revision, which every change raises.
type Position struct {
	// Epoch rises when the installation is restored from a backup.
	Epoch uint64 `json:"epoch"`
	// Revision rises with every change.
	Revision uint64 `json:"revision"`
}

// Compare is negative, zero or positive as p lies before, at or after q.
func (p Position) Compare(q Position) int {
	switch {
	case p.Epoch < q.Epoch, p.Epoch == q.Epoch && p.Revision < q.Revision:
		return -1
	case p == q:
		return 0
	}
	return 1
}

// IsZero reports whether p is before every statement.
func (p Position) IsZero() bool { return p == Position{} }

// String is "epoch.revision", which is also the id of an event in a stream.
func (p Position) String() string {
	return strconv.FormatUint(p.Epoch, 10) + "." + strconv.FormatUint(p.Revision, 10)
}

// ParsePosition parses what String gives.
func ParsePosition(s string) (Position, error) {
	e, r, ok := strings.Cut(s, ".")
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	revision, err2 := strconv.ParseUint(r, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Position{}, Invalid("", "%q is not a position of the form epoch.revision", s)
	}
	return Position{epoch, revision}, nil
}

// Purpose is what a signing key may sign, and the type of every signed statement. Each key
// has one purpose. The purpose is part of the signed bytes, so that a statement of one type
// never passes for one of another.
type Purpose string

// Purposes of signed statements.
const (
	PurposeKeyset     Purpose = "keyset" // by the offline trust root only
	PurposeBundle     Purpose = "bundle"
	PurposeEdges      Purpose = "edges"
	PurposeRevocation Purpose = "revocation"
	PurposeGrant      Purpose = "grant"
	PurposeAudit      Purpose = "audit" // segments of the archive
	PurposeAssertions Purpose = "assertions"
	PurposeEdgePart   Purpose = "edge-part"
)

// Signed is a statement and its signature. Payload is JSON. The signature is over exactly
// these bytes: nobody encodes them again between signer and verifier.
type Signed struct {
	// Purpose is the type of the statement.
	Purpose Purpose `json:"purpose"`
	// KeyID is the key of the keyset that has signed it.
	KeyID string `json:"key_id"`
	// Payload is the statement, which is JSON.
	Payload []byte `json:"payload"`
	// Signature is by Ed25519 (RFC 8032), over purpose and payload.
	Signature []byte `json:"signature"`
}

// MaxSignedPayload bounds a statement. The largest is a bundle: MaxRoutesBytes of routes,
// and room for the rest.
const MaxSignedPayload = MaxRoutesBytes + 1<<20

// signedMessage gives the bytes that are signed: a prefix with the type and a version, then
// the payload.
func signedMessage(purpose Purpose, payload []byte) []byte {
	m := make([]byte, 0, len(payload)+32)
	m = append(m, "mezu-signed-1\x00"...)
	m = append(m, purpose...)
	m = append(m, 0)
	return append(m, payload...)
}

// Sign encodes a statement and signs it with Ed25519 (RFC 8032).
func Sign(purpose Purpose, keyID string, key ed25519.PrivateKey, statement any) (Signed, error) {
	payload, err := encodeStatement(statement)
	if err != nil {
		return Signed{}, fmt.Errorf("encoding a %s: %w", purpose, err)
	}
	if len(payload) > MaxSignedPayload {
		return Signed{}, Invalid("", "a %s has at most %d bytes, this has %d", purpose, MaxSignedPayload, len(payload))
	}
	return Signed{purpose, keyID, payload, ed25519.Sign(key, signedMessage(purpose, payload))}, nil
}

// encodeStatement encodes a statement. It is no part of a page, so '<', '>' and '&' stay as
// they are: escaped they would take six bytes each.
func encodeStatement(statement any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(statement); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// AppendCompact appends the compact form of a statement, in which it fits a cookie: key id,
// payload and signature with dots between them, the last two in base64url (RFC 4648, 5)
// without padding. The purpose is left out: who reads the form knows which one is expected.
func (s *Signed) AppendCompact(dst []byte) []byte {
	dst = append(append(dst, s.KeyID...), '.')
	dst = append(base64.RawURLEncoding.AppendEncode(dst, s.Payload), '.')
	return base64.RawURLEncoding.AppendEncode(dst, s.Signature)
}

// ParseCompact reads what AppendCompact makes, and nothing else: of one statement there is
// one compact form. Whether the signature verifies is not looked at.
func ParseCompact(purpose Purpose, text []byte) (Signed, error) {
	bad := fmt.Errorf("not the compact form of a %s", purpose)
	keyID, rest, ok := bytes.Cut(text, []byte("."))
	payload, signature, ok2 := bytes.Cut(rest, []byte("."))
	if !ok || !ok2 || len(keyID) == 0 || len(keyID) > maxKeyID || len(signature) != base64.RawURLEncoding.EncodedLen(ed25519.SignatureSize) {
		return Signed{}, bad
	}
	for _, c := range keyID {
		if c <= ' ' || c > '~' {
			return Signed{}, bad
		}
	}
	s := Signed{Purpose: purpose, KeyID: string(keyID)}
	strict := base64.RawURLEncoding.Strict()
	var err error
	if s.Payload, err = decodeExact(strict, payload); err != nil {
		return Signed{}, bad
	}
	if s.Signature, err = decodeExact(strict, signature); err != nil {
		return Signed{}, bad
	}
	return s, nil
}

// maxKeyID bounds the id of a key in the compact form. Ours are shorter than half of it.
const maxKeyID = 64

// decodeExact decodes a text without line breaks, which encoding/base64 would pass over.
func decodeExact(e *base64.Encoding, text []byte) ([]byte, error) {
	if bytes.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return e.AppendDecode(nil, text)
}

// Verify checks the signature under one public key, for one purpose. It does not check
// whether the key itself is valid; Keyset.Open does.
func (s *Signed) Verify(purpose Purpose, key ed25519.PublicKey) error {
	if s.Purpose != purpose {
		return fmt.Errorf("statement is a %q where a %q is expected", s.Purpose, purpose)
	}
	if len(s.Payload) > MaxSignedPayload {
		return fmt.Errorf("%s of %d bytes is over the limit of %d", purpose, len(s.Payload), MaxSignedPayload)
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, signedMessage(purpose, s.Payload), s.Signature) {
		return fmt.Errorf("signature of the %s by key %q does not verify", purpose, s.KeyID)
	}
	return nil
}

// Keyset is the control plane's public keys by purpose and the roots of its
// certificate authority, signed by the offline trust root.
type Keyset struct {
	// Version rises with each keyset; a lower one is refused.
	Version uint64 `json:"version"`
	// IssuedAt is when it was signed.
	IssuedAt time.Time `json:"issued_at"`
	// NotAfter is until when it may be believed.
	NotAfter time.Time `json:"not_after"`
	// Keys are the public keys by purpose.
	Keys []PublicKey `json:"keys"`
	// CARoots are the trusted roots in PEM, one certificate each.
	CARoots []string `json:"ca_roots"`
}

// KeysetOverlap is how long an old key stays in keysets beside its successor.
const KeysetOverlap = 30 * 24 * time.Hour

// PublicKey is one key of a keyset.
type PublicKey struct {
	// ID is what a statement names its key by.
	ID string `json:"id"`
	// Purpose is what the key may sign.
	Purpose Purpose `json:"purpose"`
	// Key is the public key (Ed25519).
	Key ed25519.PublicKey `json:"key"`
	// NotAfter is until when its statements may be believed.
	NotAfter time.Time `json:"not_after"`
}

// OpenKeyset verifies a keyset under the pinned trust root and checks that it
// is not past its end.
func OpenKeyset(s Signed, root ed25519.PublicKey, now time.Time) (*Keyset, error) {
	if err := s.Verify(PurposeKeyset, root); err != nil {
		return nil, err
	}
	var k Keyset
	if err := json.Unmarshal(s.Payload, &k); err != nil {
		return nil, fmt.Errorf("decoding a keyset: %w", err)
	}
	if k.Version == 0 || len(k.CARoots) == 0 {
		return nil, fmt.Errorf("keyset has no version or no CA root")
	}
	if now.After(k.NotAfter) {
		return nil, fmt.Errorf("keyset %d ended at %s", k.Version, k.NotAfter.Format(time.RFC3339))
	}
	return &k, nil
}

// Open verifies a statement under the keyset's keys for its purpose and decodes
// it into statement.
func (k *Keyset) Open(s Signed, purpose Purpose, now time.Time, statement any) error {
	if purpose == PurposeKeyset {
		return fmt.Errorf("a keyset is signed by the trust root, never by a key of a keyset")
	}
	for _, key := range k.Keys {
		if key.ID != s.KeyID || key.Purpose != purpose {
			continue
		}
		if now.After(key.NotAfter) {
			return fmt.Errorf("key %q for a %s ended at %s", key.ID, purpose, key.NotAfter.Format(time.RFC3339))
		}
		if err := s.Verify(purpose, key.Key); err != nil {
			return err
		}
		if err := json.Unmarshal(s.Payload, statement); err != nil {
			return fmt.Errorf("decoding a %s: %w", purpose, err)
		}
		return nil
	}
	return fmt.Errorf("keyset %d has no key %q for a %s", k.Version, s.KeyID, purpose)
}
