package team

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// MaxInvitations is how many invitations of one organization may be open, if no quota says
// otherwise. It is bounded because each is a mail in the installation's name to somebody who
// has not asked for it.
const MaxInvitations = 200

// invitation is an invitation as it is stored, under the address that it is for, and with the
// hash of its code.
type invitation struct {
	mezu.Invitation
	// In is the id of the organization.
	In       string `json:"in"`
	CodeHash string `json:"code_hash"`
	// Attempts counts the right code with a wrong address.
	Attempts int `json:"attempts,omitempty"`
	// Membership is that of the inviting person, who has another one after leaving and
	// coming back. It is empty in an invitation that an earlier version made.
	Membership string `json:"membership,omitempty"`
	// Lost is the inviter's count (Inviting of its losses) for the role.
	Lost uint64 `json:"lost,omitempty"`
}

// ListInvitations lists the invitations of an organization that were neither redeemed nor
// withdrawn.
func (s *Team) ListInvitations(ctx context.Context, c access.Caller, p access.Path, page record.Paging) (api.List[mezu.Invitation], error) {
	sc, err := s.access.InOrganization(ctx, c, api.OpListInvitations, p)
	if err != nil {
		return api.List[mezu.Invitation]{}, err
	}
	return record.List(ctx, s.records, invitationsOf(sc.Organization.Value.ID), page, func(f record.Record[invitation]) (mezu.Invitation, error) {
		return f.Value.Invitation, nil
	})
}

// GetInvitation reads one.
func (s *Team) GetInvitation(ctx context.Context, c access.Caller, p access.Path) (mezu.Invitation, error) {
	sc, err := s.access.InOrganization(ctx, c, api.OpGetInvitation, p)
	if err != nil {
		return mezu.Invitation{}, err
	}
	f, err := s.findInvitation(ctx, sc, p.Item)
	return f.Value.Invitation, err
}

func (s *Team) findInvitation(ctx context.Context, sc access.Scope, id string) (record.Record[invitation], error) {
	return record.Child[invitation](ctx, s.records, invitationsOf(sc.Organization.Value.ID), id, "invitation", "")
}

// CreateInvitation asks a person into the organization. The mail is put into the outbox in
// the same transaction, and the link is returned to the caller once.
func (s *Team) CreateInvitation(ctx context.Context, c access.Caller, p access.Path, in mezu.Invitation, o record.Idempotency) (api.InvitationCreated, error) {
	var out api.InvitationCreated
	_, err := s.records.Commit(ctx, access.By(c, api.OpCreateInvitation.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpCreateInvitation, p)
		if err != nil {
			return err
		}
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (api.InvitationCreated, error) {
			return s.addInvitation(ctx, ch, sc, c, in)
		})
		return err
	})
	return out, err
}

func (s *Team) addInvitation(ctx context.Context, ch *record.Change, sc access.Scope, c access.Caller, in mezu.Invitation) (api.InvitationCreated, error) {
	var out api.InvitationCreated
	if err := in.Validate(); err != nil {
		return out, err
	}
	if err := sc.MayGive(in.Role); err != nil {
		return out, err
	}
	org := sc.Organization.Value
	in.Email = mezu.CanonicalEmail(in.Email)
	if err := s.isNoMember(ctx, org.ID, in.Email); err != nil {
		return out, err
	}
	prior, err := s.priorInvitation(ctx, ch, org.ID, in.Email)
	if err != nil {
		return out, err
	}
	in.Meta, in.Organization, in.InvitedBy = s.records.Meta(mezu.PrefixInvitation), org.Name, c.ID
	in.Revision, in.ExpiresAt = prior.Revision+1, in.CreatedAt.Add(mezu.InvitationLife)
	code := mezu.NewToken(mezu.TokenInvitation)
	rec := invitation{Invitation: in, In: org.ID, CodeHash: mezu.HashSecret(code), Membership: sc.Member.Value.ID, Lost: sc.Member.Value.Lost.Inviting(in.Role)}
	out = api.InvitationCreated{Invitation: in, Code: code, Link: s.cfg.Site + pathInvitation + code}
	from, err := s.address(ctx, c.ID)
	if err != nil {
		return out, err
	}
	sc.RequireAuthority(ch)
	ch.Audit(sc.Target(record.KindInvitation, in.ID, in.Email), nil, in)
	ch.Update(prior.Key, prior.Revision, rec)
	ch.Create(record.KeyID(in.ID), prior.Key)
	ch.Create(keyInvite(rec.CodeHash), prior.Key)
	mail := s.invitationMail(message{ID: in.ID, To: in.Email, Link: out.Link, Organization: org.Name, From: from, ExpiresAt: in.ExpiresAt})
	mail.Mailbox = s.addressHash(in.Email)
	if _, err := s.records.QueueMail(ctx, ch, mail); err != nil {
		return out, err
	}
	if prior.Revision != 0 {
		return out, nil
	}
	return out, s.countInvitation(ctx, ch, org.ID)
}

