package service

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/trust"
)

// CallerKind is what a caller proved to be.
type CallerKind string

// Kinds of callers.
const (
	Anonymous      CallerKind = "anonymous"
	Member         CallerKind = "member" // a person, perhaps an operator too
	ServiceAccount CallerKind = "service_account"
	Joiner         CallerKind = "join_token"
	Enrolment      CallerKind = "enrolment_token"
	Warpgate       CallerKind = "warpgate"
	Edge           CallerKind = "edge"
	// process is the control plane's own; no credential makes it.
	process CallerKind = "process"
)

// Caller is who calls, proved. The zero value is anonymous.
type Caller struct {
	Kind CallerKind
	ID   string
	// Operator marks a person who runs the installation.
	Operator bool
	// Organization, Project and Environment are ids that the credential is
	// bound to.
	Organization, Project, Environment string
	// Permissions are all verbs of a service account, and bounds on a
	// person's, of whom nil asks nothing less than his roles give.
	Permissions []mezu.Permission
	ExpiresAt   time.Time
	// Address is where the call comes from.
	Address string
	// RequestID is that of the call.
	RequestID string

	// credential tells what the caller proved himself by from others of his; it is
	// no secret.
	credential string
	presented  Presented          // what Authenticate judged, for streams that outlive the call
	token      found[tokenRecord] // of single-use tokens
	serial     string             // of certificates
	why        error              // of the anonymous: what was wrong with the credential
}

// Presented is what came with a call.
type Presented struct {
	// Bearer is the token of the Authorization header, or empty.
	Bearer string
	// TLS is the connection; its client certificate counts only when there is
	// no bearer.
	TLS       *tls.ConnectionState
	Address   string
	RequestID string
}

// holds reports whether a person's token lets him use a verb that he has.
func (c Caller) holds(p mezu.Permission) bool {
	return c.Permissions == nil || slices.Contains(c.Permissions, p)
}

// key is what the calls of one caller are told by from others'; empty of the control
// plane's own.
func (c Caller) key() string {
	if c.ID == "" {
		return c.Address
	}
	return string(c.Kind) + " " + c.ID
}

func (c Caller) noun() string {
	switch c.Kind {
	case Member:
		return "token"
	case ServiceAccount:
		return "service account"
	case Joiner:
		return "join token"
	case Enrolment:
		return "enrolment token"
	}
	return "certificate"
}

// refusal is the answer to a caller without a credential that counts.
func (c Caller) refusal() error {
	if c.why != nil {
		return c.why
	}
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "a token or a key is needed", Hint: "set MEZU_TOKEN, or run `mezu dev`, whose profile has one"}
}

// Authenticate finds out who calls. A credential that opens nothing makes an
// anonymous caller who is told why at the first thing that he may not do.
func (s *Service) Authenticate(ctx context.Context, p Presented) (Caller, error) {
	c, err := s.identify(ctx, p)
	if err != nil && mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		c, err = Caller{Kind: Anonymous, why: err}, nil
	}
	c.Address, c.RequestID, c.presented = p.Address, p.RequestID, p
	return c, err
}

func (s *Service) identify(ctx context.Context, p Presented) (Caller, error) {
	switch {
	case p.Bearer == "" && (p.TLS == nil || len(p.TLS.PeerCertificates) == 0):
		return Caller{Kind: Anonymous}, nil
	case p.Bearer == "":
		return s.certified(ctx, p.TLS)
	// A key may begin like a token, but no token has a key's length.
	case strings.HasPrefix(p.Bearer, "mezu") && len(p.Bearer) != mezu.KeyLength:
		return s.bearer(ctx, p.Bearer)
	}
	return s.keyholder(ctx, p.Bearer)
}

func unauthenticated(detail, hint string) error {
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: detail, Hint: hint}
}

// unknownKey is the answer to a service account key that opens nothing.
func unknownKey() error {
	return unauthenticated("this service account key opens nothing here: it was revoked, or belongs to another installation", "check --api and the key; a new key comes with `mezu service-accounts rotate`")
}

