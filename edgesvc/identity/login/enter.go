package login

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// loginForm is the form of a login with what is wrong with it.
func (s *Logins) loginForm(v *visit, email string, wait time.Duration, problems ...pages.Problem) reply {
	mail := s.records.MailConfigured()
	return page(v.view.Login(pages.LoginForm{Email: email, Problems: problems, Wait: wait, Signup: mail && v.at.settings().Signup == mezu.SignupOpen, Reset: mail}))
}

func (s *Logins) showLogin(v *visit) (reply, error) {
	v.thisBrowser()
	return s.loginForm(v, "", 0), nil
}

// address reads a mail address from the form.
func (v *visit) address() (string, []pages.Problem) {
	email := strings.TrimSpace(v.form[pages.FieldEmail]) // N14
	if mezu.ValidateEmail("email", email) != nil {
		return email, []pages.Problem{{Code: pages.EmailInvalid}}
	}
	return email, nil
}

// find finds the user with an address. Of an address that nobody has it gives the zero Holder.
func (s *Logins) find(v *visit, email string) (identity.Holder, record.Record[account.Credential], error) {
	h, err := v.at.holderByMail(v.ctx, email)
	if errors.Is(err, account.ErrNone) {
		h, err = identity.Holder{}, nil
	}
	if err != nil {
		return h, record.Record[account.Credential]{}, err
	}
	c, err := s.accounts.Credential(v.ctx, account.Ref{Pool: v.at.pool(), ID: h.User.ID})
	return h, c, err
}

// proof is whose password somebody typed, if it is right.
type proof struct {
	holder     identity.Holder
	credential record.Record[account.Credential]
	right      bool
	wait       time.Duration
}

// prove judges an address and its password. What it writes and how long it takes is the same
// for an address that nobody has (L1, N21).
func (s *Logins) prove(v *visit, email, typed string) (proof, error) {
	h, c, err := s.find(v, email)
	if err != nil {
		return proof{}, err
	}
	t := v.attempt(identity.NormalizeMail(email), h.Account())
	verdict, err := s.accounts.Begin(v.ctx, t)
	if err != nil || verdict.Wait > 0 {
		return proof{wait: verdict.Wait}, err
	}
	var hash password.Hash
	if c.Value.Password != nil {
		hash = *c.Value.Password
	}
	right, err := s.cfg.Hasher.Verify(v.ctx, v.at.pool(), hash, typed)
	if err != nil {
		return proof{}, err
	}
	if right {
		return proof{holder: h, credential: c, right: true}, s.upgrade(v, h.Account(), typed, hash)
	}
	s.cfg.Counted("login", "failed")
	_, err = s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		if err := s.accounts.Failed(v.ctx, ch, t); err != nil {
			return err
		}
		return s.NoteLogin(v.ctx, ch, v.at.pool(), h, v.note(mezu.LoginFailed))
	})
	return proof{}, err
}

// upgrade gives a password that was right a hash with the present parameters (L12).
func (s *Logins) upgrade(v *visit, of account.Ref, typed string, hash password.Hash) error {
	if !password.Outdated(hash) {
		return nil
	}
	better, err := s.cfg.Hasher.Hash(v.ctx, of.Pool, typed)
	if err != nil {
		return err
	}
	_, err = s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		c, err := s.accounts.Credential(v.ctx, of)
		if err != nil || c.Value.Password == nil || c.Value.Password.String() != hash.String() {
			return err
		}
		c.Value.Password = &better
		s.accounts.Put(ch, c, c.Value)
		return nil
	})
	return err
}

