package login

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// names reads the names of the form over those that there are, and says what is missing.
func (v *visit) names(p mezu.Profile) (mezu.Profile, []pages.Problem) {
	var problems []pages.Problem
	if name, sent := v.form[pages.FieldName]; sent {
		p.Name = strings.TrimSpace(name)
	}
	if name, sent := v.form[pages.FieldDisplayName]; sent {
		p.DisplayName = strings.TrimSpace(name)
	}
	r := v.at.settings().Require
	if p.Name == "" && slices.Contains(r, mezu.RequireName) {
		problems = append(problems, pages.Problem{Code: pages.NameMissing})
	} else if mezu.ValidateProfileName("name", p.Name) != nil {
		problems = append(problems, pages.Problem{Code: pages.NameInvalid})
	}
	if p.DisplayName == "" && slices.Contains(r, mezu.RequireDisplayName) {
		problems = append(problems, pages.Problem{Code: pages.DisplayMissing})
	} else if mezu.ValidateProfileName("display_name", p.DisplayName) != nil {
		problems = append(problems, pages.Problem{Code: pages.DisplayInvalid})
	}
	return p, problems
}

// policy is what is asked of a password of a user.
func (v *visit) policy(email string, p mezu.Profile) password.Policy {
	u, _ := url.Parse(v.at.url()) // made by us
	return password.Policy{
		MinLength: v.at.settings().PasswordLength(),
		Refused:   append([]string{email, p.Name, p.DisplayName, u.Hostname()}, v.at.context()...),
	}
}

// weak says what is wrong with a new password.
func weak(p password.Policy, typed string) []pages.Problem {
	reason := password.ReasonOf(p.Check(typed))
	switch reason {
	case "":
		return nil
	case password.TooShort:
		return []pages.Problem{{Code: pages.PasswordShort, N: p.Least()}}
	case password.TooLong:
		return []pages.Problem{{Code: pages.PasswordLong, N: password.MaxLength}}
	case password.NotUTF8:
		return []pages.Problem{{Code: pages.FormMalformed}}
	}
	return []pages.Problem{{Code: pages.Code(reason)}}
}

// openToAll reports whether somebody can sign up, and shows why not.
func (s *Logins) openToAll(v *visit) (reply, bool) {
	switch {
	case v.at.settings().Signup != mezu.SignupOpen:
		return page(v.view.NotFound()), false
	case !s.records.MailConfigured():
		return page(v.view.MailAway()), false
	}
	return reply{}, true
}

func (s *Logins) signupForm(v *visit, email string, p mezu.Profile, problems ...pages.Problem) reply {
	return page(v.view.Signup(pages.SignupForm{
		Email: email, MinPassword: v.at.settings().PasswordLength(), Profile: v.profile(p), Terms: v.terms(), Problems: problems,
	}))
}

func (s *Logins) showSignup(v *visit) (reply, error) {
	if r, ok := s.openToAll(v); !ok {
		return r, nil
	}
	v.thisBrowser()
	return s.signupForm(v, "", mezu.Profile{}), nil
}

// signup keeps what somebody typed until the address is proved: until then there is no
// account (N4). Somebody who has an account already gets another mail, and the same page
// (N22).
func (s *Logins) signup(v *visit) (reply, error) {
	if r, ok := s.openToAll(v); !ok {
		return r, nil
	}
	email, problems := v.address()
	profile, more := v.names(mezu.Profile{Email: email})
	profile.Email = email
	problems = append(problems, more...)
	if len(problems) == 0 && !v.at.settings().AdmitsDomain(email) {
		problems = append(problems, pages.Problem{Code: pages.DomainNotAllowed})
	}
	typed := v.form[pages.FieldPassword]
	problems = append(problems, weak(v.policy(email, profile), typed)...)
	terms := v.at.settings().Terms.Version
	if terms != "" && v.form[pages.FieldTerms] != terms {
		problems = append(problems, pages.Problem{Code: pages.TermsMissing})
	}
	if len(problems) > 0 {
		return s.signupForm(v, email, profile, problems...), nil
	}
	address := identity.NormalizeMail(email)
	t := v.attempt(address, account.Ref{})
	if wait, err := s.accounts.Crowded(v.ctx, t); err != nil || wait > 0 {
		return page(v.view.Wait(wait)), err
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	browser := v.thisBrowser()
	var p account.Pending
	_, err = s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		h, _, err := s.find(v, email)
		if err != nil {
			return err
		}
		p = account.Pending{
			Pool: v.at.pool(), Environment: v.at.environment(), To: v.view.To, Email: email, Profile: profile, Password: &hash, Terms: terms,
			Known: h.User.ID != "",
		}
		if err := s.accounts.Failed(v.ctx, ch, t); err != nil { // so that nobody signs up thousands
			return err
		}
		if p, _, err = s.mailSignup(v, ch, p, browser); err == nil {
			s.accounts.CreatePending(ch, p)
		}
		return err
	})
	if err != nil {
		return reply{}, err
	}
	s.cfg.Counted("signup", "begun")
	return s.checkMail(v, p, false), nil
}

