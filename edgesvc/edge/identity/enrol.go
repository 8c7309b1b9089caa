package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/trust"
)

// Enrol returns once there is a certificate that has not ended. An error that is no end of
// ctx is a *mezu.Error and says that trying again is no use.
func (i *Identity) Enrol(ctx context.Context) error {
	_, certErr := i.PeerCertificate()
	if certErr == nil {
		return nil
	}
	token, err := i.joinToken(certErr)
	if err != nil {
		return err
	}
	keyPEM, err := i.joinKey()
	if err != nil {
		return err
	}
	client, err := i.newClient(token, nil)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	var pace backoff.Backoff
	for {
		err := i.enrol(ctx, client, keyPEM)
		if err == nil {
			return nil
		}
		if refusal := permanent(err); refusal != nil {
			return refusal
		}
		i.cfg.Log.Warn("enrolling at the control plane; trying again", "control", i.cfg.Control, "error", err)
		pace.Because(err)
		if err := pace.Wait(ctx); err != nil {
			return err
		}
	}
}

const joinHint = "make a token with mezusphere join-token create and give it to mezusphere edge --join-token-file"

// joinToken reads the token of the enrolment.
func (i *Identity) joinToken(why error) (string, error) {
	var token string
	var err error
	if i.cfg.JoinToken != nil {
		token, err = i.cfg.JoinToken()
	}
	if err != nil {
		return "", &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf("%v, and the join token can't be read: %v", why, err), Hint: joinHint, Cause: err}
	}
	if token == "" {
		return "", &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: why.Error() + ", and there is no join token", Hint: joinHint}
	}
	return token, nil
}

// joinKey returns the key of the enrolment. If the edge had a certificate, it is the key of
// that, by which the control plane recognizes the edge. A new key is on disk before it is
// used, so that an enrolment that was interrupted is repeated with the same key.
func (i *Identity) joinKey() ([]byte, error) {
	if s := i.self.Load(); s != nil {
		return s.key, nil
	}
	content, err := i.dir.ReadKey(joinKeyFile)
	if atomicfile.Remedy(err) != "" {
		return nil, i.dir.Unusable(err)
	}
	if err == nil {
		if _, err := trust.ParseKey(content); err == nil {
			return content, nil
		}
	}
	_, content, err = trust.NewKey()
	if err != nil {
		return nil, err
	}
	if err := i.dir.Write(joinKeyFile, content); err != nil {
		return nil, fmt.Errorf("keeping the key of the enrolment: %w", err)
	}
	return content, nil
}

// enrol tries once.
func (i *Identity) enrol(ctx context.Context, client *api.Client, keyPEM []byte) error {
	key, err := trust.ParseKey(keyPEM)
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	sealing, secret, err := sealingKey(nil)
	if err != nil {
		return err
	}
	req := api.EnrolRequest{CSR: csr, Name: i.cfg.Name, TunnelAddress: i.cfg.TunnelAddress, PublicAddress: i.cfg.PublicAddress, Version: i.cfg.Version, SealingKey: sealing.Public()}
	var resp api.EnrolResponse
	err = client.Do(ctx, api.Call{Operation: api.OpEnrolEdge, Body: req}, &resp)
	if knowsNoSealing(err) {
		req.SealingKey, secret = nil, nil
		err = client.Do(ctx, api.Call{Operation: api.OpEnrolEdge, Body: req}, &resp)
	}
	if err != nil {
		return fmt.Errorf("enrolling: %w", err)
	}
	stored := storedIdentity{Edge: resp.Edge, Domain: resp.Domain, TrustRoot: resp.TrustRoot, Certificates: resp.Certificates, Key: string(keyPEM), SealingKey: secret}
	if err := i.adopt(stored, resp.Keyset); err != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: "the control plane's answer to the enrolment can't be used: " + err.Error(),
			Hint: "check that the clocks agree and that the address is the right control plane's", Cause: err}
	}
	if err := i.dir.Remove(joinKeyFile); err != nil {
		i.cfg.Log.Error("tidying the state directory", "error", err)
	}
	i.cfg.Log.Info("enrolled", "edge", resp.Edge, "domain", resp.Domain)
	return nil
}

// adopt goes on with what an enrolment or a renewal gave, and keeps it. The certificate must
// verify as those of peers do.
func (i *Identity) adopt(stored storedIdentity, keyset mezu.Signed) error {
	s, err := i.makeSelf(stored)
	if err != nil {
		return err
	}
	changed, err := s.anchor.AcceptKeyset(keyset)
	if err != nil {
		// The stream may have brought a newer one than this answer has, which is no
		// error. Without any keyset nothing can be verified.
		if _, have := s.anchor.Keyset(); have == nil {
			return err
		}
	}
	chain := make([]*x509.Certificate, 0, len(s.cert.Certificate))
	for _, der := range s.cert.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("parsing the chain: %w", err)
		}
		chain = append(chain, c)
	}
	if _, err := s.anchor.VerifyPeer(tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: chain}, mezu.PeerEdge); err != nil {
		return err
	}
	content, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("encoding the identity: %w", err)
	}
	if err := i.cfg.OnPinned(s.anchor); err != nil {
		return err
	}
	_ = i.dir.Save(identityFile, content) // the directory says so, and tries again
	if old := i.self.Swap(s); old != nil {
		old.client.CloseIdle()
		if old.suffix != s.suffix {
			i.cfg.OnMoved()
		}
	}
	if changed {
		i.cfg.OnKeyset(keyset)
	}
	return nil
}

// Insist makes a call as this edge, again and again until the control plane has answered
// it or says that it never will.
func (i *Identity) Insist(ctx context.Context, call api.Call, out any) error {
	var pace backoff.Backoff
	for {
		err := i.Client().Do(ctx, call, out)
		if err == nil || permanent(err) != nil {
			return err
		}
		pace.Because(err)
		if pace.Wait(ctx) != nil {
			return ctx.Err()
		}
	}
}

// permanent returns the refusal if trying again is no use, and nil if it may help.
func permanent(err error) *mezu.Error {
	var untrusted *tls.CertificateVerificationError
	var unreachable *api.UnreachableError
	if errors.As(err, &untrusted) && errors.As(err, &unreachable) {
		what, hint := unreachable.Explain()
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the control plane at " + what, Hint: hint, Cause: err}
	}
	var refusal *mezu.Error
	if !errors.As(err, &refusal) {
		return nil
	}
	switch refusal.Code {
	case mezu.CodeUnavailable, mezu.CodeRateLimited:
		return nil
	case mezu.CodeInternal:
		var answered *api.ResponseError
		if errors.As(refusal.Cause, &answered) {
			return nil
		}
	case mezu.CodeUnauthenticated, mezu.CodeForbidden:
		if refusal.Hint == "" {
			with := *refusal
			with.Hint = "a join token works once and for 10 minutes; " + joinHint
			return &with
		}
	}
	return refusal
}
