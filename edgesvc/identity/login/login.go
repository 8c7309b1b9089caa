// Package login is what people go through to use an account: signing up, logging in,
// resetting a password, looking after the account, and the sessions and grants that come of
// it. Edges ask it for the hosted pages of an environment (api.OpEdgePage) and for grants of
// sessions that go on (api.OpEdgeRefresh). At the control plane's own address the same flows
// serve the persons of the team.
//
// What lives here: the flows, one a file, from a visitor's form to a page. What may not:
// how a page looks (package pages), what is kept (packages identity and account), the cost
// of a password (package password), HTTP. Control/service imports it, and reaches package
// identity through it.
//
// A flow trusts nothing that a browser keeps but secrets whose hashes are in the store. GET
// and HEAD write nothing, but that a session of the team is used. A form is taken from its own origin only, and has no token that
// could expire.
package login

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/edgesvc/identity/password"
)

// Config is what logins work with.
type Config struct {
	// Hasher hashes passwords; the process has one.
	Hasher *Hasher
	// Open verifies a grant in its compact form, whatever its time.
	Open func(compact []byte) (*mezu.Grant, error)
	// URL is the public address of an endpoint: https://host[:port].
	URL func(endpoint string) string
	// Persons are those who log in at the control plane's own address, which is Site:
	// https://host[:port]. TeamSignup says whether strangers may sign up there.
	Persons    Persons
	Site       string
	TeamSignup mezu.SignupMode
	// Counted is told of each login and refresh, by how it ended; if nil, nobody is.
	Counted func(what, outcome string)
}

// Hasher hashes passwords.
type Hasher = password.Hasher

// NewHasher makes a Hasher for this machine.
func NewHasher() *Hasher { return password.NewHasher(runtime.GOMAXPROCS(0)) }

// Logins is the flows over the directories and their accounts.
type Logins struct {
	*identity.Identity
	cfg      Config
	records  *record.Records
	access   *access.Access
	accounts *account.Accounts
	team     *team
	// sitePages are the pages of environments, teamPages those of the team.
	sitePages, teamPages map[string]handler
}

// New makes Logins.
func New(r *record.Records, a *access.Access, cfg Config) *Logins {
	if cfg.Counted == nil {
		cfg.Counted = func(string, string) {}
	}
	s := &Logins{Identity: identity.New(r, a), cfg: cfg, records: r, access: a, accounts: account.New(r)}
	s.sitePages, s.teamPages, s.team = s.handlers(), s.teamHandlers(), newTeam(s, cfg.TeamSignup)
	return s
}

// HashesWaiting is how many passwords wait to be hashed.
func (s *Logins) HashesWaiting() int { return s.cfg.Hasher.Waiting() }

// Jobs end what is over.
func (s *Logins) Jobs() []record.Job { return slices.Concat(s.accounts.Jobs(), s.Identity.Jobs()) }

// Quotas are those of directories and users.
func Quotas() []record.Quota { return identity.Quotas() }

// handler is a page and its form.
type handler struct {
	// get shows the page, nil if there is only a form.
	get func(*visit) (reply, error)
	// post takes the form, nil if there is none.
	post func(*visit) (reply, error)
	// fields are those of the form, beside pages.FieldTo.
	fields []string
}

