package web

import (
	"io"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/hosted"
	"github.com/mezusphere/mezu/edgesvc/edge/session"
	"github.com/mezusphere/mezu/relay"
)

// formGrace is how far a form may fall behind leastBodyRate, at its beginning and later. It
// is the time in which the head of a request must have come.
const formGrace = headTimeout

// reserved answers a request of a path below mezu.ReservedPath, which is the edge's own on
// every host.
func (x *exchange) reserved(c client) (*answer, error) {
	path := x.Request.Path.Path
	if x.allow = hosted.Methods(path); !slices.Contains(x.allow, x.Request.Method) {
		return nil, &mezu.Error{Code: mezu.CodeMethodNotAllowed, Detail: "this path takes " + strings.Join(x.allow, " and ")}
	}
	if path == hosted.Probe {
		return x.probe()
	}
	bundle := x.table.Bundle()
	left := false
	r := &hosted.Request{Request: &x.Request, Client: x.Client, Environment: bundle.Environment, Directory: bundle.Directory, Cookies: x.Visitor.Cookies(),
		Session: func() (*mezu.Grant, error) {
			return x.s.cfg.Sessions.Open(&x.Visitor, x.Client, bundle.Environment, bundle.Directory)
		},
		Leave: func() error {
			left = true
			return x.s.cfg.Sessions.Leave(&x.Visitor, x.Client, bundle.Environment, bundle.Directory)
		}}
	if err := x.s.cfg.Pages.Admit(r, x.started); err != nil {
		return nil, err
	}
	defer func() { x.Give(len(r.Body)) }()
	if err := x.form(c, &r.Body); err != nil {
		return nil, err
	}
	a, err := x.s.cfg.Pages.Serve(x.s.cfg.Cut, r)
	if err != nil {
		x.Wait = x.Visitor.Wait()
		return nil, err
	}
	reply := x.given(a)
	if left {
		reply.set("Set-Cookie", session.ClearCookie)
	}
	return reply, nil
}

// form reads the body of a request for a hosted page to its end. What it adds to body was
// taken from the memory of bodies, also if it fails. By the fields before it the form is judged
// (L5), and so a body must not be read over them.
func (x *exchange) form(c client, body *[]byte) error {
	if x.Request.Framing == relay.NoBody {
		return nil
	}
	if x.Request.Expect {
		if err := c.Interim(nil); err != nil {
			return relay.ErrClientGone
		}
	}
	c.keep()
	x.pace.Begin(leastBodyRate, formGrace, formGrace, c)
	defer x.pace.End()
	for {
		piece, err := x.pace.Next(c.Source())
		switch {
		case err == io.EOF:
			return nil
		case refused(err):
			return err
		case err != nil:
			return relay.ErrClientGone
		case !x.Take(len(piece)):
			return &mezu.Error{Code: mezu.CodeOverloaded, Detail: "too many forms are on their way"}
		}
		*body = append(*body, piece...)
		x.bytesIn += int64(len(piece))
	}
}
