package hosted

import (
	"net/url"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// busyFor is when it is worth to try again after too many asked at once.
const busyFor = time.Second

// LoginPath is where a visitor logs in who asked for a page, and from where they return to
// it.
func LoginPath(r *relay.Request) string {
	to := mezu.ReturnPath(r.Path.Path + r.Query)
	if to == "/" {
		return mezu.ReservedPath + pathLogin
	}
	return mezu.ReservedPath + pathLogin + "?" + pages.FieldTo + "=" + url.QueryEscape(to)
}

// LoginURL is where a program may send its user to log in.
func LoginURL(r *relay.Request) string {
	return "https://" + r.Authority + mezu.ReservedPath + pathLogin
}

// Refusal is a request that the edge refuses to somebody who will see a page.
type Refusal struct {
	*relay.Request
	Code mezu.Code
	// Login says that somebody can log in on the request's host.
	Login bool
	// User is who asks, nil if that is not known, and Missing what they lack, if
	// that is why.
	User    *mezu.Grant
	Missing *policy.Missing
}

// Page is the refusal in words for people, nil if it has none of its own.
func (r *Refusal) Page() *policy.Answer {
	page, ok := r.render(r.view())
	if !ok {
		return nil
	}
	return rendered(page)
}

func (r *Refusal) render(v pages.View) (pages.Page, bool) {
	if !strings.HasPrefix(r.Path.Path, mezu.ReservedPath) {
		switch {
		case r.Code == mezu.CodeUnauthenticated && r.Method == "POST":
			v.To = r.origin()
			return v.FormNotSent(), true
		case r.Code == mezu.CodeForbidden && r.User != nil && r.Missing != nil:
			v.To = r.Path.Path + r.Query
			return v.Denied(pages.Denial{Email: r.User.Email, Roles: r.Missing.Roles, Permissions: r.Missing.Permissions, AnyPermissions: r.Missing.AnyPermissions}), true
		}
		return pages.Page{}, false
	}
	v.To = r.target()
	switch r.Code {
	case mezu.CodeNoRoute:
		if r.Login {
			return v.NotFound(), true
		}
		return v.NoDirectory(), true
	case mezu.CodeUnavailable:
		return v.LoginAway(), true
	case mezu.CodeOverloaded:
		return v.Overloaded(busyFor), true
	case mezu.CodeRateLimited:
		return v.Wait(busyFor), true
	case mezu.CodeBodyTooLarge:
		return v.Refused(pages.FormLarge), true
	case mezu.CodeInvalid:
		return v.Refused(pages.FormMalformed), true
	case mezu.CodeForbidden:
		return v.Refused(pages.FormForeign), true
	case mezu.CodeInternal:
		return v.Failed(), true
	}
	return pages.Page{}, false
}

func (r *Refusal) view() pages.View { return viewOf(r.Request) }

// viewOf is the frame of a page of the edge's own. The brand of the directory is not known
// here.
func viewOf(r *relay.Request) pages.View {
	asked := Request{Request: r}
	return pages.View{Base: mezu.ReservedPath, Language: pages.Language(asked.field("accept-language")), RequestID: r.ID}
}

// target is where the visit of a page was to return to.
func (r *Refusal) target() string {
	query, _ := url.ParseQuery(strings.TrimPrefix(r.Query, "?")) // what can't be read is no target
	return mezu.ReturnPath(query.Get(pages.FieldTo))
}

// origin is the page of this host that a form was on, empty if that is not known.
func (r *Refusal) origin() string {
	asked := Request{Request: r.Request}
	to, ok := strings.CutPrefix(asked.field("referer"), "https://"+r.Authority)
	if !ok || len(to) >= maxSaid-len(r.Authority)-len("https://") {
		return "" // it may have been cut
	}
	return mezu.ReturnPath(to)
}

// loggedOut says that a session has ended. What the browser keeps of its pages goes, too.
func loggedOut(r *Request) *policy.Answer {
	a := rendered(viewOf(r.Request).LoggedOut())
	a.Header = append(a.Header, policy.Header{Name: "Clear-Site-Data", Value: `"cache"`})
	return a
}

func rendered(p pages.Page) *policy.Answer {
	a := &policy.Answer{Status: p.Status, Body: p.Body}
	for _, h := range p.Header() {
		a.Header = append(a.Header, policy.Header{Name: h[0], Value: h[1]})
	}
	return a
}
