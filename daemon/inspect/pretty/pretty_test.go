package pretty_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/pretty"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/visible"
)

func TestForm(t *testing.T) {
	for _, c := range []struct {
		mediaType, body string
		want            mezu.BodyForm
	}{
		{"application/json", "", mezu.BodyEmpty},
		{"application/json; charset=utf-8", "{}", mezu.BodyJSON},
		{"application/problem+json", "{}", mezu.BodyJSON},
		{"Application/X-NDJSON", "{}\n{}", mezu.BodyJSON},
		{"application/json", "\x1f\x8b\x08\x00\x00", mezu.BodyBinary},
		{"application/x-www-form-urlencoded", "a=b", mezu.BodyFields},
		{"multipart/form-data; boundary=x", "--x", mezu.BodyMultipart},
		{"text/xml", "<a/>", mezu.BodyXML},
		{"image/svg+xml", "<svg/>", mezu.BodyXML},
		{"text/html", "<p>", mezu.BodyText},
		{"text/css", "{", mezu.BodyText},
		{"text/javascript", `{"a`, mezu.BodyText},
		{"text/plain", `{"a":1}`, mezu.BodyJSON},
		{"text/plain", `plain`, mezu.BodyText},
		{"text/plain", "caf\xe9 au lait", mezu.BodyText},
		{"text/event-stream", "data: x", mezu.BodyFrames},
		{"application/grpc+proto", "\x00", mezu.BodyFrames},
		{"image/png", "text", mezu.BodyBinary},
		{"", `[1]`, mezu.BodyJSON},
		{"", `[section]`, mezu.BodyText},
		{"application/octet-stream", "\ufeff <?xml version='1.0'?>", mezu.BodyXML},
		{"application/octet-stream", "text é", mezu.BodyText},
		{"", "caf\xe9", mezu.BodyBinary},
		{"", "\x00", mezu.BodyBinary},
		{"", "a\x1b[31mb", mezu.BodyText},
		{"", strings.Repeat("a", 1023) + "é", mezu.BodyText},
	} {
		if got := pretty.Form(c.mediaType, []byte(c.body)); got != c.want {
			t.Errorf("%s %.20q: %s", c.mediaType, c.body, got)
		}
	}
}

func TestBody(t *testing.T) {
	for _, c := range []struct {
		form            mezu.BodyForm
		in, want, wrong string
	}{
		{mezu.BodyJSON, `{"id":"evt_1PzX","type":"x","data":{"object":{"amount":4200,"currency":"eur"}},"n":[],"o":{ },"l":["` + strings.Repeat("long ", 12) + `",2]}`, `{
  "id": "evt_1PzX",
  "type": "x",
  "data": { "object": { "amount": 4200, "currency": "eur" } },
  "n": [],
  "o": {},
  "l": [
    "` + strings.Repeat("long ", 12) + `",
    2
  ]
}
`, ""},
		{mezu.BodyJSON, "\ufeff" + `{"a":1}` + "\n" + `{"b":"\u001b\"\\"} 3 "x"`, "{\n  \"a\": 1\n}\n{\n  \"b\": \"\\u001b\\\"\\\\\"\n}\n3\n\"x\"\n", ""},
		{mezu.BodyJSON, `{"a":[1,{"b"`, "{\n  \"a\": [\n    1,\n    {\n      \"b\"\n", "its JSON ends too early, after 12 bytes"},
		{mezu.BodyJSON, `{"a":'b'}`, "{\n  \"a\": \n'b'}", "it is no JSON from byte 5 on"},
		{mezu.BodyJSON, `]`, "]", "it is no JSON from byte 0 on"},
		{mezu.BodyJSON, "{\"a\":\"\x1b[31m\u202e\xff\"}", "{\n  \"a\": \"\\x1b[31m\\u202e\\xff\"\n}\n", ""},
		{mezu.BodyFields, "a=b+c&d=%1B%5B31m&%zz=1&e", "a = b c\nd = \\x1b[31m\n%zz = 1\ne\n", ""},
		{mezu.BodyXML, `<?xml version="1.0"?><a x="1"><b>text</b><c/><!-- <d> --><e><![CDATA[<x>]]></e>mixed<f></f></a>`, `<?xml version="1.0"?>
<a x="1">
  <b>text</b>
  <c/>
  <!-- <d> -->
  <e>
    <![CDATA[<x>]]>
  </e>
  mixed
  <f></f>
</a>
`, ""},
		{mezu.BodyXML, `<a><b`, "<a>\n  <b\n", "it is no XML from byte 3 on, or ends too early"},
		{mezu.BodyText, "a\tb\r\nc\rd\x1b]0;x\x07\n\u2028\xff", "a    b\nc\\rd\\x1b]0;x\\a\n\\u2028\\xff", ""},
		{mezu.BodyBinary, "\x00\x01\x02 binary\x1b[31m", "00000000  00 01 02 20 62 69 6e 61  72 79 1b 5b 33 31 6d     |... binary.[31m|\n", ""},
		{mezu.BodyFrames, "data: x\n\n", "data: x\n\n", ""},
		{mezu.BodyFrames, "\x00\x00", "00000000  00 00                                             |..|\n", ""},
		{mezu.BodyEmpty, "", "", ""},
	} {
		got, problem := pretty.Body(c.form, "", []byte(c.in))
		if string(got) != c.want || problem != c.wrong {
			t.Errorf("%s %.40q: %q\n%s\nwant\n%s", c.form, c.in, problem, got, c.want)
		}
	}
}

