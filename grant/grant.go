// Package grant is what edges and Warpgates make of the grants that come with requests: it
// verifies them, remembers those that it has verified, and finds the requests that a grant
// let in when the grant ends.
//
// What lives here: the judgement on one grant, the bounded memory of those verified, the
// index of what is under way. What may not: cookies (package cookie), what a route asks for
// (package policy), sockets. edgesvc/edge and daemon import it.
package grant

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/trust"
)

// Why a grant is not accepted. Logs of both lines say one of these.
var (
	// ErrForged: no key in force has signed it, or it is no grant at all.
	ErrForged = errors.New("grant does not verify")
	// ErrForeign: it is of another environment, or of a directory that the environment
	// does not name.
	ErrForeign = errors.New("grant is of another environment or directory")
	// ErrEpoch: the installation was restored since.
	ErrEpoch = errors.New("grant is of an earlier epoch")
	// ErrEnded: its session is past its end, or the key that signed it is.
	ErrEnded = errors.New("grant has ended")
	// ErrEarly: it was issued later than now, by more than clocks may differ.
	ErrEarly = errors.New("grant was issued in the future")
	// ErrRevoked: its session, its user or all of its directory was ended.
	ErrRevoked = errors.New("grant is revoked")
	// ErrUnknown: Recall does not remember it.
	ErrUnknown = errors.New("grant is not remembered")
)

// Skew is how much later than now a grant may have been issued: as much as certificates are
// dated back, so that a machine whose clock does for its tunnel does for users, too. After
// a revocation the control plane uses two minutes of it.
const Skew = 5 * time.Minute

// Verified is a grant whose signature was verified. Everything in it is read only: many
// requests share it.
type Verified struct {
	*mezu.Grant
	// Assertion is what a Warpgate tells its workload of the user.
	Assertion assertion.Kept

	until    time.Time // the end of the grant or of the key that signed it
	identity atomic.Pointer[[]Field]
}

// Verifier judges grants. It is safe for concurrent use.
type Verifier struct {
	anchor *trust.Anchor
	memory memory
}

// NewVerifier makes a verifier that believes what anchor believes.
func NewVerifier(anchor *trust.Anchor) *Verifier {
	return &Verifier{anchor: anchor, memory: memory{room: maxMemory, shelves: map[string]*shelf{}}}
}

// Verify judges the compact form of a grant that came with a request to an environment. The
// directory is the one that the environment names, epoch the installation's. The error wraps
// one of those above; one that is revoked is given with ErrRevoked. A signature is verified
// once; everything that changes with time is judged at each call.
func (v *Verifier) Verify(compact []byte, environment, directory string, epoch uint64, now time.Time) (*Verified, error) {
	g, err := v.Recall(compact, environment, directory, epoch, now)
	if err != ErrUnknown {
		return g, err
	}
	_, keyset := v.anchor.Keyset()
	if g, err = v.open(compact, keyset); err != nil {
		return nil, err
	}
	if err = v.judge(g, environment, directory, epoch, now); err != nil && err != ErrRevoked {
		return nil, err
	}
	// A revoked one comes again with each request of its browser, until it is refreshed.
	if _, still := v.anchor.Keyset(); still == keyset {
		g = v.memory.keep(environment, sha256.Sum256(compact), keyset, g, now)
	}
	return g, err
}

// Recall judges a grant as Verify does if that has verified it before. Else the error is
// ErrUnknown: whoever is asked by strangers can count what a signature costs.
func (v *Verifier) Recall(compact []byte, environment, directory string, epoch uint64, now time.Time) (*Verified, error) {
	if len(compact) > mezu.MaxGrantText {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrForged, len(compact))
	}
	_, keyset := v.anchor.Keyset()
	digest := sha256.Sum256(compact)
	g := v.memory.find(environment, &digest, keyset)
	if g == nil {
		return nil, ErrUnknown
	}
	switch err := v.judge(g, environment, directory, epoch, now); err {
	case nil, ErrRevoked:
		return g, err
	default:
		return nil, err
	}
}

// open verifies a grant that is not known yet.
func (v *Verifier) open(compact []byte, keyset *mezu.Keyset) (*Verified, error) {
	g, err := v.anchor.OpenGrant(compact)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	out := &Verified{Grant: g, until: g.NotAfter}
	if keyset == nil {
		return out, nil
	}
	out.until = earlier(out.until, keyset.NotAfter)
	id, _, _ := bytes.Cut(compact, []byte{'.'})
	for i := range keyset.Keys {
		if k := &keyset.Keys[i]; k.Purpose == mezu.PurposeGrant && k.ID == string(id) {
			out.until = earlier(out.until, k.NotAfter)
		}
	}
	return out, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// judge is what is asked of a grant at each request.
func (v *Verifier) judge(g *Verified, environment, directory string, epoch uint64, now time.Time) error {
	switch {
	case g.Environment != environment, g.Directory != directory:
		return ErrForeign
	case g.Epoch < epoch:
		return ErrEpoch
	case now.After(g.until):
		return ErrEnded
	case g.IssuedAt.Sub(now) > Skew, g.AuthTime.Sub(now) > Skew:
		return ErrEarly
	case v.anchor.GrantRevoked(g.Grant):
		return ErrRevoked
	}
	return nil
}
