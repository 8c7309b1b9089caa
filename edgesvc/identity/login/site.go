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
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// minFresh is the least time for which a grant needs no refresh.
const minFresh = time.Minute

// pathLogo is the brand's image.
const pathLogo = "logo"

// site is the realm of an environment: the users of its directory log in on its own host,
// below mezu.ReservedPath. Edges believe their sessions by grants.
type site struct {
	*Logins
	env     mezu.Environment
	project mezu.Project
	// scope is that of the directory. Its revision is 0 if the environment names none.
	scope   access.Scope
	address string
}

// site finds an environment by its id.
func (s *Logins) site(ctx context.Context, environment string) (*site, error) {
	out := &site{Logins: s}
	if err := mezu.ValidateID("environment", mezu.PrefixEnvironment, environment); err != nil {
		return out, err
	}
	env, err := record.ByID[mezu.Environment](ctx, s.records, environment)
	if errors.Is(err, account.ErrNone) {
		return out, record.NotFound("environment", "")
	}
	if err != nil {
		return out, err
	}
	out.env, out.address = env.Value, s.cfg.URL(env.Value.Endpoint)
	if out.project, err = s.ProjectOf(ctx, env); err != nil {
		return out, err
	}
	if env.Value.DirectoryID == "" {
		return out, nil
	}
	out.scope, err = s.Scope(ctx, env.Value.DirectoryID)
	if errors.Is(err, account.ErrNone) {
		out.scope, err = access.Scope{}, nil
	}
	return out, err
}

func (s *site) exists() bool                 { return s.scope.Directory.Revision != 0 }
func (s *site) pool() string                 { return s.scope.Directory.Value.ID }
func (s *site) settings() *mezu.Directory    { return &s.scope.Directory.Value }
func (s *site) environment() string          { return s.env.ID }
func (s *site) url() string                  { return s.address }
func (s *site) base() string                 { return mezu.ReservedPath }
func (s *site) named() bool                  { return true }
func (s *site) handlers() map[string]handler { return s.sitePages }

// brand is how the directory looks.
func (s *site) brand() pages.Brand {
	d := s.settings()
	b := pages.Brand{Name: d.Brand.Name, Color: d.Brand.Color}
	if b.Name == "" {
		b.Name = s.project.Name
	}
	if d.Brand.Logo != "" {
		b.Logo = mezu.ReservedPath + pathLogo + "?" + d.Brand.Logo[:min(16, len(d.Brand.Logo))]
	}
	return b
}

func (s *site) context() []string { return []string{s.project.Name, s.settings().Brand.Name} }

func (s *site) holder(ctx context.Context, id string) (identity.Holder, error) {
	return s.Holder(ctx, s.pool(), id)
}

func (s *site) holderByMail(ctx context.Context, address string) (identity.Holder, error) {
	return s.HolderByMail(ctx, s.pool(), address)
}

// add: the directory may take nobody any more who signed up while it did.
func (s *site) add(v *visit, ch *record.Change, p *account.Pending) (identity.Holder, error) {
	if s.settings().Signup != mezu.SignupOpen || !s.settings().AdmitsDomain(p.Email) {
		return identity.Holder{}, account.ErrNone
	}
	return s.SignUp(v.ctx, ch, s.scope, p.Profile, v.now)
}

func (s *site) change(ctx context.Context, ch *record.Change, was identity.Holder, with func(*mezu.User)) (identity.Holder, error) {
	return s.ChangeHolder(ctx, ch, s.scope, was, with)
}

func (s *site) author(v *visit, id string) record.Author {
	return record.Author{Actor: mezu.AuditActor{Kind: "user", ID: id, Address: v.client.String()}, RequestID: v.in.RequestID, Operation: api.OpEdgePage.ID}
}

func (s *site) target(u mezu.User) record.Target { return s.scope.Target(record.KindUser, u.ID, "") }

func (s *site) void(ctx context.Context, ch *record.Change, ending map[string]time.Time) error {
	return s.RevokeSessions(ctx, ch, s.scope.Organization.Value.ID, s.pool(), ending)
}

func (s *site) voidAll(ctx context.Context, ch *record.Change, id string) error {
	return s.RevokeUser(ctx, ch, s.scope.Organization.Value.ID, s.pool(), id)
}

// welcome: users find what their workload has for them.
func (s *site) welcome(*visit, string) error { return nil }

