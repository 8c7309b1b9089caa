package forward_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// told wants the events of requests. A nil function wants none.
type told struct {
	begun, ended func(mezu.Event)
}

// mark is given back at the end.
const mark = 7

func (r told) Begin(upgrade bool, _ forward.Tape, event func() mezu.Event) uint8 {
	if r.begun != nil {
		e := event()
		if upgrade != (e.Upgrade != "") {
			panic("an upgrade, and none")
		}
		r.begun(e)
	}
	return mark
}

func (r told) End(given uint8, _ forward.Tape, o *forward.Outcome, event func() mezu.Event) {
	if r.ended == nil {
		return
	}
	e := event()
	if given != mark || o.Upgrade != (e.Upgrade != "") || o.Status != e.Status || o.Code != e.Code || o.Cause != e.Cause || o.BytesIn != e.BytesIn || o.BytesOut != e.BytesOut {
		panic(fmt.Sprintf("mark %d, %+v is %+v", given, o, e))
	}
	r.ended(e)
}

// Each request is told of when it begins and when it ends, with what is known by then.
func TestBegun(t *testing.T) {
	leave := make(chan bool)
	target := plainServer(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			<-leave
			return
		}
		conn, rest, _ := http.NewResponseController(rw).Hijack()
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		rest.ReadByte()
	})
	w := &world{t: t, events: make(chan mezu.Event, 10)}
	w.table.Store(compile(t, position))
	begun := make(chan mezu.Event, 10)
	w.f = forward.New(forward.Config{Targets: forward.Targets{Upstream: parse(t, target)}, Log: slog.New(slog.DiscardHandler), Table: w.table.Load,
		Requests: told{begun: func(e mezu.Event) { begun <- e }, ended: func(e mezu.Event) { w.events <- e }}, Warpgate: "wg_1"})
	t.Cleanup(w.f.Close)
	e := w.connect(false)

	e.ask(getOf("/a?x=1&token=s3cret"))
	b := receive(t, begun, "begin")
	if b.Event != mezu.EventRequest || b.Method != "GET" || b.Host != "app.example" || b.Path != "/a" || b.Query != "?x=1&token=••••••" || b.Client != client.String() || b.ID == "" || b.WarpgateID != "wg_1" || b.Upgrade != "" || b.Status != nil || b.Time.IsZero() {
		t.Errorf("begins as %+v", b)
	}
	select {
	case e := <-w.events:
		t.Errorf("ends as %+v before its response", e)
	default:
	}
	close(leave)
	e.reads("GET", 200, "")
	if end := receive(t, w.events, "end"); end.ID != b.ID || end.Query != b.Query || end.Client != b.Client || end.Status != 200 {
		t.Errorf("ends as %+v", end)
	}

	e.ask(getOf("/private/")) // one that is refused, too
	e.fails(mezu.CodeRefusedByWarpgate)
	if b, end := receive(t, begun, "begin"), receive(t, w.events, "end"); b.ID != end.ID || b.Path != "/private/" {
		t.Errorf("%+v, %+v", b, end)
	}

	e.ask(upgrade)
	if b := receive(t, begun, "begin"); b.Upgrade != "websocket" {
		t.Errorf("begins as %+v", b)
	}
	if resp := e.response("GET"); resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	e.write("x")
	e.conn.Close()
	if end := receive(t, w.events, "end"); end.Status != 101 || end.Upgrade != "websocket" {
		t.Errorf("ends as %+v", end)
	}
}

func TestMaskQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                                "",
		"?":                               "",
		"?a=b&c=d":                        "?a=b&c=d",
		"?a;b=c&&":                        "?a;b=c&&",
		"?token=x&Access_Token=y&a=":      "?token=••••••&Access_Token=••••••&a=",
		"?code=1&state=2&page=3":          "?code=••••••&state=••••••&page=3",
		"?%74oken=x":                      "?%74oken=••••••",
		"?X-Amz-Signature=1&x=eyJhbGciOi": "?X-Amz-Signature=••••••&x=••••••",
		"?t=0123456789012345678901234567890123456789": "?t=••••••",
		"?q=" + strings.Repeat("a+b", 1000):           "?q=" + strings.Repeat("a+b", 1000)[:1021] + "…",
	} {
		if got := forward.MaskQuery(query); got != want {
			t.Errorf("%.60s: %.60s", query, got)
		}
	}
}