func TestBody_Multipart(t *testing.T) {
	in := strings.ReplaceAll(`--X
Content-Disposition: form-data; name="a"

one
--X
Content-Disposition: form-data; name="b"; filename="`+"\x1b"+`b.json"
Content-Type: application/json

{"c":1}
--X
Content-Type: image/png

png
--X--
`, "\n", "\r\n")
	want := `[part 1, 3 bytes]
Content-Disposition: form-data; name="a"

one

[part 2, 7 bytes]
Content-Disposition: form-data; name="b"; filename="\x1bb.json"
Content-Type: application/json

{
  "c": 1
}

[part 3, 3 bytes]
Content-Type: image/png

(binary)
`
	for _, kind := range []string{"multipart/form-data; boundary=X", ""} {
		if got, problem := pretty.Body(mezu.BodyMultipart, kind, []byte(in)); string(got) != want || problem != "" {
			t.Errorf("%q:\n%s", problem, got)
		}
	}
	if got, problem := pretty.Body(mezu.BodyMultipart, "", []byte(in[:60])); problem == "" || !bytes.Contains(got, []byte("on")) {
		t.Errorf("cut: %q %s", problem, got)
	}
	if got, problem := pretty.Body(mezu.BodyMultipart, "", []byte("none")); problem == "" || string(got) != "none" {
		t.Errorf("of no parts: %q %s", problem, got)
	}
}

// safe reports what in a text a terminal might act on.
func safe(text []byte, lines bool) bool {
	if !utf8.Valid(text) {
		return false
	}
	for _, r := range string(text) {
		if visible.Unsafe(r) && !(lines && r == '\n') {
			return false
		}
	}
	return true
}

