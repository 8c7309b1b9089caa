// Package draft is a request as text that somebody edits: its first line, its fields, an empty
// line and its body.
//
// What lives here: writing the text and reading it back, with the line that is wrong. What may
// not: files and editors. It imports the domain and local; cli/requests and cmd/here import it.
package draft

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

const (
	// maxHead bounds what stands before the body, well above what an edge passes on.
	maxHead = 256 << 10
	// MaxText is as much as a text may have: a head, and a body as large as one may be sent.
	MaxText = maxHead + local.MaxReplayBody
)

// Draft is what a text begins as.
type Draft struct {
	// Text is to be edited.
	Text []byte
	// body is that of Text; complete says that it is all of the request's.
	body     []byte
	complete bool
	// encoding is the Content-Encoding of the request, of which body is free.
	encoding string
	// Size is how large the request's body is. Cut says that not all of it is kept, Opaque that
	// it is nothing to edit; then it is not in Text. Masked are the masked values in it.
	Size        int64
	Cut, Opaque bool
	Masked      int
}

// Of makes a draft of a request that the daemon keeps.
func Of(ctx context.Context, c *local.Client, e *mezu.ExchangeDetail, unmask bool) (*Draft, error) {
	b := e.Request.Body
	if b == nil || b.Size == 0 {
		return New(e.Request, nil, true), nil
	}
	if b.Kept < b.Size || e.Depth != mezu.DepthAll {
		d := New(e.Request, nil, false)
		d.Size, d.Cut = b.Size, true
		return d, nil
	}
	content, err := c.Body(ctx, e.ID, local.SideRequest, local.FormDecoded, unmask)
	if err != nil {
		return nil, err
	}
	d := New(e.Request, content.Data, content.Problem == "" && len(content.Data) <= local.MaxReplayBody)
	d.Size, d.Opaque, d.Masked = b.Size, !d.complete, content.Masked
	return d, nil
}

// New makes a draft of a request with its body, which is without its content encoding. If the
// body is no text, or not all of it is there, it is not in the draft, and is sent as it was
// unless somebody writes another.
func New(m mezu.ExchangeMessage, body []byte, complete bool) *Draft {
	d := &Draft{complete: complete && editable(body)}
	if d.complete {
		d.body = body
	}
	if m.Body != nil {
		d.encoding = m.Body.Encoding
	}
	var b bytes.Buffer
	b.WriteString(m.Line + "\n")
	for _, f := range m.Fields {
		if !framing(f.Name) {
			b.WriteString(f.Name + ": " + f.Value + "\n")
		}
	}
	b.WriteString("\n")
	b.Write(d.body)
	d.Text = b.Bytes()
	return d
}

// framing reports whether a field says where a body ends, which depends on the one that is sent.
func framing(name string) bool {
	return strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding")
}

// editable reports whether a body is one that an editor shows and writes back as it is.
func editable(body []byte) bool { return utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 }

// Error is what is wrong with a text, and in which line.
type Error struct {
	Line   int
	Detail string
}

// Error says it.
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Detail) }

// Read reads an edited text. dropped reports that a Content-Encoding was left out, because the
// body that is sent has none any more.
func (d *Draft) Read(text []byte) (r local.EditedRequest, dropped bool, err error) {
	r, body, err := read(text)
	if err != nil {
		return r, false, err
	}
	// Many editors end the last line of a file, whether it was ended or not.
	if d.complete && len(d.body) > 0 && !bytes.HasSuffix(d.body, []byte("\n")) {
		body = bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
	}
	if d.complete && bytes.Equal(body, d.body) || !d.complete && len(bytes.TrimSpace(body)) == 0 {
		r.KeepBody = true
		return r, false, nil
	}
	r.Body = body
	if d.encoding != "" {
		with := len(r.Fields)
		r.Fields = slices.DeleteFunc(r.Fields, func(f mezu.ExchangeField) bool {
			return strings.EqualFold(f.Name, "Content-Encoding") && f.Value == d.encoding
		})
		dropped = len(r.Fields) < with
	}
	return r, dropped, nil
}

// Field reads "Name: value".
func Field(text string) (mezu.ExchangeField, error) {
	name, value, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return mezu.ExchangeField{}, fmt.Errorf("a field is NAME: VALUE, not %q", text)
	case !token(name):
		return mezu.ExchangeField{}, fmt.Errorf("%q is no name of a field", name)
	}
	value = strings.Trim(value, " \t")
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return mezu.ExchangeField{}, fmt.Errorf("the value of %s has a control character", name)
	}
	return mezu.ExchangeField{Name: name, Value: value}, nil
}

// read splits a text into head and body.
func read(text []byte) (r local.EditedRequest, body []byte, err error) {
	rest := bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(text) > MaxText {
		return r, nil, &Error{1, fmt.Sprintf("the text has %d bytes, %d at most", len(text), MaxText)}
	}
	for n := 1; ; n++ {
		line, behind, ended := bytes.Cut(rest, []byte("\n"))
		one := strings.TrimSuffix(string(line), "\r")
		rest = behind
		switch {
		case n == 1:
			if r.Method, r.Target, err = first(one); err != nil {
				return r, nil, &Error{n, err.Error()}
			}
		case one == "":
			return r, rest, nil
		case one[0] == ' ' || one[0] == '\t':
			return r, nil, &Error{n, "a field is one line, and no line begins with a blank; the body begins behind an empty line"}
		default:
			f, err := Field(one)
			if err != nil {
				return r, nil, &Error{n, err.Error()}
			}
			r.Fields = append(r.Fields, f)
		}
		if !ended {
			return r, nil, nil
		}
	}
}

// first reads a request line. The version behind it may be left out, and doesn't count.
func first(line string) (method, target string, err error) {
	words := strings.Fields(line)
	switch {
	case len(words) < 2 || len(words) > 3:
		return "", "", fmt.Errorf("the first line is METHOD TARGET, such as POST /hooks?x=1, not %q", line)
	case !token(words[0]):
		return "", "", fmt.Errorf("%q is no method", words[0])
	case len(words) == 3 && !strings.HasPrefix(words[2], "HTTP/"):
		return "", "", fmt.Errorf("behind the target is HTTP/1.1 or nothing, not %q", words[2])
	case words[1][0] != '/' && words[1] != "*":
		return "", "", fmt.Errorf("the target begins with /, other than %q", words[1])
	case strings.ContainsFunc(words[1], func(r rune) bool { return r < ' ' || r == 0x7f || r == '#' }):
		return "", "", fmt.Errorf("%q is no target", words[1])
	}
	return words[0], words[1], nil
}

// token reports whether a text is a token of RFC 9110, section 5.6.2.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}
