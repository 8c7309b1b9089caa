package login

import (
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// asUser does something for the user who is logged in. Nobody else gets past the login page;
// a form of somebody whose session has ended says that nothing was sent.
func (s *Logins) asUser(v *visit, do func(in) (reply, error)) (reply, error) {
	who, ok, err := s.who(v)
	switch {
	case err != nil:
		return reply{}, err
	case ok:
		r, err := do(who)
		if errors.Is(err, account.ErrNone) && v.in.Method == "POST" { // ended meanwhile
			return page(v.view.FormNotSent()), nil
		}
		return r, err
	case v.in.Method == "POST":
		return page(v.view.FormNotSent()), nil
	}
	v.view.To = v.view.Base + pages.PathAccount
	return redirect(v.loginPath()), nil
}

func (s *Logins) showAccount(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) { return s.accountPage(v, who, pages.AccountPage{}) })
}

// accountPage shows the account, with what a form of it has done or what is wrong with it.
func (s *Logins) accountPage(v *visit, who in, a pages.AccountPage) (reply, error) {
	user := who.holder.User
	a.Email, a.MinPassword = user.Profile.Email, v.at.settings().PasswordLength()
	if a.Form != pages.PathAccountProfile && v.at.named() {
		a.Profile = v.profile(user.Profile)
		a.Profile.AskName, a.Profile.AskDisplayName = true, true
	}
	all, err := s.accounts.Sessions(v.ctx, who.holder.Account())
	if err != nil {
		return reply{}, err
	}
	now := s.records.Now()
	for _, e := range all {
		if e.Value.Live(&who.credential.Value, now) && now.Before(e.Value.IdleUntil) {
			a.Sessions = append(a.Sessions, pages.Session{
				ID: e.Value.ID, Agent: e.Value.Agent, Address: e.Value.Address, LastSeen: e.Value.RefreshedAt, This: e.Value.ID == who.session.Value.ID,
			})
		}
	}
	slices.SortStableFunc(a.Sessions, func(x, y pages.Session) int {
		if x.This != y.This {
			return map[bool]int{true: -1, false: 1}[x.This]
		}
		return y.LastSeen.Compare(x.LastSeen)
	})
	history, err := s.LoginsOf(v.ctx, who.holder)
	if err != nil {
		return reply{}, err
	}
	for _, l := range history {
		a.Logins = append(a.Logins, pages.Login{Time: l.Time, Address: l.Address, Agent: l.Agent, Outcome: l.Outcome})
	}
	if a.Outside, err = v.at.outside(v.ctx, user.ID); err != nil {
		return reply{}, err
	}
	return page(v.view.Account(a)), nil
}

// saveProfile changes the names of a user.
func (s *Logins) saveProfile(v *visit, id string, p mezu.Profile) (identity.Holder, error) {
	var h identity.Holder
	_, err := s.records.Publish(v.ctx, v.author(id), func(ch *record.Change) (err error) {
		if h, err = v.at.holder(v.ctx, id); err != nil {
			return err
		}
		h, err = v.at.change(v.ctx, ch, h, func(u *mezu.User) { u.Profile.Name, u.Profile.DisplayName = p.Name, p.DisplayName })
		return err
	})
	return h, err
}

func (s *Logins) changeProfile(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) {
		p, problems := v.names(who.holder.User.Profile)
		if len(problems) > 0 {
			shown := v.profile(p)
			shown.AskName, shown.AskDisplayName = true, true
			return s.accountPage(v, who, pages.AccountPage{Form: pages.PathAccountProfile, Profile: shown, Problems: problems})
		}
		h, err := s.saveProfile(v, who.holder.User.ID, p)
		if err != nil {
			return reply{}, err
		}
		who.holder = h
		return s.accountPage(v, who, pages.AccountPage{Notice: pages.ProfileSaved})
	})
}

// confirmed asks a user who is logged in for the password: a browser left open must not be
// enough to take an account over.
func (s *Logins) confirmed(v *visit, who in, form string, do func() (reply, error)) (reply, error) {
	p, err := s.prove(v, who.holder.User.Profile.Email, v.form[pages.FieldCurrent])
	switch {
	case err != nil:
		return reply{}, err
	case p.wait > 0:
		return page(v.view.Wait(p.wait)), nil
	case !p.right || p.holder.User.ID != who.holder.User.ID:
		return s.accountPage(v, who, pages.AccountPage{Form: form, Problems: []pages.Problem{{Code: pages.WrongPassword}}})
	}
	return do()
}

// changeMail mails a link to the new address of a user, who has it once that is used. The
// page doesn't tell whether somebody has the address.
func (s *Logins) changeMail(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) {
		email, problems := v.address()
		if len(problems) == 0 && !v.at.settings().AdmitsDomain(email) {
			problems = []pages.Problem{{Code: pages.DomainNotAllowed}}
		}
		if len(problems) > 0 {
			return s.accountPage(v, who, pages.AccountPage{Form: pages.PathAccountMail, Problems: problems})
		}
		if !s.records.MailConfigured() {
			return page(v.view.MailAway()), nil
		}
		t := v.attempt(identity.NormalizeMail(email), account.Ref{})
		if wait, err := s.accounts.Crowded(v.ctx, t); err != nil || wait > 0 {
			return page(v.view.Wait(wait)), err
		}
		return s.confirmed(v, who, pages.PathAccountMail, func() (reply, error) {
			_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
				if err := s.accounts.Failed(v.ctx, ch, t); err != nil { // so that nobody has us mail thousands
					return err
				}
				now, err := s.still(v, ch, who)
				if err != nil {
					return err
				}
				c := now.credential
				c.Value.ForgiveDevice(v.device, v.now)
				if err := s.accounts.Forgive(v.ctx, ch, v.at.pool(), identity.NormalizeMail(now.holder.User.Profile.Email)); err != nil {
					return err
				}
				taken, _, err := s.find(v, email)
				if err != nil {
					return err
				}
				if taken.User.ID != "" && taken.User.ID != who.holder.User.ID {
					s.accounts.Put(ch, c, c.Value)
					_, err := s.mail(v, ch, mailAddress, email, v.words().KnownAddressMail(email, v.at.url()+v.view.Base+pages.PathLogin, v.at.url()+v.view.Base+pages.PathReset), account.MailedAddress.Life())
					return err
				}
				is := c.Value.Clone()
				tokens := s.accounts.MailAccount(ch, who.holder.Account(), &is, account.Mailed{Kind: account.MailedAddress, Address: email})
				goes, err := s.mail(v, ch, mailAddress, email, v.words().MailChangeMail(email, v.link(pages.PathMailChange, tokens, account.MailedAddress)), account.MailedAddress.Life())
				if !goes {
					is = c.Value
				}
				s.accounts.Put(ch, c, is)
				return err
			})
			if err != nil {
				return reply{}, err
			}
			return s.accountPage(v, who, pages.AccountPage{Notice: pages.MailSent, NewEmail: email})
		})
	})
}

