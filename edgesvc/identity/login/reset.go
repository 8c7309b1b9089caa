package login

import (
	"errors"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

func (s *Logins) showReset(v *visit) (reply, error) {
	if !s.records.MailConfigured() {
		return page(v.view.MailAway()), nil
	}
	return page(v.view.Reset(pages.ResetForm{})), nil
}

// reset mails a link to whoever has the address. The answer is the same for an address that
// nobody has (N22). A second request ends what the first one mailed (W4).
func (s *Logins) reset(v *visit) (reply, error) {
	if !s.records.MailConfigured() {
		return page(v.view.MailAway()), nil
	}
	email, problems := v.address()
	if len(problems) > 0 {
		return page(v.view.Reset(pages.ResetForm{Email: email, Problems: problems})), nil
	}
	t := v.attempt(identity.NormalizeMail(email), account.Ref{})
	if wait, err := s.accounts.Crowded(v.ctx, t); err != nil || wait > 0 {
		return page(v.view.Wait(wait)), err
	}
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		if err := s.accounts.Failed(v.ctx, ch, t); err != nil {
			return err
		}
		h, c, err := s.find(v, email)
		if err != nil {
			return err
		}
		if h.User.ID == "" || h.User.Status == mezu.UserSuspended {
			return s.nothingMailed(v, ch, email)
		}
		return s.mailReset(v, ch, h, c)
	})
	if err != nil {
		return reply{}, err
	}
	return page(v.view.ResetSent(email)), nil
}

// mailReset plans the mail with which a user chooses a new password. It goes to the address
// that is stored, never to what somebody typed.
func (s *Logins) mailReset(v *visit, ch *record.Change, h identity.Holder, c record.Record[account.Credential]) error {
	to := h.User.Profile.Email
	is := c.Value.Clone()
	tokens := s.accounts.MailAccount(ch, h.Account(), &is, account.Mailed{Kind: account.MailedReset, To: v.view.To})
	goes, err := s.mail(v, ch, mailReset, to, v.words().ResetMail(to, v.link(pages.PathNewPassword, tokens, account.MailedReset)), account.MailedReset.Life())
	if !goes {
		is = c.Value
	}
	s.accounts.Put(ch, c, is)
	return err
}

// nothingMailed makes and writes as much as mailReset, so that time doesn't tell who has an
// account (L1).
func (s *Logins) nothingMailed(v *visit, ch *record.Change, to string) error {
	tokens, _ := s.accounts.Mail(ch, account.Mailed{Kind: account.MailedReset, Pool: v.at.pool(), Account: "-"})
	m := v.words().ResetMail(to, v.link(pages.PathNewPassword, tokens, account.MailedReset))
	return s.records.PretendMail(v.ctx, ch, s.mailed(v, mailReset, to, m, account.MailedReset.Life()))
}

func (s *Logins) showNewPassword(v *visit) (reply, error) {
	return page(v.view.NewPassword(pages.NewPasswordForm{})), nil
}

// redeemed reads whose a mailed token is.
func (s *Logins) redeemed(v *visit, kind account.MailedKind) (record.Record[account.Mailed], record.Record[account.Credential], identity.Holder, error) {
	m, c, err := s.accounts.RedeemOfAccount(v.ctx, v.at.pool(), v.form[pages.FieldToken], kind)
	if err != nil {
		return m, c, identity.Holder{}, err
	}
	if v.view.To == "/" {
		v.view.To = mezu.ReturnPath(m.Value.To)
	}
	h, err := v.at.holder(v.ctx, m.Value.Account)
	if err == nil && h.User.Status == mezu.UserSuspended {
		err = account.ErrNone
	}
	return m, c, h, err
}

// newPassword shows the form for a new password to who has the token of the mail.
func (s *Logins) newPassword(v *visit) (reply, error) {
	_, _, h, err := s.redeemed(v, account.MailedReset)
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	return page(v.view.NewPassword(s.newPasswordForm(v, h))), nil
}

func (s *Logins) newPasswordForm(v *visit, h identity.Holder, problems ...pages.Problem) pages.NewPasswordForm {
	return pages.NewPasswordForm{
		Token: account.Typed(v.form[pages.FieldToken]), Email: h.User.Profile.Email, MinPassword: v.at.settings().PasswordLength(), Problems: problems,
	}
}

