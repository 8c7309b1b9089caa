package login

import (
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
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
	return page(v.view.Bootstrap(pages.BootstrapForm{})), nil
}

// bootstrap shows the form for the first operator to who has the code of the bootstrap link
// (N28).
func (s *Logins) bootstrap(v *visit) (reply, error) {
	if r, ok, err := s.mayBootstrap(v); !ok {
		return r, err
	}
	return s.bootstrapForm(v, ""), nil
}

// mayBootstrap judges the code of a form, and shows that it is worth nothing.
func (s *Logins) mayBootstrap(v *visit) (reply, bool, error) {
	err := s.cfg.Persons.MayBootstrap(v.ctx, mezu.HashSecret(v.linked()))
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		return page(v.view.LinkUsed()), false, nil
	}
	return reply{}, err == nil, err
}

func (s *Logins) bootstrapForm(v *visit, email string, problems ...pages.Problem) reply {
	return page(v.view.Bootstrap(pages.BootstrapForm{Token: v.linked(), Email: email, MinPassword: v.at.settings().PasswordLength(), Problems: problems}))
}

// firstOperator makes the account of the first operator and logs them in. If there is mail,
// the address is proved first, as at a signup: whoever reads its mail can set another password
// later. Without, it is taken as it was typed.
func (s *Logins) firstOperator(v *visit) (reply, error) {
	if r, ok, err := s.mayBootstrap(v); !ok {
		return r, err
	}
	email, problems := v.address()
	typed := v.form[pages.FieldPassword]
	problems = append(problems, weak(v.policy(email, mezu.Profile{}), typed)...)
	if len(problems) > 0 {
		return s.bootstrapForm(v, email, problems...), nil
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
