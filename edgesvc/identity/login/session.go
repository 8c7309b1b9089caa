package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// began is a session that has just begun, with what the browser is to keep: the secret and
// what stands behind it in the session's cookie, and the secret of the device.
type began struct {
	secret, behind, device string
	// newcomer is the id of an account that has never logged in before, else empty.
	newcomer string
}

// cookie is the value of the session's cookie.
func (b began) cookie() string { return b.secret + "." + b.behind }

// begin plans a session for a user who has proved who they are. It ends the session that the
// browser had, and one that the account has too many, and writes the credential. revoked says that
// the change ends all grants that the user has.
func (s *Logins) begin(v *visit, ch *record.Change, h identity.Holder, c record.Record[account.Credential], revoked bool) (began, error) {
	now := c.Value.Begins(v.now)
	b := began{secret: account.NewSecret(), device: account.NewSecret()}
	hash := sha256.Sum256([]byte(b.secret))
	session := account.Session{
		ID: mezu.NewID(mezu.PrefixSession, now), Environment: v.at.environment(), Method: v.method, SecretHash: hash[:], AuthTime: now,
		NotAfter: now.Add(v.at.settings().SessionAbsolute()), Agent: mezu.ShortAgent(v.in.UserAgent), Address: v.client.String(),
	}
	var err error
	if b.behind, err = v.at.issue(v.ctx, ch, h, &session); err != nil {
		return b, err
	}
	of := h.Account()
	evicted, err := s.accounts.Add(v.ctx, ch, of, &c.Value, session)
	if err != nil {
		return b, err
	}
	ending := map[string]time.Time{}
	for _, e := range evicted {
		ending[e.ID] = e.NotAfter
	}
	if err := s.endOld(v, ch, ending); err != nil {
		return b, err
	}
	c.Value.Meet(v.device, b.device, now)
	s.accounts.Put(ch, c, c.Value)
	if err := s.accounts.Forgive(v.ctx, ch, of.Pool, identity.NormalizeMail(h.User.Profile.Email)); err != nil {
		return b, err
	}
	history, err := s.LoginsOf(v.ctx, h)
	if err != nil {
		return b, err
	}
	if !slices.ContainsFunc(history, func(l mezu.Login) bool { return l.Outcome == mezu.LoginSucceeded }) {
		b.newcomer = h.User.ID
	}
	if err := s.NoteLogin(v.ctx, ch, of.Pool, h, v.note(mezu.LoginSucceeded)); err != nil {
		return b, err
	}
	if revoked {
		return b, nil
	}
	return b, v.at.void(v.ctx, ch, ending)
}

// endOld plans the end of the session that the browser shows, if it is one: after a login its
// id is worth nothing (L2).
func (s *Logins) endOld(v *visit, ch *record.Change, ending map[string]time.Time) error {
	was, err := v.at.shown(v.ctx, v.session)
	if err != nil {
		return err
	}
	return s.endOne(v.ctx, ch, was, ending)
}

// endOne plans the end of a session, and of the one that took its place, which the browser may
// not know of yet (L14).
func (s *Logins) endOne(ctx context.Context, ch *record.Change, one shown, ending map[string]time.Time) error {
	for id := one.id; id != ""; {
		old, err := s.accounts.Session(ctx, one.of, id)
		if err != nil || old.Revision == 0 {
			return err
		}
		if _, gone := ending[id]; !gone {
			s.accounts.End(ch, old)
			ending[id] = old.Value.NotAfter
		}
		id = old.Value.Successor
	}
	return nil
}

