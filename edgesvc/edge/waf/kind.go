package waf

import (
	"bytes"
	"mime"
	"strings"

	"github.com/mezusphere/mezu/relay"
)

// Kind is how a body is taken apart.
type Kind uint8

// Kinds of bodies. Of all others nothing is looked at.
const (
	None Kind = iota
	Form
	Text // that says to be text, or nothing: workloads guess what it is
	JSON
	Lines // one JSON value after another
	XML
	Parts   // of a multipart body
	Unknown // several media types, or one that says two things
)

// KindOf is the kind of a request's body by its media type.
func KindOf(r *relay.Request) Kind {
	if r.Framing == relay.NoBody {
		return None
	}
	kind, seen := Text, false
	for i := range r.Fields {
		f := &r.Fields[i]
		if !f.Is("content-type") {
			continue
		}
		if seen {
			return Unknown
		}
		kind, seen = kindOf(string(f.Value)), true
	}
	if r.Streams() {
		return None
	}
	return kind
}

// Streams reports whether a request's body is judged as it comes, not when it is here as a whole: it
// is of several parts, of which files are not looked at.
func Streams(r *relay.Request) bool {
	name, ok := coding(r)
	return KindOf(r) == Parts && name == "" && ok
}

// kindOf judges a media type as leniently as workloads do.
func kindOf(value string) Kind {
	t := strings.ToLower(strings.TrimSpace(value))
	if i := strings.IndexAny(t, "; \t,"); i >= 0 {
		t = t[:i]
	}
	top, sub, _ := strings.Cut(t, "/")
	switch {
	case top == "multipart":
		return Parts
	case t == "application/x-www-form-urlencoded":
		return Form
	case t == "text/plain", t == "":
		return Text
	case strings.HasSuffix(sub, "ndjson"), strings.HasPrefix(sub, "jsonl"), sub == "json-seq":
		return Lines
	case strings.HasSuffix(sub, "json"), strings.HasPrefix(sub, "json"), sub == "csp-report":
		return JSON
	case sub == "xml", strings.HasSuffix(sub, "+xml"):
		return XML
	}
	return None
}

// boundary is the boundary of a multipart body, empty if the media type names none that all readers
// agree on (RFC 2046, 5.1.1).
func boundary(r *relay.Request) string {
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Is("content-type") {
			_, params, err := mime.ParseMediaType(string(f.Value))
			b := params["boundary"]
			if err != nil || len(b) > 70 || strings.Trim(b, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'()+_,-./:=?") != "" {
				return ""
			}
			return b
		}
	}
	return ""
}

// coding is the one content coding of a body, empty for none; ok is false if there are several, or
// one that is not read here.
func coding(r *relay.Request) (name string, ok bool) {
	for i := range r.Fields {
		f := &r.Fields[i]
		if !f.Is("content-encoding") {
			continue
		}
		for c := range bytes.SplitSeq(f.Value, []byte{','}) {
			switch c := strings.ToLower(string(bytes.TrimSpace(c))); {
			case c == "" || c == "identity":
			case name != "":
				return "layers", false
			case c == "gzip" || c == "x-gzip":
				name = "gzip"
			case c == "deflate":
				name = c
			default:
				return "coding", false
			}
		}
	}
	return name, true
}
