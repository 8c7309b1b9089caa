package oauth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// brand is how pages of the control plane's own host look.
var brand = pages.Brand{Name: "Mezusphere"}

// busyFor is what a visitor is asked to wait when there is too much to do.
const busyFor = 5 * time.Second

// visit is one request of a browser for a page.
type visit struct {
	ctx     context.Context
	w       http.ResponseWriter
	req     *http.Request
	program program // the browser
	view    pages.View
	// person is who is logged in, empty if nobody is.
	person string
	query  url.Values
	form   url.Values
}

// page serves a page by one function, and takes its form by another. GET and HEAD write
// nothing, but that a session is used. fields are those of the form. It is taken from a page of
// this very origin only, as a navigation of somebody who is logged in (L5).
func (p *Provider) page(get, post func(*visit) error, fields ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, req *http.Request) {
		v := &visit{ctx: req.Context(), w: w, req: req, program: programOf(req.Context())}
		if !strings.EqualFold("https://"+req.Host, p.cfg.Site) {
			// As for the pages of logins: a session is of one host (W1).
			http.Error(w, "The pages are at "+p.cfg.Site+" and nowhere else.", http.StatusMisdirectedRequest)
			return
		}
		v.view = pages.View{Base: "/", Brand: brand, Language: pages.Language(req.Header.Get("Accept-Language")), RequestID: v.program.requestID}
		if err := p.visited(v, get, post, fields); err != nil {
			p.excuse(v, err)
		}
	}
}

func (p *Provider) visited(v *visit, get, post func(*visit) error, fields []string) (err error) {
	if v.person, err = p.who(v); err != nil {
		return err
	}
	if v.req.Method != http.MethodPost {
		v.query, err = url.ParseQuery(v.req.URL.RawQuery)
		if err != nil || !single(v.query) {
			return v.show(v.view.Refused(pages.FormMalformed))
		}
		return get(v)
	}
	if code := p.takes(v.req, fields); code != "" {
		return v.show(v.view.Refused(code))
	}
	if v.person == "" {
		return v.show(v.view.FormNotSent())
	}
	v.form = v.req.PostForm
	return post(v)
}

// who is logged in, empty if nobody is.
func (p *Provider) who(v *visit) (string, error) {
	person, ok, err := p.cfg.Visitor.TeamSession(v.req)
	if err != nil || !ok {
		return "", err
	}
	return person, nil
}

// takes says why a form is not taken, empty if it is.
func (p *Provider) takes(req *http.Request, fields []string) pages.Code {
	origin, site, mode := req.Header.Values("Origin"), req.Header.Get("Sec-Fetch-Site"), req.Header.Get("Sec-Fetch-Mode")
	if len(origin) != 1 || origin[0] != p.cfg.Site || site != "" && site != "same-origin" || mode != "" && mode != "navigate" {
		return pages.FormForeign
	}
	if req.URL.RawQuery != "" || !readForm(req) {
		return pages.FormMalformed
	}
	for name := range req.PostForm {
		if !slices.Contains(fields, name) {
			return pages.FormMalformed
		}
	}
	return ""
}

// excuse shows that something went wrong which is no mistake of the visitor's.
func (p *Provider) excuse(v *visit, err error) {
	switch {
	case errors.Is(err, errGone): // the person, or the session
		_ = v.show(v.view.FormNotSent())
	case mezu.CodeOf(err) == mezu.CodeUnavailable, v.ctx.Err() != nil:
		_ = v.show(v.view.Overloaded(busyFor))
	default:
		p.records.Log.Error("serving a page", "request_id", v.program.requestID, "page", v.req.URL.Path, "error", err)
		_ = v.show(v.view.Failed())
	}
}

// still fails if the visitor is not logged in any more, and ends what they have allowed: a
// reset that came between must not leave it behind.
func (p *Provider) still(v *visit, family string) error {
	person, err := p.who(v)
	if err == nil && person != v.person {
		err = errors.Join(errGone, p.end(v.ctx, v.person, family, v.program))
	}
	return err
}

// show sends a page.
func (v *visit) show(page pages.Page) error {
	for _, f := range page.Header() {
		v.w.Header().Set(f[0], f[1])
	}
	v.w.Header().Set("Content-Length", strconv.Itoa(len(page.Body)))
	v.w.WriteHeader(page.Status)
	_, _ = v.w.Write(page.Body) // to a browser that may be gone
	return nil
}

// redirect sends the visitor on.
func (v *visit) redirect(to string) error {
	v.w.Header().Set("Location", to)
	v.w.Header().Set("Referrer-Policy", "no-referrer")
	v.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// toLogin sends somebody who is not logged in to where they do that, and back to a path.
func (v *visit) toLogin(back string) error {
	return v.redirect("/" + pages.PathLogin + "?" + pages.FieldTo + "=" + url.QueryEscape(back))
}
