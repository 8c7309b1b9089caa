package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/trust"
)

// renewJitter spreads the renewals of edges that enrolled together.
const renewJitter = mezu.RenewAge / 8

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
	creds, err := api.Invoke[api.Credentials](ctx, s.client, api.OpRenewEdge, api.RenewRequest{CSR: csr, Version: i.cfg.Version})
	if err != nil {
		return fmt.Errorf("renewing: %w", err)
	}
	stored := storedIdentity{Edge: s.id, Domain: s.suffix[1:], TrustRoot: creds.TrustRoot, Certificates: creds.Certificates, Key: string(keyPEM)}
	if err := i.adopt(stored, creds.Keyset); err != nil {
		return fmt.Errorf("judging the renewed certificate: %w", err)
	}
	i.cfg.Log.Info("certificate renewed", "edge", s.id, "ends", i.self.Load().cert.Leaf.NotAfter)
	i.cfg.OnRenewed()
	return nil
}
