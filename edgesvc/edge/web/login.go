package web

import (
	"bytes"
	"net/http"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
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

// login sends a visitor to the login.
func (x *exchange) login() *answer {
	a := &answer{status: http.StatusSeeOther}
	a.set("Location", hosted.LoginPath(&x.Request))
	a.set("Cache-Control", "no-store")
	a.set("X-Content-Type-Options", "nosniff")
	a.set(mezu.HeaderRequestID, x.Request.ID)
	return a
}
