package export_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/export"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// archive is a HAR as a test reads it.
type archive struct {
	Log struct {
		Entries []struct {
			ID      string `json:"_id"`
			Time    float64
			Request struct {
				Method, URL string
				Cookies     []struct{ Name, Value string }
				Headers     []struct{ Name, Value string }
				QueryString []struct{ Name, Value string }
				PostData    *struct {
					MimeType, Text, Comment string
					Encoding                string `json:"_encoding"`
				}
				BodySize int64
			}
			Response struct {
				Status                  int
				StatusText, HTTPVersion string
				Cookies                 []struct{ Name, Value, Path, Expires string }
				Content                 struct {
					Size                              int64
					MimeType, Text, Encoding, Comment string
				}
				RedirectURL string
				Error       string `json:"_error"`
			}
			Timings  map[string]float64
			Messages []struct {
				Type   string
				Time   float64
				Opcode int
				Data   string
			} `json:"_webSocketMessages"`
		}
	}
}

// archiveOf makes an archive, and holds it against the schema of the specification.
func archiveOf(t *testing.T, all ...*show.Complete) archive {
	t.Helper()
	var b bytes.Buffer
	h := export.NewHAR(&b, "1.2.3")
	for _, x := range all {
		if err := h.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/har-1.2.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddResource("har.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("har.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v in %s", err, b.Bytes())
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v in %s", err, b.Bytes())
	}
	var out archive
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHAR: an archive is one by its specification, whatever passed.
func TestHAR(t *testing.T) {
	if got := archiveOf(t); len(got.Log.Entries) != 0 {
		t.Errorf("%+v", got)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	webhook := request("https://shop.example.com", `POST /hooks/{x}?token=`+mezu.Mask+`&a&b="<é>" HTTP/1.1`, []byte("\xff\x00"), "Content-Type", "application/json", "Cookie", "a=b; session="+mezu.Mask)
	webhook.StartedAt, webhook.Status = at, 302
	webhook.RequestBody.MediaType, webhook.Request.Body.Size = "application/json", 5<<20
	webhook.Response = &mezu.ExchangeMessage{Line: "HTTP/1.1 302 Not Here", Fields: []mezu.ExchangeField{
		{Name: "Location", Value: "/there"}, {Name: "Set-Cookie", Value: "id=1; Path=/x; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure; HttpOnly"},
	}, Body: &mezu.ExchangeBody{Size: 3, Kept: 3}}
	webhook.ResponseBody = local.Content{Data: []byte("undone"), MediaType: "text/plain", Size: 3}
	webhook.Timing = mezu.ExchangeTiming{QueuedMS: 1, ConnectMS: 2, SentMS: 4, UploadedMS: 8, FirstByteMS: 16, EndMS: 32}
	open := request("https://shop.example.com", "GET /open HTTP/1.1", nil)
	open.Code = mezu.CodeWorkloadRefused
	early := request("", "PUT /early HTTP/1.1", nil)
	early.Timing = mezu.ExchangeTiming{SentMS: 1, UploadedMS: 9, FirstByteMS: 3, EndMS: 5}
	socket := request("https://shop.example.com", "GET /ws HTTP/1.1", nil)
	socket.Kind, socket.Status = mezu.ExchangeWebSocket, 101
	for kind, content := range map[mezu.FrameKind]string{mezu.FrameText: "hi\xff", mezu.FrameBinary: "\x00\x01", mezu.FrameBroken: "x"} {
		socket.Frames = append(socket.Frames, show.FrameContent{Frame: mezu.Frame{Kind: kind, Time: at, Out: kind == mezu.FrameBinary}, Data: []byte(content)})
	}
	got := archiveOf(t, webhook, open, early, socket).Log.Entries
	if len(got) != 4 {
		t.Fatalf("%d entries", len(got))
	}
	first := got[0]
	if q := first.Request; q.URL != "https://shop.example.com/hooks/%7Bx%7D?token="+strings.Repeat("%E2%80%A2", 6)+"&a&b=%22%3C%C3%A9%3E%22" ||
		len(q.QueryString) != 3 || q.QueryString[0].Value != mezu.Mask || len(q.Cookies) != 2 || q.Cookies[1].Name != "session" || q.Cookies[1].Value != mezu.Mask {
		t.Errorf("%+v", q)
	}
	if p := first.Request.PostData; p == nil || p.Text != base64.StdEncoding.EncodeToString([]byte("\xff\x00")) || p.Encoding != "base64" || p.Comment != "the first 2 of 5242880 bytes were kept" {
		t.Errorf("%+v", p)
	}
	if r := first.Response; r.Status != 302 || r.StatusText != "Not Here" || r.HTTPVersion != "HTTP/1.1" || r.RedirectURL != "/there" || r.Cookies[0].Path != "/x" || r.Cookies[0].Expires != "2026-10-21T07:28:00Z" || r.Content.Text != "undone" || r.Content.Size != 6 {
		t.Errorf("%+v", r)
	}
	if m := first.Timings; m["blocked"] != 1 || m["connect"] != 2 || m["send"] != 5 || m["wait"] != 8 || m["receive"] != 16 || first.Time != 32 {
		t.Errorf("%v of %v", m, first.Time)
	}
	if r := got[1].Response; r.Status != 0 || r.Error != "workload_refused" {
		t.Errorf("%+v", r)
	}
	if m := got[2].Timings; m["send"] != 1 || m["wait"] != 2 || m["receive"] != 2 {
		t.Errorf("an answer before the end of the request: %v", m)
	}
	if m := got[3].Messages; len(m) != 2 || m[0].Opcode+m[1].Opcode != 3 {
		t.Errorf("%+v", m)
	} else {
		for _, one := range m {
			if want := map[int]string{1: "send hi\ufffd", 2: "receive AAE="}[one.Opcode]; one.Type+" "+one.Data != want {
				t.Errorf("%+v, want %s", one, want)
			}
		}
	}
}
