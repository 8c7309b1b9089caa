package login

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

const (
	// cookieBrowser tells the browser in which a flow began; it ends with the browser.
	cookieBrowser = mezu.CookiePrefix + "browser"
	// cookieDevice is that of a device that an account knows.
	cookieDevice = mezu.CookiePrefix + "device"
	// maxFields bounds the fields of a form: the largest has 7.
	maxFields = 12
	// busyFor is what a visitor is asked to wait when there is too much to do.
	busyFor = 5 * time.Second
)

// visit is one request of a visitor for a page.
type visit struct {
	ctx    context.Context
	in     api.EdgePageRequest
	at     realm
	view   pages.View
	client netip.Addr
	now    time.Time

	method string // by which somebody proves who they are

	session, device, browser string // values of cookies
	form                     map[string]string
	set                      []string // cookies to be set
}

// visit reads what is said of a visitor of a realm.
func (s *Logins) visit(ctx context.Context, at realm, in api.EdgePageRequest) (*visit, error) {
	v := &visit{ctx: ctx, in: in, at: at, now: s.records.Stamp(), method: mezu.MethodPassword}
	var err error
	if v.client, err = netip.ParseAddr(in.Client); err != nil {
		return nil, mezu.Invalid("client", "%q is not an address", in.Client)
	}
	v.client = v.client.Unmap().WithZone("")
	switch {
	case !slices.Contains(api.PageMethods(), in.Method):
		return nil, mezu.Invalid("method", "is one of GET, HEAD, POST")
	case len(in.Body) > api.MaxPageBody:
		return nil, mezu.Invalid("body", "at most %d bytes", api.MaxPageBody)
	case len(in.Query) > api.MaxPageQuery:
		return nil, mezu.Invalid("query", "at most %d bytes", api.MaxPageQuery)
	}
	for _, c := range in.Cookies {
		if len(c.Value) > api.MaxPageCookie {
			continue
		}
		switch c.Name {
		case mezu.SessionCookie:
			v.session = c.Value
		case cookieDevice:
			v.device = c.Value
		case cookieBrowser:
			v.browser = c.Value
		}
	}
	v.view = pages.View{Base: at.base(), Language: pages.Language(in.AcceptLanguage), RequestID: in.RequestID, Brand: at.brand(), To: "/"}
	// A query that is no query, or that says twice where to return to, says nothing.
	if q, err := url.ParseQuery(in.Query); err == nil && len(q[pages.FieldTo]) == 1 {
		v.view.To = mezu.ReturnPath(q.Get(pages.FieldTo))
	}
	return v, nil
}

// readForm reads the fields of a form, or says what is wrong with it.
func (v *visit) readForm(fields []string) pages.Code {
	// L5: a form comes from a page of this very origin, as a navigation.
	if v.in.Origin != v.at.url() || v.in.FetchSite != "" && v.in.FetchSite != "same-origin" || v.in.FetchMode != "" && v.in.FetchMode != "navigate" {
		return pages.FormForeign
	}
	kind, _, err := mime.ParseMediaType(v.in.ContentType)
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return pages.FormMalformed
	}
	if strings.Count(string(v.in.Body), "&") >= maxFields {
		return pages.FormMalformed
	}
	values, err := url.ParseQuery(string(v.in.Body))
	if err != nil {
		return pages.FormMalformed
	}
	v.form = map[string]string{}
	for name, all := range values {
		if len(all) != 1 || name != pages.FieldTo && !slices.Contains(fields, name) || !utf8.ValidString(all[0]) {
			return pages.FormMalformed
		}
		v.form[name] = all[0]
	}
	if to, ok := v.form[pages.FieldTo]; ok {
		v.view.To = mezu.ReturnPath(to)
	}
	return ""
}

// reply is what a visitor gets: a page, a file, or a way on.
type reply struct {
	page     *pages.Page
	location string // of a 303
	status   int    // of a file
	header   [][2]string
	body     []byte
}

func page(p pages.Page) reply       { return reply{page: &p} }
func redirect(path string) reply    { return reply{location: path} }
func (v *visit) loginPath() string  { return v.pathTo(pages.PathLogin) }
func (v *visit) returnPath() string { return v.pathTo(pages.PathReturn) }

// pathTo is the path of a page, with the way back.
func (v *visit) pathTo(path string) string {
	if v.view.To == "/" {
		return v.view.Base + path
	}
	return v.view.Base + path + "?" + pages.FieldTo + "=" + url.QueryEscape(v.view.To)
}

// answer is a reply as an edge passes it on.
func (v *visit) answer(r reply) api.EdgePage {
	var out api.EdgePage
	switch {
	case r.page != nil:
		out.Status, out.Body = r.page.Status, r.page.Body
		r.header = append(r.page.Header(), r.header...)
	case r.location != "":
		out.Status = http.StatusSeeOther
		r.header = append(r.header, [2]string{"Location", r.location}, [2]string{"Cache-Control", "no-store"}, [2]string{"Referrer-Policy", "same-origin"})
	default:
		out.Status, out.Body = r.status, r.body
	}
	for _, h := range r.header {
		out.Header = append(out.Header, api.PageField{Name: h[0], Value: h[1]})
	}
	for _, c := range v.set {
		out.Header = append(out.Header, api.PageField{Name: "Set-Cookie", Value: c})
	}
	return out
}

// cookieFor has the browser keep a value: for a time, or as long as it runs if that is zero.
func (v *visit) cookieFor(name, value string, life time.Duration) {
	c := name + "=" + value + "; Path=/; Secure; HttpOnly; SameSite=Lax"
	if life > 0 {
		c += fmt.Sprintf("; Max-Age=%d", int64(life/time.Second))
	}
	v.set = append(v.set, c)
}

// dropSession has the browser forget the session.
func (v *visit) dropSession() {
	v.set = append(v.set, mezu.SessionCookie+"=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}

// thisBrowser is the secret of the browser, which it gets if it has none.
func (v *visit) thisBrowser() string {
	if len(v.browser) != mezu.SecretLength {
		v.browser = account.NewSecret()
		v.cookieFor(cookieBrowser, v.browser, 0)
	}
	return v.browser
}

// attempt is what the visitor tries, for the count of failures.
func (v *visit) attempt(address string, of account.Ref) account.Attempt {
	return account.Attempt{Pool: v.at.pool(), Address: address, Account: of, Device: v.device, Client: v.client}
}

// note is an attempt to log in, as histories have it.
func (v *visit) note(outcome mezu.LoginOutcome) mezu.Login {
	return mezu.Login{Time: v.now, Address: v.client.String(), Agent: mezu.ShortAgent(v.in.UserAgent), Method: v.method, Outcome: outcome}
}

// author is the holder of an account, for the audit of what holders change of their own.
func (v *visit) author(id string) record.Author {
	a := v.at.author(v, id)
	a.Line = v.line()
	return a
}

// line is where the changes of the logins of a realm queue.
func (v *visit) line() string { return "directory " + v.at.pool() }

// own is what flows change that is no concern of the audit: sessions, counts, and what waits.
func (v *visit) own() record.Author {
	a := record.Internal()
	a.Line = v.line()
	return a
}
