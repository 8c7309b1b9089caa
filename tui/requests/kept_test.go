package requests_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/requests"
	"github.com/mezusphere/mezu/tui/screen/screentest"
)

// kept is what a daemon would answer.
type kept struct {
	rows    []mezu.Exchange
	details map[string]mezu.ExchangeDetail
	bodies  map[string]local.Content // by id and side
	frames  map[string][]mezu.Frame
	content map[int]local.Content // of frames, by number
	diff    local.Difference
	state   local.InspectorState
	err     error
	none    error // of what is asked about one request
	asked   []local.RequestsQuery
	done    []string
	sent    []byte
}

func (k *kept) Requests(_ context.Context, q local.RequestsQuery) (local.Requests, error) {
	k.asked = append(k.asked, q)
	if k.err != nil {
		return local.Requests{}, k.err
	}
	if strings.HasPrefix(q.Filter, "bad:") {
		return local.Requests{}, mezu.Invalid("filter", "there is no word bad:, at character 1")
	}
	out := local.Requests{InspectorState: k.state}
	out.Kept = len(k.rows)
	if k.state.Kept > 0 {
		out.Kept = k.state.Kept
	}
	for _, e := range k.rows {
		if e.Revision > q.ChangedAfter && (q.Filter == "" || !strings.HasPrefix(q.Filter, "path:") || strings.Contains(e.Path, strings.Fields(q.Filter[5:])[0])) {
			out.Items = append(out.Items, e)
		}
		out.Revision = max(out.Revision, e.Revision)
	}
	return out, nil
}

func (k *kept) Exchange(_ context.Context, id string, unmask bool) (mezu.ExchangeDetail, error) {
	if k.none != nil {
		return mezu.ExchangeDetail{}, k.none
	}
	d, ok := k.details[id]
	if !ok {
		i := slices.IndexFunc(k.rows, func(e mezu.Exchange) bool { return e.ID == id })
		if i < 0 {
			return d, &mezu.Error{Code: mezu.CodeNotFound, Detail: "the request " + id + " is not kept any more"}
		}
		d = mezu.ExchangeDetail{Request: mezu.ExchangeMessage{Line: k.rows[i].Method + " " + k.rows[i].Path + k.rows[i].Query + " HTTP/1.1"}}
		d.Exchange = k.rows[i]
	}
	if i := slices.IndexFunc(k.rows, func(e mezu.Exchange) bool { return e.ID == id }); i >= 0 {
		d.Exchange = k.rows[i]
	}
	if unmask {
		d.Request.Fields = slices.Clone(d.Request.Fields)
		for i := range d.Request.Fields {
			if d.Request.Fields[i].Masked {
				d.Request.Fields[i].Value = "t=1764165704,v1=5257a869"
			}
		}
	}
	return d, nil
}

func (k *kept) Frames(_ context.Context, id string, after, size int) (local.Frames, error) {
	out := local.Frames{Total: len(k.frames[id])}
	for _, f := range k.frames[id] {
		if f.Number > after && len(out.Items) < size {
			out.Items = append(out.Items, f)
		}
	}
	return out, nil
}

func (k *kept) Body(_ context.Context, id, side string, form local.Form, unmask bool) (local.Content, error) {
	is, ok := k.bodies[id+"/"+side]
	if !ok {
		return is, &mezu.Error{Code: mezu.CodeNotFound, Detail: "it has no body"}
	}
	if form == local.FormHex {
		is.Data = []byte("00000000  7b 0a 20 20 22 69 64 22  3a 20 22 65 76 74 5f 31  |{.  \"id\": \"evt_1|\n")
	}
	if unmask {
		is.Data = []byte(strings.ReplaceAll(string(is.Data), mezu.Mask, "s3cret"))
	}
	return is, nil
}

func (k *kept) Frame(_ context.Context, _ string, number int, _ local.Form, unmask bool) (local.Content, error) {
	is := k.content[number]
	if unmask {
		is.Data, is.Masked = []byte(strings.ReplaceAll(string(is.Data), mezu.Mask, "s3cret")), 0
	}
	return is, nil
}

func (k *kept) Diff(context.Context, string, string, bool) (local.Difference, error) {
	return k.diff, nil
}

func (k *kept) Replay(_ context.Context, id string, _ local.Replay) (local.Replayed, error) {
	k.done = append(k.done, "replay "+id)
	return local.Replayed{Items: []mezu.Exchange{{ID: "9c1e0000aaaa"}}}, nil
}

func (k *kept) Pin(_ context.Context, id string, pinned bool) (mezu.Exchange, error) {
	k.done = append(k.done, fmt.Sprint("pin ", id, " ", pinned))
	return mezu.Exchange{ID: id, Pinned: pinned}, nil
}

