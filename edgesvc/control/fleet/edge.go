package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// edge is an edge as it is stored.
type edge struct {
	mezu.Edge
	KeySHA256    string        `json:"key_sha256"`
	Certificates []Certificate `json:"certificates"`
	// OfProcess says that it enrolled in the process of a control plane, which builds before
	// did not note.
	OfProcess bool `json:"of_process,omitempty"`
}

func (s *Fleet) edgeByID(ctx context.Context, id string) (record.Record[edge], error) {
	return record.ByID[edge](ctx, s.records, id)
}

// ownEdge is the edge that calls, if it has not been removed meanwhile.
func (s *Fleet) ownEdge(ctx context.Context, c access.Caller) (record.Record[edge], error) {
	rec, err := s.edgeByID(ctx, c.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && !alive(rec.Value.Certificates, c.Serial) {
		err = access.Unauthenticated("the certificate was revoked", "enrol again with a join token")
	}
	return rec, err
}

// ListEdges lists all edges.
func (s *Fleet) ListEdges(ctx context.Context, c access.Caller, page record.Paging) (api.List[mezu.Edge], error) {
	if _, err := access.Admit(api.OpListEdges, c); err != nil {
		return api.List[mezu.Edge]{}, err
	}
	return record.List(ctx, s.records, prefixEdge, page, func(f record.Record[edge]) (mezu.Edge, error) { return s.shownEdge(ctx, f.Value.Edge) })
}

// GetEdge reads one.
func (s *Fleet) GetEdge(ctx context.Context, c access.Caller, p access.Path) (mezu.Edge, error) {
	if _, err := access.Admit(api.OpGetEdge, c); err != nil {
		return mezu.Edge{}, err
	}
	f, err := s.findEdge(ctx, p.Item)
	if err != nil {
		return mezu.Edge{}, err
	}
	return s.shownEdge(ctx, f.Value.Edge)
}

// findEdge finds one by name or id.
func (s *Fleet) findEdge(ctx context.Context, ref string) (record.Record[edge], error) {
	return record.Child[edge](ctx, s.records, prefixEdge, ref, "edge", "")
}

// shownEdge adds what the edge reports.
func (s *Fleet) shownEdge(ctx context.Context, e mezu.Edge) (mezu.Edge, error) {
	live, err := record.Optional[liveEdge](ctx, s.records, keyLive(e.ID))
	if err != nil {
		return e, err
	}
	if live.Revision != 0 {
		e.Status, e.LastSeenAt = mezu.EdgeUp, s.records.Stamp()
		if live.Value.Version != "" {
			e.Version = live.Value.Version
		}
		return e, nil
	}
	silent, err := record.Optional[time.Time](ctx, s.records, keySilent(e.ID))
	e.Status, e.LastSeenAt = mezu.EdgeDown, silent.Value
	return e, err
}

// LocalJoinToken makes a token for an edge that runs in the process of this control plane. No
// operation of the API reaches it.
func (s *Fleet) LocalJoinToken(ctx context.Context) (string, error) {
	var secret string
	_, err := s.records.Commit(ctx, access.ByProcess(access.StartJoinToken), func(ch *record.Change) error {
		var token access.Token
		secret, token = s.access.Issue(ch, access.Token{Kind: mezu.TokenJoin}, mezu.JoinTokenLife)
		ch.Audit(record.About(record.KindJoinToken, token.ID, ""), nil, token.Audited())
		return nil
	})
	return secret, err
}

// CreateJoinToken lets one edge enrol.
func (s *Fleet) CreateJoinToken(ctx context.Context, c access.Caller, o record.Idempotency) (api.JoinTokenResponse, error) {
	var out api.JoinTokenResponse
	if _, err := access.Admit(api.OpCreateJoinToken, c); err != nil {
		return out, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateJoinToken.ID), func(ch *record.Change) error {
		op, err := s.access.RequireOperator(ctx, ch, c, api.OpCreateJoinToken)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.JoinTokenResponse, error) {
			secret, token := s.access.Issue(ch, access.Token{Kind: mezu.TokenJoin, CreatedBy: c.ID, Standing: appointment(op.Value)}, mezu.JoinTokenLife)
			ch.Audit(record.About(record.KindJoinToken, token.ID, ""), nil, token.Audited())
			return api.JoinTokenResponse{Token: secret, ExpiresAt: token.ExpiresAt}, nil
		})
		return err
	})
	return out, err
}