// mailSignup makes a signup that waits, and plans the mail that proves its address.
func (s *Logins) mailSignup(v *visit, ch *record.Change, p account.Pending, browser string) (_ account.Pending, goes bool, err error) {
	digits := account.NewDigits()
	p = s.accounts.NewPending(p, browser, digits, account.SignupLife)
	tokens, words := account.NewTokens(), v.words()
	mail := words.SignupMail(p.Email, v.link(pages.PathVerify, tokens, account.MailedSignup), digits)
	if p.Known {
		mail = words.KnownAddressMail(p.Email, v.at.url()+v.view.Base+pages.PathLogin, v.at.url()+v.view.Base+pages.PathReset)
	}
	if goes, err = s.mail(v, ch, mailSignup, p.Email, mail, account.SignupLife); !goes {
		p.Code, p.Tokens = "", [2]string{}
		return p, false, err
	}
	p.Tokens = s.accounts.MailThese(ch, account.Mailed{Kind: account.MailedSignup, Pool: p.Pool, Pending: p.ID}, tokens)
	return p, true, err
}

func (s *Logins) checkMail(v *visit, p account.Pending, resent bool, problems ...pages.Problem) reply {
	return page(v.view.CheckMail(pages.CheckMailForm{Email: p.Email, Pending: p.ID, Left: account.CodeGuesses - p.Guesses, Resent: resent, Problems: problems}))
}

// inTab reads the signup of a tab that waits, in the browser in which it began.
func (s *Logins) inTab(v *visit) (record.Record[account.Pending], error) {
	p, err := s.accounts.Pending(v.ctx, v.at.pool(), v.at.environment(), v.form[pages.FieldPending])
	if err == nil && (!p.Value.Of(v.browser) || p.Value.Email == "") {
		err = account.ErrNone
	}
	if err == nil && v.view.To == "/" {
		v.view.To = mezu.ReturnPath(p.Value.To)
	}
	return p, err
}

// signupCode goes on in the tab that waited, by the digits of the mail (N2). Each guess is
// counted before it is judged.
func (s *Logins) signupCode(v *visit) (reply, error) {
	var p record.Record[account.Pending]
	var judged bool
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) (err error) {
		if p, err = s.inTab(v); err != nil {
			return err
		}
		if judged = p.Value.Guesses < account.CodeGuesses; !judged {
			return nil
		}
		p.Value.Guesses++
		s.accounts.PutPending(ch, p, p.Value)
		return nil
	})
	switch {
	case errors.Is(err, account.ErrNone):
		return page(v.view.LinkUsed()), nil
	case err != nil:
		return reply{}, err
	case p.Value.Account != "":
		return s.enter(v, p.Value.Account, nil, &p)
	case !judged || !s.accounts.Guess(&p.Value, account.Digits(v.form[pages.FieldCode])):
		return s.checkMail(v, p.Value, false, pages.Problem{Code: pages.CodeWrong, N: account.CodeGuesses - p.Value.Guesses}), nil
	}
	return s.join(v, p.Value.ID, true)
}

// signupGoOn goes on in the tab that waited, after the address was confirmed elsewhere.
func (s *Logins) signupGoOn(v *visit) (reply, error) {
	p, err := s.inTab(v)
	switch {
	case errors.Is(err, account.ErrNone):
		return page(v.view.LinkUsed()), nil
	case err != nil:
		return reply{}, err
	case p.Value.Account == "":
		return s.checkMail(v, p.Value, false, pages.Problem{Code: pages.NotConfirmed}), nil
	}
	return s.enter(v, p.Value.Account, nil, &p)
}

// signupResend mails anew. What was mailed before is worth nothing any more.
func (s *Logins) signupResend(v *visit) (reply, error) {
	var p account.Pending
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		was, err := s.inTab(v)
		if err != nil {
			return err
		}
		if was.Value.Account != "" {
			p = was.Value
			return nil
		}
		again := was.Value
		again.Guesses = 0
		var goes bool
		if p, goes, err = s.mailSignup(v, ch, again, v.browser); err != nil {
			return err
		}
		if !goes {
			p = was.Value
			return nil
		}
		s.accounts.EndPending(ch, was)
		s.accounts.CreatePending(ch, p)
		return nil
	})
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	return s.checkMail(v, p, true), err
}