// isNoMember refuses the address of somebody who is in the organization already.
func (s *Team) isNoMember(ctx context.Context, org, email string) error {
	id, err := s.personByAddress(ctx, email)
	if err != nil || id == "" {
		return err
	}
	m, err := record.Optional[mezu.Member](ctx, s.records, access.KeyMember(org, id))
	if err == nil && m.Revision != 0 {
		err = &mezu.Error{Code: mezu.CodeConflict, Field: "email", Detail: "the person with this address is a member already", Hint: "change the member's role instead"}
	}
	return err
}

// priorInvitation gives the record of an earlier invitation of the address, which is replaced
// if it has ended. One that is still valid is a conflict.
func (s *Team) priorInvitation(ctx context.Context, ch *record.Change, org, email string) (record.Record[invitation], error) {
	prior, err := record.Optional[invitation](ctx, s.records, invitationsOf(org)+s.addressHash(email))
	if err != nil || prior.Revision == 0 {
		return prior, err
	}
	if prior.Value.standing(s.records.Now()) {
		return prior, &mezu.Error{Code: mezu.CodeConflict, Field: "email", Detail: "this address was invited already", Hint: "withdraw that invitation first: " + prior.Value.ID}
	}
	s.unlink(ch, prior.Value)
	return prior, nil
}

// standing reports whether an invitation can still be redeemed.
func (i *invitation) standing(now time.Time) bool {
	return now.Before(i.ExpiresAt) && i.Attempts < mezu.MaxInvitationAttempts
}

// countInvitation counts a new invitation, or refuses it above the quota. It counts all that
// exist, because a restore leaves invitations out. The count is read before them and written
// after, so that of two invitations made at the same time one sees the other.
func (s *Team) countInvitation(ctx context.Context, ch *record.Change, org string) error {
	n, err := s.records.Counters(ctx, ch, org)
	if err != nil {
		return err
	}
	page, err := s.records.Store.List(ctx, invitationsOf(org), "", store.MaxPage)
	if err != nil {
		return err
	}
	n.Value.Invitations = len(page.Records) + 1
	open := 0
	for _, r := range page.Records {
		inv, err := record.Decode[invitation](r)
		if err != nil {
			return err
		}
		// An invitation whose attempts are used up still counts, because its mail was sent.
		if s.records.Now().Before(inv.Value.ExpiresAt) {
			open++
		}
	}
	if most := s.records.Most(quotaInvitations); open >= most {
		err = &mezu.Error{Code: mezu.CodeConflict, Detail: "the organization has " + strconv.Itoa(most) + " open invitations already", Hint: "wait until some are redeemed or have ended, or withdraw some"}
	}
	return err
}

// DeleteInvitation withdraws an invitation, and the mail if it was not sent.
func (s *Team) DeleteInvitation(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	_, err := s.records.Commit(ctx, access.By(c, api.OpDeleteInvitation.ID), func(ch *record.Change) error {
		sc, err := s.access.InOrganization(ctx, c, api.OpDeleteInvitation, p)
		if err != nil {
			return err
		}
		f, err := s.findInvitation(ctx, sc, p.Item)
		if err != nil {
			return err
		}
		if err := record.CheckRevision(ifMatch, f.Revision); err != nil {
			return err
		}
		if err := sc.MayGive(f.Value.Role); err != nil {
			return err
		}
		sc.RequireAuthority(ch)
		ch.Audit(sc.Target(record.KindInvitation, f.Value.ID, f.Value.Email), f.Value.Invitation, nil)
		return s.endInvitation(ctx, ch, f)
	})
	return err
}

// endInvitation removes an invitation that was not redeemed.
func (s *Team) endInvitation(ctx context.Context, ch *record.Change, f record.Record[invitation]) error {
	ch.Remove(f.Key, f.Revision)
	s.unlink(ch, f.Value)
	return s.records.Count(ctx, ch, f.Value.In, func(n *record.Children) { n.Invitations-- })
}

