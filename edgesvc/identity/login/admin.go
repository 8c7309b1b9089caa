package login

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// What administrators of a directory do with the accounts of its users. They neither see nor
// set a password (W8).

// CreateUser makes a user, and invites that one if the call says so.
func (s *Logins) CreateUser(ctx context.Context, c access.Caller, p access.Path, in api.UserCreate, o record.Idempotency) (mezu.User, error) {
	if in.Invite == nil {
		return s.Identity.CreateUser(ctx, c, p, in.User, o, nil)
	}
	if in.User.Status != "" && in.User.Status != mezu.UserInactive {
		return mezu.User{}, mezu.Invalid("status", "of a user who is invited is inactive, not %q", in.User.Status)
	}
	if !s.records.MailConfigured() {
		return mezu.User{}, noMail("invite")
	}
	in.User.Status = mezu.UserInactive
	return s.Identity.CreateUser(ctx, c, p, in.User, o, func(ch *record.Change, sc access.Scope, h identity.Holder) error {
		to, err := s.forDirectory(ctx, sc, *in.Invite)
		if err != nil {
			return mezu.Below("invite", err)
		}
		_, err = to.mail(ctx, ch, h, account.MailedInvitation)
		return err
	})
}

// noMail is the refusal of what needs a mail. field names it.
func noMail(field string) error {
	e := mezu.Invalid(field, "this control plane sends no mail")
	e.Hint = "an operator sets smtp_address; without it, create the user and hand over the link of reset-password"
	return e
}

// InviteUser mails an inactive user another invitation. An earlier one is worth nothing any
// more.
func (s *Logins) InviteUser(ctx context.Context, c access.Caller, p access.Path, in api.UserMail) (api.UserMailed, error) {
	return s.sendLink(ctx, c, p.Either(api.OpInviteUser, api.OpInviteOrganizationUser), p, in, account.MailedInvitation)
}

// ResetUser mails a user a link to choose a new password, and ends what wrong attempts of
// others have done to the account. Where no mail is sent the caller gets the link to hand it
// over: such an installation has no other way to let somebody in who forgot a password.
func (s *Logins) ResetUser(ctx context.Context, c access.Caller, p access.Path, in api.UserMail) (api.UserMailed, error) {
	return s.sendLink(ctx, c, p.Either(api.OpResetUser, api.OpResetOrganizationUser), p, in, account.MailedReset)
}

// linkSent is what the audit shows of a link.
type linkSent struct {
	Link        string `json:"link"`
	Environment string `json:"environment"`
	// Shown says that the caller got it.
	Shown bool `json:"shown,omitempty"`
}

func (s *Logins) sendLink(ctx context.Context, c access.Caller, op api.Operation, p access.Path, in api.UserMail, kind account.MailedKind) (api.UserMailed, error) {
	var out api.UserMailed
	_, err := s.records.Commit(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, h, err := s.HolderAt(ctx, c, op, p, 0)
		if err != nil {
			return err
		}
		if err := mayGet(kind, h.User.Status); err != nil {
			return err
		}
		if kind == account.MailedInvitation && !s.records.MailConfigured() {
			return noMail("")
		}
		to, err := s.forDirectory(ctx, sc, in)
		if err != nil {
			return err
		}
		if kind == account.MailedReset {
			if err := s.accounts.Forgive(ctx, ch, to.site.pool(), identity.NormalizeMail(h.User.Profile.Email)); err != nil {
				return err
			}
		}
		if out, err = to.mail(ctx, ch, h, kind); err != nil {
			return err
		}
		ch.Audit(sc.Target(record.KindUser, h.User.ID, ""), nil, linkSent{string(kind), out.Environment, out.Link != ""})
		return nil
	})
	return out, err
}

// mayGet refuses a link that would be of no use to a user.
func mayGet(kind account.MailedKind, status mezu.UserStatus) error {
	var e *mezu.Error
	switch {
	case status == mezu.UserSuspended:
		e = &mezu.Error{Detail: "the user is suspended", Hint: "activate the user first"}
	case kind == account.MailedInvitation && status == mezu.UserActive:
		e = &mezu.Error{Detail: "the user is active already", Hint: "a new password is by reset-password"}
	case kind == account.MailedReset && status == mezu.UserInactive:
		e = &mezu.Error{Detail: "the user is inactive, and could not log in with a new password", Hint: "invite the user again, or activate the user first"}
	default:
		return nil
	}
	e.Code, e.Field = mezu.CodeConflict, "status"
	return e
}

