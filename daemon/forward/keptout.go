package forward

import (
	"encoding/json"
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/relay"
)

// challenge asks a browser for a password (RFC 7617, 2.1).
const challenge = `Basic realm="tunnel", charset="UTF-8"`

// keepOut answers a request that the tunnel's guard doesn't let pass. The Warpgate does it
// itself, because an edge knows no challenge.
func (w *worker) keepOut(v guard.Verdict) error {
	said := "This address asks for a user and a password."
	a := answer{status: v.Code.Status(), fields: [][2]string{{"cache-control", "no-store"}}}
	add := func(name, value string) { a.fields = append(a.fields, [2]string{name, value}) }
	if v.Code == mezu.CodeRateLimited {
		said = "There were too many wrong passwords. Try again in a while." // from this address, or from many at once
		add("retry-after", strconv.Itoa(int((v.Wait+time.Second-1)/time.Second)))
	} else {
		add("www-authenticate", challenge)
	}
	if w.wantsPage() {
		add("content-type", "text/html; charset=utf-8")
		add("content-security-policy", "default-src 'none'")
		a.text = fmt.Appendf(nil, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%d</title>\n<p>%s</p>\n<p><small>%s, request %s</small></p>\n",
			a.status, said, v.Code, html.EscapeString(w.info.ID))
	} else {
		add("content-type", "application/problem+json")
		var err error
		a.text, err = json.Marshal(map[string]any{"status": a.status, "title": relay.Reason(a.status), "code": v.Code, "detail": said, "request_id": w.info.ID})
		if err != nil {
			return err
		}
	}
	w.keptOut = v.Code
	err := w.answerItself(&a)
	if err == nil {
		w.c.Body.Discard(relay.MaxDrain)
	}
	return err
}

// wantsPage reports whether a browser shows the answer to a person.
func (w *worker) wantsPage() bool {
	for i := range w.req.Fields {
		if f := &w.req.Fields[i]; f.Is("accept") && strings.Contains(string(f.Value), "text/html") {
			return true
		}
	}
	return false
}