// unlink drops all that leads to an invitation, and the mail if it was not sent.
func (s *Team) unlink(ch *record.Change, i invitation) {
	ch.Drop(record.KeyID(i.ID))
	ch.Drop(keyInvite(i.CodeHash))
	s.records.WithdrawMail(ch, "", i.ID)
}

// errWrongAddress: the code is right but the address is wrong.
var errWrongAddress = errors.New("wrong address")

// refusedInvitation is the one answer to whatever is wrong with a code or its
// address, so that neither can be found out.
func refusedInvitation() error {
	return access.Unauthenticated("this invitation opens nothing: it was redeemed or withdrawn, has ended, or is for another address", "check the code and the address, or ask for another invitation")
}

// RedeemInvitation makes the caller a member, or makes a new person with the
// invited address. Of several who redeem at once one does.
func (s *Team) RedeemInvitation(ctx context.Context, c access.Caller, in api.RedeemRequest, o record.Idempotency) (api.RedeemResponse, error) {
	var out api.RedeemResponse
	if err := mayRedeem(c, in); err != nil {
		return out, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpRedeemInvitation.ID), func(ch *record.Change) (err error) {
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (out api.RedeemResponse, err error) {
			inv, err := s.invitationByCode(ctx, in.Code)
			if err != nil {
				return out, err
			}
			return s.join(ctx, ch, c, inv, in.Email)
		})
		return err
	})
	if errors.Is(err, errWrongAddress) {
		err = s.countAttempt(ctx, in.Code)
	}
	return out, err
}

// countAttempt notes that the right code came with a wrong address, and refuses.
func (s *Team) countAttempt(ctx context.Context, code string) error {
	_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		inv, err := s.invitationByCode(ctx, code)
		if err != nil {
			return err
		}
		inv.Value.Attempts++
		inv.Value.Meta = s.records.Touch(inv.Value.Meta, inv.Revision)
		ch.Update(inv.Key, inv.Revision, inv.Value)
		return nil
	})
	if err != nil {
		return err
	}
	return refusedInvitation()
}

// mayRedeem decides whether the caller may redeem at all, before any code is looked at.
func mayRedeem(c access.Caller, in api.RedeemRequest) error {
	if _, err := access.Admit(api.OpRedeemInvitation, c); err != nil {
		return err
	}
	switch {
	case c.Kind == access.Member && c.Permissions != nil:
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "a token with bounded permissions can't join an organization", Hint: "use one without bounds"}
	case c.Kind == access.Member:
	case c.Refused != nil:
		return c.Refused // there is a credential, but it is not valid
	case c.Kind != access.Anonymous && c.Kind != "":
		return &mezu.Error{Code: mezu.CodeForbidden, Detail: "an invitation is redeemed by a person", Hint: "use that person's token, or none"}
	}
	return mezu.ValidateEmail("email", in.Email)
}

func errKnownAddress() error {
	return access.Unauthenticated("the person with this address has a token here already", "redeem the invitation with that token")
}

func (s *Team) invitationByCode(ctx context.Context, code string) (record.Record[invitation], error) {
	key, err := record.Get[string](ctx, s.records, keyInvite(mezu.HashSecret(code)))
	if errors.Is(err, store.ErrNotFound) {
		return record.Record[invitation]{}, refusedInvitation()
	}
	if err != nil {
		return record.Record[invitation]{}, err
	}
	inv, err := record.Optional[invitation](ctx, s.records, key.Value)
	if err == nil && (inv.Revision == 0 || !inv.Value.standing(s.records.Now())) {
		err = refusedInvitation()
	}
	return inv, err
}

// join spends an invitation.
func (s *Team) join(ctx context.Context, ch *record.Change, c access.Caller, inv record.Record[invitation], email string) (api.RedeemResponse, error) {
	var out api.RedeemResponse
	known, err := s.personByAddress(ctx, inv.Value.Email)
	switch {
	case err != nil:
		return out, err
	case mezu.CanonicalEmail(email) != inv.Value.Email, c.Kind == access.Member && known != c.ID:
		return out, errWrongAddress
	case c.Kind != access.Member && known != "":
		return out, errKnownAddress()
	}
	who := known
	if who == "" {
		made, err := s.makePerson(ctx, ch, inv.Value.Email, false)
		if mezu.CodeOf(err) == mezu.CodeConflict { // a person with the address was made meanwhile
			return out, errKnownAddress()
		}
		if err != nil {
			return out, err
		}
		who = made.ID
		secret, token := s.access.Issue(ch, access.Token{Kind: mezu.TokenBearer, Person: who}, mezu.DefaultTokenLife)
		out.Token, out.ExpiresAt = secret, token.ExpiresAt
	}
	out.Member, err = s.accept(ctx, ch, inv, who)
	return out, err
}