// handlers are all pages by their path below the base.
func (s *Logins) handlers() map[string]handler {
	profile := []string{pages.FieldName, pages.FieldDisplayName}
	signup := append([]string{pages.FieldEmail, pages.FieldPassword, pages.FieldTerms}, profile...)
	accept := append([]string{pages.FieldToken, pages.FieldPassword, pages.FieldTerms, pages.FieldEmail}, profile...)
	return map[string]handler{
		pages.PathLogin:          {s.showLogin, s.login, []string{pages.FieldEmail, pages.FieldPassword}},
		pages.PathTerms:          {nil, s.acceptTerms, []string{pages.FieldPending, pages.FieldTerms}},
		pages.PathProfile:        {nil, s.completeProfile, append([]string{pages.FieldPending}, profile...)},
		pages.PathReturn:         {s.comeBack, nil, nil},
		pages.PathLogout:         {s.showLogout, s.logout, nil},
		pages.PathSignup:         {s.showSignup, s.signup, signup},
		pages.PathSignupCode:     {nil, s.signupCode, []string{pages.FieldPending, pages.FieldCode}},
		pages.PathSignupResend:   {nil, s.signupResend, []string{pages.FieldPending, pages.FieldCode}},
		pages.PathSignupGoOn:     {nil, s.signupGoOn, []string{pages.FieldPending, pages.FieldCode}},
		pages.PathVerify:         {s.showVerify, s.verify, []string{pages.FieldToken, pages.FieldPassword, pages.FieldEmail}},
		pages.PathVerifyDeny:     {nil, s.verifyDeny, []string{pages.FieldToken, pages.FieldPassword, pages.FieldEmail}},
		pages.PathReset:          {s.showReset, s.reset, []string{pages.FieldEmail}},
		pages.PathNewPassword:    {s.showNewPassword, s.newPassword, []string{pages.FieldToken}},
		pages.PathSetPassword:    {nil, s.setPassword, []string{pages.FieldToken, pages.FieldPassword, pages.FieldEmail}},
		pages.PathInvited:        {s.showInvited, s.invited, []string{pages.FieldToken}},
		pages.PathAccept:         {nil, s.acceptInvitation, accept},
		pages.PathAccount:        {s.showAccount, nil, nil},
		pages.PathAccountProfile: {nil, s.changeProfile, profile},
		pages.PathAccountMail:    {nil, s.changeMail, []string{pages.FieldEmail, pages.FieldCurrent}},
		pages.PathAccountPass:    {nil, s.changePassword, []string{pages.FieldCurrent, pages.FieldPassword, pages.FieldEmail}},
		pages.PathEndSession:     {nil, s.endSession, []string{pages.FieldSession}},
		pages.PathEndOthers:      {nil, s.endOthers, nil},
		pages.PathMailChange:     {s.showMailChange, s.confirmMail, []string{pages.FieldToken}},
		pathLogo:                 {s.logo, nil, nil},
	}
}

// EdgePage gives a visitor of an edge a hosted page.
func (s *Logins) EdgePage(ctx context.Context, c access.Caller, in api.EdgePageRequest) (api.EdgePage, error) {
	if _, err := access.Admit(api.OpEdgePage, c); err != nil {
		return api.EdgePage{}, err
	}
	at, err := s.site(ctx, in.Environment)
	if err != nil {
		return api.EdgePage{}, err
	}
	return s.page(ctx, at, in)
}

// page gives a visitor of a realm a page.
func (s *Logins) page(ctx context.Context, at realm, in api.EdgePageRequest) (api.EdgePage, error) {
	v, err := s.visit(ctx, at, in)
	if err != nil {
		return api.EdgePage{}, err
	}
	r, err := s.serve(v)
	if err != nil {
		r = page(s.excuse(v, err))
	}
	return v.answer(r), nil
}

// serve finds the page and takes its form.
func (s *Logins) serve(v *visit) (reply, error) {
	if !v.at.exists() {
		return page(v.view.NoDirectory()), nil
	}
	h, known := v.at.handlers()[v.in.Path]
	switch {
	case !known:
		return page(v.view.NotFound()), nil
	case v.in.Method == http.MethodPost && h.post != nil:
		if code := v.readForm(h.fields); code != "" {
			return page(v.view.Refused(code)), nil
		}
		return h.post(v)
	case v.in.Method != http.MethodPost && h.get != nil:
		return h.get(v)
	case h.get == nil: // somebody reloads what a form gave
		return redirect(v.loginPath()), nil
	}
	return page(v.view.NotFound()), nil
}

// excuse is the page for an error that is no mistake of the visitor's.
func (s *Logins) excuse(v *visit, err error) pages.Page {
	var e *mezu.Error
	switch {
	case errors.Is(err, account.ErrNone), errors.As(err, &e) && e.Code == mezu.CodeNotFound:
		return v.view.LinkUsed()
	case errors.As(err, &e) && e.Code == mezu.CodeUnavailable, v.ctx.Err() != nil:
		return v.view.Overloaded(busyFor)
	case errors.As(err, &e) && e.Code == mezu.CodeConflict: // such as a quota of users
		s.records.Log.Warn("a login page could not do what was asked", "request_id", v.in.RequestID, "page", v.in.Path, "error", err)
		return v.view.Overloaded(busyFor)
	}
	s.records.Log.Error("serving a login page", "request_id", v.in.RequestID, "page", v.in.Path, "error", err)
	return v.view.Failed()
}
