package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// Persons are those who run an installation or work in it. Logins know them in the form of
// users, with an id, an address and a status.
type Persons interface {
	// Person finds one by id, PersonByMail by address; or they say account.ErrNone.
	Person(ctx context.Context, id string) (mezu.User, error)
	PersonByMail(ctx context.Context, address string) (mezu.User, error)
	// MayBootstrap refuses the hash of a code that doesn't make whoever has it the first
	// operator, nor lets one in again, who is given by id then. AddFirstOperator and Readmit
	// plan that, and Bootstrapped is called after it.
	MayBootstrap(ctx context.Context, hash string) (operator string, err error)
	Readmit(ctx context.Context, ch *record.Change, hash string) error
	AddFirstOperator(ctx context.Context, ch *record.Change, hash, address string) (mezu.User, error)
	Bootstrapped()
	// Invited gives the organization into which a code and an address invite, and counts a
	// wrong address. Join plans that the person with the address joins, or a new one if person
	// is empty and nobody has it. Both refuse a wrong code or address as
	// mezu.CodeUnauthenticated.
	Invited(ctx context.Context, code, address string) (organization string, err error)
	Join(ctx context.Context, ch *record.Change, code, address, person string) (mezu.User, error)
	// AddPerson plans a person who has proved an address.
	AddPerson(ctx context.Context, ch *record.Change, address string) (mezu.User, error)
	// Outside reports whether one belongs to no organization and can't make one.
	Outside(ctx context.Context, person string) (bool, error)
	// EnsureOrganization makes an organization for one who has none, if members may make them.
	EnsureOrganization(ctx context.Context, by record.Author, person string) error
	// ChangeAddress plans that one has another address.
	ChangeAddress(ctx context.Context, ch *record.Change, person, address string) error
}

// pathInvitations is where the links of invitations led that earlier builds mailed.
const pathInvitations = "invitations"

// poolPersons is the pool of the accounts of persons: one directory that every installation
// has, and nobody sees.
const poolPersons = "persons"

// teamName is the name of the pages of the team.
const teamName = "Mezusphere"

// Sessions of the team (security case L9).
const (
	teamIdle     = time.Hour
	teamAbsolute = 24 * time.Hour
	// usePause is how often at most the use of a session is written down.
	usePause = time.Minute
)

// team is the realm of the persons who run an installation or work in it. They log in at the
// control plane's own address. Nobody else has to believe their sessions: each request reads
// the session's record.
type team struct {
	*Logins
	of mezu.Directory
}

// newTeam makes the team's realm, in which strangers may sign up or not.
func newTeam(s *Logins, signup mezu.SignupMode) *team {
	return &team{s, mezu.Directory{
		Meta: mezu.Meta{ID: poolPersons}, Signup: signup,
		Session: mezu.SessionPolicy{Idle: mezu.Duration(teamIdle), Absolute: mezu.Duration(teamAbsolute)},
	}}
}

func (t *team) exists() bool                 { return true }
func (t *team) pool() string                 { return poolPersons }
func (t *team) settings() *mezu.Directory    { return &t.of }
func (t *team) environment() string          { return "" }
func (t *team) url() string                  { return t.cfg.Site }
func (t *team) base() string                 { return "/" }
func (t *team) brand() pages.Brand           { return pages.Brand{Name: teamName} }
func (t *team) context() []string            { return []string{teamName} }
func (t *team) named() bool                  { return false }
func (t *team) handlers() map[string]handler { return t.teamPages }

func (t *team) holder(ctx context.Context, id string) (identity.Holder, error) {
	if !record.IsID(id) {
		return identity.Holder{}, account.ErrNone
	}
	return asHolder(t.cfg.Persons.Person(ctx, id))
}

func (t *team) holderByMail(ctx context.Context, address string) (identity.Holder, error) {
	return asHolder(t.cfg.Persons.PersonByMail(ctx, address))
}

