package oauth

import (
	"maps"
	"net/url"
	"slices"

	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// maxState bounds what a program has us send back: the way back to the page of a login must
// fit in mezu.MaxReturnPath.
const maxState = 512

// Parameters of an authorization request (RFC 6749, 4.1.1; RFC 7636, 4.3). Others are ignored
// but for those that would change what these mean.
const (
	paramClient    = "client_id"
	paramRedirect  = "redirect_uri"
	paramType      = "response_type"
	paramMode      = "response_mode"
	paramState     = "state"
	paramScope     = "scope"
	paramChallenge = "code_challenge"
	paramMethod    = "code_challenge_method"
	paramRequest   = "request"
	paramFile      = "request_uri"
)

// request is an authorization request.
type request struct{ client, redirectURI, origin, state, challenge string }

// readRequest reads an authorization request. It is false if nobody may be told by a
// redirect. Otherwise refusal is what the program is told, empty if all is well.
func readRequest(in url.Values) (r request, refusal string, ok bool) {
	r = request{client: in.Get(paramClient), redirectURI: in.Get(paramRedirect), state: in.Get(paramState), challenge: in.Get(paramChallenge)}
	if r.origin = redirectOrigin(r.redirectURI); !single(in) || r.client != ClientID || r.origin == "" || len(r.state) > maxState {
		return r, "", false
	}
	switch {
	case in.Has(paramRequest) || in.Has(paramFile):
		return r, "request_not_supported", true
	case in.Get(paramType) != "code":
		return r, "unsupported_response_type", true
	case in.Has(paramMode) && in.Get(paramMode) != "query",
		r.state == "", in.Get(paramMethod) != "S256", !isChallenge(r.challenge):
		return r, "invalid_request", true
	}
	return r, "", true
}

// fields are the request as a form and a query carry it.
func (r request) fields() url.Values {
	return url.Values{
		paramClient: {r.client}, paramRedirect: {r.redirectURI}, paramType: {"code"}, paramState: {r.state}, paramChallenge: {r.challenge}, paramMethod: {"S256"},
	}
}

// tell redirects to the program.
func (p *Provider) tell(v *visit, r request, name, value string) error {
	answer := url.Values{name: {value}, "iss": {p.cfg.Site}}
	if r.state != "" {
		answer.Set(paramState, r.state)
	}
	return v.redirect(r.redirectURI + "?" + answer.Encode())
}

// showAuthorize asks whoever is logged in whether a program may act for them.
func (p *Provider) showAuthorize(v *visit) error {
	r, refusal, ok := readRequest(v.query)
	switch {
	case !ok:
		return v.show(v.view.ProgramUnknown())
	case refusal != "":
		return p.tell(v, r, "error", refusal)
	case v.person == "":
		return v.toLogin(pathAuthorize + "?" + r.fields().Encode())
	}
	who, err := p.person(v.ctx, v.person)
	if err != nil {
		return err
	}
	v.view.Program = r.origin
	form := pages.AllowProgramForm{Program: ClientID, At: r.origin, Email: called(who)}
	fields := r.fields()
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		form.Request = append(form.Request, [2]string{name, fields.Get(name)})
	}
	return v.show(v.view.AllowProgram(form))
}

// authorize takes the answer.
func (p *Provider) authorize(v *visit) error {
	answer := v.form.Get(pages.FieldAnswer)
	v.form.Del(pages.FieldAnswer)
	r, refusal, ok := readRequest(v.form)
	switch {
	case !ok:
		return v.show(v.view.ProgramUnknown())
	case refusal != "":
		return p.tell(v, r, "error", refusal)
	case answer != pages.AnswerAllow:
		p.cfg.Counted("program", "denied")
		return p.tell(v, r, "error", "access_denied")
	}
	var secret, family string
	_, err := p.records.Commit(v.ctx, record.Internal(), func(ch *record.Change) (err error) {
		secret, family, err = p.newCode(v.ctx, ch, code{Client: r.client, RedirectURI: r.redirectURI, Challenge: r.challenge, Person: v.person})
		return err
	})
	if err == nil {
		err = p.still(v, family)
	}
	if err != nil {
		return err
	}
	p.cfg.Counted("program", "allowed")
	return p.tell(v, r, "code", secret)
}

// called is how a person is shown.
func called(who access.Person) string {
	if who.Email != "" {
		return who.Email
	}
	return who.ID
}
