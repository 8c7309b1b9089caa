package login

import (
	"errors"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// linked is the code of a link of the team, as it came with a form. Links of earlier builds
// have its name before it.
func (v *visit) linked() string {
	code := strings.TrimPrefix(strings.TrimSpace(v.form[pages.FieldToken]), "code=")
	if len(code) > maxLinked {
		return ""
	}
	return code
}

// maxLinked bounds such a code. Those that there are have some sixty characters.
const maxLinked = 128

func (s *Logins) showBootstrap(v *visit) (reply, error) {
	v.thisBrowser()
	return page(v.view.Bootstrap(pages.BootstrapForm{Site: s.cfg.Site})), nil
}

// bootstrap shows the form for the first operator to who has the code of the bootstrap link
// (N28), or lets the operator in whom the code of a reset names.
func (s *Logins) bootstrap(v *visit) (reply, error) {
	who, r, ok, err := s.mayBootstrap(v)
	if !ok {
		return r, err
	}
	if who != nil && who.User.Profile.Email == "" {
		return s.readmit(v, who, nil) // persons without an address have no use for a password
	}
	return s.bootstrapForm(v, who, ""), nil
}

// mayBootstrap judges the code of a form, and shows that it is worth nothing. who is the
// operator whom the code lets in again, nil if it makes the first one.
func (s *Logins) mayBootstrap(v *visit) (who *identity.Holder, r reply, ok bool, err error) {
	operator, err := s.cfg.Persons.MayBootstrap(v.ctx, mezu.HashSecret(v.linked()))
	if err == nil && operator != "" {
		var h identity.Holder
		if h, err = s.team.holder(v.ctx, operator); errors.Is(err, account.ErrNone) {
			return nil, page(v.view.LinkUsed()), false, nil
		}
		who = &h
	}
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		return nil, page(v.view.LinkUsed()), false, nil
	}
	return who, reply{}, err == nil, err
}

func (s *Logins) bootstrapForm(v *visit, who *identity.Holder, email string, problems ...pages.Problem) reply {
	f := pages.BootstrapForm{Token: v.linked(), Email: email, MinPassword: v.at.settings().PasswordLength(), Problems: problems}
	if who != nil {
		f.Email, f.Known = who.User.Profile.Email, true
	}
	return page(v.view.Bootstrap(f))
}

// readmitted sets the password of the operator whom the code of a reset names, and logs in.
func (s *Logins) readmitted(v *visit, who *identity.Holder) (reply, error) {
	typed := v.form[pages.FieldPassword]
	if problems := weak(v.policy(who.User.Profile.Email, who.User.Profile), typed); len(problems) > 0 {
		return s.bootstrapForm(v, who, "", problems...), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	return s.readmit(v, who, &hash)
}

// readmit spends the code of a reset and begins a session, with a new password if there is one.
// As with every new password, sessions and logins of programs end that there are, and the owner
// is told. Of several who use a code at once, one gets in.
func (s *Logins) readmit(v *visit, who *identity.Holder, hash *password.Hash) (reply, error) {
	v.method = mezu.MethodLink
	var b began
	_, err := s.records.Publish(v.ctx, v.author(who.User.ID), func(ch *record.Change) error {
		if err := s.cfg.Persons.Readmit(v.ctx, ch, mezu.HashSecret(v.linked())); err != nil {
			return err
		}
		c, err := s.accounts.Credential(v.ctx, who.Account())
		if err != nil {
			return err
		}
		if hash == nil {
			ch.Audit(v.at.target(who.User), nil, changed{[]string{"bootstrap_link"}})
		} else {
			c.Value.SetPassword(*hash, s.records.Stamp())
			c.Value.Devices = nil // whoever was there must prove it anew
			if err := s.passwordChanged(v, ch, *who); err != nil {
				return err
			}
		}
		b, err = s.begin(v, ch, *who, c, hash != nil)
		return err
	})
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		return page(v.view.LinkUsed()), nil
	}
	if err != nil {
		return reply{}, err
	}
	s.cfg.Counted("login", "succeeded")
	s.cfg.Persons.Bootstrapped()
	return s.keep(v, b), nil
}

// firstOperator makes the account of the first operator and logs them in. If there is mail,
// the address is proved first, as at a signup: whoever reads its mail can set another password
// later. Without, it is taken as it was typed.
func (s *Logins) firstOperator(v *visit) (reply, error) {
	who, r, ok, err := s.mayBootstrap(v)
	if !ok {
		return r, err
	}
	if who != nil {
		return s.readmitted(v, who)
	}
	email, problems := v.address()
	typed := v.form[pages.FieldPassword]
	problems = append(problems, weak(v.policy(email, mezu.Profile{}), typed)...)
	if len(problems) > 0 {
		return s.bootstrapForm(v, nil, email, problems...), nil
	}
	hash, err := s.cfg.Hasher.Hash(v.ctx, v.at.pool(), typed)
	if err != nil {
		return reply{}, err
	}
	p := account.Pending{
		Pool: v.at.pool(), Environment: v.at.environment(), To: v.view.To, Email: email, Password: &hash, Bootstrap: mezu.HashSecret(v.linked()),
	}
	if s.records.MailConfigured() {
		browser := v.thisBrowser()
		_, err := s.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
			there, _, err := s.find(v, email)
			if err != nil {
				return err
			}
			p.Known = there.User.ID != ""
			if p, _, err = s.mailSignup(v, ch, p, browser); err == nil {
				s.accounts.CreatePending(ch, p)
			}
			return err
		})
		return s.checkMail(v, p, false), err
	}
	var b began
	_, err = s.records.Publish(v.ctx, v.author(""), func(ch *record.Change) error {
		h, err := v.at.add(v, ch, &p)
		if err != nil {
			return err
		}
		c := record.Record[account.Credential]{Key: s.accounts.Key(h.Account())}
		c.Value.SetPassword(hash, v.now)
		b, err = s.begin(v, ch, h, c, false)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	s.joined(&p)
	return s.keep(v, b), nil
}

// joined is called after a change that has made the account of a signup.
func (s *Logins) joined(p *account.Pending) {
	s.cfg.Counted("signup", "finished")
	if p.Bootstrap != "" {
		s.cfg.Persons.Bootstrapped()
	}
}