// accept plans that a person, who is new or has the invited address, becomes a member.
func (s *Team) accept(ctx context.Context, ch *record.Change, inv record.Record[invitation], who string) (mezu.Member, error) {
	org, err := s.invitedTo(ctx, ch, inv.Value)
	if err == nil {
		err = s.isNoMember(ctx, org.Value.ID, inv.Value.Email)
	}
	if err != nil {
		return mezu.Member{}, s.orSpent(ctx, inv, err)
	}
	m, err := s.welcome(ctx, ch, org, who, inv)
	m.Email = inv.Value.Email
	return m, err
}

// orSpent is the refusal of an invitation that somebody else has redeemed since it was read, whatever
// else is wrong because of that; else the error as it is.
func (s *Team) orSpent(ctx context.Context, inv record.Record[invitation], wrong error) error {
	now, err := record.Optional[invitation](ctx, s.records, inv.Key)
	switch {
	case err != nil:
		return err
	case now.Revision == 0:
		return refusedInvitation()
	}
	return wrong
}

// invitedTo is the organization of an invitation, if it exists and the inviting person may
// give the role and could at all times since. A member who was removed or demoted leaves no
// way back in, whatever happened after that.
func (s *Team) invitedTo(ctx context.Context, ch *record.Change, inv invitation) (record.Record[mezu.Organization], error) {
	org, err := record.ByID[mezu.Organization](ctx, s.records, inv.In)
	if errors.Is(err, store.ErrNotFound) {
		return org, refusedInvitation()
	}
	if err != nil {
		return org, err
	}
	by, err := record.Optional[access.Membership](ctx, s.records, access.KeyMember(inv.In, inv.InvitedBy))
	if err != nil {
		return org, err
	}
	sc := access.Scope{Organization: org, Member: by, Grants: access.PermissionsOf(by.Value.Role)}
	if !slices.Contains(sc.Grants, mezu.PermMembersWrite) || sc.MayGive(inv.Role) != nil {
		return org, refusedInvitation()
	}
	if inv.Membership != "" && inv.Membership != by.Value.ID || inv.Lost != by.Value.Lost.Inviting(inv.Role) {
		return org, refusedInvitation()
	}
	sc.RequireAuthority(ch)
	return org, nil
}

// welcome turns an invitation into a membership, with one change of the organization's
// counters for both.
func (s *Team) welcome(ctx context.Context, ch *record.Change, org record.Record[mezu.Organization], who string, inv record.Record[invitation]) (mezu.Member, error) {
	m := s.newMember(ch, org, who, inv.Value.Role)
	ch.Audit(access.Scope{Organization: org}.Target(record.KindMember, m.ID, inv.Value.Email), nil, m)
	ch.Remove(inv.Key, inv.Revision)
	s.unlink(ch, inv.Value)
	if err := s.records.CountUp(ctx, ch, org.Value.ID, quotaMembers, func(n *record.Children) *int { return &n.Members }); err != nil {
		return m, err
	}
	return m, s.records.Count(ctx, ch, org.Value.ID, func(n *record.Children) {
		n.Invitations--
		if m.Role == mezu.RoleOwner {
			n.Owners++
		}
	})
}

// sweepInvitations removes what has ended.
func (s *Team) sweepInvitations(ctx context.Context) error {
	return record.Each(ctx, s.records, prefixInvitation, func(f record.Record[invitation]) error {
		if s.records.Now().Before(f.Value.ExpiresAt) {
			return nil
		}
		_, err := s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
			now, err := record.Optional[invitation](ctx, s.records, f.Key)
			if err != nil || now.Revision == 0 || s.records.Now().Before(now.Value.ExpiresAt) {
				return err
			}
			return s.endInvitation(ctx, ch, now)
		})
		return err
	})
}

// quotaInvitations bounds how many invitations of an organization are open.
var quotaInvitations = record.Quota{Name: "invitations", Owner: "the organization", Fallback: MaxInvitations, Max: record.Listed}
