package forward

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
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
	status, said := v.Code.Status(), "This address asks for a user and a password."
	fields := http.Header{"Cache-Control": {"no-store"}}
	if v.Code == mezu.CodeRateLimited {
		said = "There were too many wrong passwords. Try again in a while." // from this address, or from many at once
		fields.Set("Retry-After", strconv.Itoa(int((v.Wait+time.Second-1)/time.Second)))
	} else {
		fields.Set("WWW-Authenticate", challenge)
	}
	text := ""
	if w.wantsPage() {
		fields.Set("Content-Type", "text/html; charset=utf-8")
		fields.Set("Content-Security-Policy", "default-src 'none'")
		text = fmt.Sprintf("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>%d</title>\n<p>%s</p>\n<p><small>%s, request %s</small></p>\n",
			status, said, v.Code, html.EscapeString(w.info.ID))
	} else {
		fields.Set("Content-Type", "application/problem+json")
		problem, err := json.Marshal(map[string]any{"status": status, "title": http.StatusText(status), "code": v.Code, "detail": said, "request_id": w.info.ID})
		if err != nil {
			return err
		}
		text = string(problem)
	}
	w.keptOut = v.Code
	err := w.answerItself(&http.Response{StatusCode: status, Header: fields, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text))})
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