func (s *Logins) login(v *visit) (reply, error) {
	email, problems := v.address()
	if len(problems) > 0 {
		return s.loginForm(v, email, 0, problems...), nil
	}
	p, err := s.prove(v, email, v.form[pages.FieldPassword])
	switch {
	case err != nil:
		return reply{}, err
	case p.wait > 0:
		s.cfg.Counted("login", "waits")
		return s.loginForm(v, email, p.wait), nil
	case !p.right:
		return s.loginForm(v, email, 0, pages.Problem{Code: pages.WrongLogin}), nil
	}
	if p.holder.User.Status != mezu.UserActive {
		return s.refuse(v, p)
	}
	if r, asked, err := s.ask(v, p.holder, p.credential); asked || err != nil {
		return r, err
	}
	r, err := s.enter(v, p.holder.User.ID, &p.credential.Value, nil)
	if errors.Is(err, account.ErrNone) { // the account or its password is another one by now
		return s.loginForm(v, email, 0, pages.Problem{Code: pages.WrongLogin}), nil
	}
	return r, err
}

// refuse tells a user who may not log in whom to ask, after the right password only.
func (s *Logins) refuse(v *visit, p proof) (reply, error) {
	s.cfg.Counted("login", "refused")
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		if err := s.accounts.Forgive(v.ctx, ch, v.at.pool(), identity.NormalizeMail(p.holder.User.Profile.Email)); err != nil {
			return err
		}
		return s.NoteLogin(v.ctx, ch, v.at.pool(), p.holder, v.note(mezu.LoginRefused))
	})
	if p.holder.User.Status == mezu.UserSuspended {
		return page(v.view.Suspended(p.holder.User.Profile.Email)), err
	}
	return page(v.view.Inactive(p.holder.User.Profile.Email)), err
}

// missing is what a directory asks for and an account lacks.
func (v *visit) missing(p mezu.Profile, c account.Credential) (terms, profile bool) {
	d := v.at.settings()
	terms = d.Terms.Version != "" && c.Terms != d.Terms.Version
	return terms, len(d.Lacks(p)) > 0
}

// ask shows what the directory asks for before somebody is logged in: terms, then the
// profile. Until it is answered there is no session.
func (s *Logins) ask(v *visit, h identity.Holder, c record.Record[account.Credential]) (reply, bool, error) {
	terms, profile := v.missing(h.User.Profile, c.Value)
	if !terms && !profile {
		return reply{}, false, nil
	}
	browser := v.thisBrowser()
	var p account.Pending
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		p = s.accounts.NewPending(account.Pending{
			Pool: v.at.pool(), Environment: v.at.environment(), Account: h.User.ID, To: v.view.To, AuthTime: v.now,
		}, browser, "", account.LoginLife)
		s.accounts.CreatePending(ch, p)
		return nil
	})
	return s.question(v, p.ID, h, terms), true, err
}

func (s *Logins) question(v *visit, pending string, h identity.Holder, terms bool, problems ...pages.Problem) reply {
	if terms {
		return page(v.view.AcceptTerms(pages.TermsForm{Pending: pending, Terms: v.terms(), Problems: problems}))
	}
	return page(v.view.CompleteProfile(pages.ProfileForm{Pending: pending, Profile: v.profile(h.User.Profile), Problems: problems}))
}

// terms are the directory's, as pages show them.
func (v *visit) terms() pages.Terms {
	t := v.at.settings().Terms
	return pages.Terms{URL: t.URL, Version: t.Version}
}

// profile is the part of a form that asks for names.
func (v *visit) profile(p mezu.Profile) pages.Profile {
	r := v.at.settings().Require
	return pages.Profile{
		Name: p.Name, DisplayName: p.DisplayName,
		AskName: slices.Contains(r, mezu.RequireName), AskDisplayName: slices.Contains(r, mezu.RequireDisplayName),
	}
}

// waiting reads the login that waits for an answer, in the browser in which it began.
func (s *Logins) waiting(v *visit) (record.Record[account.Pending], identity.Holder, record.Record[account.Credential], error) {
	var c record.Record[account.Credential]
	p, err := s.accounts.Pending(v.ctx, v.at.pool(), v.at.environment(), v.form[pages.FieldPending])
	if err == nil && (!p.Value.Of(v.browser) || p.Value.Account == "" || p.Value.Email != "") {
		err = account.ErrNone
	}
	if err != nil {
		return p, identity.Holder{}, c, err
	}
	if v.view.To == "/" {
		v.view.To = mezu.ReturnPath(p.Value.To)
	}
	h, err := v.at.holder(v.ctx, p.Value.Account)
	if err != nil {
		return p, h, c, err
	}
	c, err = s.accounts.Credential(v.ctx, h.Account())
	// A login that was proved before the password changed is proved no more.
	if err == nil && (h.User.Status != mezu.UserActive || p.Value.AuthTime.Before(c.Value.Since)) {
		err = account.ErrNone
	}
	return p, h, c, err
}

