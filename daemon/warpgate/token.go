package warpgate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu/daemon/enrol"
	"github.com/mezusphere/mezu/daemon/state"
)

// Errors that end a Warpgate, beside the *mezu.Error that says it to people.
var (
	// ErrNeedsToken: there is no certificate that is good, and no token for which the
	// control plane gives one. What the state directory holds is as it was. With another
	// token, a new Warpgate goes on there.
	ErrNeedsToken = errors.New("the Warpgate needs a key or an enrolment token")
	// ErrRevoked: the certificate was revoked, so nothing goes on with this state directory.
	ErrRevoked = state.ErrRevoked
	// ErrOtherRoot: the control plane is not the one whose trust root was pinned at the first
	// registration in this state directory.
	ErrOtherRoot = state.ErrRoot
)

// errNotOpen: Listen was not called, or Run or Close has given back what it took.
var errNotOpen = errors.New("the state directory is not open")

// needsToken is an error that another token may mend.
type needsToken struct{ error }

// Unwrap gives both to errors.Is and errors.As.
func (e needsToken) Unwrap() []error { return []error{e.error, ErrNeedsToken} }

// refused marks an error that ends the Warpgate if another token may mend it.
func refused(err error) error {
	if !enrol.Permanent(err) || errors.Is(err, ErrRevoked) || errors.Is(err, ErrOtherRoot) {
		return err
	}
	return needsToken{err}
}

// KeySHA256 is the hash of the public key (SubjectPublicKeyInfo) in lower-case hexadecimal,
// to which an enrolment token is bound. The key is made at the first call and stays the same
// for the life of the state directory. Call it after Listen.
func (g *Warpgate) KeySHA256() (string, error) {
	g.listen.Lock()
	defer g.listen.Unlock()
	if g.state == nil {
		return "", errNotOpen
	}
	key, err := g.state.Key()
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}
