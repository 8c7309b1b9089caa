package replica

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/trust"
	"github.com/mezusphere/mezu/trust/ledger"
)

// callTimeout bounds a call to the control plane: less than the silence after
// which it gives an edge up, so that a report that hangs can be followed by one
// that does not.
const callTimeout = api.EdgeSilence - api.EdgeReportInterval

// renewJitter spreads the renewals of edges that enrolled together.
const renewJitter = mezu.RenewAge / 8

// renewLook is how often the clock is compared with the renewal that is due, so
// that a clock that jumps is noticed.
const renewLook = time.Minute

// expiryAlarm is how much life of the certificate may be left before each hour's
// log says so.
const expiryAlarm = 48 * time.Hour

// alarmInterval is how often a lasting trouble is logged.
const alarmInterval = time.Hour

// self is who the edge is. It is replaced as a whole.
type self struct {
	id     string
	suffix string // "." and the domain
	cert   *tls.Certificate
	key    []byte // PEM
	serial string
	// renewAt is when the renewal of cert is due.
	renewAt time.Time
	anchor  *trust.Anchor // the same for the life of the replica
	client  *api.Client   // presents cert
}

// storedIdentity is the content of identityFile: one file, so that key and
// certificate can't come apart.
type storedIdentity struct {
	Edge         string `json:"edge"`
	Domain       string `json:"domain"`
	TrustRoot    []byte `json:"trust_root"`
	Certificates string `json:"certificates"` // PEM, leaf first
	Key          string `json:"key"`          // PEM
}

// newClient makes a client of the control plane that shows a join token or a
// certificate.
func (r *Replica) newClient(token string, cert *tls.Certificate) (*api.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, Time: r.now}
	if r.cfg.CAFile != "" {
		roots, err := trust.LoadRoots(r.cfg.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	if cert != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	client, err := api.NewClient(api.ClientConfig{
		BaseURL: r.cfg.Control, TLS: config, Timeout: callTimeout, DialContext: r.cfg.Dial,
		UserAgent: "mezusphere-edge/" + r.cfg.Version,
		Token:     func() (string, error) { return token, nil },
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of the control plane: %w", err)
	}
	return client, nil
}

// loadIdentity reads who the edge is, if it has enrolled.
func (r *Replica) loadIdentity() error {
	var stored storedIdentity
	path := r.path(identityFile)
	content, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = decodeJSON(path, content, &stored)
	}
	var s *self
	if err == nil {
		s, err = r.makeSelf(stored)
	}
	if err != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Cause: err,
			Detail: fmt.Sprintf("the edge's identity in %s can't be used: %v", path, err),
			Hint:   cmp.Or(atomicfile.Remedy(err), "put the file back from a backup, or enrol anew: an empty state directory and a token of mezusphere join-token create")}
	}
	r.self.Store(s)
	return nil
}

// makeSelf checks that an identity is whole: key, certificate, id and domain
// belong together.
func (r *Replica) makeSelf(stored storedIdentity) (*self, error) {
	cert, err := trust.KeyPair([]byte(stored.Certificates), []byte(stored.Key))
	if err != nil {
		return nil, err
	}
	if len(cert.Leaf.URIs) != 1 {
		return nil, errors.New("certificate names nobody")
	}
	id, err := mezu.ParseIdentity(cert.Leaf.URIs[0])
	if err != nil {
		return nil, err
	}
	if id.Role != mezu.PeerEdge || id.ID != stored.Edge {
		return nil, fmt.Errorf("certificate is of %s, not of edge %q", id, stored.Edge)
	}
	if host, err := mezu.CanonicalHost(stored.Domain); err != nil || host != stored.Domain {
		return nil, fmt.Errorf("%q is not a domain", stored.Domain)
	}
	if len(stored.TrustRoot) != ed25519.PublicKeySize {
		return nil, errors.New("trust root is no Ed25519 key")
	}
	client, err := r.newClient("", cert)
	if err != nil {
		return nil, err
	}
	s := &self{id: id.ID, suffix: "." + stored.Domain, cert: cert, key: []byte(stored.Key), serial: trust.Serial(cert.Leaf), client: client}
	s.renewAt = renewal(cert.Leaf).Add(rand.N(renewJitter))
	if s.anchor = r.Trust(); s.anchor == nil {
		s.anchor = trust.New(stored.TrustRoot, r.now)
	} else if !bytes.Equal(s.anchor.Root(), stored.TrustRoot) {
		return nil, errors.New("control plane shows another trust root than the one pinned at enrolment")
	}
	return s, nil
}

// renewal is when a certificate is old enough: at mezu.RenewAge, or half way
// through a life that was cut short by its issuer's end.
func renewal(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(mezu.LeafBackdate + min(mezu.RenewAge, leaf.NotAfter.Sub(leaf.NotBefore)/2))
}

// ensureEnrolled returns once there is a certificate that has not ended.
func (r *Replica) ensureEnrolled(ctx context.Context) error {
	_, certErr := r.PeerCertificate()
	if certErr == nil {
		return nil
	}
	token, err := r.joinToken(certErr)
	if err != nil {
		return err
	}
	keyPEM, err := r.joinKey()
	if err != nil {
		return err
	}
	client, err := r.newClient(token, nil)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	var pace backoff.Backoff
	for {
		err := r.enrol(ctx, client, keyPEM)
		if err == nil {
			return nil
		}
		if refusal := permanent(err); refusal != nil {
			return refusal
		}
		r.log.Warn("enrolling at the control plane; trying again", "control", r.cfg.Control, "error", err)
		if err := pace.Wait(ctx); err != nil {
			return err
		}
	}
}

const joinHint = "make a token with mezusphere join-token create and give it to mezusphere edge --join-token-file"