// acceptTerms goes on with a login that waited for the terms to be accepted.
func (s *Logins) acceptTerms(v *visit) (reply, error) {
	p, h, _, err := s.waiting(v)
	if errors.Is(err, account.ErrNone) {
		return s.loginForm(v, "", 0, pages.Problem{Code: pages.FormOld}), nil
	}
	if err != nil {
		return reply{}, err
	}
	version := v.at.settings().Terms.Version
	if version != "" && v.form[pages.FieldTerms] != version {
		return s.question(v, p.Value.ID, h, true, pages.Problem{Code: pages.TermsMissing}), nil
	}
	var c record.Record[account.Credential]
	_, err = s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		if c, err = s.accounts.Credential(v.ctx, h.Account()); err != nil {
			return err
		}
		c.Value.Terms, c.Value.TermsAt = version, v.now
		s.accounts.Put(ch, c, c.Value)
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return s.goOn(v, p, h)
}

// completeProfile goes on with a login that waited for a name.
func (s *Logins) completeProfile(v *visit) (reply, error) {
	p, h, _, err := s.waiting(v)
	if errors.Is(err, account.ErrNone) {
		return s.loginForm(v, "", 0, pages.Problem{Code: pages.FormOld}), nil
	}
	if err != nil {
		return reply{}, err
	}
	profile, problems := v.names(h.User.Profile)
	if len(problems) > 0 {
		return page(v.view.CompleteProfile(pages.ProfileForm{Pending: p.Value.ID, Profile: v.profile(profile), Problems: problems})), nil
	}
	if h, err = s.saveProfile(v, h.User.ID, profile); err != nil {
		return reply{}, err
	}
	return s.goOn(v, p, h)
}

// goOn ends the wait of a login, unless something else is missing.
func (s *Logins) goOn(v *visit, p record.Record[account.Pending], h identity.Holder) (reply, error) {
	c, err := s.accounts.Credential(v.ctx, h.Account())
	if err != nil {
		return reply{}, err
	}
	if terms, profile := v.missing(h.User.Profile, c.Value); terms || profile {
		return s.question(v, p.Value.ID, h, terms), nil
	}
	return s.enter(v, h.User.ID, nil, &p)
}

// enter begins a session for a user who has proved who they are, and ends what waited for
// that. proved is the credential whose password was right, nil if something waited. What is
// not so any more when the session would begin is account.ErrNone.
func (s *Logins) enter(v *visit, id string, proved *account.Credential, waited *record.Record[account.Pending]) (reply, error) {
	var b began
	_, err := s.records.Publish(v.ctx, v.own(), func(ch *record.Change) error {
		h, err := v.at.holder(v.ctx, id)
		if err != nil {
			return err
		}
		c, err := s.accounts.Credential(v.ctx, h.Account())
		if err != nil {
			return err
		}
		if h.User.Status != mezu.UserActive || proved != nil && !proved.ChangedAt.Equal(c.Value.ChangedAt) {
			return account.ErrNone
		}
		if waited != nil {
			if waited.Value.AuthTime.Before(c.Value.Since) {
				return account.ErrNone
			}
			p, err := s.accounts.Pending(v.ctx, v.at.pool(), v.at.environment(), waited.Value.ID)
			if err != nil {
				return err // ErrNone if another tab was faster
			}
			s.accounts.EndPending(ch, p)
		}
		b, err = s.begin(v, ch, h, c, false)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	s.cfg.Counted("login", "succeeded")
	return s.keep(v, b), nil
}
