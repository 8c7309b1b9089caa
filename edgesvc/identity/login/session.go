package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
)

// minFresh is the least time for which a grant needs no refresh.
const minFresh = time.Minute

// began is a session that has just begun, with what the browser is to keep.
type began struct{ secret, grant, device string }

// begin plans a session for a user who has proved who they are. It ends the session that the
// browser had, and one that the account has too many, and writes the credential. revoked says that
// the change ends all grants that the user has.
func (s *Logins) begin(v *visit, ch *record.Change, h identity.Holder, c record.Record[account.Credential], revoked bool) (began, error) {
	now := v.now
	b := began{secret: account.NewSecret(), device: account.NewSecret()}
	hash := sha256.Sum256([]byte(b.secret))
	session := account.Session{
		ID: mezu.NewID(mezu.PrefixSession, now), Environment: v.site.environment.ID, Method: mezu.MethodPassword, SecretHash: hash[:], AuthTime: now,
		NotAfter: now.Add(v.site.directory().SessionAbsolute()), Agent: mezu.ShortAgent(v.in.UserAgent), Address: v.client.String(),
	}
	issued, err := s.issueTime(v.ctx, ch, &v.site, h.User.ID, now)
	if err != nil {
		return b, err
	}
	if revoked {
		issued.least = now.Add(time.Millisecond) // as RevokeUser has it
	}
	if b.grant, err = s.issue(&v.site, h, &session, issued); err != nil {
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
	if err := s.NoteLogin(v.ctx, ch, of.Pool, h, v.note(mezu.LoginSucceeded)); err != nil {
		return b, err
	}
	if revoked {
		return b, nil
	}
	return b, s.RevokeSessions(v.ctx, ch, v.site.scope.Organization.Value.ID, of.Pool, ending)
}

// endOld plans the end of the session that the browser shows, if it is one: after a login its
// id is worth nothing (L2).
func (s *Logins) endOld(v *visit, ch *record.Change, ending map[string]time.Time) error {
	g := s.shown(v)
	if g == nil {
		return nil
	}
	old, err := s.accounts.Session(v.ctx, account.Ref{Pool: g.Directory, ID: g.User}, g.Session)
	if err != nil || old.Revision == 0 {
		return err
	}
	if _, gone := ending[g.Session]; !gone {
		s.accounts.End(ch, old)
		ending[g.Session] = old.Value.NotAfter
	}
	return nil
}

// keep has the browser keep what a login gave, and sends it to where it looks whether the
// cookie came (N15).
func (s *Logins) keep(v *visit, b began) reply {
	v.cookieFor(mezu.SessionCookie, b.secret+"."+b.grant, v.site.directory().SessionAbsolute())
	v.cookieFor(cookieDevice, b.device, account.DeviceLife)
	return redirect(v.returnPath())
}

// issue signs a grant for a session and notes in it until when that is good.
func (s *Logins) issue(at *site, h identity.Holder, session *account.Session, issued issueTime) (string, error) {
	idle, now := at.directory().SessionIdle(), issued.now
	session.RefreshedAt, session.IssuedAt, session.Roles = now, issued.at(), h.RolesIn(at.project.ID)
	slices.Sort(session.Roles)
	session.IdleUntil = earlier(now.Add(idle), session.NotAfter)
	g := mezu.Grant{
		Session: session.ID, User: h.User.ID, Directory: at.pool(), Environment: at.environment.ID, Epoch: s.records.Epoch, Method: session.Method,
		Email: h.User.Profile.Email, Name: called(h.User.Profile), Roles: session.Roles, AuthTime: session.AuthTime, IssuedAt: session.IssuedAt,
		FreshUntil: earlier(now.Add(max(idle/4, minFresh)), session.IdleUntil), IdleUntil: session.IdleUntil, NotAfter: session.NotAfter,
		SecretHash: [sha256.Size]byte(session.SecretHash),
	}
	if err := g.Validate(); err != nil {
		return "", err
	}
	signed, err := s.records.Authority.Sign(mezu.PurposeGrant, g)
	return string(signed.AppendCompact(nil)), err
}

// called is what a user is called.
func called(p mezu.Profile) string {
	if p.DisplayName != "" {
		return p.DisplayName
	}
	return p.Name
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// open reads a grant that this installation signed in this epoch, whatever its time.
func (s *Logins) open(compact []byte) (*mezu.Grant, error) {
	g, err := s.cfg.Open(compact)
	if err == nil && g.Epoch != s.records.Epoch {
		err = account.ErrNone
	}
	return g, err
}

// shown is the grant of the session that the browser shows, nil if it shows none of this
// site, or not its secret. Whether the session goes on is not looked at.
func (s *Logins) shown(v *visit) *mezu.Grant {
	secret, compact, ok := mezu.SplitSession([]byte(v.session))
	if !ok {
		return nil
	}
	g, err := s.open(compact)
	if err != nil || !g.Opens(secret) || g.Environment != v.site.environment.ID || g.Directory != v.site.pool() {
		return nil
	}
	return g
}

// in is who is logged in here: the user, the session and the credential as they are now.
type in struct {
	holder     identity.Holder
	session    record.Record[account.Session]
	credential record.Record[account.Credential]
}

// who finds who is logged in, with ok false if nobody is.
func (s *Logins) who(v *visit) (who in, ok bool, err error) {
	g := s.shown(v)
	if g == nil {
		return who, false, nil
	}
	return s.alive(v.ctx, g)
}

// alive reads the session of a grant and the user, and reports whether it goes on.
func (s *Logins) alive(ctx context.Context, g *mezu.Grant) (who in, ok bool, err error) {
	who, err = s.read(ctx, g)
	now := s.records.Now()
	return who, err == nil && who.good(now) && who.session.Value.ReplacedAt.IsZero() && now.Before(who.session.Value.IdleUntil), err
}

// read reads the session of a grant and the user, both as far as there are any.
func (s *Logins) read(ctx context.Context, g *mezu.Grant) (who in, err error) {
	of := account.Ref{Pool: g.Directory, ID: g.User}
	if who.session, err = s.accounts.Session(ctx, of, g.Session); err != nil || who.session.Revision == 0 {
		return who, err
	}
	if who.credential, err = s.accounts.Credential(ctx, of); err != nil {
		return who, err
	}
	who.holder, err = s.Holder(ctx, g.Directory, g.User)
	if errors.Is(err, account.ErrNone) {
		err = nil
	}
	return who, err
}

// good reports whether a session has not been ended, by whatever ends it but idleness.
func (i *in) good(now time.Time) bool {
	s := &i.session.Value
	return i.session.Revision != 0 && i.holder.User.Status == mezu.UserActive && !s.AuthTime.Before(i.credential.Value.Since) && now.Before(s.NotAfter)
}

// EdgeRefresh gives a session that goes on a new grant. Whoever asks within
// account.AnswerLife of another gets the same. If the user has lost a role, the session gets
// a new id and secret, and the old ones are worth nothing.
func (s *Logins) EdgeRefresh(ctx context.Context, c access.Caller, in api.EdgeRefreshRequest) (api.EdgeRefreshed, error) {
	if _, err := access.Admit(api.OpEdgeRefresh, c); err != nil {
		return api.EdgeRefreshed{}, err
	}
	g, err := s.open([]byte(in.Grant))
	if err != nil {
		return api.EdgeRefreshed{}, ended()
	}
	at, err := s.site(ctx, g.Environment)
	if mezu.CodeOf(err) == mezu.CodeNotFound || err == nil && at.pool() != g.Directory {
		return api.EdgeRefreshed{}, ended()
	}
	if err != nil {
		return api.EdgeRefreshed{}, err
	}
	var out api.EdgeRefreshed
	_, err = s.records.Commit(ctx, record.Internal(), func(ch *record.Change) error {
		out = api.EdgeRefreshed{}
		return s.refresh(ctx, ch, &at, g, &out)
	})
	outcome := "refreshed"
	switch {
	case mezu.CodeOf(err) == mezu.CodeUnauthenticated:
		outcome = "refused"
	case err != nil:
		outcome = "failed"
	}
	s.cfg.Counted("refresh", outcome)
	return out, err
}

// ended is the refusal of a session that is over, for api.SessionEnded.
func ended() error {
	return &mezu.Error{Code: mezu.CodeUnauthenticated, Field: api.FieldGrant, Detail: "the session has ended", Hint: "log in again"}
}

func (s *Logins) refresh(ctx context.Context, ch *record.Change, at *site, g *mezu.Grant, out *api.EdgeRefreshed) error {
	who, err := s.read(ctx, g)
	if err != nil {
		return err
	}
	now := s.records.Stamp()
	if !who.good(now) {
		return ended()
	}
	was := who.session.Value
	issued, err := s.issueTime(ctx, ch, at, g.User, now)
	if err != nil {
		return err
	}
	if a := was.Answer; a != nil && now.Sub(a.At) < account.AnswerLife && !was.IssuedAt.Before(issued.least) {
		*out = api.EdgeRefreshed{Grant: a.Grant, Secret: a.Secret}
		return nil
	}
	if !was.ReplacedAt.IsZero() || !now.Before(was.IdleUntil) {
		return ended()
	}
	ch.Require(who.credential.Key, who.credential.Revision)
	is := was
	if !lost(was.Roles, who.holder.RolesIn(at.project.ID)) {
		if out.Grant, err = s.issue(at, who.holder, &is, issued); err != nil {
			return err
		}
		is.Answer = &account.Answer{At: now, Grant: out.Grant}
		s.accounts.PutSession(ch, who.session, is)
		return nil
	}
	out.Secret = account.NewSecret()
	hash := sha256.Sum256([]byte(out.Secret))
	is.ID, is.SecretHash, is.Answer = mezu.NewID(mezu.PrefixSession, now), hash[:], nil
	if out.Grant, err = s.issue(at, who.holder, &is, issued); err != nil {
		return err
	}
	was.Answer, was.ReplacedAt, was.IssuedAt = &account.Answer{At: now, Grant: out.Grant, Secret: out.Secret}, now, is.IssuedAt
	s.accounts.PutSession(ch, who.session, was)
	s.accounts.Replace(ch, who.holder.Account(), is)
	return nil
}

// issueTime is when a grant is issued: now, or the least moment at which it isn't void
// already, if that is later.
type issueTime struct{ now, least time.Time }

func (t issueTime) at() time.Time {
	if t.now.Before(t.least) {
		return t.least
	}
	return t.now
}

// issueTime makes a change depend on what has been revoked of a user: a grant that is made
// after a revocation is issued after it, and of two at once one is planned anew.
func (s *Logins) issueTime(ctx context.Context, ch *record.Change, at *site, user string, now time.Time) (issueTime, error) {
	least, err := s.NotBefore(ctx, ch, at.scope.Organization.Value.ID, at.pool(), user)
	return issueTime{now, least}, err
}

// lost reports whether a role is not there any more.
func lost(had, has []string) bool {
	return slices.ContainsFunc(had, func(r string) bool { return !slices.Contains(has, r) })
}

// EdgeLogout ends sessions that an edge has ended already.
func (s *Logins) EdgeLogout(ctx context.Context, c access.Caller, in api.EdgeLogouts) error {
	if _, err := access.Admit(api.OpEdgeLogout, c); err != nil {
		return err
	}
	if len(in.Grants) > api.MaxEdgeLogouts {
		return mezu.Invalid("grants", "at most %d", api.MaxEdgeLogouts)
	}
	for _, compact := range in.Grants {
		g, err := s.open([]byte(compact))
		if err != nil {
			continue // it opens nothing
		}
		if err := s.end(ctx, record.Internal(), g); err != nil {
			return err
		}
	}
	return nil
}

// end ends the session of a grant, if it goes on.
func (s *Logins) end(ctx context.Context, by record.Author, g *mezu.Grant) error {
	sc, err := s.Scope(ctx, g.Directory)
	if errors.Is(err, account.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.records.Publish(ctx, by, func(ch *record.Change) error {
		old, err := s.accounts.Session(ctx, account.Ref{Pool: g.Directory, ID: g.User}, g.Session)
		if err != nil || old.Revision == 0 {
			return err
		}
		s.accounts.End(ch, old)
		return s.RevokeSessions(ctx, ch, sc.Organization.Value.ID, g.Directory, map[string]time.Time{g.Session: old.Value.NotAfter})
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
	if g := s.shown(v); g != nil {
		if err := s.end(v.ctx, v.own(), g); err != nil {
			return reply{}, err
		}
		s.cfg.Counted("logout", "succeeded")
	}
	v.dropSession()
	r := page(v.view.LoggedOut())
	r.header = append(r.header, [2]string{"Clear-Site-Data", `"cache"`})
	return r, nil
}

// logo is the brand's image.
func (s *Logins) logo(v *visit) (reply, error) {
	png, _, err := s.Logo(v.ctx, v.site.pool())
	if err != nil {
		return reply{}, err
	}
	if len(png) == 0 {
		return page(v.view.NotFound()), nil
	}
	return reply{status: 200, body: png, header: [][2]string{
		{"Content-Type", "image/png"}, {"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "public, max-age=86400"},
		{"Content-Security-Policy", "default-src 'none'"}, {"Cross-Origin-Resource-Policy", "same-origin"},
	}}, nil
}
