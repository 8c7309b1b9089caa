// Package enrol is the Warpgate's conversation with the control plane: it
// registers by key or enrolment token, and renews by the certificate in use.
//
// What lives here: its calls, and which refusals are final. What may not:
// files, retries, and the check of what an answer says, which is package state's. Only
// package warpgate imports it.
package enrol

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// Config says which control plane, and as whom.
type Config struct {
	API string
	// CAFile holds the CA of a private control plane in PEM; if empty, the
	// system's roots.
	CAFile string
	// Token gives the service account key or enrolment token. It is called for each
	// registration, because a key may be rotated. If nil, there is none.
	Token func() (string, error)
	// Certificate is shown at renewal.
	Certificate trust.Certificate
	// Environment by name; if empty, the service account's.
	Environment string
	Version     string
	// Name is that of this machine, for people; empty if it has none.
	Name string
	Now  func() time.Time
	// Ends is told when the key that a registration came with ends, if it was replaced; if
	// nil, nobody is.
	Ends func(time.Time)
}

// Client calls the control plane. It is safe for concurrent use.
type Client struct {
	cfg     Config
	byToken *api.Client
	byPeer  *api.Client
}

// New reads the CA file and makes a client; it opens no connection. A CA file that is
// missing, empty or holds anything else is an error: the system's roots are not
// used instead.
func New(cfg Config) (*Client, error) {
	var roots *x509.CertPool
	if cfg.CAFile != "" {
		var err error
		if roots, err = trust.LoadRoots(cfg.CAFile); err != nil {
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "ca-file", Detail: err.Error(), Hint: "name a PEM file with the CA of the control plane", Cause: err}
		}
	}
	c := &Client{cfg: cfg}
	agent := "warpgate/" + cfg.Version
	base := &tls.Config{RootCAs: roots, Time: cfg.Now}
	withPeer := base.Clone()
	withPeer.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cfg.Certificate() }
	var err error
	if c.byToken, err = api.NewClient(api.ClientConfig{BaseURL: cfg.API, Ends: cfg.Ends, Token: c.Token, TLS: base, UserAgent: agent}); err != nil {
		return nil, err
	}
	if c.byPeer, err = api.NewClient(api.ClientConfig{BaseURL: cfg.API, TLS: withPeer, UserAgent: agent}); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() {
	c.byToken.CloseIdle()
	c.byPeer.CloseIdle()
}

// Token is the key or enrolment token as configured. Its form is checked, so that a
// truncated key is found without a call; such an error is mezu.CodeUnauthenticated.
func (c *Client) Token() (string, error) {
	missing := &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "there is no key to register with",
		Hint: "give a service account key with --token-file, or MEZU_TOKEN"}
	if c.cfg.Token == nil {
		return "", missing
	}
	token, err := c.cfg.Token()
	if err != nil {
		return "", fmt.Errorf("reading the key: %w", err)
	}
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return "", missing
	case strings.HasPrefix(token, mezu.TokenEnrolment):
		return token, nil
	}
	return token, mezu.ValidateKey(token)
}

// KeyHash is mezu.HashSecret of the service account key. It is empty for an enrolment
// token, and if there is no key or it can't be read.
func (c *Client) KeyHash() string {
	token, err := c.Token()
	if err != nil || strings.HasPrefix(token, mezu.TokenEnrolment) {
		return ""
	}
	return mezu.HashSecret(token)
}

// EnrolmentHash is mezu.HashSecret of the enrolment token. It is empty if there is none.
func (c *Client) EnrolmentHash() string {
	token, err := c.Token()
	if err != nil || !strings.HasPrefix(token, mezu.TokenEnrolment) {
		return ""
	}
	return mezu.HashSecret(token)
}

// With is a client with another key or token.
func (c *Client) With(token string) (*Client, error) {
	cfg := c.cfg
	cfg.Token = func() (string, error) { return token, nil }
	return New(cfg)
}

