package show_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/inspecttest"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newShow shows exchanges.
func newShow(t *testing.T, all ...inspecttest.Exchange) *show.Show {
	t.Helper()
	i := inspect.New(inspect.Config{})
	t.Cleanup(inspecttest.Keep(i, all...))
	return show.New(show.Config{Inspector: i, Address: func(id string) (string, string) { return "https://shop.example.com:8443/" + id, "/ca.pem" }, Now: time.Now})
}

func must[T any](t *testing.T) func(value T, err error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func packed(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	w.Close()
	return b.Bytes()
}

// secret is what no answer has without being asked for it.
const secret = "s3cret"

func webhook() inspecttest.Exchange {
	return inspecttest.Exchange{
		ID: "req-hook", Method: "POST", Target: "/hooks?token=" + secret + "&x=1", Fields: []string{"Content-Type: application/json", "Authorization: Bearer " + secret, "X-Plain: a"},
		Body: []byte(`{"password": "` + secret + `", "amount": 1}`), Answer: "HTTP/1.1 201 Created",
		AnswerFields: []string{"Set-Cookie: session=" + secret + "; Path=/", "Content-Type: application/json", "Content-Encoding: gzip"}, AnswerBody: packed(`{"api_key": "` + secret + `", "id": "evt_1"}`),
	}
}

// TestMasked: nothing that is given away has a secret in it, in whatever form it is asked for,
// unless somebody asks for that.
func TestMasked(t *testing.T) {
	frames := append([]byte{0x81, byte(len(`{"token": "s3cret"}`))}, `{"token": "s3cret"}`...)
	s := newShow(t, webhook(), inspecttest.Exchange{ID: "req-ws", Target: "/ws", Fields: []string{"Upgrade: websocket"}, Answer: "HTTP/1.1 101 Switching Protocols", AnswerFields: []string{"Upgrade: websocket", "Connection: Upgrade"}, Out: frames})
	for _, unmask := range []bool{false, true} {
		given := map[string]any{"list": must[local.Requests](t)(s.Requests(t.Context(), local.RequestsQuery{})), "row": must[mezu.Exchange](t)(s.Row("req-hook"))}
		found := map[string]bool{"list": false, "row": false}
		add := func(name string, value any) { given[name], found[name] = value, unmask }
		add("detail", must[mezu.ExchangeDetail](t)(s.Exchange("req-hook", unmask)))
		add("all of it", must[*show.Complete](t)(s.Complete("req-hook", unmask)))
		for _, form := range []local.Form{local.FormRaw, local.FormDecoded, local.FormPretty, local.FormHex} {
			for _, side := range []string{local.SideRequest, local.SideResponse} {
				c := must[local.Content](t)(s.Body("req-hook", side, form, unmask))
				if (c.Masked > 0) == unmask || c.Size == 0 || len(c.Data) == 0 {
					t.Errorf("%s %s: %+v", side, form, c)
				}
				add(side+" "+string(form), string(c.Data))
			}
			add("frame "+string(form), string(must[local.Content](t)(s.Frame("req-ws", 1, form, unmask)).Data))
		}
		given["frames"] = must[local.Frames](t)(s.Frames("req-ws", 0, 0))
		if unmask { // of packed bytes, and of hexadecimal digits, nothing can be read
			delete(found, "response raw")
			for name := range found {
				if strings.HasSuffix(name, "hex") {
					delete(found, name)
				}
			}
		}
		for name, value := range given {
			text, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := found[name]; strings.Contains(string(text), secret) != want && ok || !ok && !unmask && strings.Contains(string(text), secret) {
				t.Errorf("%s, unmasked %v: %s", name, unmask, text)
			}
			if name == "all of it" && !unmask && bytes.Contains(value.(*show.Complete).RequestBody.Data, []byte(secret)) {
				t.Error("a complete one has the secret in bytes")
			}
		}
	}
	// Fields that are no secrets stay as they are.
	d := must[mezu.ExchangeDetail](t)(s.Exchange("req-hook", false))
	if want := (mezu.ExchangeField{Name: "X-Plain", Value: "a"}); d.Request.Fields[2] != want || !d.Request.Fields[1].Masked || d.Request.Line != "POST /hooks?token="+mezu.Mask+"&x=1 HTTP/1.1" || d.Status != 201 {
		t.Errorf("%+v", d)
	}
	if b := d.Response.Body; b == nil || b.Form != mezu.BodyJSON || b.Encoding != "gzip" {
		t.Errorf("%+v", b)
	}
}

// TestRaw: what has no secret is given byte for byte, and what nobody can look into is not.
func TestRaw(t *testing.T) {
	harmless, bomb := packed(`{"id": "evt_1"}`), packed(strings.Repeat("\x00", 32<<20))
	encoded := []string{"Content-Type: application/json", "Content-Encoding: gzip"}
	s := newShow(t,
		inspecttest.Exchange{ID: "harmless", Target: "/", AnswerFields: encoded, AnswerBody: harmless},
		inspecttest.Exchange{ID: "bomb", Target: "/", AnswerFields: encoded, AnswerBody: bomb},
		inspecttest.Exchange{ID: "broken", Target: "/", AnswerFields: encoded, AnswerBody: packed(strings.Repeat(secret, 99))[:40]},
		inspecttest.Exchange{ID: "binary", Target: "/", AnswerBody: []byte{0, 1, 2, 0xff}},
	)
	for id, want := range map[string][]byte{"harmless": harmless, "binary": {0, 1, 2, 0xff}} {
		if c := must[local.Content](t)(s.Body(id, local.SideResponse, local.FormRaw, false)); !bytes.Equal(c.Data, want) || c.Problem != "" {
			t.Errorf("%s: %+v", id, c)
		}
	}
	for _, id := range []string{"bomb", "broken"} {
		if c := must[local.Content](t)(s.Body(id, local.SideResponse, local.FormRaw, false)); c.Problem == "" || len(c.Data) > local.MaxAnswer || bytes.HasPrefix(c.Data, []byte{0x1f, 0x8b}) {
			t.Errorf("%s: %d bytes, %s", id, len(c.Data), c.Problem)
		}
	}
	if c := must[local.Content](t)(s.Body("bomb", local.SideResponse, local.FormRaw, true)); !bytes.Equal(c.Data, bomb) {
		t.Error("its owner gets what passed")
	}
	for _, err := range []error{
		second(s.Body("harmless", "both", local.FormRaw, false)), second(s.Body("none", local.SideRequest, local.FormRaw, false)), second(s.Frame("harmless", 1, local.FormRaw, false)),
		second(s.Value("harmless", "response", 9)), second(s.Value("harmless", "interim", 0)),
	} {
		if mezu.CodeOf(err) != mezu.CodeNotFound {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestValue: one value is given as it came.
func TestValue(t *testing.T) {
	s := newShow(t, webhook())
	for of, want := range map[[2]any]string{
		{"request", 1}: "Bearer " + secret, {"sent", 1}: "Bearer " + secret, {"response", 0}: "session=" + secret + "; Path=/", {"request", show.LineValue}: "POST /hooks?token=" + secret + "&x=1 HTTP/1.1",
	} {
		if got := must[string](t)(s.Value("req-hook", of[0].(string), of[1].(int))); got != want {
			t.Errorf("%v is %q", of, got)
		}
	}
}

// TestComplete: what is exported has the tunnel's address, and says when a body is not as it came.
func TestComplete(t *testing.T) {
	packedHook := webhook()
	packedHook.ID, packedHook.Fields, packedHook.Body = "packed", []string{"Content-Encoding: gzip", "Content-Type: application/json"}, packed(`{"password": "`+secret+`"}`)
	s := newShow(t, webhook(), packedHook)
	x := must[*show.Complete](t)(s.Complete("packed", false))
	if !x.Undone || x.Address != "https://shop.example.com:8443/tun_1" || string(x.RequestBody.Data) != `{"password": "`+mezu.Mask+`"}` || string(x.ResponseBody.Data) != `{"api_key": "`+mezu.Mask+`", "id": "evt_1"}` {
		t.Errorf("%+v: %s, %s", x, x.RequestBody.Data, x.ResponseBody.Data)
	}
	if x := must[*show.Complete](t)(s.Complete("packed", true)); x.Undone || !bytes.Equal(x.RequestBody.Data, packedHook.Body) {
		t.Errorf("%+v", x)
	}
	var order []string
	stop := errors.New("enough")
	collect := func(x *show.Complete) error {
		if order = append(order, x.RequestID); len(order) == 2 {
			return stop
		}
		return nil
	}
	if err := s.Each(t.Context(), "method:POST", false, collect); err != stop || !slices.Equal(order, []string{"req-hook", "packed"}) {
		t.Errorf("%v, %v", order, err)
	}
	order = nil
	if err := s.These([]string{"packed", "req-hook"}, false, collect); err != stop || !slices.Equal(order, []string{"packed", "req-hook"}) {
		t.Errorf("%v, %v", order, err)
	}
	if err := s.These([]string{"packed", "none"}, false, collect); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Error(err)
	}
}

// TestRequests_Pages: pages go on where the one before ended, and each fits in an answer.
func TestRequests_Pages(t *testing.T) {
	var all []inspecttest.Exchange
	for i := range 400 {
		all = append(all, inspecttest.Exchange{ID: fmt.Sprint("r", i), Target: fmt.Sprintf("/%d?x=1%s", i, strings.Repeat("&word=<>", 1<<10))})
	}
	s := newShow(t, all...)
	var seen []string
	var state local.Requests
	pages := 0
	for q := (local.RequestsQuery{PageSize: local.MaxPage}); ; q.PageToken = state.NextPageToken {
		state = must[local.Requests](t)(s.Requests(t.Context(), q))
		if text, err := json.Marshal(state); err != nil || len(text) > local.MaxAnswer {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		for _, x := range state.Items {
			seen = append(seen, x.RequestID)
		}
		if pages++; state.NextPageToken == "" {
			break
		}
	}
	if len(seen) != 400 || seen[0] != "r399" || seen[399] != "r0" || pages < 3 || pages > 10 {
		t.Errorf("%d in %d pages, from %s", len(seen), pages, seen[0])
	}
	if again := must[local.Requests](t)(s.Requests(t.Context(), local.RequestsQuery{ChangedAfter: state.Revision})); len(again.Items) != 0 || again.Items == nil {
		t.Errorf("nothing has changed: %d", len(again.Items))
	}
	if few := must[local.Requests](t)(s.Requests(t.Context(), local.RequestsQuery{Filter: "path:/1*", PageSize: 5})); len(few.Items) != 5 || few.NextPageToken == "" || few.Kept != 400 {
		t.Errorf("%d, %+v", len(few.Items), few.InspectorState)
	}
	_, err := s.Requests(t.Context(), local.RequestsQuery{Filter: "status:x"})
	var e *mezu.Error
	if !errors.As(err, &e) || e.Code != mezu.CodeInvalid || !strings.HasPrefix(e.Field, local.QueryFilter) {
		t.Errorf("%#v", err)
	}
}

// TestFilter: filters see what passed as it was, bodies without their encoding, frames too.
func TestFilter(t *testing.T) {
	s := newShow(t, webhook(), inspecttest.Exchange{ID: "open", Target: "/open", Open: true},
		inspecttest.Exchange{ID: "ws", Target: "/ws", Fields: []string{"Upgrade: websocket"}, Answer: "HTTP/1.1 101 Switching Protocols", AnswerFields: []string{"Upgrade: websocket", "Connection: Upgrade"}, Out: append([]byte{0x81, 5}, "hello"...)})
	for filter, want := range map[string]string{"text:evt_1": "req-hook", "text:hello": "ws", "header:x-plain=a": "req-hook", "is:open": "open", "status:101": "ws", "is:ws": "ws", "text:" + secret: "req-hook", "text:nothing": ""} {
		page := must[local.Requests](t)(s.Requests(t.Context(), local.RequestsQuery{Filter: filter}))
		got := ""
		for _, x := range page.Items {
			got += x.RequestID
		}
		if got != want {
			t.Errorf("%s finds %q, want %q", filter, got, want)
		}
	}
	if c := must[local.Cleared](t)(s.Clear(t.Context(), "path:/hooks")); c.Removed != 1 {
		t.Errorf("%+v", c)
	}
	if x := must[mezu.Exchange](t)(s.Pin("ws", true)); !x.Pinned {
		t.Errorf("%+v", x)
	}
	if c := must[local.Cleared](t)(s.Clear(t.Context(), "")); c.Removed != 0 {
		t.Errorf("pinned and open ones stay: %+v", c)
	}
	if err := s.Remove("ws"); err != nil {
		t.Error(err)
	}
}