// TestC5_NothingDrivesATerminal whatever is in a body, a part's head or a frame.
func TestC5_NothingDrivesATerminal(t *testing.T) {
	attack := "\x1b]0;title\x07\x1b[2J\x9b31m\u202egnirts\u2066\x00\x7f\u0085\u2028\u200b\xff\xc0\xaf\r" + `{"level":"info"}`
	for _, form := range []mezu.BodyForm{mezu.BodyJSON, mezu.BodyFields, mezu.BodyMultipart, mezu.BodyXML, mezu.BodyText, mezu.BodyBinary, mezu.BodyFrames} {
		for _, body := range []string{attack, `{"` + attack + `":"` + attack + `"}`, "<" + attack + ">" + attack, "--X\r\nA: " + attack + "\r\n\r\n" + attack + "\r\n--X--", attack + "=" + attack} {
			if got, _ := pretty.Body(form, "multipart/mixed; boundary=X", []byte(body)); !safe(got, true) {
				t.Errorf("%s: %q", form, got)
			}
		}
	}
	for _, kind := range []mezu.FrameKind{mezu.FrameText, mezu.FrameBinary, mezu.FrameClose, mezu.FramePing, mezu.FrameEvent, mezu.FrameMessage, mezu.FrameBroken} {
		if got := pretty.Line(kind, []byte(attack)); !safe([]byte(got), false) {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// TestBody_Large bounds what is shown, and how long that takes.
func TestBody_Large(t *testing.T) {
	for name, unit := range map[string]string{"one line": "x", "escapes": "\x1b", "bidi": "\u202e", "lines": "\n", "JSON": `[`, "objects": `{"a":`, "values": "1,", "strings": `"\`,
		"tags": "<a>", "ends": "</", "comments": "<!--", "fields": "a=%1b&", "parts": "--X\r\n", "wide": "世"} {
		body := []byte(strings.Repeat(unit, (5<<18)/len(unit)))
		for _, form := range []mezu.BodyForm{mezu.BodyJSON, mezu.BodyFields, mezu.BodyMultipart, mezu.BodyXML, mezu.BodyText, mezu.BodyBinary} {
			got, problem := pretty.Body(form, "multipart/mixed; boundary=X", body)
			if len(got) > local.MaxPretty || !safe(got, true) {
				t.Errorf("%s as %s: %d bytes", name, form, len(got))
			}
			if problem == "" && len(got) < local.MaxPretty/8 && name != "lines" {
				t.Errorf("%s as %s: %d bytes of %d, and nothing says so", name, form, len(got), len(body))
			}
		}
	}
	deep := strings.Repeat(`{"a":[`, 10_000) + strings.Repeat(`]}`, 10_000)
	deep += strings.Repeat(" ", 10<<20-len(deep))
	if got, problem := pretty.Body(mezu.BodyJSON, "", []byte(deep)); len(got) > local.MaxPretty || problem == "" {
		t.Errorf("10,000 deep: %d bytes, %q", len(got), problem)
	}
}

func TestHex(t *testing.T) {
	got, problem := pretty.Hex(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	lines := strings.Split(string(got), "\n")
	if lines[1] != "00000010  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|" || !strings.HasPrefix(problem, "the first ") {
		t.Errorf("%q %s", problem, lines[1])
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		kind     mezu.FrameKind
		in, want string
	}{
		{mezu.FrameText, `{"type":"connected"}`, `{"type":"connected"}`},
		{mezu.FrameText, " a\r\n\tb\x1b\xff ", `a b\x1b\xff`},
		{mezu.FrameEvent, "", ""},
		{mezu.FrameBinary, "ab\x00", "61 62 00"},
		{mezu.FrameMessage, "ab", "61 62"},
		{mezu.FrameClose, "\x03\xe9", "1001 going away"},
		{mezu.FrameClose, "\x03\xe8bye", "1000 bye"},
		{mezu.FrameClose, "\x0f\xa0", "4000"},
		{mezu.FrameClose, "", ""},
		{mezu.FramePing, "now", "now"},
		{mezu.FramePing, "\x00", "00"},
		{mezu.FrameBroken, "HTTP/1.1", "HTTP/1.1"},
		{mezu.FrameText, strings.Repeat("é", 200), strings.Repeat("é", 126) + "…"},
		{mezu.FrameText, strings.Repeat("\x1b", 200), strings.Repeat(`\x1b`, 63) + "…"},
		{mezu.FrameText, strings.Repeat("x", 253), strings.Repeat("x", 253)},
		{mezu.FrameText, strings.Repeat("x ", 1<<20), strings.TrimSpace(strings.Repeat("x ", 126)) + " x…"},
	} {
		got := pretty.Line(c.kind, []byte(c.in))
		if got != c.want || len(got) > mezu.MaxFrameLine {
			t.Errorf("%s %.20q: %q", c.kind, c.in, got)
		}
	}
}

func FuzzBody(f *testing.F) {
	f.Add("json", "", []byte(`{"a":[1,{"b":"\u0000"}],"c":{}} 1 "x"`))
	f.Add("xml", "", []byte(`<?xml?><a b="c"><!-- d --><e/>f</a>`))
	f.Add("form", "", []byte("a=b&c=%20"))
	f.Add("multipart", "multipart/form-data; boundary=X", []byte("--X\r\nContent-Type: application/json\r\n\r\n{}\r\n--X--"))
	f.Add("text", "text/plain", []byte("\x1b[31m\u202e\xff"))
	f.Fuzz(func(t *testing.T, form, mediaType string, body []byte) {
		pretty.Form(mediaType, body)
		got, problem := pretty.Body(mezu.BodyForm(form), mediaType, body)
		if len(got) > local.MaxPretty || !safe(got, true) {
			t.Fatalf("%q", got)
		}
		if form == "json" && json.Valid(body) && utf8.Valid(body) && problem == "" && !bytes.Contains(got, []byte(`\`)) {
			var before, after bytes.Buffer
			if json.Compact(&before, body) != nil || json.Compact(&after, got) != nil || before.String() != after.String() {
				t.Fatalf("%s became %s", body, got)
			}
		}
		for _, kind := range []mezu.FrameKind{mezu.FrameText, mezu.FrameBinary, mezu.FrameClose} {
			if line := pretty.Line(kind, body); len(line) > mezu.MaxFrameLine || !safe([]byte(line), false) {
				t.Fatalf("%q", line)
			}
		}
	})
}
