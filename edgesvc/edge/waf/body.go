package waf

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu/relay"
)

// Why a body is unreadable, for the log.
const (
	badType      = "media type"
	badCoding    = "content coding"
	badForm      = "form"
	badJSON      = "JSON"
	badXML       = "XML"
	badParts     = "multipart"
	duplicateKey = "duplicate key"
)

// parsed is a body taken apart, within the bounds.
type parsed struct {
	look
	kind   Kind
	fields [][2]string // names and values
	raw    string      // of a form
	attrs  []string    // of XML, and its texts
	texts  []string
	files  []file
	heads  [][2]string // of parts: names and lines
}

// file is what is known of a file in a form.
type file struct{ field, name string }

// add takes a value, if it is within the bounds.
func (p *parsed) add(name, value string) bool {
	if !p.value(len(name), len(value)) {
		return false
	}
	p.fields = append(p.fields, [2]string{name, value})
	return true
}

// read takes a body apart. why is not empty if that can't be done in one way only. What is over a
// bound is in p.exceeded, and nothing is read behind it.
func (p *parsed) read(kind Kind, r *relay.Request, body []byte) (why string) {
	p.kind = kind
	if kind == None {
		return ""
	}
	body, why = p.inflate(r, body)
	if why != "" || p.exceeded != "" {
		return why
	}
	switch kind {
	case Form:
		return p.form(body)
	case Text:
		return p.text(body)
	case JSON, Lines:
		return p.json("json", body, kind == Lines)
	case XML:
		return p.xml(body)
	case Parts:
		return p.parts(r, body)
	}
	return badType
}

// inflate undoes the one content coding of a body, up to one byte over what is looked at.
func (p *parsed) inflate(r *relay.Request, body []byte) ([]byte, string) {
	name, ok := coding(r)
	switch {
	case !ok && name == "layers":
		p.exceeded = name
		return nil, ""
	case !ok:
		return nil, badCoding
	case len(body) > p.s.Body+overhead(p.kind):
		p.exceeded = "body"
		return nil, ""
	case name == "":
		return body, ""
	}
	var in io.Reader
	var err error
	from := bytes.NewReader(body)
	if name == "gzip" {
		in, err = gzip.NewReader(from)
	} else {
		in, err = zlib.NewReader(from)
	}
	if err != nil {
		return nil, badCoding
	}
	out, err := io.ReadAll(io.LimitReader(in, int64(p.s.Body+overhead(p.kind)+1)))
	switch {
	case err != nil:
		return nil, badCoding
	case len(out) > p.s.Body+overhead(p.kind):
		p.exceeded = "body"
		return nil, ""
	case from.Len() > 0:
		return nil, badCoding // something follows that another reader may read
	}
	return out, ""
}

// overhead is how much longer than what is looked at a body may be, by the heads and boundaries of its
// parts.
func overhead(k Kind) int {
	if k == Parts {
		return 2 * maxPartOverhead
	}
	return 0
}

// form takes apart what a browser sends for a form.
func (p *parsed) form(body []byte) string {
	p.raw = string(body)
	for pair := range strings.SplitSeq(p.raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if !p.add(unescape(name), unescape(value)) {
			break
		}
	}
	return ""
}

// text takes a body apart whose sender doesn't say what it is: as JSON if it is that, else as a form,
// so that at least all of it is looked at.
func (p *parsed) text(body []byte) string {
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		as := parsed{look: p.look}
		if why := as.json("json", body, false); why == "" {
			kind := p.kind
			*p = as
			p.kind, p.raw = kind, string(body)
			return ""
		}
	}
	if name, _, _ := bytes.Cut(body, []byte{'='}); bytes.ContainsAny(name, " \t\r\n") {
		p.raw = string(body)
		p.add("text", p.raw) // prose
		return ""
	}
	return p.form(body)
}

