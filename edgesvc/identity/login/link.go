package login

import (
	"context"
	"errors"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// CreateLoginLink makes a link by which the caller, a person, logs in by a browser once.
func (s *Logins) CreateLoginLink(ctx context.Context, c access.Caller, o record.Idempotency) (api.LoginLink, error) {
	if _, err := access.Admit(api.OpCreateLoginLink, c); err != nil {
		return api.LoginLink{}, err
	}
	return s.createLink(ctx, c, api.OpCreateLoginLink, o, func(ch *record.Change) (string, error) {
		return c.ID, s.access.RequireToken(ctx, ch, c) // one that is being revoked opens nothing more
	})
}

// CreatePersonLoginLink makes a link by which a person logs in by a browser once who has no
// other way: no password yet, or no mail to set another one. Operators give it to them. It is
// none to look through the eyes of somebody who can log in (W8).
func (s *Logins) CreatePersonLoginLink(ctx context.Context, c access.Caller, p access.Path, o record.Idempotency) (api.LoginLink, error) {
	if _, err := access.Admit(api.OpCreatePersonLoginLink, c); err != nil {
		return api.LoginLink{}, err
	}
	return s.createLink(ctx, c, api.OpCreatePersonLoginLink, o, func(ch *record.Change) (string, error) {
		if _, err := s.access.RequireOperator(ctx, ch, c, api.OpCreatePersonLoginLink); err != nil {
			return "", err
		}
		find := s.team.holder
		if strings.Contains(p.Item, "@") {
			find = s.team.holderByMail
		}
		h, err := find(ctx, p.Item)
		if errors.Is(err, account.ErrNone) {
			return "", record.NotFound("person", "persons are named by id or by address")
		}
		if err != nil {
			return "", err
		}
		cred, err := s.accounts.Credential(ctx, h.Account())
		if err == nil && cred.Value.Password != nil && s.records.MailConfigured() {
			err = &mezu.Error{Code: mezu.CodeConflict, Detail: "this person has a password", Hint: "have them reset it, by the mail that " + s.cfg.Site + "/" + pages.PathReset + " sends"}
		}
		return h.User.ID, err
	})
}

// createLink makes a login link. An earlier one of the same person is worth nothing any more.
func (s *Logins) createLink(ctx context.Context, c access.Caller, op api.Operation, o record.Idempotency, whose func(*record.Change) (string, error)) (api.LoginLink, error) {
	var out api.LoginLink
	if c.Permissions != nil {
		return out, &mezu.Error{Code: mezu.CodeForbidden, Detail: "a session has all that its person may do, and a token with bounds makes nothing beyond them", Hint: "use one without bounds"}
	}
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) (err error) {
		out, err = record.Idempotent(ctx, s.records, ch, o, true, func() (out api.LoginLink, err error) {
			person, err := whose(ch)
			if err != nil {
				return out, err
			}
			of := account.Ref{Pool: poolPersons, ID: person}
			cred, err := s.accounts.Credential(ctx, of)
			if err != nil {
				return out, err
			}
			tokens := s.accounts.MailAccount(ch, of, &cred.Value, account.Mailed{Kind: account.MailedLogin})
			s.accounts.Put(ch, cred, cred.Value)
			ch.Audit(record.About(record.KindPerson, person, ""), nil, changed{[]string{"login_link"}})
			return api.LoginLink{Link: s.cfg.Site + s.team.base() + pages.PathLoginLink + "#" + tokens.Link, ExpiresAt: s.records.Stamp().Add(account.MailedLogin.Life())}, nil
		})
		return err
	})
	return out, err
}

func (s *Logins) showLoginLink(v *visit) (reply, error) {
	v.thisBrowser()
	return page(v.view.LoginLink(pages.LoginLinkForm{})), nil
}

// followLink logs in by a link whoever has a password, and asks all others to choose one.
// Persons without an address have no use for one.
func (s *Logins) followLink(v *visit) (reply, error) {
	_, c, h, err := s.redeemed(v, account.MailedLogin)
	switch {
	case errors.Is(err, account.ErrNone):
		return page(v.view.LinkUsed()), nil
	case err != nil:
		return reply{}, err
	case c.Value.Password == nil && h.User.Profile.Email != "":
		return s.firstPasswordForm(v, h.User), nil
	}
	return s.enterByLink(v, v.own(), nil)
}

func (s *Logins) firstPasswordForm(v *visit, u mezu.User, problems ...pages.Problem) reply {
	return page(v.view.LoginLink(pages.LoginLinkForm{
		Token: account.Typed(v.form[pages.FieldToken]), Email: u.Profile.Email, MinPassword: v.at.settings().PasswordLength(), Problems: problems,
	}))
}

// firstPassword sets the first password of a person, and logs in.
func (s *Logins) firstPassword(v *visit) (reply, error) {
	_, c, h, err := s.redeemed(v, account.MailedLogin)
	if errors.Is(err, account.ErrNone) || err == nil && c.Value.Password != nil {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	typed := v.form[pages.FieldPassword]
	if problems := weak(v.policy(h.User.Profile.Email, h.User.Profile), typed); len(problems) > 0 {
		return s.firstPasswordForm(v, h.User, problems...), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	return s.enterByLink(v, v.author(h.User.ID), func(ch *record.Change, c *account.Credential) {
		c.SetPassword(hash, s.records.Stamp())
		ch.Audit(v.at.target(h.User), nil, changed{[]string{"password"}})
	})
}

// enterByLink spends a link and begins a session, with what else changes of the credential.
// Of several who follow a link at once, one gets in.
func (s *Logins) enterByLink(v *visit, by record.Author, with func(*record.Change, *account.Credential)) (reply, error) {
	v.method = mezu.MethodLink
	var b began
	_, err := s.records.Publish(v.ctx, by, func(ch *record.Change) error {
		m, c, h, err := s.redeemed(v, account.MailedLogin)
		if err != nil {
			return err
		}
		s.accounts.Spend(ch, m, &c.Value)
		if with != nil {
			with(ch, &c.Value)
		}
		b, err = s.begin(v, ch, h, c, false)
		return err
	})
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	s.cfg.Counted("login", "succeeded")
	return s.keep(v, b), nil
}