// join makes the account of a signup whose address is proved. In the tab that waits, or
// another one of its browser, it logs in.
func (s *Logins) join(v *visit, pending string, here bool) (reply, error) {
	var b began
	var known bool
	var p record.Record[account.Pending]
	_, err := s.records.Publish(v.ctx, v.author(""), func(ch *record.Change) (err error) {
		b, known = began{}, false
		if p, err = s.accounts.Pending(v.ctx, v.at.pool(), v.at.environment(), pending); err != nil {
			return err
		}
		if p.Value.Account != "" {
			return account.ErrNone // another one was faster
		}
		there, _, err := s.find(v, p.Value.Email)
		if err != nil {
			return err
		}
		if there.User.ID != "" || p.Value.Password == nil { // made meanwhile
			known = true
			return nil
		}
		h, err := v.at.add(v, ch, &p.Value)
		if mezu.CodeOf(err) == mezu.CodeConflict {
			if there, _, again := s.find(v, p.Value.Email); again == nil && there.User.ID != "" {
				err = account.ErrNone // made since it was looked at
			}
		}
		if err != nil {
			return err
		}
		c := record.Record[account.Credential]{Key: s.accounts.Key(h.Account())}
		c.Value.SetPassword(*p.Value.Password, v.now)
		c.Value.Terms, c.Value.TermsAt = p.Value.Terms, v.now
		if here {
			s.accounts.EndPending(ch, p)
			b, err = s.begin(v, ch, h, c, false)
			return err
		}
		s.accounts.Put(ch, c, c.Value)
		p.Value.Account, p.Value.AuthTime, p.Value.Password = h.User.ID, v.now, nil
		s.accounts.PutPending(ch, p, p.Value)
		return nil
	})
	switch {
	case err != nil:
		return reply{}, err
	case known:
		return page(v.view.LinkUsed()), nil
	}
	s.joined(&p.Value)
	if here {
		return s.keep(v, b), nil
	}
	return page(v.view.Confirmed()), nil
}

func (s *Logins) showVerify(v *visit) (reply, error) {
	v.thisBrowser()
	return page(v.view.Verify(pages.VerifyForm{})), nil
}

// mailedSignup reads the signup that a mailed token proves.
func (s *Logins) mailedSignup(v *visit) (record.Record[account.Pending], error) {
	m, err := s.accounts.Redeem(v.ctx, v.at.pool(), v.form[pages.FieldToken], account.MailedSignup)
	if err != nil {
		return record.Record[account.Pending]{}, err
	}
	p, err := s.accounts.Pending(v.ctx, v.at.pool(), v.at.environment(), m.Value.Pending)
	if err == nil && (p.Value.Account != "" || p.Value.Known) {
		err = account.ErrNone
	}
	return p, err
}

// verify confirms an address by what was mailed to it. In the browser in which somebody
// signed up it logs in. In another one it asks for the password that was chosen, because
// somebody else may have signed up with the address, and logs nobody in (N2, N4).
func (s *Logins) verify(v *visit) (reply, error) {
	p, err := s.mailedSignup(v)
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	if v.view.To == "/" {
		v.view.To = mezu.ReturnPath(p.Value.To)
	}
	if p.Value.Of(v.browser) {
		return s.join(v, p.Value.ID, true)
	}
	ask := pages.VerifyForm{Token: account.Typed(v.form[pages.FieldToken]), AskPassword: true, Email: p.Value.Email}
	typed, sent := v.form[pages.FieldPassword]
	if !sent {
		return page(v.view.Verify(ask)), nil
	}
	t := v.attempt(identity.NormalizeMail(p.Value.Email), account.Ref{})
	verdict, err := s.accounts.Begin(v.ctx, t)
	if err != nil || verdict.Wait > 0 {
		return page(v.view.Wait(verdict.Wait)), err
	}
	right, err := s.cfg.Hasher.Verify(v.ctx, v.at.pool(), *p.Value.Password, typed)
	if err != nil {
		return reply{}, err
	}
	if !right {
		_, err = s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error { return s.accounts.Failed(v.ctx, ch, t) })
		ask.Problems = []pages.Problem{{Code: pages.WrongPassword}}
		return page(v.view.Verify(ask)), err
	}
	return s.join(v, p.Value.ID, false)
}

// verifyDeny ends a signup that the owner of the address did not begin.
func (s *Logins) verifyDeny(v *visit) (reply, error) {
	_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		p, err := s.mailedSignup(v)
		if err == nil {
			s.accounts.EndPending(ch, p)
		}
		return err
	})
	if errors.Is(err, account.ErrNone) {
		return page(v.view.LinkUsed()), nil
	}
	return page(v.view.SignupEnded()), err
}
