package team

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// installationChildren is the owner under which operators are counted.
const installationChildren = "installation"

// appoint adds to a change that a person becomes operator. Its caller writes the person's own
// record.
func (s *Team) appoint(ctx context.Context, ch *record.Change, p access.Person) (mezu.Operator, error) {
	op := mezu.Operator{Meta: s.records.Meta(mezu.PrefixPerson)}
	op.ID = p.ID
	ch.Create(access.KeyOperator(p.ID), op)
	op.Email = p.Email
	return op, s.records.Count(ctx, ch, installationChildren, func(n *record.Children) { n.Operators++ })
}

// HasOperator reports whether somebody runs the installation already.
func (s *Team) HasOperator(ctx context.Context) (bool, error) {
	page, err := s.records.Store.List(ctx, access.PrefixOperator, "", 1)
	return len(page.Records) > 0, err
}

func (s *Team) shownOperator(ctx context.Context, o mezu.Operator) (mezu.Operator, error) {
	var err error
	o.Email, err = s.address(ctx, o.ID)
	return o, err
}

// ListOperators lists all of the installation's.
func (s *Team) ListOperators(ctx context.Context, c access.Caller, page record.Paging) (api.List[mezu.Operator], error) {
	if _, err := access.Admit(api.OpListOperators, c); err != nil {
		return api.List[mezu.Operator]{}, err
	}
	return record.List(ctx, s.records, access.PrefixOperator, page, func(f record.Record[mezu.Operator]) (mezu.Operator, error) {
		return s.shownOperator(ctx, f.Value)
	})
}

// findOperator finds one by id or address.
func (s *Team) findOperator(ctx context.Context, ref string) (record.Record[mezu.Operator], error) {
	id, err := s.personID(ctx, ref)
	if err != nil {
		return record.Record[mezu.Operator]{}, err
	}
	if id == "" {
		return record.Record[mezu.Operator]{}, access.NoOperator()
	}
	f, err := record.Get[mezu.Operator](ctx, s.records, access.KeyOperator(id))
	if errors.Is(err, store.ErrNotFound) {
		err = access.NoOperator()
	}
	return f, err
}

// GetOperator reads one.
func (s *Team) GetOperator(ctx context.Context, c access.Caller, p access.Path) (mezu.Operator, error) {
	if _, err := access.Admit(api.OpGetOperator, c); err != nil {
		return mezu.Operator{}, err
	}
	f, err := s.findOperator(ctx, p.Item)
	if err != nil {
		return mezu.Operator{}, err
	}
	return s.shownOperator(ctx, f.Value)
}

// CreateOperator makes a person whom the installation knows operator.
func (s *Team) CreateOperator(ctx context.Context, c access.Caller, in api.OperatorRequest, o record.Idempotency) (mezu.Operator, error) {
	var out mezu.Operator
	if _, err := access.Admit(api.OpCreateOperator, c); err != nil {
		return out, err
	}
	field, ref := "person", in.Person
	if in.Email != "" {
		field, ref = "email", in.Email
	}
	if (in.Person == "") == (in.Email == "") {
		return out, mezu.Invalid(field, "a person is named by either person or email")
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateOperator.ID), func(ch *record.Change) error {
		if _, err := s.access.RequireOperator(ctx, ch, c, api.OpCreateOperator); err != nil {
			return err
		}
		var err error
		out, err = record.Idempotent(ctx, s.records, ch, o, false, func() (mezu.Operator, error) {
			return s.promote(ctx, ch, field, ref)
		})
		return err
	})
	return out, err
}

func (s *Team) promote(ctx context.Context, ch *record.Change, field, ref string) (mezu.Operator, error) {
	id, err := s.personID(ctx, ref)
	if err != nil {
		return mezu.Operator{}, err
	}
	who, err := record.Optional[access.Person](ctx, s.records, access.KeyPerson(id))
	switch {
	case err != nil:
		return mezu.Operator{}, err
	case who.Revision == 0:
		return mezu.Operator{}, mezu.Invalid(field, "%s is nobody whom this installation knows; people come in by invitation into an organization", ref)
	case who.Value.Operator:
		return mezu.Operator{}, &mezu.Error{Code: mezu.CodeConflict, Field: field, Detail: "this person is operator already"}
	}
	who.Value.Operator = true
	who.Value.Meta = s.records.Touch(who.Value.Meta, who.Revision)
	ch.Update(who.Key, who.Revision, who.Value)
	op, err := s.appoint(ctx, ch, who.Value)
	ch.Audit(record.About(record.KindOperator, op.ID, op.Email), nil, op)
	return op, err
}

// DeleteOperator makes a person no operator any more, and changes nothing else about them.
// An installation keeps one operator: of two who leave at once one stays.
func (s *Team) DeleteOperator(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	if _, err := access.Admit(api.OpDeleteOperator, c); err != nil {
		return err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteOperator.ID), func(ch *record.Change) error {
		if _, err := s.access.RequireOperator(ctx, ch, c, api.OpDeleteOperator); err != nil {
			return err
		}
		f, err := s.findOperator(ctx, p.Item)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, f.Revision); err != nil {
			return err
		}
		who, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(f.Value.ID))
		if err != nil {
			return err
		}
		who.Value.Operator = false
		who.Value.Meta = s.records.Touch(who.Value.Meta, who.Revision)
		ch.Update(who.Key, who.Revision, who.Value)
		ch.Remove(f.Key, f.Revision)
		f.Value.Email = who.Value.Email
		ch.Audit(record.About(record.KindOperator, f.Value.ID, f.Value.Email), f.Value, nil)
		left := 0
		err = s.records.Count(ctx, ch, installationChildren, func(n *record.Children) {
			n.Operators--
			left = n.Operators
		})
		if err == nil && left < 1 {
			err = &mezu.Error{Code: mezu.CodeConflict, Detail: "an installation has at least one operator, and this is the last", Hint: "make somebody else operator first"}
		}
		return err
	})
	return err
}
