package team

import (
	"context"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Persons have accounts with which they log in at the control plane's own address. What is
// here is what those logins know of persons, in the form of users.

// Person finds a person by id, or says store.ErrNotFound.
func (s *Team) Person(ctx context.Context, id string) (mezu.User, error) {
	p, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(id))
	return asUser(p.Value), err
}

// PersonByMail finds a person by address, or says store.ErrNotFound.
func (s *Team) PersonByMail(ctx context.Context, address string) (mezu.User, error) {
	id, err := record.Get[string](ctx, s.records, s.keyAddress(address))
	if err != nil {
		return mezu.User{}, err
	}
	return s.Person(ctx, id.Value)
}

// asUser is a person in the form of a user. Nothing suspends persons: what ends is their
// membership, or being operator.
func asUser(p access.Person) mezu.User {
	return mezu.User{Meta: p.Meta, Status: mezu.UserActive, Profile: mezu.Profile{Email: p.Email}}
}

// signedUp is what the audit shows of a person who signed up.
type signedUp struct {
	ID           string `json:"id"`
	Organization string `json:"organization,omitempty"`
}

// AddPerson plans a person who has proved an address, with an organization of their own if
// members may create organizations.
func (s *Team) AddPerson(ctx context.Context, ch *record.Change, address string) (mezu.User, error) {
	p, err := s.makePerson(ctx, ch, address, false)
	if err != nil {
		return mezu.User{}, err
	}
	shown := signedUp{ID: p.ID}
	if s.cfg.MembersMayCreateOrganizations {
		org, err := s.addPersonalOrganization(ctx, ch, p)
		if err != nil {
			return mezu.User{}, err
		}
		shown.Organization = org.Name
	}
	ch.AuditAlone(record.About(record.KindPerson, p.ID, p.Email), nil, shown)
	return asUser(p), nil
}

// EnsureOrganization makes an organization for a person who has none, if members may make them. Of two
// at once one makes it.
func (s *Team) EnsureOrganization(ctx context.Context, by record.Author, person string) error {
	if !s.cfg.MembersMayCreateOrganizations {
		return nil
	}
	_, err := s.records.Commit(ctx, by, func(ch *record.Change) error {
		p, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(person))
		if err != nil {
			return err
		}
		page, err := s.records.Store.List(ctx, membershipsOf(person), "", 1)
		if err != nil || len(page.Records) > 0 {
			return err
		}
		ch.Update(p.Key, p.Revision, p.Value)
		_, err = s.addPersonalOrganization(ctx, ch, p.Value)
		return err
	})
	return err
}

// addPersonalOrganization plans an organization for a person who has none, named after their
// mailbox.
func (s *Team) addPersonalOrganization(ctx context.Context, ch *record.Change, p access.Person) (mezu.Organization, error) {
	mailbox, _, _ := strings.Cut(p.Email, "@")
	name := personalName(mailbox)
	err := s.records.RefuseTaken(ctx, access.KeyOrganization(name), "organization", name)
	if mezu.CodeOf(err) == mezu.CodeConflict {
		name, err = name+"-"+suffix(p.CreatedAt), nil
	}
	if err != nil {
		return mezu.Organization{}, err
	}
	return s.addOrganization(ctx, ch, access.Caller{Kind: access.Member, ID: p.ID}, mezu.Organization{Name: name})
}

const (
	// personalLength leaves room for a suffix in a name.
	personalLength = 32
	// suffixLength is that of what tells organizations of mailboxes of one name apart: 28
	// bits.
	suffixLength = 6
	// noName is the name of an organization whose person's mailbox has none of the letters
	// that a name may have.
	noName = "personal"
)

