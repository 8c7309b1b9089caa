package login

import (
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// InvitationMail writes the mail that invites to an organization: Subject, Text, HTML and
// Language. It is in English, because nobody knows what the invited person reads.
func InvitationMail(to, inviter, organization, link, code string, ends time.Duration) record.Mail {
	m := pages.Words{Brand: pages.Brand{Name: teamName}}.TeamInvitedMail(to, inviter, organization, pages.Link{URL: link, Code: code, Ends: ends})
	return record.Mail{Language: "en", Subject: m.Subject, Text: m.Text, HTML: m.HTML}
}

func (s *Logins) showTeamInvited(v *visit) (reply, error) {
	v.thisBrowser()
	return page(v.view.TeamInvited(pages.TeamInvitedForm{})), nil
}

// joiner is who joins an organization by an invitation.
type joiner struct {
	email, organization string
	// holder is the zero value of somebody who has no account.
	holder identity.Holder
	// here says that they are logged in in this browser.
	here bool
}

// joiner judges an invitation and its address, and finds who would join by it. If there is
// something wrong with either, the answer says so, and not with which (A4).
func (s *Logins) joiner(v *visit) (j joiner, r reply, ok bool, err error) {
	email, problems := v.address()
	form := pages.TeamInvitedForm{Token: v.linked(), Email: email, Problems: problems}
	if len(problems) > 0 {
		return j, page(v.view.TeamInvited(form)), false, nil
	}
	j.email = email
	switch j.organization, err = s.cfg.Persons.Invited(v.ctx, v.linked(), email); {
	case mezu.CodeOf(err) == mezu.CodeUnauthenticated:
		form.Problems = []pages.Problem{{Code: pages.InvitationWrong}}
		return j, page(v.view.TeamInvited(form)), false, nil
	case err != nil:
		return j, reply{}, false, err
	}
	if j.holder, _, err = s.find(v, email); err != nil {
		return j, reply{}, false, err
	}
	who, in, err := s.who(v)
	j.here = in && who.holder.User.ID == j.holder.User.ID
	return j, reply{}, err == nil, err
}

// teamInvited shows what is left to do before somebody joins an organization.
func (s *Logins) teamInvited(v *visit) (reply, error) {
	j, r, ok, err := s.joiner(v)
	if !ok {
		return r, err
	}
	return s.joinForm(v, j), nil
}

func (s *Logins) joinForm(v *visit, j joiner, problems ...pages.Problem) reply {
	f := pages.JoinForm{
		Token: v.linked(), Email: j.email, Organization: j.organization, MinPassword: v.at.settings().PasswordLength(), Reset: s.records.MailConfigured(), Problems: problems,
	}
	switch {
	case j.here:
		f.Joiner = pages.JoinerHere
	case j.holder.User.ID != "":
		f.Joiner = pages.JoinerKnown
	}
	return page(v.view.Join(f))
}

// joinOrganization makes whoever has an invitation a member: by the session that they have,
// after the right password, or with an account that is made for them.
func (s *Logins) joinOrganization(v *visit) (reply, error) {
	j, r, ok, err := s.joiner(v)
	if !ok {
		return r, err
	}
	typed := v.form[pages.FieldPassword]
	switch {
	case j.here:
		return s.joinWith(v, j, nil)
	case j.holder.User.ID != "":
		p, err := s.prove(v, j.email, typed)
		switch {
		case err != nil:
			return reply{}, err
		case p.wait > 0:
			return page(v.view.Wait(p.wait)), nil
		case !p.right:
			return s.joinForm(v, j, pages.Problem{Code: pages.WrongPassword}), nil
		}
		return s.joinWith(v, j, func(ch *record.Change, h identity.Holder) (began, error) {
			c, err := s.accounts.Credential(v.ctx, h.Account())
			if err == nil && p.credential.Value.Since.Before(c.Value.Since) {
				err = account.ErrNone // the password is another one now
			}
			if err != nil {
				return began{}, err
			}
			return s.begin(v, ch, h, c, false)
		})
	}
	if problems := weak(v.policy(j.email, mezu.Profile{}), typed); len(problems) > 0 {
		return s.joinForm(v, j, problems...), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	return s.joinWith(v, j, func(ch *record.Change, h identity.Holder) (began, error) {
		c := record.Record[account.Credential]{Key: s.accounts.Key(h.Account())}
		c.Value.SetPassword(hash, v.now)
		return s.begin(v, ch, h, c, false)
	})
}

// joinWith makes somebody a member, and in the same change logs them in, unless they are.
func (s *Logins) joinWith(v *visit, j joiner, enter func(*record.Change, identity.Holder) (began, error)) (reply, error) {
	var b began
	_, err := s.records.Publish(v.ctx, v.author(j.holder.User.ID), func(ch *record.Change) error {
		h, err := asHolder(s.cfg.Persons.Join(v.ctx, ch, v.linked(), j.email, j.holder.User.ID))
		if err != nil || enter == nil {
			return err
		}
		b, err = enter(ch, h)
		return err
	})
	switch code := mezu.CodeOf(err); {
	case code == mezu.CodeUnauthenticated, code == mezu.CodeConflict: // it was redeemed meanwhile
		return page(v.view.LinkUsed()), nil
	case err != nil:
		return reply{}, err
	case enter == nil:
		return redirect(v.returnPath()), nil
	}
	return s.keep(v, b), nil
}
