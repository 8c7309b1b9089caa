//go:build unix

package rest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/inspecttest"
	"github.com/mezusphere/mezu/local"
)

// TestInspector goes through its operations by the client.
func TestInspector(t *testing.T) {
	w := newWorld(t, nil)
	hook := inspecttest.Exchange{ID: "one", Method: "POST", Target: "/hooks?token=s3cret", Fields: []string{"Content-Type: application/json", "X-Api-Key: s3cret"}, Body: []byte(`{"a": 1}`), AnswerFields: []string{"Content-Type: text/html; x=\"\u00e9\""}, AnswerBody: []byte("<script>alert(1)</script>")}
	other := hook
	other.ID, other.Body = "two", []byte(`{"a": 2}`)
	socket := inspecttest.Exchange{ID: "ws", Target: "/ws", Answer: "HTTP/1.1 101 Switching Protocols", AnswerFields: []string{"Upgrade: websocket"}, Out: []byte("\x81\x02hi\x81\x02ho")}
	inspecttest.Keep(w.kept, hook, other, socket)
	ctx, c := t.Context(), w.client

	list, err := c.Requests(ctx, local.RequestsQuery{PageSize: 2})
	if err != nil || len(list.Items) != 2 || list.Items[0].RequestID != "ws" || list.NextPageToken == "" || list.Kept != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	rest, err := c.Requests(ctx, local.RequestsQuery{PageSize: 2, PageToken: list.NextPageToken})
	if err != nil || len(rest.Items) != 1 || rest.Items[0].Query != "?token="+mezu.Mask || rest.NextPageToken != "" {
		t.Errorf("%+v, %v", rest, err)
	}
	if none, err := c.Requests(ctx, local.RequestsQuery{ChangedAfter: list.Revision}); err != nil || len(none.Items) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	id := rest.Items[0].ID
	for unmask, want := range map[bool]string{false: mezu.Mask, true: "s3cret"} {
		if x, err := c.Exchange(ctx, id[:6], unmask); err != nil || x.Request.Fields[1].Value != want || x.Request.Fields[1].Masked == unmask {
			t.Errorf("%+v, %v", x, err)
		}
		if text, err := c.Curl(ctx, id, unmask); err != nil || strings.Contains(text, "s3cret") != unmask || !strings.Contains(text, "printf '{\"a\": 1}' |\ncurl ") {
			t.Errorf("%s, %v", text, err)
		}
		var har bytes.Buffer
		if err := c.HAR(ctx, &har, local.HARQuery{IDs: []string{"one", "two"}, Unmask: unmask}); err != nil || bytes.Contains(har.Bytes(), []byte("s3cret")) != unmask || strings.Count(har.String(), `"startedDateTime"`) != 2 || !json.Valid(har.Bytes()) {
			t.Errorf("%s, %v", &har, err)
		}
	}
	body, err := c.Body(ctx, "one", local.SideResponse, local.FormRaw, false)
	if err != nil || string(body.Data) != "<script>alert(1)</script>" || body.Size != 25 || body.Masked != 0 || body.Problem != "" || !strings.HasPrefix(body.MediaType, "text/html") {
		t.Errorf("%+v, %v", body, err)
	}
	if body, err := c.Body(ctx, "one", local.SideRequest, local.FormHex, false); err != nil || !strings.Contains(string(body.Data), "7b 22 61") {
		t.Errorf("%s, %v", body.Data, err)
	}
	frames, err := c.Frames(ctx, "ws", 1, 10)
	if err != nil || frames.Total != 2 || len(frames.Items) != 1 || frames.Items[0].Text != "ho" || !frames.Items[0].Out {
		t.Errorf("%+v, %v", frames, err)
	}
	if f, err := c.Frame(ctx, "ws", 1, local.FormRaw, false); err != nil || string(f.Data) != "hi" {
		t.Errorf("%+v, %v", f, err)
	}
	diff, err := c.Diff(ctx, "one", "two", false)
	if err != nil || len(diff.Items) == 0 || diff.Items[0] != (local.Differing{Part: "request", Name: "/a", Before: "1", After: "2"}) {
		t.Errorf("%+v, %v", diff, err)
	}
	if x, err := c.Pin(ctx, "one", true); err != nil || !x.Pinned {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := c.Replay(ctx, "one", local.Replay{Times: 2, Edited: &local.EditedRequest{Method: "PUT", Target: "/", Fields: []mezu.ExchangeField{}, Body: bytes.Repeat([]byte("a"), local.MaxReplayBody)}}); err != nil || w.host.replay.Times != 2 || len(w.host.replay.Edited.Body) != local.MaxReplayBody {
		t.Errorf("%v", err)
	}
	if cleared, err := c.Clear(ctx, "path:/hooks"); err != nil || cleared.Removed != 1 {
		t.Errorf("%+v, %v", cleared, err)
	}
	must(t, c.RemoveExchange(ctx, "one"))
	if _, err := c.Exchange(ctx, "one", false); mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Error(err)
	}
	if err := c.HAR(ctx, io.Discard, local.HARQuery{Filter: "status:x"}); mezu.CodeOf(err) != mezu.CodeInvalid {
		t.Error(err)
	}
}

// TestD6_BytesAreNoPage: whatever passed, no browser shows or runs it, should one ever get at it.
func TestD6_BytesAreNoPage(t *testing.T) {
	w := newWorld(t, nil)
	var all []inspecttest.Exchange
	media := []string{"text/html", "image/svg+xml", "text/javascript", "application/xhtml+xml", "text/html\x00; charset=x", strings.Repeat("text/html;", 99), ""}
	for _, m := range media {
		all = append(all, inspecttest.Exchange{ID: "r", Target: "/", AnswerFields: []string{"Content-Type: " + m}, AnswerBody: []byte("<svg onload=alert(1)><script>alert(1)</script>")})
	}
	inspecttest.Keep(w.kept, all...)
	list, err := w.client.Requests(t.Context(), local.RequestsQuery{})
	must(t, err)
	if len(list.Items) != len(media) {
		t.Fatalf("%d are kept", len(list.Items))
	}
	for _, x := range list.Items {
		for form, want := range map[string]string{"raw": "application/octet-stream", "decoded": "application/octet-stream", "pretty": "text/plain; charset=utf-8", "hex": "text/plain; charset=utf-8"} {
			conn := w.dial()
			_, err := io.WriteString(conn, get("/v1/requests/"+x.ID+"/body/response?form="+form, ""))
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			resp.Body.Close()
			h := resp.Header
			if resp.StatusCode != 200 || h.Get("Content-Type") != want || h.Get("Content-Disposition") != "attachment" || h.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %d %v", form, resp.StatusCode, h)
			}
		}
	}
}
