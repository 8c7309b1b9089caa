package draft

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

var hook = mezu.ExchangeMessage{
	Line:   "POST /hooks/stripe?x=1&token=••••••  HTTP/1.1",
	Fields: []mezu.ExchangeField{{Name: "Content-Type", Value: "application/json"}, {Name: "Content-Length", Value: "9"}, {Name: "Stripe-Signature", Value: mezu.Mask, Masked: true}, {Name: "X", Value: ""}},
	Body:   &mezu.ExchangeBody{Size: 9, Kept: 9},
}

func TestDraft(t *testing.T) {
	d := New(hook, []byte(`{"a": 1}`), true)
	want := "POST /hooks/stripe?x=1&token=••••••  HTTP/1.1\nContent-Type: application/json\nStripe-Signature: ••••••\nX: \n\n" + `{"a": 1}`
	if string(d.Text) != want {
		t.Fatalf("%s", d.Text)
	}
	same := local.EditedRequest{Method: "POST", Target: "/hooks/stripe?x=1&token=••••••", KeepBody: true,
		Fields: []mezu.ExchangeField{{Name: "Content-Type", Value: "application/json"}, {Name: "Stripe-Signature", Value: mezu.Mask}, {Name: "X"}}}
	changed := same
	changed.Body, changed.KeepBody = []byte(`{"a": 2}`), false
	crlf := same
	crlf.Body, crlf.KeepBody = []byte("a\r\nb"), false
	none := same
	none.Body, none.KeepBody = []byte{}, false
	head, _, _ := strings.Cut(want, "\n\n")
	for text, want := range map[string]local.EditedRequest{
		want: same, want + "\n": same, want + "\r\n": same, "\ufeff" + want: same,
		strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + `{"a": 1}`: same,
		strings.Replace(want, "1}", "2}", 1):                             changed,
		head + "\n\na\r\nb\r\n":                                          crlf,
		head + "\n\n":                                                    none,
	} {
		got, dropped, err := d.Read([]byte(text))
		if err != nil || dropped || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

// A body that is compressed is edited as what it means, and sent like that.
func TestDraft_Encoded(t *testing.T) {
	m := mezu.ExchangeMessage{Line: "POST / HTTP/1.1", Fields: []mezu.ExchangeField{{Name: "content-encoding", Value: "gzip"}}, Body: &mezu.ExchangeBody{Encoding: "gzip"}}
	d := New(m, []byte("text\n"), true)
	if r, dropped, err := d.Read(d.Text); err != nil || dropped || !r.KeepBody || len(r.Fields) != 1 {
		t.Errorf("%+v %v %v", r, dropped, err)
	}
	if r, dropped, err := d.Read(append(d.Text, "more\n"...)); err != nil || !dropped || r.KeepBody || len(r.Fields) != 0 || string(r.Body) != "text\nmore\n" {
		t.Errorf("%+v %v %v", r, dropped, err)
	}
}

// What no editor shows, and what is not all there, is sent as it was, unless somebody writes
// something in its place.
func TestDraft_KeptBody(t *testing.T) {
	for _, d := range []*Draft{New(hook, []byte("a\x00b"), true), New(hook, []byte("\xff"), true), New(hook, []byte("begin"), false)} {
		if !strings.HasSuffix(string(d.Text), "X: \n\n") {
			t.Errorf("%q", d.Text)
		}
		for _, end := range []string{"", "\n", "\r\n"} {
			if r, _, err := d.Read(append(d.Text[:len(d.Text):len(d.Text)], end...)); err != nil || !r.KeepBody || r.Body != nil {
				t.Errorf("%+v %v", r, err)
			}
		}
		if r, _, err := d.Read(append(d.Text, "new"...)); err != nil || r.KeepBody || string(r.Body) != "new" {
			t.Errorf("%+v %v", r, err)
		}
	}
}

func TestDraft_Wrong(t *testing.T) {
	d := New(hook, nil, true)
	for text, line := range map[string]int{
		"": 1, "\n": 1, "GET": 1, "GET  \n": 1, "G(T /": 1, "GET http://evil.example/": 1, "GET evil": 1, "GET / x": 1, "GET / HTTP/1.1 x": 1, "GET /#a": 1, "GET /\x7f": 1,
		"GET /\nno colon\n": 2, "GET /\nA: b\n : x": 3, "GET /\nA: b\n folded": 3, "GET /\nA: b\n{\"body\": 1}\n": 3, "GET /\nA: \x1b[2J\n\n": 2, "GET /\nA B: c\n": 2, "GET /\n: c\n": 2,
		"GET /\n\ufeffA: b\n": 2, "GET /\n\n" + strings.Repeat("a", MaxText): 1,
	} {
		_, _, err := d.Read([]byte(text))
		var wrong *Error
		if !errors.As(err, &wrong) || wrong.Line != line {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// What was read is read again from what is written of it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"GET /", "POST /a?b=c HTTP/1.1\nA: b\n\nbody\n", "\ufeffPUT /\r\nA:b\r\n\r\n\x00", "GET /\n x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, body, err := read(text)
		if err != nil {
			return
		}
		again := New(mezu.ExchangeMessage{Line: r.Method + " " + r.Target, Fields: r.Fields}, nil, true)
		same, none, err := read(again.Text)
		if err != nil || len(none) > 0 || same.Method != r.Method || same.Target != r.Target {
			t.Errorf("%q becomes %q: %v", text, again.Text, err)
		}
		if len(body) > len(text) {
			t.Errorf("%q has the body %q", text, body)
		}
	})
}