// personalName makes the name of an organization of the name of a mailbox.
func personalName(mailbox string) string {
	var b strings.Builder
	for _, r := range mezu.CanonicalEmail(mailbox) {
		if b.Len() == personalLength {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := strings.TrimSuffix(b.String(), "-")
	if mezu.ValidateName("", name) != nil {
		return noName
	}
	return name
}

// suffix is random, and may stand in a name.
func suffix(now time.Time) string {
	id := mezu.NewID(mezu.PrefixOrganization, now)
	return strings.ToLower(id[len(id)-suffixLength:])
}

// Outside reports whether a person belongs to no organization and can't make one.
func (s *Team) Outside(ctx context.Context, person string) (bool, error) {
	if s.cfg.MembersMayCreateOrganizations {
		return false, nil
	}
	p, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(person))
	if err != nil || p.Value.Operator {
		return false, err
	}
	page, err := s.records.Store.List(ctx, membershipsOf(person), "", 1)
	return err == nil && len(page.Records) == 0, err
}

// ChangeAddress plans that a person has another address.
func (s *Team) ChangeAddress(ctx context.Context, ch *record.Change, person, address string) error {
	was, err := record.Get[access.Person](ctx, s.records, access.KeyPerson(person))
	if err != nil {
		return err
	}
	is := was.Value
	is.Email = mezu.CanonicalEmail(address)
	is.Meta = s.records.Touch(was.Value.Meta, was.Revision)
	if s.keyAddress(is.Email) != s.keyAddress(was.Value.Email) {
		taken, err := s.personByAddress(ctx, is.Email)
		if err != nil {
			return err
		}
		if taken != "" {
			return &mezu.Error{Code: mezu.CodeConflict, Field: "email", Detail: "somebody has this address already"}
		}
		ch.Create(s.keyAddress(is.Email), person)
		if was.Value.Email != "" {
			ch.Drop(s.keyAddress(was.Value.Email))
		}
	}
	ch.Update(was.Key, was.Revision, is)
	ch.Audit(record.About(record.KindPerson, person, was.Value.Email), changedPart{}, changedPart{Changed: []string{"email"}})
	return nil
}

// changedPart is what the audit shows of a change of a person: which parts, but not what they
// are, because audit records are kept for longer than people want to be known by an address.
type changedPart struct {
	Changed []string `json:"changed,omitempty"`
}

// MayBootstrap refuses the code, by its hash, that doesn't make whoever has it the first
// operator, nor lets one in again, who is given by id then.
func (s *Team) MayBootstrap(ctx context.Context, hash string) (operator string, err error) {
	t, err := s.bootstrapToken(ctx, hash)
	if err != nil {
		return "", err
	}
	if t.Value.Operator != "" {
		_, err = s.stillOperator(ctx, t.Value.Operator)
		return t.Value.Operator, err
	}
	return "", s.withoutOperator(ctx, &record.Change{})
}

// AddFirstOperator plans the first operator, and that the code with this hash is spent.
func (s *Team) AddFirstOperator(ctx context.Context, ch *record.Change, hash, address string) (mezu.User, error) {
	t, err := s.bootstrapToken(ctx, hash)
	if err != nil {
		return mezu.User{}, err
	}
	if t.Value.Operator != "" {
		return mezu.User{}, access.Unauthenticated("this bootstrap code lets an operator in who is there", "open its link again")
	}
	p, err := s.addFirstOperator(ctx, ch, t, address)
	return asUser(p), err
}

// Readmit plans that the code with this hash is spent, which lets an operator in again.
func (s *Team) Readmit(ctx context.Context, ch *record.Change, hash string) error {
	t, err := s.bootstrapToken(ctx, hash)
	if err != nil {
		return err
	}
	op, err := s.stillOperator(ctx, t.Value.Operator)
	if err != nil {
		return err
	}
	ch.Require(op.Key, op.Revision)
	ch.Remove(t.Key, t.Revision)
	return nil
}

// Invited gives the name of the organization into which a code and its address invite. A
// wrong address is counted.
func (s *Team) Invited(ctx context.Context, code, address string) (organization string, err error) {
	inv, err := s.invitationByCode(ctx, code)
	if err != nil {
		return "", err
	}
	if mezu.CanonicalEmail(address) != inv.Value.Email {
		return "", s.countAttempt(ctx, code)
	}
	org, err := s.invitedTo(ctx, &record.Change{}, inv.Value)
	return org.Value.Name, err
}

// Join plans that a person, who has the invited address, joins by an invitation. If person is
// empty, nobody has the address, and a new person gets it.
func (s *Team) Join(ctx context.Context, ch *record.Change, code, address, person string) (mezu.User, error) {
	inv, err := s.invitationByCode(ctx, code)
	if err != nil {
		return mezu.User{}, err
	}
	if mezu.CanonicalEmail(address) != inv.Value.Email {
		return mezu.User{}, refusedInvitation()
	}
	switch known, err := s.personByAddress(ctx, inv.Value.Email); {
	case err != nil:
		return mezu.User{}, err
	case known != person:
		return mezu.User{}, refusedInvitation()
	case known != "":
		if _, err := s.accept(ctx, ch, inv, known); err != nil {
			return mezu.User{}, err
		}
		return s.Person(ctx, known)
	}
	p, err := s.makePerson(ctx, ch, inv.Value.Email, false)
	if err == nil {
		_, err = s.accept(ctx, ch, inv, p.ID)
	}
	return asUser(p), err
}