// joinToken reads the token of the enrolment.
func (r *Replica) joinToken(why error) (string, error) {
	var token string
	var err error
	if r.cfg.JoinToken != nil {
		token, err = r.cfg.JoinToken()
	}
	if err != nil {
		return "", &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf("%v, and the join token can't be read: %v", why, err), Hint: joinHint, Cause: err}
	}
	if token == "" {
		return "", &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: why.Error() + ", and there is no join token", Hint: joinHint}
	}
	return token, nil
}

// joinKey returns the key of the enrolment: the edge's own if it had a
// certificate, so that the control plane knows it again. A new one is on disk
// before it is used, so that an enrolment cut off half way is repeated with it.
func (r *Replica) joinKey() ([]byte, error) {
	if s := r.self.Load(); s != nil {
		return s.key, nil
	}
	path := r.path(joinKeyFile)
	content, err := readKey(path)
	if atomicfile.Remedy(err) != "" {
		return nil, unusableState(r.cfg.StateDir, err)
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
	if err := atomicfile.Write(path, content, fileMode); err != nil {
		return nil, fmt.Errorf("keeping the key of the enrolment: %w", err)
	}
	return content, nil
}

// enrol makes one try.
func (r *Replica) enrol(ctx context.Context, client *api.Client, keyPEM []byte) error {
	key, err := trust.ParseKey(keyPEM)
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	var resp api.EnrolResponse
	if err := client.Do(ctx, api.Call{Operation: api.OpEnrolEdge, Body: api.EnrolRequest{CSR: csr, Name: r.cfg.Name,
		TunnelAddress: r.cfg.TunnelAddress, PublicAddress: r.cfg.PublicAddress, Version: r.cfg.Version}}, &resp); err != nil {
		return fmt.Errorf("enrolling: %w", err)
	}
	stored := storedIdentity{Edge: resp.Edge, Domain: resp.Domain, TrustRoot: resp.TrustRoot, Certificates: resp.Certificates, Key: string(keyPEM)}
	if err := r.adopt(stored, resp.Keyset); err != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: "the control plane's answer to the enrolment can't be used: " + err.Error(),
			Hint: "check that the clocks agree and that the address is the right control plane's", Cause: err}
	}
	r.remove(r.path(joinKeyFile))
	r.log.Info("enrolled", "edge", resp.Edge, "domain", resp.Domain)
	return nil
}

// adopt takes over what an enrolment or a renewal gave. The certificate must
// verify as those of peers do.
func (r *Replica) adopt(stored storedIdentity, keyset mezu.Signed) error {
	s, err := r.makeSelf(stored)
	if err != nil {
		return err
	}
	changed, err := s.anchor.AcceptKeyset(keyset)
	if err != nil {
		// An answer that was overtaken by the stream may carry an older one;
		// without any there is nothing to go on with.
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
	if r.revoked == nil {
		if _, err := r.openLog(s.anchor, ledger.Mark{}); err != nil {
			return err
		}
	}
	r.save(r.path(identityFile), content)
	if old := r.self.Swap(s); old != nil {
		old.client.CloseIdle()
	}
	if changed {
		r.saveStatement(r.path(keysetFile), keyset, r.save)
		r.tell("", keyset)
	}
	return nil
}

// permanent returns the refusal if trying again is no use, else nil.
func permanent(err error) *mezu.Error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the control plane can't be trusted: " + untrusted.Err.Error(), Cause: err,
			Hint: "give the file of the control plane's CA with --ca-file"}
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

// renew replaces the certificate when it is due, until ctx ends.
func (r *Replica) renew(ctx context.Context) {
	var pace backoff.Backoff
	var alarm, trouble hourly
	for {
		s := r.self.Load()
		now := r.now()
		if left := s.cert.Leaf.NotAfter.Sub(now); left < expiryAlarm && alarm.due() {
			r.log.Error("this edge's certificate ends soon and could not be renewed", "edge", s.id,
				"ends", s.cert.Leaf.NotAfter, "left", left.Round(time.Minute).String())
		}
		wait := min(s.renewAt.Sub(now), renewLook)
		if wait <= 0 {
			err := r.renewOnce(ctx, s)
			if err == nil {
				pace.Reset()
				continue
			}
			if ctx.Err() == nil && trouble.due() {
				r.log.Warn("renewing the certificate; trying again", "edge", s.id, "ends", s.cert.Leaf.NotAfter, "error", err)
			}
			wait = pace.Next()
		}
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// renewOnce gets a certificate for a new key and goes on with it: the stream is
// opened again under it.
func (r *Replica) renewOnce(ctx context.Context, s *self) error {
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		return err
	}
	csr, err := trust.CSR(key)
	if err != nil {
		return err
	}
	creds, err := api.Invoke[api.Credentials](ctx, s.client, api.OpRenewEdge, api.RenewRequest{CSR: csr, Version: r.cfg.Version})
	if err != nil {
		return fmt.Errorf("renewing: %w", err)
	}
	stored := storedIdentity{Edge: s.id, Domain: s.suffix[1:], TrustRoot: creds.TrustRoot, Certificates: creds.Certificates, Key: string(keyPEM)}
	if err := r.adopt(stored, creds.Keyset); err != nil {
		return fmt.Errorf("judging the renewed certificate: %w", err)
	}
	r.log.Info("certificate renewed", "edge", s.id, "ends", r.self.Load().cert.Leaf.NotAfter)
	if stop := r.stop.Load(); stop != nil {
		(*stop)(errRenewed)
	}
	return nil
}

// hourly says when a lasting trouble is worth a line again.
type hourly struct{ last time.Time }

func (h *hourly) due() bool {
	if !h.last.IsZero() && time.Since(h.last) < alarmInterval {
		return false
	}
	h.last = time.Now()
	return true
}