// behalf is how something is mailed to a user that somebody else asked for.
type behalf struct {
	site  *site
	visit *visit // that nobody makes
}

// forDirectory finds the site to which mails to users of a directory lead.
func (s *Logins) forDirectory(ctx context.Context, sc access.Scope, in api.UserMail) (b behalf, err error) {
	if len(in.Language) > maxLanguage {
		return b, mezu.Invalid("language", "at most %d bytes", maxLanguage)
	}
	env, err := s.environmentFor(ctx, sc, in.Environment)
	if err != nil {
		return b, err
	}
	if b.site, err = s.site(ctx, env.ID); err != nil {
		return b, err
	}
	view := pages.View{Base: b.site.base(), Language: pages.Language(in.Language), Brand: b.site.brand(), To: "/"}
	b.visit = &visit{ctx: ctx, at: b.site, view: view, now: s.records.Stamp()}
	return b, nil
}

// maxLanguage bounds the language of a mail.
const maxLanguage = 64

// production is the name of the environment that counts most.
const production = "production"

// environmentFor finds the environment whose pages a mail of a directory leads to.
func (s *Logins) environmentFor(ctx context.Context, sc access.Scope, name string) (mezu.Environment, error) {
	dir := sc.Directory.Value
	if name != "" {
		env, err := s.EnvironmentIn(ctx, sc, name)
		switch {
		case err != nil:
			return env, err
		case env.DirectoryID != dir.ID:
			return env, mezu.Invalid("environment", "%s does not name the directory %s", name, dir.Name)
		case !env.IsEnabled():
			return env, &mezu.Error{Code: mezu.CodeConflict, Field: "environment", Detail: "the environment " + name + " is disabled, and shows no pages", Hint: "enable it, or name another one"}
		}
		return env, nil
	}
	var best mezu.Environment
	err := s.EachEnvironment(ctx, sc, func(env mezu.Environment) bool {
		if env.DirectoryID == dir.ID && env.IsEnabled() && (best.ID == "" || env.Name == production) {
			best = env
		}
		return best.Name != production
	})
	if err == nil && best.ID == "" {
		err = &mezu.Error{Code: mezu.CodeConflict, Field: "environment", Detail: "no environment that is enabled names the directory " + dir.Name + ", and a link needs one to lead to", Hint: "give an environment the `directory` " + dir.Name + " first"}
	}
	return best, err
}

// mail plans a mail with a link. It counts apart from those that strangers may ask for, which
// must not keep it away.
func (b behalf) mail(ctx context.Context, ch *record.Change, h identity.Holder, kind account.MailedKind) (api.UserMailed, error) {
	s, v, to := b.site.Logins, b.visit, h.User.Profile.Email
	out := api.UserMailed{Environment: b.site.project.Name + "/" + b.site.env.Name, ExpiresAt: v.now.Add(kind.Life())}
	c, err := s.accounts.Credential(ctx, h.Account())
	if err != nil {
		return out, err
	}
	tokens := s.accounts.MailAccount(ch, h.Account(), &c.Value, account.Mailed{Kind: kind})
	s.accounts.Put(ch, c, c.Value)
	path, mailed, words := pages.PathNewPassword, mailReset, v.words().ResetMail
	if kind == account.MailedInvitation {
		path, mailed, words = pages.PathInvited, mailInvited, v.words().InvitedMail
	}
	link := v.link(path, tokens, kind)
	if !s.records.MailConfigured() {
		out.Link = link.URL
		return out, nil
	}
	text := words(to, link)
	queued, err := s.records.QueueMail(ctx, ch, record.Mail{
		Kind: mailed, Directory: v.at.pool(), Mailbox: s.accounts.Blind(v.at.pool(), byAdmin+identity.NormalizeMail(to)), To: to, Language: v.view.Language,
		Subject: text.Subject, Text: text.Text, HTML: text.HTML, ExpiresAt: out.ExpiresAt,
	})
	if err == nil && !queued {
		err = &mezu.Error{Code: mezu.CodeRateLimited, Detail: "nothing was mailed: the mailbox had its mails of this hour, or too many mails of the directory wait", Hint: "try again later"}
	}
	return out, err
}

// byAdmin tells the count of mails that administrators have sent from others. No address has
// this byte.
const byAdmin = "\x00"

