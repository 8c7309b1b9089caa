package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxVerified bounds the remembered chains. At less than 200 bytes each they take a few MiB,
// for more Warpgates than an edge holds.
const maxVerified = 32 << 10

// verified remembers chains that led to a root: peers come back with the same ones, and
// verifying one takes a sixth of the time of a handshake.
type verified struct {
	mu     sync.RWMutex
	chains map[[sha256.Size]byte]life // by the hash of all certificates presented
}

// life is when all certificates of a chain are valid, both ends included.
type life struct{ from, until time.Time }

func (l life) has(t time.Time) bool { return !t.Before(l.from) && !t.After(l.until) }

// verifyChain checks that the first certificate leads to a root at now.
func (a *accepted) verifyChain(chain []*x509.Certificate, now time.Time) error {
	key := chainKey(chain)
	a.verified.mu.RLock()
	known, ok := a.verified.chains[key]
	a.verified.mu.RUnlock()
	if ok && known.has(now) {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	chains, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         a.roots,
		Intermediates: between,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return explain(err, chain[0], now)
	}
	l := life{chains[0][0].NotBefore, chains[0][0].NotAfter}
	for _, c := range chains[0][1:] {
		if c.NotBefore.After(l.from) {
			l.from = c.NotBefore
		}
		if c.NotAfter.Before(l.until) {
			l.until = c.NotAfter
		}
	}
	a.verified.mu.Lock()
	defer a.verified.mu.Unlock()
	if a.verified.chains == nil || len(a.verified.chains) >= maxVerified {
		a.verified.chains = make(map[[sha256.Size]byte]life)
	}
	a.verified.chains[key] = l
	return nil
}

// chainKey is different for different chains. The DER text of a certificate says how long
// it is, so the same bytes can't be read as two chains.
func chainKey(chain []*x509.Certificate) (key [sha256.Size]byte) {
	h := sha256.New()
	for _, c := range chain {
		h.Write(c.Raw)
	}
	h.Sum(key[:0])
	return key
}

// explain says in a line for the log why a chain does not lead to a root.
func explain(err error, leaf *x509.Certificate, now time.Time) error {
	if err := atTime(leaf, now); err != nil {
		return err
	}
	var invalid x509.CertificateInvalidError
	var foreign x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if err := atTime(invalid.Cert, now); err != nil {
			return fmt.Errorf("%s has an issuer that is out of its time: %w", name(leaf), err)
		}
	case errors.As(err, &foreign):
		// Its own text may repeat a stranger's names at length.
		return fmt.Errorf("%s is not signed by this installation's certificate authority", name(leaf))
	}
	return fmt.Errorf("%s is not valid: %w", name(leaf), err)
}

// atTime is an error if a certificate isn't valid at a moment. Either the certificate or the
// clock is wrong, so it names both.
func atTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%s expired %s; this machine's clock says %s", name(c), stamp(c.NotAfter), stamp(now))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%s is not valid before %s; this machine's clock says %s, check it", name(c), stamp(c.NotBefore), stamp(now))
	}
	return nil
}