// EnrolEdge spends a join token on a new edge. An edge that lost its certificate
// but not its key enrols again under its name.
func (s *Fleet) EnrolEdge(ctx context.Context, c access.Caller, in api.EnrolRequest) (api.EnrolResponse, error) {
	out := api.EnrolResponse{Domain: s.Domain}
	if _, err := access.Admit(api.OpEnrolEdge, c); err != nil {
		return out, err
	}
	self := mezu.Edge{Name: in.Name, TunnelAddress: in.TunnelAddress, PublicAddress: in.PublicAddress, Version: in.Version}
	if err := errors.Join(self.Validate(), validateVersion(in.Version)); err != nil {
		return out, err
	}
	hash := keyHash(in.CSR)
	_, err := s.records.Publish(ctx, access.By(c, api.OpEnrolEdge.ID), func(ch *record.Change) error {
		if _, err := record.Get[access.Token](ctx, s.records, c.Token.Key); errors.Is(err, store.ErrNotFound) {
			return access.Unauthenticated("this join token was used", "make another with `mezusphere join-token create`")
		}
		ch.Remove(c.Token.Key, c.Token.Revision)
		if err := s.requireTokenMaker(ctx, ch, c); err != nil {
			return err
		}
		rec, err := record.Optional[edge](ctx, s.records, keyEdge(in.Name))
		if err != nil {
			return err
		}
		switch {
		case rec.Revision == 0:
			self.Meta = s.records.Meta(mezu.PrefixEdge)
			ch.Create(record.KeyID(self.ID), rec.Key)
		case rec.Value.KeySHA256 != hash:
			if err := s.takePlace(ctx, ch, c, &rec, self); err != nil {
				return err
			}
			fallthrough
		default:
			self.Meta = s.records.Touch(rec.Value.Meta, rec.Revision)
		}
		var was any
		if rec.Revision != 0 {
			was = rec.Value.Edge
		}
		rec.Value.Edge, rec.Value.KeySHA256, rec.Value.OfProcess = self, hash, ofProcess(c)
		out.Edge = self.ID
		if err := s.noteSealing(ctx, ch, self.ID, in.SealingKey); err != nil {
			return err
		}
		if out.Credentials, err = s.certifyEdge(ch, &rec, was, in.CSR, ""); err != nil {
			return err
		}
		return s.AddEdgeList(ctx, ch, &self, "")
	})
	return out, err
}

// ofProcess reports whether a join token is one that the process of a control plane made for its
// own edge. It is in that process alone: no operation of the API makes or shows one.
func ofProcess(c access.Caller) bool { return c.Token.Value.CreatedBy == "" }

// takePlace lets an edge with another key be the one of its name, or refuses. The edge of a
// control plane's own process lost its key with its state, when the installation was restored
// onto new state for example. It takes the place of such an edge, and of no edge that is heard
// of: the certificates of the key before end.
func (s *Fleet) takePlace(ctx context.Context, ch *record.Change, c access.Caller, rec *record.Record[edge], self mezu.Edge) error {
	refused := &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is an edge named " + self.Name + " with another key already",
		Hint: "give this edge another --name, or remove that one first: mezu edges delete " + self.Name}
	was := rec.Value
	// Of an edge from before this was noted, its address is what tells it from another one.
	if !ofProcess(c) || !was.OfProcess && was.TunnelAddress != self.TunnelAddress {
		return refused
	}
	live, err := record.Optional[liveEdge](ctx, s.records, keyLive(was.ID))
	if err != nil {
		return err
	}
	ch.Require(live.Key, live.Revision)
	if live.Revision != 0 {
		refused.Hint = fmt.Sprintf("if it runs elsewhere, give this edge another --name; if it is this one with new state, start it again once nothing was heard of it for %v", api.EdgeSilence)
		return refused
	}
	s.revoke(ch, "", was.Certificates)
	rec.Value.Certificates = nil
	return nil
}

// appointment identifies one appointment of a person as operator. A later one of the same
// person is another.
func appointment(o mezu.Operator) string { return o.CreatedAt.Format(time.RFC3339Nano) }

// requireTokenMaker makes an enrolment depend on the operator who made the join token. If
// they are no operator any more, or were none at any time since, no edge is let in. The token
// of the process itself has no maker.
func (s *Fleet) requireTokenMaker(ctx context.Context, ch *record.Change, c access.Caller) error {
	by := c.Token.Value.CreatedBy
	if by == "" {
		return nil
	}
	op, err := record.Optional[mezu.Operator](ctx, s.records, access.KeyOperator(by))
	then := c.Token.Value.Standing
	if err == nil && (op.Revision == 0 || then != "" && then != appointment(op.Value)) {
		err = access.Unauthenticated("whoever made this join token is no operator any more", "make another with `mezusphere join-token create`")
	}
	ch.Require(op.Key, op.Revision)
	return err
}

