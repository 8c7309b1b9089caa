package service

import (
	"context"
	"crypto/tls"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/trust"
)

// identifyPeer is for client certificates. One counts only where no bearer came.
func (s *Fleet) identifyPeer(ctx context.Context, p Presented) (Caller, bool, error) {
	if p.Bearer != "" || p.TLS == nil || len(p.TLS.PeerCertificates) == 0 {
		return Caller{}, false, nil
	}
	c, err := s.certified(ctx, p.TLS)
	return c, true, err
}

// certified checks a client certificate: chain, role, time, and that the registry
// still knows it.
func (s *Fleet) certified(ctx context.Context, cs *tls.ConnectionState) (Caller, error) {
	const again = "register or enrol again"
	leaf := cs.PeerCertificates[0]
	if len(leaf.URIs) != 1 {
		return Caller{}, unauthenticated("the client certificate is not one of this installation", again)
	}
	claimed, err := mezu.ParseIdentity(leaf.URIs[0])
	if err != nil {
		return Caller{}, unauthenticated("the client certificate names no peer of this installation", again)
	}
	id, err := s.records.anchor.VerifyPeer(*cs, claimed.Role)
	if err != nil {
		return Caller{}, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the client certificate does not verify: it expired, was revoked, or is another installation's", Hint: again, Cause: err}
	}
	c := Caller{ID: id.ID, Organization: id.Organization, Project: id.Project, Environment: id.Environment, credential: trust.Serial(leaf), serial: trust.Serial(leaf), ExpiresAt: leaf.NotAfter}
	var live []certificate
	switch id.Role {
	case mezu.PeerWarpgate:
		c.Kind = Warpgate
		err := s.tolerant(ctx, func(s *Fleet) error {
			// A deleted environment's Warpgates may be there a while longer.
			env, err := optional[string](ctx, s.records, keyID(id.Environment))
			if err != nil || env.Revision == 0 {
				return err
			}
			rec, err := optional[warpgate](ctx, s.records, warpgatesOf(id.Environment)+id.ID)
			live = rec.Value.Certificates
			return err
		})
		if err != nil {
			return Caller{}, err
		}
	case mezu.PeerEdge:
		c.Kind = Edge
		err := s.tolerant(ctx, func(s *Fleet) error {
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
