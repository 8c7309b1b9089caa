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
func (s *Service) standOperator(ctx context.Context, ch *change, c Caller, op api.Operation) (found[mezu.Operator], error) {
	f, err := get[mezu.Operator](ctx, s, keyOperator(c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return f, forbidden(op, rules[op.ID], c)
	}
	ch.require(f.Key, f.Revision)
	return f, err
}

// holder reads the person behind a token.
func (s *Service) holder(ctx context.Context, id, hint string) (person, error) {
	who, err := get[person](ctx, s, keyPerson(id))
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
func (s *Service) granter(ctx context.Context, organization, id string) (granter, error) {
	var g granter
	var lost losses
	if mezu.ValidateID("", mezu.PrefixServiceAccount, id) == nil {
		acc, err := byID[account](ctx, s, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return g, err
		}
		g, lost = granter{key: acc.Key, revision: acc.Revision, verbs: acc.Value.Account.Permissions}, acc.Value.Lost
	} else {
		m, err := optional[membership](ctx, s, keyMember(organization, id))
		if err != nil {
			return g, err
		}
		g, lost = granter{key: m.Key, revision: m.Revision, verbs: rolePermissions[m.Value.Role]}, m.Value.Lost
		id = m.Value.ID
	}
	g.standing = id + "." + strconv.FormatUint(lost.of(mezu.PermWarpgateRegister), 10)
	return g, nil
}