// keep has the browser keep what a login gave, and sends it to where it looks whether the
// cookie came (N15).
func (s *Logins) keep(v *visit, b began) reply {
	v.cookieFor(mezu.SessionCookie, b.cookie(), v.at.settings().SessionAbsolute())
	v.cookieFor(cookieDevice, b.device, account.DeviceLife)
	if b.newcomer != "" {
		if err := v.at.welcome(v, b.newcomer); err != nil { // the login is done
			s.records.Log.Error("welcoming who logged in for the first time", "request_id", v.in.RequestID, "account", b.newcomer, "error", err)
		}
	}
	return redirect(v.returnPath())
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// in is who is logged in here: the user, the session and the credential as they are now.
type in struct {
	holder     identity.Holder
	session    record.Record[account.Session]
	credential record.Record[account.Credential]
}

// who finds who is logged in, with ok false if nobody is, and notes that the session is used.
func (s *Logins) who(v *visit) (who in, ok bool, err error) {
	shown, err := v.at.shown(v.ctx, v.session)
	if err != nil || shown.id == "" {
		return who, false, err
	}
	if who, err = s.read(v.ctx, v.at, shown); err != nil || !who.alive(s.records.Now()) {
		return who, false, err
	}
	return who, true, v.at.used(v, &who)
}

// read reads a session and whose it is, both as far as there are any.
func (s *Logins) read(ctx context.Context, at realm, of shown) (who in, err error) {
	if who.session, err = s.accounts.Session(ctx, of.of, of.id); err != nil || who.session.Revision == 0 {
		return who, err
	}
	if who.credential, err = s.accounts.Credential(ctx, of.of); err != nil {
		return who, err
	}
	who.holder, err = at.holder(ctx, of.of.ID)
	if errors.Is(err, account.ErrNone) {
		err = nil
	}
	return who, err
}

// still reads again, within a change, who was logged in when the form came. If the session has
// ended since, as it does with its password, the change is not made: it says account.ErrNone.
func (s *Logins) still(v *visit, ch *record.Change, was in) (in, error) {
	who, err := s.read(v.ctx, v.at, shown{was.holder.Account(), was.session.Value.ID})
	if err == nil && !who.alive(s.records.Now()) {
		err = account.ErrNone
	}
	ch.Require(who.session.Key, who.session.Revision)
	return who, err
}

// alive reports whether a session goes on.
func (i *in) alive(now time.Time) bool {
	return i.good(now) && i.session.Value.ReplacedAt.IsZero() && now.Before(i.session.Value.IdleUntil)
}

// good reports whether a session has not been ended, by whatever ends it but idleness.
func (i *in) good(now time.Time) bool {
	s := &i.session.Value
	return i.session.Revision != 0 && i.holder.User.Status == mezu.UserActive && !s.AuthTime.Before(i.credential.Value.Since) && now.Before(s.NotAfter)
}

// end ends a session, if it goes on.
func (s *Logins) end(ctx context.Context, by record.Author, at realm, one shown) error {
	_, err := s.records.Publish(ctx, by, func(ch *record.Change) error {
		ending := map[string]time.Time{}
		if err := s.endOne(ctx, ch, one, ending); err != nil || len(ending) == 0 {
			return err
		}
		return at.void(ctx, ch, ending)
	})
	return err
}

// comeBack looks whether the browser kept the session, and sends it on.
func (s *Logins) comeBack(v *visit) (reply, error) {
	_, ok, err := s.who(v)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return page(v.view.CookieNotKept()), nil
	}
	return redirect(v.view.To), nil
}

// showLogout asks before it ends a session (N12).
func (s *Logins) showLogout(v *visit) (reply, error) {
	who, ok, err := s.who(v)
	if err != nil {
		return reply{}, err
	}
	if !ok {
		return page(v.view.LoggedOut()), nil
	}
	return page(v.view.Logout(who.holder.User.Profile.Email)), nil
}

// logout ends the session of the browser.
func (s *Logins) logout(v *visit) (reply, error) {
	one, err := v.at.shown(v.ctx, v.session)
	if err != nil {
		return reply{}, err
	}
	if one.id != "" {
		if err := s.end(v.ctx, v.own(), v.at, one); err != nil {
			return reply{}, err
		}
		s.cfg.Counted("logout", "succeeded")
	}
	v.dropSession()
	r := page(v.view.LoggedOut())
	r.header = append(r.header, [2]string{"Clear-Site-Data", `"cache"`})
	return r, nil
}
