package service

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// edge is an edge as it is kept.
type edge struct {
	mezu.Edge
	KeySHA256    string        `json:"key_sha256"`
	Certificates []certificate `json:"certificates"`
}

func (s *Fleet) edgeByID(ctx context.Context, id string) (found[edge], error) {
	return byID[edge](ctx, s.records, id)
}

// ownEdge is the edge that calls, if it was not removed meanwhile.
func (s *Fleet) ownEdge(ctx context.Context, c Caller) (found[edge], error) {
	rec, err := s.edgeByID(ctx, c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !alive(rec.Value.Certificates, c.serial) {
		err = unauthenticated("the certificate was revoked", "enrol again with a join token")
	}
	return rec, err
}

// ListEdges lists all edges.
func (s *Fleet) ListEdges(ctx context.Context, c Caller, page Paging) (api.List[mezu.Edge], error) {
	if _, err := admit(api.OpListEdges, c); err != nil {
		return api.List[mezu.Edge]{}, err
	}
	return list(ctx, s.records, prefixEdge, page, func(f found[edge]) (mezu.Edge, error) { return f.Value.Edge, nil })
}

// LocalJoinToken lets an edge enrol that runs in the process of this control
// plane; no operation reaches it.
func (s *Fleet) LocalJoinToken(ctx context.Context) (string, error) {
	var secret string
	_, err := s.records.commit(ctx, byProcess(startJoinToken), func(ch *change) error {
		var token tokenRecord
		secret, token = s.access.issue(ch, tokenRecord{Kind: mezu.TokenJoin}, mezu.JoinTokenLife)
		ch.audit(about(kindJoinToken, token.ID, ""), nil, token.audited())
		return nil
	})
	return secret, err
}

// CreateJoinToken lets one edge enrol.
func (s *Fleet) CreateJoinToken(ctx context.Context, c Caller, o Once) (api.JoinTokenResponse, error) {
	var out api.JoinTokenResponse
	if _, err := admit(api.OpCreateJoinToken, c); err != nil {
		return out, err
	}
	_, err := s.records.commit(ctx, by(c, api.OpCreateJoinToken.ID), func(ch *change) error {
		op, err := s.access.standOperator(ctx, ch, c, api.OpCreateJoinToken)
		if err != nil {
			return err
		}
		out, err = once(ctx, s.records, ch, by(c, api.OpCreateJoinToken.ID), o, true, func() (api.JoinTokenResponse, error) {
			secret, token := s.access.issue(ch, tokenRecord{Kind: mezu.TokenJoin, CreatedBy: c.ID, Standing: appointment(op.Value)}, mezu.JoinTokenLife)
			ch.audit(about(kindJoinToken, token.ID, ""), nil, token.audited())
			return api.JoinTokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
		})
		return err
	})
	return out, err
}

// EnrolEdge spends a join token on a new edge. An edge that lost its certificate
// but not its key enrols again under its name.
func (s *Fleet) EnrolEdge(ctx context.Context, c Caller, in api.EnrolRequest) (api.EnrolResponse, error) {
	out := api.EnrolResponse{Domain: s.domain}
	if _, err := admit(api.OpEnrolEdge, c); err != nil {
		return out, err
	}
	self := mezu.Edge{Name: in.Name, TunnelAddress: in.TunnelAddress, PublicAddress: in.PublicAddress, Version: in.Version}
	if err := errors.Join(self.Validate(), validateVersion(in.Version)); err != nil {
		return out, err
	}
	hash := keyHash(in.CSR)
	_, err := s.records.publish(ctx, by(c, api.OpEnrolEdge.ID), func(ch *change) error {
		if _, err := get[tokenRecord](ctx, s.records, c.token.Key); errors.Is(err, store.ErrNotFound) {
			return unauthenticated("this join token was used", "make another with `mezusphere join-token create`")
		}
		ch.remove(c.token.Key, c.token.Revision)
		if err := s.vouchedEdge(ctx, ch, c); err != nil {
			return err
		}
		rec, err := optional[edge](ctx, s.records, keyEdge(in.Name))
		if err != nil {
			return err
		}
		switch {
		case rec.Revision == 0:
			self.Meta = s.records.meta(mezu.PrefixEdge)
			ch.create(keyID(self.ID), rec.Key)
		case rec.Value.KeySHA256 != hash:
			return &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is an edge named " + in.Name + " with another key already", Hint: "give this edge another --name, or remove that one first"}
		default:
			self.Meta = s.records.touch(rec.Value.Meta, rec.Revision)
		}
		var was any
		if rec.Revision != 0 {
			was = rec.Value.Edge
		}
		rec.Value.Edge, rec.Value.KeySHA256 = self, hash
		out.Edge = self.ID
		if out.Credentials, err = s.certifyEdge(ch, &rec, was, in.CSR, ""); err != nil {
			return err
		}
		return s.stateEdges(ctx, ch, &self, "")
	})
	return out, err
}

// appointment tells one time of being operator from a later one of the same person.
func appointment(o mezu.Operator) string { return o.CreatedAt.Format(time.RFC3339Nano) }

// vouchedEdge makes an enrolment depend on whoever made the join token: who is no
// operator any more, or was none at any time since, lets no edge in. The process's own token is nobody's.
func (s *Fleet) vouchedEdge(ctx context.Context, ch *change, c Caller) error {
	by := c.token.Value.CreatedBy
	if by == "" {
		return nil
	}
	op, err := optional[mezu.Operator](ctx, s.records, keyOperator(by))
	then := c.token.Value.Standing
	if err == nil && (op.Revision == 0 || then != "" && then != appointment(op.Value)) {
		err = unauthenticated("whoever made this join token is no operator any more", "make another with `mezusphere join-token create`")
	}
	ch.require(op.Key, op.Revision)
	return err
}

// certifyEdge issues a certificate and writes the record that knows it. was is the
// edge before, by the serial number of the certificate that is renewed.
func (s *Fleet) certifyEdge(ch *change, rec *found[edge], was any, csr, by string) (api.Credentials, error) {
	e := &rec.Value
	issued, err := s.records.authority.IssuePeer(csr, mezu.Identity{Role: mezu.PeerEdge, ID: e.ID})
	if err != nil {
		return api.Credentials{}, err
	}
	var over []certificate
	e.Certificates, over = renewed(e.Certificates, s.issued(e.Certificates, issued, by), s.records.now())
	s.revoke(ch, "", over)
	e.Serial = issued.Serial
	ch.update(rec.Key, rec.Revision, *e)
	ch.audit(about(kindEdge, e.ID, e.Name), was, e.Edge)
	return s.credentials(issued.Chain), nil
}

// RenewEdge gives the holder of a live certificate another one.
func (s *Fleet) RenewEdge(ctx context.Context, c Caller, in api.RenewRequest) (api.EnrolResponse, error) {
	out := api.EnrolResponse{Domain: s.domain, Edge: c.ID}
	if _, err := admit(api.OpRenewEdge, c); err != nil {
		return out, err
	}
	if err := validateVersion(in.Version); err != nil {
		return out, err
	}
	_, err := s.records.publish(ctx, by(c, api.OpRenewEdge.ID), func(ch *change) error {
		rec, err := s.ownEdge(ctx, c)
		if err != nil {
			return err
		}
		was := rec.Value.Edge
		rec.Value.Meta = s.records.touch(rec.Value.Meta, rec.Revision)
		rec.Value.KeySHA256 = keyHash(in.CSR)
		if in.Version != "" {
			rec.Value.Version = in.Version
		}
		out.Credentials, err = s.certifyEdge(ch, &rec, was, in.CSR, c.serial)
		return err
	})
	return out, err
}

// DeleteEdge takes an edge off the list and revokes its certificates.
func (s *Fleet) DeleteEdge(ctx context.Context, c Caller, p Place, ifMatch uint64) error {
	if _, err := admit(api.OpDeleteEdge, c); err != nil {
		return err
	}
	var owed task
	_, err := s.records.publish(ctx, by(c, api.OpDeleteEdge.ID), func(ch *change) error {
		f, err := child[edge](ctx, s.records, prefixEdge, p.Item, "edge", "")
		if err != nil {
			return err
		}
		if err := matches(ifMatch, f.Revision); err != nil {
			return err
		}
		owed, err = s.removeEdge(ctx, ch, f)
		return err
	})
	if err != nil {
		return err
	}
	return s.records.settle(ctx, owed)
}

// removeEdge plans the removal of an edge, and gives what is owed after it.
func (s *Fleet) removeEdge(ctx context.Context, ch *change, f found[edge]) (owed task, err error) {
	owed = task{Kind: taskEdge, ID: f.Value.ID}
	ch.remove(f.Key, f.Revision)
	ch.drop(keyID(f.Value.ID))
	ch.drop(keyLive(f.Value.ID))
	ch.enqueue(owed)
	ch.audit(about(kindEdge, f.Value.ID, f.Value.Name), f.Value.Edge, nil)
	s.revoke(ch, "", f.Value.Certificates)
	return owed, s.stateEdges(ctx, ch, nil, f.Value.Name)
}

// noteDraining puts a Warpgate on the list of its environment, or takes it off.
func (s *Fleet) noteDraining(ctx context.Context, ch *change, environment, id string, on bool) ([]string, error) {
	list, err := optional[[]string](ctx, s.records, keyDraining(environment))
	if err != nil {
		return nil, err
	}
	now := slices.DeleteFunc(slices.Clone(list.Value), func(other string) bool { return other == id })
	if on {
		now = append(now, id)
	}
	if len(now) > mezu.MaxDraining {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: strconv.Itoa(mezu.MaxDraining) + " Warpgates of this environment are draining already", Hint: "remove those that are gone, or disable the environment"}
	}
	slices.Sort(now)
	switch {
	case len(now) > 0:
		ch.update(list.Key, list.Revision, now)
	case list.Revision != 0:
		ch.remove(list.Key, list.Revision)
	}
	return now, nil
}