func asHolder(u mezu.User, err error) (identity.Holder, error) {
	u.Directory = poolPersons
	return identity.Holder{User: u}, err
}

func (t *team) add(v *visit, ch *record.Change, p *account.Pending) (identity.Holder, error) {
	if p.Bootstrap == "" {
		return asHolder(t.cfg.Persons.AddPerson(v.ctx, ch, p.Email))
	}
	h, err := asHolder(t.cfg.Persons.AddFirstOperator(v.ctx, ch, p.Bootstrap, p.Email))
	if mezu.CodeOf(err) == mezu.CodeUnauthenticated {
		err = account.ErrNone // somebody was faster
	}
	return h, err
}

// change: persons have nothing but an address, with which everything ends.
func (t *team) change(ctx context.Context, ch *record.Change, was identity.Holder, with func(*mezu.User)) (identity.Holder, error) {
	is := was
	with(&is.User)
	access.EndFamilies(ch, is.User.ID)
	return is, t.cfg.Persons.ChangeAddress(ctx, ch, is.User.ID, is.User.Profile.Email)
}

func (t *team) author(v *visit, id string) record.Author {
	c := access.Caller{Kind: access.Anonymous, Address: v.client.String(), RequestID: v.in.RequestID}
	if id != "" {
		c.Kind, c.ID = access.Member, id
	}
	return access.By(c, access.TeamPage)
}

func (t *team) target(u mezu.User) record.Target {
	return record.About(record.KindPerson, u.ID, u.Profile.Email)
}

func (t *team) outside(ctx context.Context, id string) (bool, error) {
	return t.cfg.Persons.Outside(ctx, id)
}

// issue gives what names the session beside its secret: its id and whose it is.
func (t *team) issue(_ context.Context, _ *record.Change, h identity.Holder, session *account.Session) (string, error) {
	session.RefreshedAt, session.IdleUntil = session.AuthTime, session.AuthTime.Add(teamIdle)
	return session.ID + "." + h.User.ID, nil
}

// shown reads the session that a cookie names, whose secret it must have.
func (t *team) shown(ctx context.Context, cookie string) (shown, error) {
	secret, behind, ok := mezu.SplitSession([]byte(cookie))
	id, person, both := strings.Cut(string(behind), ".")
	if !ok || !both || !record.IsID(person) {
		return shown{}, nil
	}
	one := shown{account.Ref{Pool: poolPersons, ID: person}, id}
	session, err := t.accounts.Session(ctx, one.of, one.id)
	hash := sha256.Sum256(secret)
	if err != nil || session.Revision == 0 || subtle.ConstantTimeCompare(hash[:], session.Value.SecretHash) != 1 {
		return shown{}, err
	}
	return one, nil
}

// used moves the end that a session has without use.
func (t *team) used(v *visit, who *in) error {
	if v.now.Sub(who.session.Value.RefreshedAt) < usePause {
		return nil
	}
	_, err := t.records.Commit(v.ctx, v.own(), func(ch *record.Change) error {
		now, err := t.accounts.Session(v.ctx, who.holder.Account(), who.session.Value.ID)
		if err != nil || now.Revision == 0 {
			return err
		}
		is := now.Value
		is.RefreshedAt, is.IdleUntil = v.now, earlier(v.now.Add(teamIdle), is.NotAfter)
		t.accounts.PutSession(ch, now, is)
		return nil
	})
	return err
}

// void: nobody believes anything of a session of the team.
func (t *team) void(context.Context, *record.Change, map[string]time.Time) error { return nil }

// welcome gives a person an organization who has none and may make one.
func (t *team) welcome(v *visit, id string) error {
	return t.cfg.Persons.EnsureOrganization(v.ctx, t.author(v, id), id)
}

func (t *team) endTokens(ctx context.Context, ch *record.Change, id string) error {
	return access.EndTokens(ctx, t.records, ch, id)
}