// certifyEdge issues a certificate and notes it in the edge's record. was is the edge as it
// is stored, by the serial number of the certificate that is renewed.
func (s *Fleet) certifyEdge(ch *record.Change, rec *record.Record[edge], was any, csr, by string) (api.Credentials, error) {
	e := &rec.Value
	issued, err := s.records.Authority.IssuePeer(csr, mezu.Identity{Role: mezu.PeerEdge, ID: e.ID})
	if err != nil {
		return api.Credentials{}, err
	}
	var over []Certificate
	e.Certificates, over = renewed(e.Certificates, s.issued(e.Certificates, issued, by), s.records.Now())
	s.revoke(ch, "", over)
	e.Serial = issued.Serial
	ch.Update(rec.Key, rec.Revision, *e)
	ch.Audit(record.About(record.KindEdge, e.ID, e.Name), was, e.Edge)
	return s.credentials(issued.Chain), nil
}

// RenewEdge gives the holder of a valid certificate another one.
func (s *Fleet) RenewEdge(ctx context.Context, c access.Caller, in api.RenewRequest) (api.EnrolResponse, error) {
	out := api.EnrolResponse{Domain: s.Domain, Edge: c.ID}
	if _, err := access.Admit(api.OpRenewEdge, c); err != nil {
		return out, err
	}
	if err := validateVersion(in.Version); err != nil {
		return out, err
	}
	_, err := s.records.Publish(ctx, access.By(c, api.OpRenewEdge.ID), func(ch *record.Change) error {
		rec, err := s.ownEdge(ctx, c)
		if err != nil {
			return err
		}
		was := rec.Value.Edge
		rec.Value.Meta = s.records.Touch(rec.Value.Meta, rec.Revision)
		rec.Value.KeySHA256 = keyHash(in.CSR)
		if in.Version != "" {
			rec.Value.Version = in.Version
		}
		if in.SealingKey != nil { // an edge of a version before has none, and loses none
			if err := s.noteSealing(ctx, ch, rec.Value.ID, in.SealingKey); err != nil {
				return err
			}
		}
		out.Credentials, err = s.certifyEdge(ch, &rec, was, in.CSR, c.Serial)
		return err
	})
	return out, err
}

// DeleteEdge takes an edge off the list and revokes its certificates.
func (s *Fleet) DeleteEdge(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	if _, err := access.Admit(api.OpDeleteEdge, c); err != nil {
		return err
	}
	var task record.Task
	_, err := s.records.Publish(ctx, access.By(c, api.OpDeleteEdge.ID), func(ch *record.Change) error {
		f, err := s.findEdge(ctx, p.Item)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, f.Revision); err != nil {
			return err
		}
		task, err = s.removeEdge(ctx, ch, f)
		return err
	})
	if err != nil {
		return err
	}
	return s.records.Finish(ctx, task)
}

// removeEdge plans the removal of an edge, and gives the task that it leaves.
func (s *Fleet) removeEdge(ctx context.Context, ch *record.Change, f record.Record[edge]) (task record.Task, err error) {
	task = record.Task{Kind: record.TaskEdge, ID: f.Value.ID}
	ch.Remove(f.Key, f.Revision)
	ch.Drop(record.KeyID(f.Value.ID))
	ch.Drop(keyLive(f.Value.ID))
	ch.Enqueue(task)
	ch.Audit(record.About(record.KindEdge, f.Value.ID, f.Value.Name), f.Value.Edge, nil)
	s.revoke(ch, "", f.Value.Certificates)
	if err := s.noteSealing(ctx, ch, f.Value.ID, nil); err != nil {
		return task, err
	}
	return task, s.AddEdgeList(ctx, ch, nil, f.Value.Name)
}

// NoteDraining puts a Warpgate on the list of its environment, or takes it off.
func (s *Fleet) NoteDraining(ctx context.Context, ch *record.Change, environment, id string, on bool) ([]string, error) {
	list, err := record.Optional[[]string](ctx, s.records, KeyDraining(environment))
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
		ch.Update(list.Key, list.Revision, now)
	case list.Revision != 0:
		ch.Remove(list.Key, list.Revision)
	}
	return now, nil
}
