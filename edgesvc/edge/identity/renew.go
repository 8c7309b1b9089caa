package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
	"github.com/mezusphere/mezu/trust"
)

// renewJitter spreads the renewals of edges that enrolled together.
const renewJitter = mezu.RenewAge / 8

// registerAgain is when a certificate is renewed whose edge could not tell the control plane of
// the key to which secrets are encrypted, because that is of a version before.
const registerAgain = time.Hour

// renewLook is how often it is checked whether the renewal is due, in case the clock jumps.
const renewLook = time.Minute

// expiryAlarm is how little life of the certificate must be left for the log to say so every
// hour.
const expiryAlarm = 48 * time.Hour

// Renew replaces the certificate when it is due, until ctx ends.
func (i *Identity) Renew(ctx context.Context) {
	var pace backoff.Backoff
	var alarm, trouble backoff.Hourly
	for {
		s := i.self.Load()
		now := i.now()
		if left := s.cert.Leaf.NotAfter.Sub(now); left < expiryAlarm && alarm.Due() {
			i.cfg.Log.Error("this edge's certificate ends soon and could not be renewed", "edge", s.id,
				"ends", s.cert.Leaf.NotAfter, "left", left.Round(time.Minute).String())
		}
		wait := min(s.renewAt.Sub(now), renewLook)
		if wait <= 0 {
			err := i.renewOnce(ctx, s)
			if err == nil {
				pace.Reset()
				continue
			}
			if ctx.Err() == nil && trouble.Due() {
				i.cfg.Log.Warn("renewing the certificate; trying again", "edge", s.id, "ends", s.cert.Leaf.NotAfter, "error", err)
			}
			pace.Because(err)
			wait = pace.Next()
		}
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// renewOnce gets a certificate for a new key and goes on with it.
func (i *Identity) renewOnce(ctx context.Context, s *self) error {
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	sealing, secret, err := sealingKey(s.sealing)
	if err != nil {
		return err
	}
	req := api.RenewRequest{CSR: csr, Version: i.cfg.Version, SealingKey: sealing.Public()}
	creds, err := api.Invoke[api.Credentials](ctx, s.client, api.OpRenewEdge, req)
	if knowsNoSealing(err) {
		// While control planes of two versions run, a newer one may know the key already: it stays.
		if req.SealingKey = nil; s.sealing == nil {
			secret = nil
		}
		creds, err = api.Invoke[api.Credentials](ctx, s.client, api.OpRenewEdge, req)
	}
	if err != nil {
		return fmt.Errorf("renewing: %w", err)
	}
	stored := storedIdentity{Edge: s.id, Domain: s.suffix[1:], TrustRoot: creds.TrustRoot, Certificates: creds.Certificates, Key: string(keyPEM), SealingKey: secret}
	if err := i.adopt(stored, creds.Keyset); err != nil {
		return fmt.Errorf("judging the renewed certificate: %w", err)
	}
	i.cfg.Log.Info("certificate renewed", "edge", s.id, "ends", i.self.Load().cert.Leaf.NotAfter)
	i.cfg.OnRenewed()
	return nil
}

// sealingKey is the key to which what edges alone may know is encrypted, and as it is kept: the
// one that the edge has, or a new one.
func sealingKey(have *edgepart.Key) (key *edgepart.Key, secret []byte, err error) {
	if key = have; key == nil {
		if key, err = edgepart.NewKey(); err != nil {
			return nil, nil, err
		}
	}
	secret, err = key.Bytes()
	return key, secret, err
}

// knowsNoSealing reports whether the control plane is of a version that takes no such key.
func knowsNoSealing(err error) bool {
	var e *mezu.Error
	return errors.As(err, &e) && e.Code == mezu.CodeInvalid && e.Field == "sealing_key"
}