func (k *kept) Clear(context.Context, string) (local.Cleared, error) {
	k.done = append(k.done, "clear")
	return local.Cleared{Removed: len(k.rows)}, nil
}

func (k *kept) Curl(_ context.Context, id string, _ bool) (string, error) {
	return "curl 'https://example.com/" + id + "'", nil
}

func (k *kept) HAR(_ context.Context, to io.Writer, q local.HARQuery) error {
	_, err := io.WriteString(to, `{"log":"`+q.IDs[0]+`"}`)
	return err
}

func (k *kept) Draft(_ context.Context, id string) (requests.Draft, []string, error) {
	return &draft{k, id}, []string{"its body of 12 kB is not all kept"}, nil
}

// draft is a request as text.
type draft struct {
	k  *kept
	id string
}

func (d *draft) Text() []byte { return []byte("POST /hooks/stripe?x=1\n\n{}") }

func (d *draft) Send(_ context.Context, saved []byte) (local.Replayed, error) {
	d.k.sent = saved
	return local.Replayed{Items: []mezu.Exchange{{ID: "77aa0000bbbb"}}}, nil
}

// at is a time of the day of the drawings.
func at(clock string) time.Time {
	t, err := time.Parse("15:04:05.000", clock+".000"[:max(0, 12-len(clock))])
	if err != nil {
		panic(err)
	}
	day := screentest.Now()
	return time.Date(day.Year(), day.Month(), day.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// drawn are the requests of the drawing of screen 2.
func drawn() *kept {
	thirteen := 13
	row := func(n int, clock, method, path string, status int, ms float64, size int64) mezu.Exchange {
		return mezu.Exchange{ID: fmt.Sprintf("7f3a%02d5b9dc2", n), RequestID: "req_01JX", Sequence: uint64(100 - n), Revision: uint64(200 - n), Tunnel: "shop/dev-ada", Kind: mezu.ExchangeHTTP, Depth: mezu.DepthAll, Method: method, Host: "shop-dev-ada-acme.edge.example.com", Path: path, Client: "203.0.113.9",
			Status: status, StartedAt: at(clock), DurationMS: ms, BytesOut: size, Edge: "fra-1", Route: "default"}
	}
	k := &kept{details: map[string]mezu.ExchangeDetail{}, bodies: map[string]local.Content{}, frames: map[string][]mezu.Frame{}, content: map[int]local.Content{}}
	k.rows = []mezu.Exchange{
		row(1, "14:02:27", "POST", "/hooks/stripe", 500, 41, 312), row(2, "14:02:21", "POST", "/hooks/github", 401, 2, 88), row(3, "14:01:58", "POST", "/hooks/stripe", 200, 38, 12),
		row(4, "14:01:40", "GET", "/hooks/", 404, 1, 144), row(5, "14:01:02", "POST", "/shop.v1.Orders/Watch", 200, 9, 4100),
	}
	r := k.rows
	r[0].Query, r[2].Query, r[0].Pinned, r[2].ReplayOf, r[3].User, r[4].User = "?x=1", "?x=1", true, r[0].ID, "ada", "ci"
	r[0].Code, r[0].Cause, r[0].Message, r[0].BytesIn = mezu.CodeWorkloadReset, "", "the workload closed the connection", 1400
	r[4].Kind, r[4].GRPCStatus, r[4].Frames = mezu.ExchangeGRPC, &thirteen, 5
	k.state = local.InspectorState{Kept: 500, MaxKept: 500, Bytes: 38 << 20, MaxBytes: 64 << 20, Pinned: 3, Depth: mezu.DepthAll}
	stripe := mezu.ExchangeDetail{Exchange: r[0], Upstream: "localhost:5173",
		Request: mezu.ExchangeMessage{Line: "POST /hooks/stripe?x=1 HTTP/1.1", Fields: []mezu.ExchangeField{{Name: "Content-Type", Value: "application/json"}, {Name: "Stripe-Signature", Value: mezu.Mask, Masked: true}, {Name: "User-Agent", Value: "Stripe/1.0"}},
			Body: &mezu.ExchangeBody{Size: 1400, Kept: 1400, MediaType: "application/json", Form: mezu.BodyJSON}},
		Returned: &mezu.ExchangeMessage{Line: "HTTP/1.1 500 Internal Server Error", Fields: []mezu.ExchangeField{{Name: "Content-Type", Value: "text/plain"}, {Name: "Set-Cookie", Value: "sid=" + mezu.Mask + "; HttpOnly", Masked: true}},
			Body: &mezu.ExchangeBody{Size: 312, Kept: 312, MediaType: "text/plain", Form: mezu.BodyText}},
		Timing: mezu.ExchangeTiming{QueuedMS: 0.2, ConnectMS: 1.1, SentMS: 1.5, UploadedMS: 2, FirstByteMS: 38, EndMS: 41}}
	sent := stripe.Request
	sent.Fields = append(slices.Clone(sent.Fields), mezu.ExchangeField{Name: "X-Forwarded-For", Value: "203.0.113.9"})
	stripe.Sent = &sent
	k.details[r[0].ID] = stripe
	k.bodies[r[0].ID+"/request"] = local.Content{Data: []byte("{\n  \"id\": \"evt_1PzX\",\n  \"type\": \"payment_intent.succeeded\",\n  \"data\": { \"object\": { \"amount\": 4200, \"currency\": \"eur\" } },\n  \"api_key\": \"" + mezu.Mask + "\"\n}\n"), MediaType: "application/json", Masked: 1, Size: 1400}
	k.bodies[r[0].ID+"/response"] = local.Content{Data: []byte("TypeError: Cannot read properties of undefined (reading 'id')\n    at handle (/srv/hooks.js:12:31)\n"), Size: 312}
	k.diff = local.Difference{A: r[2], B: r[0], Items: []local.Differing{{Part: "request", Name: "Stripe-Signature", Before: mezu.Mask, After: mezu.Mask}, {Part: "response", Name: "line", Before: "HTTP/1.1 200 OK", After: "HTTP/1.1 500 Internal Server Error"},
		{Part: "response", Name: "/id", Before: "\"evt_1PzX\""}}}
	return k
}

// socket are the frames of the drawing of screen 2b.
func socket() *kept {
	k := drawn()
	e := mezu.Exchange{ID: "ab12000000ff", Sequence: 300, Revision: 300, Tunnel: "shop/dev-ada", Kind: mezu.ExchangeWebSocket, Depth: mezu.DepthAll, Method: "GET", Path: "/", Query: "?token=" + mezu.Mask, Status: 101,
		StartedAt: at("13:58:29"), DurationMS: 242_000, Frames: 18, Open: true, Edge: "fra-1", BytesOut: 900}
	k.rows = append([]mezu.Exchange{e}, k.rows...)
	k.details[e.ID] = mezu.ExchangeDetail{Exchange: e, Request: mezu.ExchangeMessage{Line: "GET /?token=" + mezu.Mask + " HTTP/1.1", Body: &mezu.ExchangeBody{Size: 20, Kept: 20, Form: mezu.BodyFrames}},
		Response: &mezu.ExchangeMessage{Line: "HTTP/1.1 101 Switching Protocols", Fields: []mezu.ExchangeField{{Name: "Sec-WebSocket-Extensions", Value: "permessage-deflate; server_no_context_takeover"}}}}
	for n := 1; n <= 12; n++ {
		k.frames[e.ID] = append(k.frames[e.ID], mezu.Frame{Number: n, Time: at("13:58:28"), Kind: mezu.FramePing})
	}
	updates := `{"type":"update","updates":[{"type":"js-update","path":"/src/App.tsx","timestamp":1764165704020}]}`
	k.frames[e.ID] = append(k.frames[e.ID],
		mezu.Frame{Number: 13, Time: at("13:58:29.104"), Out: true, Kind: mezu.FrameText, Size: 19, Kept: 19, Text: `{"type":"connected"}`},
		mezu.Frame{Number: 14, Time: at("13:59:12.870"), Out: true, Kind: mezu.FrameText, Size: 212, Kept: 212, Text: updates},
		mezu.Frame{Number: 15, Time: at("13:59:12.911"), Kind: mezu.FramePing},
		mezu.Frame{Number: 16, Time: at("13:59:12.913"), Out: true, Kind: mezu.FramePong},
		mezu.Frame{Number: 17, Time: at("14:01:44.020"), Out: true, Kind: mezu.FrameText, Size: 208, Kept: 208, Text: updates},
		mezu.Frame{Number: 18, Time: at("14:02:02.500"), Kind: mezu.FrameClose, Size: 2, Kept: 2, Text: "1001 going away"})
	k.content[17] = local.Content{Data: []byte("{\n  \"type\": \"update\",\n  \"updates\": [\n    {\n      \"type\": \"js-update\",\n      \"path\": \"/src/App.tsx\",\n      \"timestamp\": 1764165704020\n    } ] }\n"), Size: 208}
	k.content[18] = local.Content{Data: []byte("1001 going away\n"), Size: 2}
	return k
}

func screenOf(k *kept) *requests.Screen {
	return requests.New(requests.Config{Inspector: k, Contents: k, Actions: k, Exports: k, Drafts: k})
}

// keeping is the screen with what its daemon has.
type keeping struct {
	*requests.Screen
	k *kept
}
