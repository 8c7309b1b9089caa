package fleet

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/trust"
)

// IdentifyPeer identifies the caller by a client certificate. That counts only if there is no
// bearer token.
func (s *Fleet) IdentifyPeer(ctx context.Context, p access.Presented) (access.Caller, bool, error) {
	if p.Bearer != "" || p.TLS == nil || len(p.TLS.PeerCertificates) == 0 {
		return access.Caller{}, false, nil
	}
	c, err := s.certified(ctx, p.TLS)
	return c, true, err
}

// certified checks a client certificate: chain, role, time, and that the record of its holder
// still has it.
func (s *Fleet) certified(ctx context.Context, cs *tls.ConnectionState) (access.Caller, error) {
	const again = "register or enrol again"
	leaf := cs.PeerCertificates[0]
	if len(leaf.URIs) != 1 {
		return access.Caller{}, access.Unauthenticated("the client certificate is not one of this installation", again)
	}
	claimed, err := mezu.ParseIdentity(leaf.URIs[0])
	if err != nil {
		return access.Caller{}, access.Unauthenticated("the client certificate names no peer of this installation", again)
	}
	id, err := s.Anchor.VerifyPeer(*cs, claimed.Role)
	if err != nil {
		return access.Caller{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the client certificate does not verify: it expired, was revoked, or is another installation's", Hint: again, Cause: err}
	}
	c := access.Caller{ID: id.ID, Organization: id.Organization, Project: id.Project, Environment: id.Environment, Credential: trust.Serial(leaf), Serial: trust.Serial(leaf), ExpiresAt: leaf.NotAfter}
	var live []Certificate
	switch id.Role {
	case mezu.PeerWarpgate:
		c.Kind = access.Warpgate
		err := s.tolerant(ctx, func(s *Fleet) error {
			// Records of a deleted environment's Warpgates may remain a while.
			env, err := record.Optional[string](ctx, s.records, record.KeyID(id.Environment))
			if err != nil || env.Revision == 0 {
				return err
			}
			rec, err := record.Optional[Warpgate](ctx, s.records, WarpgatesOf(id.Environment)+id.ID)
			live = rec.Value.Certificates
			return err
		})
		if err != nil {
			return access.Caller{}, err
		}
	case mezu.PeerEdge:
		c.Kind = access.Edge
		err := s.tolerant(ctx, func(s *Fleet) error {
			rec, err := s.edgeByID(ctx, id.ID)
			live = rec.Value.Certificates
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return access.Caller{}, err
		}
	default:
		return access.Caller{}, access.Unauthenticated("a certificate of this role opens nothing here", again)
	}
	if !alive(live, c.Serial) {
		return access.Caller{}, access.Unauthenticated("the certificate was revoked", again)
	}
	return c, nil
}
