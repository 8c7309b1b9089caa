// Package access decides who calls and what they may do: the table of permissions,
// callers and how they are identified, the scope of an operation in the tree, tokens, and
// the audit log's readers.
//
// What may not live here: an operation that changes something. Packages identity, team,
// fleet, config, installation and service import it, and rest, which hands in what came
// with a call.
package access

import (
	"context"
	"errors"
	"strconv"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// NoOperator says that a person is no operator.
func NoOperator() error { return record.NotFound("operator", "") }

// RequireOperator makes a change depend on the caller being an operator still.
func (s *Access) RequireOperator(ctx context.Context, ch *record.Change, c Caller, op api.Operation) (record.Record[mezu.Operator], error) {
	f, err := record.Get[mezu.Operator](ctx, s.records, KeyOperator(c.ID))
	if errors.Is(err, store.ErrNotFound) {
		return f, Forbidden(op, rules[op.ID], c)
	}
	ch.Require(f.Key, f.Revision)
	return f, err
}

// holder reads the person behind a token.
func (s *Access) holder(ctx context.Context, id, hint string) (Person, error) {
	who, err := record.Get[Person](ctx, s.records, KeyPerson(id))
	if errors.Is(err, store.ErrNotFound) {
		err = Unauthenticated("the holder of this token is gone", hint)
	}
	return who.Value, err
}

// Granter is who lets Warpgates in: a member or a service account.
type Granter struct {
	Key      string
	Revision uint64
	Verbs    []mezu.Permission
	// Standing identifies the membership or account, and counts how often it lost the verb.
	Standing string
}

// FindGranter finds a granter by the id of the person or account. One that is gone has no
// verbs.
func (s *Access) FindGranter(ctx context.Context, organization, id string) (Granter, error) {
	var g Granter
	var lost losses
	if mezu.ValidateID("", mezu.PrefixServiceAccount, id) == nil {
		acc, err := record.ByID[Account](ctx, s.records, id)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return g, err
		}
		g, lost = Granter{Key: acc.Key, Revision: acc.Revision, Verbs: acc.Value.Account.Permissions}, acc.Value.Lost
	} else {
		m, err := record.Optional[Membership](ctx, s.records, KeyMember(organization, id))
		if err != nil {
			return g, err
		}
		g, lost = Granter{Key: m.Key, Revision: m.Revision, Verbs: PermissionsOf(m.Value.Role)}, m.Value.Lost
		id = m.Value.ID
	}
	g.Standing = id + "." + strconv.FormatUint(lost.of(mezu.PermWarpgateRegister), 10)
	return g, nil
}

// Access decides who calls and what they may do.
type Access struct {
	records *record.Records
	// identifiers find out who calls, each by one kind of credential.
	identifiers []identifier
	// reachers decide about operations whose path does not tell where they go.
	reachers map[string]Reacher
}

// New makes an Access without identifiers.
func New(r *record.Records) *Access { return &Access{records: r} }

// SetIdentifiers sets the identifiers, in the order in which they are asked.
func (s *Access) SetIdentifiers(of ...identifier) { s.identifiers = of }
