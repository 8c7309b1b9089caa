package hosted

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
)

// formType is the one type of forms that pages take.
const formType = "application/x-www-form-urlencoded"

// maxAnswer bounds an answer of the control plane as it is encoded: a page in base64, its
// header, and room for the rest.
const maxAnswer = api.MaxPage/3*4 + api.MaxPageHeaders*maxField + 4<<10

// page has the control plane answer a request.
func (p *Pages) page(ctx context.Context, r *Request) (*policy.Answer, error) {
	in, err := r.ask()
	if err != nil {
		return nil, err
	}
	if !p.begin(r.Environment) {
		p.refused.Add(1)
		return nil, &mezu.Error{Code: mezu.CodeOverloaded, Detail: "too many ask for pages at once"}
	}
	defer p.end(r.Environment)
	page, err := p.call(ctx, in)
	switch {
	case err == nil:
	case !api.Away(err):
		return nil, p.wrong(r, err)
	case in.Path == pathLogout && in.Method == "POST":
		return p.leave(r)
	default:
		return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the login is away for the moment", Cause: err}
	}
	answer, err := check(page, r)
	if err != nil {
		return nil, p.wrong(r, fmt.Errorf("the control plane's page: %w", err))
	}
	return answer, nil
}

// wrong is what a visitor is told of a fault inside.
func (p *Pages) wrong(r *Request, err error) error {
	return &mezu.Error{Code: mezu.CodeInternal, Cause: fmt.Errorf("asking for %s of %s: %w", r.Path.Path, r.Environment, err)}
}

// call asks any of the control planes.
func (p *Pages) call(ctx context.Context, in *api.EdgePageRequest) (*api.EdgePage, error) {
	client := p.cfg.Client()
	if client == nil {
		return nil, errNotEnrolled
	}
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	var out api.EdgePage
	err := client.Do(ctx, api.Call{Operation: api.OpEdgePage, Body: in, Safe: in.Method != "POST", Timeout: pageTimeout, MaxResponse: maxAnswer}, &out)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err) // what came too late counts as nothing
	}
	return &out, err
}

var errNotEnrolled = &mezu.Error{Code: mezu.CodeUnavailable, Detail: "this edge has not enrolled yet"}

// ask is the request as the control plane gets it.
func (r *Request) ask() (*api.EdgePageRequest, error) {
	query := strings.TrimPrefix(r.Query, "?")
	if len(query) > api.MaxPageQuery {
		return nil, &mezu.Error{Code: mezu.CodeURITooLong, Detail: "the query is too long for a page"}
	}
	in := &api.EdgePageRequest{
		Environment: r.Environment, Method: r.Method, Path: r.path(), Query: query,
		Origin: r.field("origin"), FetchSite: r.field("sec-fetch-site"), FetchMode: r.field("sec-fetch-mode"), FetchDest: r.field("sec-fetch-dest"),
		AcceptLanguage: r.field("accept-language"), UserAgent: r.field("user-agent"),
		Cookies: r.Cookies, Client: r.Client.String(), RequestID: r.ID,
	}
	if r.Method != "POST" {
		return in, nil
	}
	in.ContentType, in.Body = r.field("content-type"), r.Body
	if kind, _, err := mime.ParseMediaType(in.ContentType); err != nil || kind != formType {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: "a form is sent as " + formType}
	}
	if len(r.Body) > api.MaxPageBody {
		return nil, &mezu.Error{Code: mezu.CodeBodyTooLarge, Detail: "the form is larger than a page takes"}
	}
	return in, nil
}