// ListUserSessions shows the sessions of a user, the one that was used last first.
func (s *Logins) ListUserSessions(ctx context.Context, c access.Caller, p access.Path) (api.List[api.UserSession], error) {
	out := api.List[api.UserSession]{Items: []api.UserSession{}}
	_, h, err := s.HolderAt(ctx, c, p.Either(api.OpGetUserSessions, api.OpGetOrganizationUserSessions), p, 0)
	if err != nil {
		return out, err
	}
	going, err := s.going(ctx, h)
	names := map[string]string{}
	for _, e := range going {
		name, known := names[e.Value.Environment]
		if !known {
			if name, err = s.environmentName(ctx, e.Value.Environment); err != nil {
				return out, err
			}
			names[e.Value.Environment] = name
		}
		out.Items = append(out.Items, api.UserSession{
			ID: e.Value.ID, Environment: name, Method: e.Value.Method, Address: e.Value.Address, Agent: e.Value.Agent,
			LoggedInAt: e.Value.AuthTime, RefreshedAt: e.Value.RefreshedAt, IdleUntil: e.Value.IdleUntil, ExpiresAt: e.Value.NotAfter,
		})
	}
	slices.SortStableFunc(out.Items, func(a, b api.UserSession) int {
		return cmp.Or(b.RefreshedAt.Compare(a.RefreshedAt), strings.Compare(a.ID, b.ID))
	})
	return out, err
}

// going are the sessions of a user that go on.
func (s *Logins) going(ctx context.Context, h identity.Holder) ([]record.Record[account.Session], error) {
	c, err := s.accounts.Credential(ctx, h.Account())
	if err != nil || h.User.Status != mezu.UserActive {
		return nil, err
	}
	all, err := s.accounts.Sessions(ctx, h.Account())
	now := s.records.Now()
	return slices.DeleteFunc(all, func(e record.Record[account.Session]) bool {
		return !e.Value.Live(&c.Value, now) || !now.Before(e.Value.IdleUntil)
	}), err
}

// environmentName is PROJECT/NAME of an environment, empty if it is gone.
func (s *Logins) environmentName(ctx context.Context, id string) (string, error) {
	env, err := record.ByID[mezu.Environment](ctx, s.records, id)
	if errors.Is(err, account.ErrNone) {
		return "", nil
	}
	return env.Value.Project + "/" + env.Value.Name, err
}

// sessionsEnded is what the audit shows of it.
type sessionsEnded struct {
	Ended []string `json:"sessions_ended"`
}

// EndUserSessions ends all sessions of a user.
func (s *Logins) EndUserSessions(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	op := p.Either(api.OpEndUserSessions, api.OpEndOrganizationUserSessions)
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, h, err := s.HolderAt(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		credential, err := s.accounts.Credential(ctx, h.Account())
		if err != nil || credential.Revision == 0 {
			return err // who has none has never logged in
		}
		credential.Value.EndSessions(s.records.Stamp())
		s.accounts.Put(ch, credential, credential.Value)
		ch.Audit(sc.Target(record.KindUser, h.User.ID, ""), nil, sessionsEnded{[]string{"all"}})
		return s.RevokeUser(ctx, ch, sc.Organization.Value.ID, sc.Directory.Value.ID, h.User.ID)
	})
	return err
}

// EndUserSession ends one session of a user.
func (s *Logins) EndUserSession(ctx context.Context, c access.Caller, p access.Path, ifMatch uint64) error {
	op := p.Either(api.OpEndUserSession, api.OpEndOrganizationUserSession)
	_, err := s.records.Publish(ctx, access.By(c, op.ID), func(ch *record.Change) error {
		sc, h, err := s.HolderAt(ctx, c, op, p, ifMatch)
		if err != nil {
			return err
		}
		going, err := s.going(ctx, h)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(going, func(e record.Record[account.Session]) bool { return e.Value.ID == p.Session })
		if i < 0 {
			return record.NotFound("session", "it may have ended already")
		}
		s.accounts.End(ch, going[i])
		ch.Audit(sc.Target(record.KindUser, h.User.ID, ""), nil, sessionsEnded{[]string{p.Session}})
		return s.RevokeSessions(ctx, ch, sc.Organization.Value.ID, sc.Directory.Value.ID, map[string]time.Time{p.Session: going[i].Value.NotAfter})
	})
	return err
}