// endTokens: users have none.
func (s *site) endTokens(context.Context, *record.Change, string) error { return nil }

// outside: what a user may see is the workload's to say.
func (s *site) outside(context.Context, string) (bool, error) { return false, nil }

// used: grants are refreshed by edges.
func (s *site) used(*visit, *in) error { return nil }

// shown reads the grant of a cookie, if it is one of this site.
func (s *site) shown(_ context.Context, cookie string) (shown, error) {
	secret, compact, ok := mezu.SplitSession([]byte(cookie))
	if !ok {
		return shown{}, nil
	}
	g, err := s.open(compact)
	if err != nil || !g.Opens(secret) || g.Environment != s.env.ID || g.Directory != s.pool() {
		return shown{}, nil
	}
	return shownBy(g), nil
}

// shownBy is the session of a grant.
func shownBy(g *mezu.Grant) shown {
	return shown{account.Ref{Pool: g.Directory, ID: g.User}, g.Session}
}

// issue makes a grant for a session.
func (s *site) issue(ctx context.Context, ch *record.Change, h identity.Holder, session *account.Session) (string, error) {
	issued, err := s.issueTime(ctx, ch, h.User.ID, session.AuthTime)
	if err != nil {
		return "", err
	}
	return s.grant(ch, h, session, issued)
}

// grant signs a grant for a session and notes in it until when that is good. The change depends
// on the roles that the grant has: one that was taken after it was read revokes the grants
// until then, which this one would outlive.
func (s *site) grant(ch *record.Change, h identity.Holder, session *account.Session, issued issueTime) (string, error) {
	h.Require(ch)
	idle, now := s.settings().SessionIdle(), issued.now
	session.RefreshedAt, session.IssuedAt, session.Roles = now, issued.at(), h.RolesIn(s.project.ID)
	slices.Sort(session.Roles)
	session.IdleUntil = earlier(now.Add(idle), session.NotAfter)
	g := mezu.Grant{
		Session: session.ID, User: h.User.ID, Directory: s.pool(), Environment: s.env.ID, Epoch: s.records.Epoch, Method: session.Method,
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

// open reads a grant that this installation signed in this epoch, whatever its time.
func (s *Logins) open(compact []byte) (*mezu.Grant, error) {
	g, err := s.cfg.Open(compact)
	if err == nil && g.Epoch != s.records.Epoch {
		err = account.ErrNone
	}
	return g, err
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
		return at.refresh(ctx, ch, g, &out)
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

// refresh plans how a session goes on.
func (s *site) refresh(ctx context.Context, ch *record.Change, g *mezu.Grant, out *api.EdgeRefreshed) error {
	who, err := s.read(ctx, s, shownBy(g))
	if err != nil {
		return err
	}
	now := s.records.Stamp()
	if !who.good(now) {
		return ended()
	}
	was := who.session.Value
	issued, err := s.issueTime(ctx, ch, g.User, now)
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
	if !lost(was.Roles, who.holder.RolesIn(s.project.ID)) {
		if out.Grant, err = s.grant(ch, who.holder, &is, issued); err != nil {
			return err
		}
		is.Answer = &account.Answer{At: now, Grant: out.Grant}
		s.accounts.PutSession(ch, who.session, is)
		return nil
	}
	out.Secret = account.NewSecret()
	hash := sha256.Sum256([]byte(out.Secret))
	is.ID, is.SecretHash, is.Answer = mezu.NewID(mezu.PrefixSession, now), hash[:], nil
	if out.Grant, err = s.grant(ch, who.holder, &is, issued); err != nil {
		return err
	}
	was.Successor = is.ID
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
func (s *site) issueTime(ctx context.Context, ch *record.Change, user string, now time.Time) (issueTime, error) {
	least, err := s.NotBefore(ctx, ch, s.scope.Organization.Value.ID, s.pool(), user)
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
		sc, err := s.Scope(ctx, g.Directory)
		if errors.Is(err, account.ErrNone) {
			continue // it ended with its directory
		}
		if err != nil {
			return err
		}
		if err := s.end(ctx, record.Internal(), &site{Logins: s, scope: sc}, shownBy(g)); err != nil {
			return err
		}
	}
	return nil
}

// logo is the brand's image.
func (s *Logins) logo(v *visit) (reply, error) {
	png, _, err := s.Logo(v.ctx, v.at.pool())
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