// Register asks once for a certificate for key. warpgate is the id of an earlier
// registration with the same key, or empty. If the control plane doesn't know the id any
// more (it was restored from an older backup, or the service account is another
// project's), a second call leaves it out.
func (c *Client) Register(ctx context.Context, key crypto.Signer, warpgate string) (*api.RegisterResponse, error) {
	csr, err := trust.CSR(key)
	if err != nil {
		return nil, err
	}
	req := api.RegisterRequest{CSR: csr, Environment: c.cfg.Environment, Warpgate: warpgate, Version: c.cfg.Version, Name: c.cfg.Name}
	if req.AssertionKey, req.AssertionProof, err = proven(key); err != nil {
		return nil, err
	}
	resp, err := api.Invoke[api.RegisterResponse](ctx, c.byToken, api.OpRegisterWarpgate, req)
	if knowsNo(err, "name") {
		req.Name = ""
		resp, err = api.Invoke[api.RegisterResponse](ctx, c.byToken, api.OpRegisterWarpgate, req)
	}
	if knowsNo(err, "assertion_") {
		req.AssertionKey, req.AssertionProof = nil, nil
		resp, err = api.Invoke[api.RegisterResponse](ctx, c.byToken, api.OpRegisterWarpgate, req)
	}
	if warpgate != "" && mezu.CodeOf(err) == mezu.CodeNotFound {
		req.Warpgate = ""
		resp, err = api.Invoke[api.RegisterResponse](ctx, c.byToken, api.OpRegisterWarpgate, req)
	}
	if err != nil {
		return nil, fmt.Errorf("registering: %w", err)
	}
	return &resp, nil
}

// Renew asks once for a new certificate by the one in use.
func (c *Client) Renew(ctx context.Context, key crypto.Signer) (*api.RegisterResponse, error) {
	csr, err := trust.CSR(key)
	if err != nil {
		return nil, err
	}
	// An idle connection still has the certificate that it was made with.
	c.byPeer.CloseIdle()
	req := api.RenewRequest{CSR: csr, Version: c.cfg.Version}
	if req.AssertionKey, req.AssertionProof, err = proven(key); err != nil {
		return nil, err
	}
	resp, err := api.Invoke[api.RegisterResponse](ctx, c.byPeer, api.OpRenewWarpgate, req)
	if knowsNo(err, "assertion_") {
		req.AssertionKey, req.AssertionProof = nil, nil
		resp, err = api.Invoke[api.RegisterResponse](ctx, c.byPeer, api.OpRenewWarpgate, req)
	}
	if err != nil {
		return nil, fmt.Errorf("renewing the certificate: %w", err)
	}
	return &resp, nil
}

// SayTargets tells the control plane where requests are sent. One of a version before knows no such
// call: known is false then.
func (c *Client) SayTargets(ctx context.Context, t mezu.WarpgateTargets) (known bool, err error) {
	err = c.byPeer.Do(ctx, api.Call{Operation: api.OpWarpgateTargets, Body: api.WarpgateTargetsRequest{WarpgateTargets: t, Version: c.cfg.Version}}, nil)
	c.byPeer.CloseIdle() // the next call is a day away
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return false, nil
	}
	return true, err
}

// proven is the key for assertions that belongs to the certificate's, with the proof of that.
func proven(key crypto.Signer) (ed25519.PublicKey, []byte, error) {
	signer, err := trust.AssertionKey(key)
	if err != nil {
		return nil, nil, err
	}
	certified, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return signer.Public().(ed25519.PublicKey), mezu.ProveAssertionKey(signer, certified), nil
}

// knowsNo reports whether the control plane is of a version that does not know fields with such
// names: that of the Warpgate, or the key for its assertions. It takes no field that it does
// not know.
func knowsNo(err error, prefix string) bool {
	var e *mezu.Error
	return errors.As(err, &e) && e.Code == mezu.CodeInvalid && strings.HasPrefix(e.Field, prefix)
}

// Permanent reports whether it is no use to ask again with the same key: the control
// plane, or a check of the input, refused it. Everything else, from a missing name server
// to an overloaded control plane, passes.
func Permanent(err error) bool {
	switch mezu.CodeOf(err) {
	case mezu.CodeUnauthenticated, mezu.CodeForbidden, mezu.CodeNotFound, mezu.CodeInvalid, mezu.CodeConflict:
		return true
	}
	return false
}

// Refused reports whether the control plane turned our certificate down in the
// TLS handshake.
func Refused(err error) bool {
	var alert tls.AlertError
	return errors.As(err, &alert)
}