// unescape undoes percent-encoding. What is no code stays as it is: so do workloads that don't
// refuse it, and the rules find it.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			out = append(out, byte(n))
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// json takes apart one JSON text, or several behind one another. A value's name is the path to it.
// Readers differ in which of two equal keys counts, so there may be none.
func (p *parsed) json(root string, body []byte, many bool) string {
	body = bytes.Trim(body, "\x1e") // before each value of a sequence (RFC 7464)
	if many {
		body = bytes.ReplaceAll(body, []byte{0x1e}, nil)
	}
	if !utf8.Valid(body) {
		return badJSON
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	for n := 0; ; n++ {
		t, err := d.Token()
		if err == io.EOF && (many || n > 0) {
			return ""
		}
		if err != nil || n > 0 && !many {
			return badJSON
		}
		name := []byte(root)
		if many {
			name = strconv.AppendInt(append(name, '.'), int64(n), 10)
		}
		if why := p.jsonValue(d, t, name, 0); why != "" || p.exceeded != "" {
			return why
		}
	}
}

// jsonValue takes one value apart whose first token was read.
func (p *parsed) jsonValue(d *json.Decoder, t json.Token, name []byte, depth int) string {
	switch t := t.(type) {
	case json.Delim:
		if depth++; depth > MaxDepth {
			p.exceeded = "depth"
			return ""
		}
		if t == '{' {
			return p.jsonObject(d, name, depth)
		}
		for i := 0; ; i++ {
			next, err := d.Token()
			if err != nil {
				return badJSON
			}
			if next == json.Delim(']') {
				return ""
			}
			if why := p.jsonValue(d, next, strconv.AppendInt(append(name, '.'), int64(i), 10), depth); why != "" || p.exceeded != "" {
				return why
			}
		}
	case string:
		if !p.graphQL(string(name), t) {
			p.add(string(name), t)
		}
	case json.Number:
		p.add(string(name), t.String())
	case bool:
		p.add(string(name), strconv.FormatBool(t))
	case nil:
		p.add(string(name), "")
	}
	return ""
}

func (p *parsed) jsonObject(d *json.Decoder, name []byte, depth int) string {
	keys := map[string]bool{}
	for {
		t, err := d.Token()
		if err != nil {
			return badJSON
		}
		key, is := t.(string)
		if !is {
			return "" // its end
		}
		if keys[key] {
			return duplicateKey
		}
		keys[key] = true
		if t, err = d.Token(); err != nil {
			return badJSON
		}
		if why := p.jsonValue(d, t, append(append(name, '.'), key...), depth); why != "" || p.exceeded != "" {
			return why
		}
	}
}

// errDeclared is a document type: it may declare entities, and name what a workload would fetch.
var errDeclared = errors.New("the document declares a type")

// xml takes apart XML in UTF-8 that has no document type.
func (p *parsed) xml(body []byte) string {
	if !utf8.Valid(body) {
		return badXML
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	depth, elements := 0, 0
	for p.exceeded == "" {
		t, err := d.Token()
		if err == io.EOF && depth == 0 && elements > 0 {
			return ""
		}
		if err != nil {
			return badXML
		}
		switch t := t.(type) {
		case xml.Directive:
			return errDeclared.Error()
		case xml.StartElement:
			if elements++; depth == 0 && elements > 1 {
				return badXML
			}
			if depth++; depth > MaxDepth {
				p.exceeded = "depth"
			}
			for _, a := range t.Attr {
				p.value(0, len(a.Value))
				p.attrs = append(p.attrs, a.Value)
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); s != "" {
				p.value(0, len(s))
				p.texts = append(p.texts, s)
			}
		}
	}
	return ""
}

// settable is a variable of the engine that has one value.
type settable interface{ Set(string) }

// processors are the engine's names for kinds, by which rules ask for them.
var processors = map[Kind]string{Form: "URLENCODED", Text: "URLENCODED", JSON: "JSON", Lines: "JSON", XML: "XML", Parts: "MULTIPART"}

// show shows the body.
func (p *parsed) show(l *look) {
	if p.kind == None {
		return
	}
	l.vars.RequestBodyProcessor().(settable).Set(processors[p.kind])
	for _, f := range p.fields {
		l.tx.AddPostRequestArgument(f[0], f[1])
	}
	if p.kind == Form || p.kind == Text {
		l.vars.RequestBody().(settable).Set(p.raw)
		l.vars.RequestBodyLength().(settable).Set(strconv.Itoa(len(p.raw)))
	}
	if p.kind == XML {
		l.vars.RequestXML().Set("//@*", p.attrs)
		// Most rules look at texts only. A workload may use both alike.
		l.vars.RequestXML().Set("/*", append(p.texts, p.attrs...))
	}
	for _, f := range p.files {
		l.vars.Files().Add("", f.name)
		l.vars.FilesNames().Add("", f.field)
		l.vars.MultipartFilename().Add(f.field, f.name)
	}
	for _, h := range p.heads {
		l.vars.MultipartPartHeaders().Add(h[0], h[1])
	}
}
