package forward

import (
	"errors"
	"log/slog"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cookie"
	"github.com/mezusphere/mezu/grant"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// visitor is what a worker knows of whoever sent its request.
type visitor struct {
	jar cookie.Jar
	// grant is the one that came with the request, verified here; nil if none does.
	grant *grant.Verified
	// late says that a grant came which is no longer good, as the edge may not know yet.
	late   bool
	use    grant.Use
	fields []relay.Field
	// setCookie goes into the response: the visitor has given the tunnel's password.
	setCookie []byte
}

// errEnding ends a data connection because the stream on it is cut when the program ends.
var errEnding = errors.New("streams end with the program")

// errSessionEnded ends a data connection because the session of the request on it was ended.
var errSessionEnded = errors.New("the session was ended")

// session is who the request is from by a table, nil if nobody says so whom this Warpgate
// believes. The edge has verified the grant; that counts for nothing here.
func (w *worker) session(t *policy.Table) *mezu.Grant {
	v, cfg := &w.visitor, &w.f.cfg
	if len(w.info.Grant) == 0 || cfg.Grants == nil {
		return nil
	}
	b := t.Bundle()
	g, err := cfg.Grants.Verify(w.info.Grant, b.Environment, b.Directory, b.Position.Epoch, cfg.now())
	if err == nil && !cfg.Uses.Begin(&v.use, g.Grant) {
		err = grant.ErrRevoked
	}
	if err != nil {
		v.late = errors.Is(err, grant.ErrRevoked) || errors.Is(err, grant.ErrEnded) || errors.Is(err, grant.ErrEpoch)
		level := slog.LevelWarn
		if v.late {
			level = slog.LevelInfo // a session that was just ended; the edge hears of it at the same time
		}
		cfg.Log.Log(w.ctx, level, "the edge's grant counts as none", "request_id", w.info.ID, "error", err)
		return nil
	}
	v.grant = g
	return g.Grant
}

// userID is the id of the user whom the decision was about, empty for nobody.
func (w *worker) userID() string {
	if w.visitor.grant == nil {
		return ""
	}
	return w.visitor.grant.User
}

// forget begins with another request.
func (v *visitor) forget() {
	v.jar.Reset()
	v.grant, v.late, v.setCookie = nil, false, nil
}

// takeCookies takes cookies of ours from the request, whatever the edge did about them: a
// workload that had one could be the user.
func (w *worker) takeCookies() {
	kept := w.req.Fields[:0]
	for _, f := range w.req.Fields {
		if f.Is("cookie") {
			rest := w.visitor.jar.Take(f.Value)
			if len(rest) == 0 && len(f.Value) > 0 {
				continue
			}
			f.Value = rest
		}
		kept = append(kept, f)
	}
	w.req.Fields = kept
}

// identity gives the fields that say who the user is, none for an anonymous one.
func (w *worker) identity() []relay.Field {
	v := &w.visitor
	v.fields = v.fields[:0]
	if v.grant == nil {
		return nil
	}
	for _, f := range v.grant.Identity() {
		v.fields = append(v.fields, relay.Field{Name: f.Name, Value: f.Value})
	}
	if assert := w.f.cfg.Assert; assert != nil {
		if text := assert(v.grant); len(text) > 0 {
			v.fields = append(v.fields, relay.Field{Name: assertionName, Value: text})
		}
	}
	return v.fields
}

// assertionName is that of the field with the assertion.
var assertionName = []byte(mezu.HeaderAssertion)

// clean takes from a response what its workload may not set, and adds what the Warpgate sets.
func (w *worker) clean(h *relay.ResponseHead) {
	if h.Streams() {
		w.under.Stream()
	}
	if w.telling(h.Status) {
		w.tell(PartResponse, func(dst []byte) []byte { return appendResponse(dst, h) })
	}
	domain, kept := "", h.Fields[:0]
	if w.f.cfg.Domain != nil {
		domain = w.f.cfg.Domain()
	}
	for _, f := range h.Fields {
		var ok bool
		if f.Value, ok = cookie.Response(f.Name, f.Value, domain); ok {
			if w.local != "" && f.Is("location") {
				f.Value = w.publicLocation(f.Value)
			}
			kept = append(kept, f)
		}
	}
	h.Fields = kept
	w.rememberPassword(h)
}

// rememberPassword has a visitor who has given the tunnel's password be asked no more.
func (w *worker) rememberPassword(h *relay.ResponseHead) {
	if line := w.visitor.setCookie; line != nil {
		// As the edge does with the session's: no cache may give it to somebody else.
		h.Fields = append(h.Fields, relay.Field{Name: []byte("Set-Cookie"), Value: line}, relay.Field{Name: []byte("Cache-Control"), Value: []byte("private")})
	}
}

// now is the clock of what expires.
func (c *Config) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}
