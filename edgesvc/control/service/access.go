package service

import (
	"context"
	"errors"
	"strconv"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

func noOperator() error { return notFound("operator", "") }

// standOperator makes a change depend on the caller's still being operator.
func (s *Access) standOperator(ctx context.Context, ch *change, c Caller, op api.Operation) (found[mezu.Operator], error) {
	f, err := get[mezu.Operator](ctx, s.records, keyOperator(c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return f, forbidden(op, rules[op.ID], c)
	}
	ch.require(f.Key, f.Revision)
	return f, err
}

// holder reads the person behind a token.
func (s *Access) holder(ctx context.Context, id, hint string) (person, error) {
	who, err := get[person](ctx, s.records, keyPerson(id))
	if errors.Is(err, store.ErrNotFound) {
		err = unauthenticated("the holder of this token is gone", hint)
	}
	return who.Value, err
}

// granter is who lets Warpgates in: a member or a service account.
type granter struct {
	key      string
	revision uint64
	verbs    []mezu.Permission
	// standing names the membership or account and how often it lost the verb.
	standing string
}

// granter finds one by the id of the person or account. Somebody who is gone has no verbs.
func (s *Access) granter(ctx context.Context, organization, id string) (granter, error) {
	var g granter
	var lost losses
	if mezu.ValidateID("", mezu.PrefixServiceAccount, id) == nil {
		acc, err := byID[account](ctx, s.records, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return g, err
		}
		g, lost = granter{key: acc.Key, revision: acc.Revision, verbs: acc.Value.Account.Permissions}, acc.Value.Lost
	} else {
		m, err := optional[membership](ctx, s.records, keyMember(organization, id))
		if err != nil {
			return g, err
		}
		g, lost = granter{key: m.Key, revision: m.Revision, verbs: permissionsOf(m.Value.Role)}, m.Value.Lost
		id = m.Value.ID
	}
	g.standing = id + "." + strconv.FormatUint(lost.of(mezu.PermWarpgateRegister), 10)
	return g, nil
}

// Access decides who calls and what they may do.
type Access struct {
	records *Records
	// identifiers find out who calls, each by one kind of credential.
	identifiers []identifier
}

// newAccess makes it, without identifiers.
func newAccess(r *Records) *Access { return &Access{records: r} }

// setIdentifiers sets who finds out who calls, in the order in which they are asked.
func (s *Access) setIdentifiers(of ...identifier) { s.identifiers = of }
