package web

import (
	"bytes"
	"net/http"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/policy"
)

// hasLogin reports whether somebody can log in on the request's host.
func (x *exchange) hasLogin() bool { return x.table != nil && x.table.Bundle().Directory != "" }

// mayLogin reports whether the request is of a visitor who can be sent to the login and back:
// a browser that shows a page of its own, not one inside of another, where no login is shown.
// Whatever else asks is a program, which would take the login for its answer.
func (x *exchange) mayLogin() bool {
	if x.Request.Method != "GET" && x.Request.Method != "HEAD" || x.Request.Upgrade != "" || !x.hasLogin() || !x.navigates() {
		return false
	}
	for i := range x.Request.Fields {
		if f := &x.Request.Fields[i]; f.Is("sec-fetch-dest") && !bytes.Equal(f.Value, []byte("document")) {
			return false
		}
	}
	return true
}

// login sends a visitor to the login. why is the detail of the refusal that this stands for.
func (x *exchange) login(why string) *answer {
	x.because, x.detail = mezu.CodeUnauthenticated, why
	a := &answer{status: http.StatusSeeOther}
	a.set("Location", hosted.LoginPath(&x.Request))
	a.set("Cache-Control", "no-store")
	a.set("X-Content-Type-Options", "nosniff")
	a.set(mezu.HeaderRequestID, x.Request.ID)
	if x.Visitor.Useless() {
		a.set("Set-Cookie", session.ClearCookie)
	}
	return a
}

// session finds who the visitor is, for a route that asks.
func (x *exchange) session(t *policy.Table) *mezu.Grant {
	bundle := t.Bundle()
	g, err := x.s.cfg.Sessions.Open(&x.Visitor, x.Client, bundle.Environment, bundle.Directory)
	x.unsure = err
	return g
}

// renew gives the visitor a newer grant of their session with an answer of the edge's own.
func (x *exchange) renew(a *answer) {
	if a == nil || a.has("Set-Cookie") {
		return
	}
	if line := x.s.cfg.Sessions.SetCookie(&x.Visitor); line != nil {
		a.set("Set-Cookie", string(line))
		// As for a workload's response: no cache may give it to somebody else.
		a.set("Cache-Control", "private")
	}
}

var errSessionOver = &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "the session has ended"}

// forbid ends the exchange because the session has ended that let it in. It is called from
// another goroutine.
func (x *exchange) forbid() { x.relay.Forbid(errSessionOver, mezu.CauseSessionEnded) }

// leave says that nothing goes on any more because of the session.
func (x *exchange) leave() {
	if x.Visitor.Grant() != nil {
		x.s.cfg.Sessions.End(&x.Visitor)
		x.relay.Allow()
	}
}
