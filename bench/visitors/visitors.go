// Package visitors times what a session adds to a request at an edge and at a Warpgate, by the
// functions that carry requests there.
//
// What lives here: signing sessions as a control plane does, and timing those functions. What
// may not: sockets. bench imports it.
package visitors

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/assertion"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/relay"
	"github.com/mezusphere/mezu/trust"
)

const keyID = "grant-1"

// Crowd is the visitors of one environment who have logged in, an edge that serves them and a
// Warpgate behind it.
type Crowd struct {
	environment, directory string

	anchor *trust.Anchor
	key    ed25519.PrivateKey
	edge   *session.Sessions
	gate   *grant.Verifier
	uses   *grant.Index
	minter *assertion.Minter
	shown  [][]byte // Cookie fields
}

// NewCrowd logs so many in. None of them has sent a request.
func NewCrowd(sessions int) (*Crowd, error) {
	now := time.Now()
	c := &Crowd{environment: mezu.NewID(mezu.PrefixEnvironment, now), directory: mezu.NewID(mezu.PrefixDirectory, now)}
	if err := c.believe(now); err != nil {
		return nil, err
	}
	c.edge = session.New(session.Config{
		Trust: func() *trust.Anchor { return c.anchor }, Client: func() *api.Client { return nil }, Epoch: func() uint64 { return 1 },
		Left: func(string) bool { return false }, Leave: func(*mezu.Grant, []byte) error { return nil }, Limits: gcra.NewTable(nil), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	c.gate, c.uses = grant.NewVerifier(c.anchor), grant.NewIndex(c.anchor.GrantRevoked)
	c.minter = assertion.NewMinter(c.key, "https://shop-acme.edge.example", c.environment)
	for range sessions {
		if err := c.LogIn(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// believe makes keys and what edge and Warpgate believe.
func (c *Crowd) believe(now time.Time) error {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	c.key = key
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, public, key)
	if err != nil {
		return err
	}
	keyset, err := mezu.Sign(mezu.PurposeKeyset, "root", key, mezu.Keyset{
		Version: 1, IssuedAt: now, NotAfter: root.NotAfter, CARoots: []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
		Keys: []mezu.PublicKey{{ID: keyID, Purpose: mezu.PurposeGrant, Key: public, NotAfter: root.NotAfter}},
	})
	if err != nil {
		return err
	}
	c.anchor = trust.New(public, time.Now)
	_, err = c.anchor.AcceptKeyset(keyset)
	return err
}

// LogIn logs one more in.
func (c *Crowd) LogIn() error {
	now := time.Now()
	raw := make([]byte, 32)
	rand.Read(raw)
	secret := base64.RawURLEncoding.EncodeToString(raw)
	signed, err := mezu.Sign(mezu.PurposeGrant, keyID, c.key, mezu.Grant{
		Session: mezu.NewID(mezu.PrefixSession, now), User: mezu.NewID(mezu.PrefixUser, now), Directory: c.directory, Environment: c.environment,
		Epoch: 1, Method: mezu.MethodPassword, Email: fmt.Sprintf("visitor%d@example.com", len(c.shown)), Name: "Ann Example", Roles: []string{"staff", "customer"},
		AuthTime: now, IssuedAt: now, FreshUntil: now.Add(6 * time.Hour), IdleUntil: now.Add(24 * time.Hour), NotAfter: now.Add(7 * 24 * time.Hour),
		SecretHash: sha256.Sum256([]byte(secret)),
	})
	if err != nil {
		return err
	}
	field := signed.AppendCompact([]byte("theme=dark; _ga=GA1.2.1234567890.1234567890; " + mezu.SessionCookie + "=" + secret + "."))
	c.shown = append(c.shown, field)
	return nil
}

// Took is how long one request took longer at each end, and what it allocated there.
type Took struct {
	Edge, Warpgate             []time.Duration
	EdgeAllocs, WarpgateAllocs float64
}

// First has each visitor send one request, the first ones if there are fewer than so many.
func (c *Crowd) First(times int) (Took, error) {
	return c.take(min(times, len(c.shown)), func(i int) int { return len(c.shown) - 1 - i })
}

// Known has visitors at random send so many, all of whom have sent one before.
func (c *Crowd) Known(times int) (Took, error) {
	return c.take(times, func(int) int { return mathrand.IntN(len(c.shown)) })
}

var errTurnedAway = errors.New("a visitor with a session is turned away")

// take times both ends, one after the other, so that each has the caches of the processor.
func (c *Crowd) take(times int, who func(i int) int) (t Took, err error) {
	fields := []relay.Field{{Name: []byte("Cookie")}}
	var v session.Visitor
	compact := make([][]byte, times)
	chosen := make([]int, times)
	for i := range chosen {
		chosen[i] = who(i)
	}
	t.Edge, t.EdgeAllocs, err = timed(times, func(i int) bool {
		v.Reset()
		fields[0].Value = c.shown[chosen[i]]
		v.Take(fields[:1])
		g, err := c.edge.Open(&v, netip.Addr{}, c.environment, c.directory)
		if g == nil || err != nil || !c.edge.Begin(&v, func() {}) {
			return false
		}
		c.edge.SetCookie(&v)
		c.edge.End(&v)
		compact[i] = v.Compact()
		return true
	})
	if err != nil {
		return t, err
	}
	var jar cookie.Jar
	use := grant.Use{Cut: func() {}}
	identity := make([]relay.Field, 0, 5)
	others := []byte("theme=dark; _ga=GA1.2.1234567890.1234567890")
	t.Warpgate, t.WarpgateAllocs, err = timed(times, func(i int) bool {
		now := time.Now()
		jar.Reset()
		jar.Take(others)
		g, err := c.gate.Verify(compact[i], c.environment, c.directory, 1, now)
		if err != nil || !c.uses.Begin(&use, g.Grant) {
			return false
		}
		identity = identity[:0]
		for _, f := range g.Identity() {
			identity = append(identity, relay.Field{Name: f.Name, Value: f.Value})
		}
		_, err = g.Assertion.Get(c.minter, g.Grant, now)
		c.uses.End(&use)
		return err == nil
	})
	return t, err
}

// timed times each of so many calls, and gives what one allocates.
func timed(times int, do func(i int) bool) (took []time.Duration, allocs float64, err error) {
	took = make([]time.Duration, times)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range times {
		begin := time.Now()
		if !do(i) {
			return nil, 0, errTurnedAway
		}
		took[i] = time.Since(begin)
	}
	runtime.ReadMemStats(&after)
	return took, float64(after.Mallocs-before.Mallocs) / float64(times), nil
}