// orUnknownKey is what a failed read of something that a service account hangs on
// means to the holder of its key.
func orUnknownKey(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return unknownKey()
	}
	return err
}

// keyholder looks a service account key up by its hash.
func (s *Service) keyholder(ctx context.Context, key string) (Caller, error) {
	if err := mezu.ValidateKey(key); err != nil {
		return Caller{}, err
	}
	target, err := get[string](ctx, s, keyKey(mezu.HashSecret(key)))
	if err != nil {
		return Caller{}, orUnknownKey(err)
	}
	acc, err := get[account](ctx, s, target.Value)
	if err != nil {
		return Caller{}, orUnknownKey(err)
	}
	if !acc.Value.opensBy(mezu.HashSecret(key), s.now()) {
		return Caller{}, unknownKey()
	}
	// A deleted project's accounts may be there a while longer.
	if _, err := get[string](ctx, s, keyID(acc.Value.Project)); err != nil {
		return Caller{}, orUnknownKey(err)
	}
	s.noteUse(ctx, acc)
	return Caller{Kind: ServiceAccount, ID: acc.Value.Account.ID, credential: mezu.HashSecret(key), Organization: acc.Value.Organization, Project: acc.Value.Project,
		Permissions: slices.Clone(acc.Value.Account.Permissions)}, nil
}

// certified checks a client certificate: chain, role, time, and that the registry
// still knows it.
func (s *Service) certified(ctx context.Context, cs *tls.ConnectionState) (Caller, error) {
	const again = "register or enrol again"
	leaf := cs.PeerCertificates[0]
	if len(leaf.URIs) != 1 {
		return Caller{}, unauthenticated("the client certificate is not one of this installation", again)
	}
	claimed, err := mezu.ParseIdentity(leaf.URIs[0])
	if err != nil {
		return Caller{}, unauthenticated("the client certificate names no peer of this installation", again)
	}
	id, err := s.anchor.VerifyPeer(*cs, claimed.Role)
	if err != nil {
		return Caller{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the client certificate does not verify: it expired, was revoked, or is another installation's", Hint: again, Cause: err}
	}
	c := Caller{ID: id.ID, Organization: id.Organization, Project: id.Project, Environment: id.Environment, credential: trust.Serial(leaf), serial: trust.Serial(leaf), ExpiresAt: leaf.NotAfter}
	var live []certificate
	switch id.Role {
	case mezu.PeerWarpgate:
		c.Kind = Warpgate
		err := s.tolerant(ctx, func(s *Service) error {
			// A deleted environment's Warpgates may be there a while longer.
			env, err := optional[string](ctx, s, keyID(id.Environment))
			if err != nil || env.Revision == 0 {
				return err
			}
			rec, err := optional[warpgate](ctx, s, warpgatesOf(id.Environment)+id.ID)
			live = rec.Value.Certificates
			return err
		})
		if err != nil {
			return Caller{}, err
		}
	case mezu.PeerEdge:
		c.Kind = Edge
		err := s.tolerant(ctx, func(s *Service) error {
			rec, err := s.edgeByID(ctx, id.ID)
			live = rec.Value.Certificates
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return Caller{}, err
		}
	default:
		return Caller{}, unauthenticated("a certificate of this role opens nothing here", again)
	}
	if !alive(live, c.serial) {
		return Caller{}, unauthenticated("the certificate was revoked", again)
	}
	return c, nil
}

// Self tells the caller who it is.
func (s *Service) Self(ctx context.Context, c Caller) (api.Self, error) {
	if _, err := admit(api.OpSelf, c); err != nil {
		return api.Self{}, err
	}
	self := api.Self{Kind: string(c.Kind), ID: c.ID, Organization: c.Organization, Project: c.Project, Operator: c.Operator, Permissions: c.Permissions, ExpiresAt: c.ExpiresAt}
	if c.Operator {
		self.Kind = "operator"
	}
	return self, nil
}