// EndCredentials plans that nothing lets a person in any more that does now: tokens, logins of
// programs, sessions, what was mailed, and the password.
func (s *Logins) EndCredentials(ctx context.Context, ch *record.Change, person string) error {
	c, err := s.accounts.Credential(ctx, account.Ref{Pool: poolPersons, ID: person})
	if err != nil {
		return err
	}
	ch.Require(c.Key, c.Revision)
	if c.Revision != 0 {
		c.Value.EndAll(s.records.Stamp())
		c.Value.Password, c.Value.Devices = nil, nil
		s.accounts.Put(ch, c, c.Value)
	}
	access.EndFamilies(ch, person)
	return access.EndTokens(ctx, s.records, ch, person)
}

// voidAll ends what programs have of a person.
func (t *team) voidAll(_ context.Context, ch *record.Change, id string) error {
	access.EndFamilies(ch, id)
	return nil
}

// teamHandlers are the pages of the team by their path below the base: those of all realms,
// but what only users have, and the ways in of a new installation and of organizations.
func (s *Logins) teamHandlers() map[string]handler {
	out := s.handlers()
	for _, path := range []string{pages.PathTerms, pages.PathProfile, pages.PathInvited, pages.PathAccept, pages.PathAccountProfile, pathLogo} {
		delete(out, path)
	}
	to := func(path string) handler {
		return handler{get: func(v *visit) (reply, error) { return redirect(v.pathTo(path)), nil }}
	}
	code, password := []string{pages.FieldToken}, []string{pages.FieldToken, pages.FieldEmail, pages.FieldPassword}
	maps.Copy(out, map[string]handler{
		"":                      to(pages.PathAccount),
		pages.PathBootstrap:     {s.showBootstrap, s.bootstrap, code},
		pages.PathFirstOperator: {nil, s.firstOperator, password},
		pages.PathTeamInvited:   {s.showTeamInvited, s.teamInvited, []string{pages.FieldToken, pages.FieldEmail}},
		pages.PathJoin:          {nil, s.joinOrganization, password},
		pages.PathLoginLink:     {s.showLoginLink, s.followLink, code},
		pages.PathFirstPassword: {nil, s.firstPassword, []string{pages.FieldToken, pages.FieldPassword}},
		pathInvitations:         to(pages.PathTeamInvited),
	})
	return out
}

// TeamPaths are the paths of the pages of the team, sorted.
func (s *Logins) TeamPaths() []string {
	var out []string
	for path := range s.teamPages {
		out = append(out, s.team.base()+path)
	}
	slices.Sort(out)
	return out
}

// TeamPage gives a visitor of the control plane's own address a page. The path of a request is
// what follows the first slash, and its environment is empty.
func (s *Logins) TeamPage(ctx context.Context, in api.EdgePageRequest) (api.EdgePage, error) {
	if len(in.Body) <= api.MaxPageBody {
		return s.page(ctx, s.team, in)
	}
	in.Body = nil
	v, err := s.visit(ctx, s.team, in)
	if err != nil {
		return api.EdgePage{}, err
	}
	return v.answer(page(v.view.Refused(pages.FormLarge))), nil
}

// TeamSession gives the person, by id, who is logged in at the control plane's own address in
// the browser of a request, with ok false if nobody is. It looks at the cookie alone, and
// notes that the session is used. Whoever lets a request change something by it must know
// that the request comes from a page of this host, and was meant for it.
func (s *Logins) TeamSession(r *http.Request) (person string, ok bool, err error) {
	var jar cookie.Jar
	for _, field := range r.Header.Values("Cookie") {
		jar.Take([]byte(field))
	}
	v := &visit{ctx: r.Context(), at: s.team, now: s.records.Stamp(), session: string(jar.Get(mezu.SessionCookie))}
	who, ok, err := s.who(v)
	return who.holder.User.ID, ok, err
}