// setPassword sets the password that was chosen after a mail. All sessions and everything
// that was mailed end, the owner is told, and nobody is logged in (W5).
func (s *Logins) setPassword(v *visit) (reply, error) {
	_, _, h, err := s.redeemed(v, account.MailedReset)
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	typed := v.form[pages.FieldPassword]
	if problems := weak(v.policy(h.User.Profile.Email, h.User.Profile), typed); len(problems) > 0 {
		return page(v.view.NewPassword(s.newPasswordForm(v, h, problems...))), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	_, err = s.records.Publish(v.ctx, v.author(h.User.ID), func(ch *record.Change) error {
		m, c, h, err := s.redeemed(v, account.MailedReset)
		if err != nil {
			return err
		}
		s.accounts.Spend(ch, m, &c.Value)
		c.Value.SetPassword(hash, s.records.Stamp()) // sessions that began while it was hashed end too
		c.Value.Devices = nil                        // whoever was there must prove it anew
		s.accounts.Put(ch, c, c.Value)
		// The attempts of strangers count anew.
		if err := s.accounts.Forgive(v.ctx, ch, v.at.pool(), identity.NormalizeMail(h.User.Profile.Email)); err != nil {
			return err
		}
		if err := v.at.endTokens(v.ctx, ch, h.User.ID); err != nil {
			return err
		}
		return s.passwordChanged(v, ch, h)
	})
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	s.cfg.Counted("reset", "succeeded")
	v.dropSession()
	return page(v.view.PasswordChanged()), nil
}

// passwordChanged plans what follows a new password: the grants of all sessions are void, and
// the owner is told.
func (s *Logins) passwordChanged(v *visit, ch *record.Change, h identity.Holder) error {
	ch.Audit(v.at.target(h.User), nil, changed{[]string{"password"}})
	if err := v.at.voidAll(v.ctx, ch, h.User.ID); err != nil {
		return err
	}
	to := h.User.Profile.Email
	return s.tell(v, ch, mailPassword, to, v.words().PasswordChangedMail(to, v.at.url()+v.view.Base+pages.PathReset))
}

// changed is what the audit shows of a change that users make of themselves.
type changed struct {
	Changed []string `json:"changed"`
}

func (s *Logins) showInvited(v *visit) (reply, error) {
	v.thisBrowser()
	return page(v.view.Invited(pages.InvitedForm{})), nil
}

// invited shows the form for the rest of an account that somebody has made.
func (s *Logins) invited(v *visit) (reply, error) {
	_, _, h, err := s.redeemed(v, account.MailedInvitation)
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	return s.invitedForm(v, h, h.User.Profile), nil
}

func (s *Logins) invitedForm(v *visit, h identity.Holder, p mezu.Profile, problems ...pages.Problem) reply {
	return page(v.view.Invited(pages.InvitedForm{
		Token: account.Typed(v.form[pages.FieldToken]), Email: h.User.Profile.Email, MinPassword: v.at.settings().PasswordLength(),
		Profile: v.profile(p), Terms: v.terms(), Problems: problems,
	}))
}

// acceptInvitation finishes an account that somebody has made, and logs its user in: the
// token came to the address.
func (s *Logins) acceptInvitation(v *visit) (reply, error) {
	_, _, h, err := s.redeemed(v, account.MailedInvitation)
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	profile, problems := v.names(h.User.Profile)
	typed, terms := v.form[pages.FieldPassword], v.at.settings().Terms.Version
	problems = append(problems, weak(v.policy(h.User.Profile.Email, profile), typed)...)
	if terms != "" && v.form[pages.FieldTerms] != terms {
		problems = append(problems, pages.Problem{Code: pages.TermsMissing})
	}
	if len(problems) > 0 {
		return s.invitedForm(v, h, profile, problems...), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	var b began
	_, err = s.records.Publish(v.ctx, v.author(h.User.ID), func(ch *record.Change) error {
		m, c, h, err := s.redeemed(v, account.MailedInvitation)
		if err != nil {
			return err
		}
		s.accounts.Spend(ch, m, &c.Value)
		h, err = v.at.change(v.ctx, ch, h, func(u *mezu.User) { u.Profile, u.Status, u.LastLoginAt = profile, mezu.UserActive, v.now })
		if err != nil {
			return err
		}
		c.Value.SetPassword(hash, s.records.Stamp())
		c.Value.Terms, c.Value.TermsAt = terms, v.now
		b, err = s.begin(v, ch, h, c, false)
		return err
	})
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	return s.keep(v, b), nil
}