func (s *Logins) showMailChange(v *visit) (reply, error) {
	return page(v.view.ConfirmMail(pages.MailChangeForm{})), nil
}

// confirmMail gives a user the address to which the token was mailed. The old address is
// told, and all sessions end.
func (s *Logins) confirmMail(v *visit) (reply, error) {
	m, _, h, err := s.redeemed(v, account.MailedAddress)
	if err == nil {
		_, err = s.records.Publish(v.ctx, v.author(h.User.ID), func(ch *record.Change) error {
			var c record.Record[account.Credential]
			if m, c, h, err = s.redeemed(v, account.MailedAddress); err != nil {
				return err
			}
			if !v.at.settings().AdmitsDomain(m.Value.Address) {
				return account.ErrNone // not any more
			}
			old := h.User.Profile.Email
			s.accounts.Spend(ch, m, &c.Value)
			c.Value.EndAll(s.records.Stamp())
			s.accounts.Put(ch, c, c.Value)
			if _, err = v.at.change(v.ctx, ch, h, func(u *mezu.User) { u.Profile.Email = m.Value.Address }); err != nil {
				return err
			}
			return s.tell(v, ch, mailMoved, old, v.words().MailChangedMail(old))
		})
	}
	switch {
	case errors.Is(err, account.ErrNone), mezu.CodeOf(err) == mezu.CodeConflict:
		return page(v.view.LinkUsed()), nil
	case err != nil:
		return reply{}, err
	}
	v.dropSession()
	return page(v.view.MailConfirmed(m.Value.Address)), nil
}

// changePassword sets another password. All other sessions end, this one gets a new id.
func (s *Logins) changePassword(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) {
		typed := v.form[pages.FieldPassword]
		if problems := weak(v.policy(who.holder.User.Profile.Email, who.holder.User.Profile), typed); len(problems) > 0 {
			return s.accountPage(v, who, pages.AccountPage{Form: pages.PathAccountPass, Problems: problems})
		}
		return s.confirmed(v, who, pages.PathAccountPass, func() (reply, error) {
			hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
			if err != nil {
				return reply{}, err
			}
			var b began
			_, err = s.records.Publish(v.ctx, v.author(who.holder.User.ID), func(ch *record.Change) error {
				now, err := s.still(v, ch, who)
				if err != nil {
					return err
				}
				now.credential.Value.SetPassword(hash, s.records.Stamp())
				if err := s.passwordChanged(v, ch, now.holder); err != nil {
					return err
				}
				b, err = s.begin(v, ch, now.holder, now.credential, true)
				return err
			})
			if err != nil {
				return reply{}, err
			}
			s.keep(v, b)
			v.session = b.cookie()
			if who, _, err = s.who(v); err != nil {
				return reply{}, err
			}
			return s.accountPage(v, who, pages.AccountPage{Notice: pages.PasswordSaved})
		})
	})
}

// endSession ends one session of the user, perhaps the one that asks.
func (s *Logins) endSession(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) {
		id := v.form[pages.FieldSession]
		if id == who.session.Value.ID {
			return s.logout(v)
		}
		if err := s.end(v.ctx, v.own(), v.at, shown{who.holder.Account(), id}); err != nil {
			return reply{}, err
		}
		return s.accountPage(v, who, pages.AccountPage{Notice: pages.SessionEnded})
	})
}

// endOthers ends all sessions of the user but the one that asks.
func (s *Logins) endOthers(v *visit) (reply, error) {
	return s.asUser(v, func(who in) (reply, error) {
		all, err := s.accounts.Sessions(v.ctx, who.holder.Account())
		if err != nil {
			return reply{}, err
		}
		for batch := range slices.Chunk(all, endedAtOnce) {
			_, err := s.records.Publish(v.ctx, v.own(), func(ch *record.Change) error {
				ending := map[string]time.Time{}
				for _, e := range batch {
					now, err := s.accounts.Session(v.ctx, who.holder.Account(), e.Value.ID)
					if err != nil {
						return err
					}
					if now.Revision != 0 && now.Value.ID != who.session.Value.ID {
						s.accounts.End(ch, now)
						ending[now.Value.ID] = now.Value.NotAfter
					}
				}
				return v.at.void(v.ctx, ch, ending)
			})
			if err != nil {
				return reply{}, err
			}
		}
		return s.accountPage(v, who, pages.AccountPage{Notice: pages.OthersEnded})
	})
}

// endedAtOnce is how many sessions end in one change: each takes an operation for its record
// and one for the statement, of the 64 that there are, and as many checks.
const endedAtOnce = 20
