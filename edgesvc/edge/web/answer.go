package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/filter"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// retryAfter is what answers with 429 and 503 ask for, in seconds. A Warpgate that restarts
// is usually back by then.
const retryAfter = "1"

// answer is a response that the edge makes itself.
type answer struct {
	status int
	fields []relay.Field
	body   []byte
}

// problem is the body for programs (RFC 9457).
type problem struct {
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Code      mezu.Code `json:"code"`
	Detail    string    `json:"detail,omitempty"`
	RequestID string    `json:"request_id"`
	// LoginURL is where the program may send its user, if a login is what is missing.
	LoginURL string `json:"login_url,omitempty"`
}

// brief is a problem of which nothing but the code is told.
type brief struct {
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Code   mezu.Code `json:"code"`
}

// answerTo renders a refusal, as a page for a browser that navigates and as a problem for
// everybody else. It always has the code and the request id, and never what went wrong
// inside.
func (x *exchange) answerTo(refusal *mezu.Error) *answer {
	code := refusal.Code
	if !code.Known() {
		code = mezu.CodeInternal
	}
	x.identify()
	if code.Status() < http.StatusInternalServerError && x.s.cfg.Guard.Refused(x.Client, x.started) {
		x.brief = true
		return x.demand(x.s.briefly(code, x.Request.ID))
	}
	a := &answer{status: code.Status()}
	page := x.navigates()
	if page {
		if own := x.refusalPage(code); own != nil {
			return x.demand(x.given(own))
		}
	}
	p := problem{Title: http.StatusText(a.status), Status: a.status, Code: code, Detail: refusal.Detail, RequestID: x.Request.ID}
	switch {
	case code == mezu.CodeInternal:
		p.Detail = ""
	case code == mezu.CodeUnauthenticated && x.hasLogin():
		p.LoginURL = hosted.LoginURL(&x.Request)
	}
	contentType := "application/problem+json"
	if page {
		contentType = "text/html; charset=utf-8"
		var b bytes.Buffer
		if errorPage.Execute(&b, p.shown()) == nil {
			a.body = b.Bytes()
		}
		a.set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+errorStyleHash+"'; frame-ancestors 'none'")
	} else {
		a.body, _ = json.Marshal(p) // strings and numbers always encode
		a.body = append(a.body, '\n')
	}
	a.protect(contentType)
	a.set(mezu.HeaderRequestID, x.Request.ID)
	if code == mezu.CodeMaintenance {
		a.set("Retry-After", x.table.RetryAfter())
	}
	return x.demand(a)
}

// briefly is a refusal that was rendered before, for whoever gets too many: without a page, and
// without anything that differs from one to the next but the request id.
func (s *Server) briefly(code mezu.Code, id string) *answer {
	known, ok := s.briefs.Load(code)
	if !ok {
		a := &answer{status: code.Status()}
		a.body, _ = json.Marshal(brief{Title: http.StatusText(a.status), Status: a.status, Code: code}) // always encodes
		a.body = append(a.body, '\n')
		a.protect("application/problem+json")
		a.fields = slices.Clip(a.fields)
		known, _ = s.briefs.LoadOrStore(code, a)
	}
	a := *known.(*answer)
	a.set(mezu.HeaderRequestID, id)
	return &a
}

// protect sets the type of a refusal's body, and that nobody keeps it or takes it for another.
func (a *answer) protect(contentType string) {
	a.set("Content-Type", contentType)
	a.set("Cache-Control", "no-store")
	a.set("X-Content-Type-Options", "nosniff")
}

// demand adds to a refusal what its status asks for.
func (x *exchange) demand(a *answer) *answer {
	switch {
	case a.status == http.StatusMethodNotAllowed:
		a.set("Allow", strings.Join(x.allow, ", "))
	case a.has("Retry-After"):
	case x.Wait > 0:
		a.set("Retry-After", strconv.FormatInt(filter.Seconds(x.Wait), 10))
	case a.status == http.StatusServiceUnavailable, a.status == http.StatusTooManyRequests:
		a.set("Retry-After", retryAfter)
	case a.status == http.StatusUnauthorized:
		a.set("WWW-Authenticate", "Bearer")
	}
	return a
}

// refusalPage is a refusal in words for people, nil if there are none for it.
func (x *exchange) refusalPage(code mezu.Code) *policy.Answer {
	if x.table == nil {
		return nil // no environment, no login
	}
	return (&hosted.Refusal{Request: &x.Request, Code: code, Login: x.hasLogin(), User: x.Visitor.Grant(), Missing: x.missing}).Page()
}

// given renders an answer that a filter or a page has made; nil stays nil.
func (x *exchange) given(configured *policy.Answer) *answer {
	if configured == nil {
		return nil
	}
	a := &answer{status: configured.Status, body: configured.Body}
	for _, h := range configured.Header {
		a.set(h.Name, h.Value)
	}
	a.set(mezu.HeaderRequestID, x.Request.ID)
	return a
}

func (a *answer) set(name, value string) {
	a.fields = append(a.fields, relay.Field{Name: []byte(name), Value: []byte(value)})
}

func (a *answer) has(name string) bool {
	return slices.ContainsFunc(a.fields, func(f relay.Field) bool { return string(f.Name) == name })
}

// sized reports whether the answer has a Content-Length. To 304 it would be that of what was not
// sent.
func (a *answer) sized() bool {
	return a.status != http.StatusNoContent && a.status != http.StatusNotModified
}

// navigates reports whether a browser will show the answer as a page.
func (x *exchange) navigates() bool {
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" && x.Request.Method != "POST" {
		return false
	}
	html := false
	for i := range x.Request.Fields {
		f := &x.Request.Fields[i]
		if f.Is("sec-fetch-mode") {
			return x.Request.Carries("sec-fetch-mode", "navigate")
		}
		html = html || f.Is("accept") && bytes.Contains(f.Value, []byte("text/html"))
	}
	return html
}

// appendHTTP1 appends the answer in HTTP/1.1, without its body for a HEAD.
func (a *answer) appendHTTP1(dst []byte, hop relay.Hop, head bool) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(a.status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(a.status)...)
	dst = append(dst, "\r\n"...)
	for i := range a.fields {
		dst = append(dst, a.fields[i].Name...)
		dst = append(dst, ": "...)
		dst = append(dst, a.fields[i].Value...)
		dst = append(dst, "\r\n"...)
	}
	if a.sized() {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(a.body)), 10)
		dst = append(dst, "\r\n"...)
	}
	switch {
	case hop.Close:
		dst = append(dst, "Connection: close\r\n"...)
	case hop.HTTP10:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	dst = append(dst, "Date: "...)
	dst = append(dst, hop.Date...)
	dst = append(dst, "\r\n\r\n"...)
	if head {
		return dst
	}
	return append(dst, a.body...)
}

// reservedPath reports whether a path belongs to the edge on every host.
func reservedPath(path string) bool {
	return strings.HasPrefix(path, "/.mezu/") || path == "/.mezu"
}
