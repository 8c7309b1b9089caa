package inspect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/mask"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/relay"
)

// field is one of a request.
type field = mezu.ExchangeField

// Repeat makes a request of a recorded one. host is that of another tunnel, or empty. Whatever was
// changed, it names no other host.
func (r *Record) Repeat(host string, how local.Replay) (*forward.Repeat, error) {
	if r.Request.Field("upgrade") != "" {
		return nil, mezu.Invalid("id", "%s asks for another protocol, as a WebSocket does; what both sides say behind that can't be sent again", r.ID)
	}
	method, target := r.Request.target()
	var fields []field
	for name, value := range r.Request.Fields() {
		fields = append(fields, field{Name: name, Value: value})
	}
	recorded := r.Request.Field("host")
	body, kept := r.RequestBody.Bytes(), true
	if e := how.Edited; e != nil {
		var err error
		if method = e.Method; mezu.ValidateMethod(method) != nil {
			return nil, mezu.Invalid("edited.method", "is no method that is carried: %q", method)
		}
		if target, err = unmaskTarget(e.Target, target); err != nil {
			return nil, err
		}
		if target, err = canonicalTarget(target); err != nil {
			return nil, err
		}
		if fields, err = unmaskFields(e.Fields, fields); err != nil {
			return nil, err
		}
		if !e.KeepBody {
			body, kept = e.Body, false
		}
		if !kept && bytes.Contains(body, []byte(mezu.Mask)) {
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "edited.body", Detail: "it still has masked values, which nobody can put back", Hint: "write them, or edit the request with --unmask"}
		}
	}
	for _, f := range how.SetHeader {
		fields = slices.DeleteFunc(fields, func(o field) bool { return strings.EqualFold(o.Name, f.Name) })
		if f.Value != "" || !mezu.ValidHeaderName(f.Name) {
			fields = append(fields, f)
		}
	}
	if kept {
		if err := r.wholeBody(); err != nil {
			return nil, err
		}
	}
	for _, f := range fields {
		switch {
		case !mezu.ValidHeaderName(f.Name):
			return nil, mezu.Invalid("fields", "%q is no name of a field", f.Name)
		case !mezu.ValidHeaderValue(f.Value):
			return nil, mezu.Invalid("fields", "the value of %s has a control character", f.Name)
		case strings.EqualFold(f.Name, "host") && f.Value != recorded:
			return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "fields", Detail: "the Host stays: a request is sent again to its tunnel, and nowhere else", Hint: "--to names another tunnel"}
		}
	}
	if host == "" {
		host = recorded
	}
	text := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host)
	chunked := r.Request.Field("transfer-encoding") != ""
	for _, f := range fields {
		if ofConnection(f.Name, chunked) {
			continue
		}
		text = fmt.Appendf(text, "%s: %s\r\n", f.Name, f.Value)
	}
	switch {
	case chunked:
		text = append(text, "Transfer-Encoding: chunked\r\n\r\n"...)
		if len(body) > 0 {
			text = fmt.Appendf(text, "%x\r\n%s\r\n", len(body), body)
		}
		text = append(text, "0\r\n"...)
		if kept {
			text = append(text, r.Request.Trailers...)
		}
		text = append(text, "\r\n"...)
	case len(body) > 0 || r.Request.Field("content-length") != "":
		text = append(fmt.Appendf(text, "Content-Length: %d\r\n\r\n", len(body)), body...)
	default:
		text = append(text, "\r\n"...)
	}
	return &forward.Repeat{Client: r.client, ID: mezu.PrefixReplay + "-" + relay.NewRequestID(), Grant: r.grant, Text: text}, nil
}

// wholeBody reports why the recorded body can't be sent again.
func (r *Record) wholeBody() error {
	b := &r.RequestBody
	incomplete := func(why string) error {
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("the body of %s can't be sent again: %s", r.ID, why), Hint: "mezu requests edit gives it another one"}
	}
	switch {
	case b.Size == b.Kept() && (b.ended || r.Request.Field("transfer-encoding") == "" && r.declared() == b.Size):
		return nil
	case r.Open:
		return incomplete("it is still coming")
	case b.Size > mezu.MaxKeptBody:
		return incomplete(fmt.Sprintf("it has %d bytes, of which the first %d are kept", b.Size, b.Kept()))
	case b.Size > b.Kept():
		return incomplete(fmt.Sprintf("%d of its %d bytes are kept, because there was much to keep", b.Kept(), b.Size))
	}
	return incomplete("it did not come to its end")
}

// ofConnection reports whether a field belongs to the connection on which it came, and is made
// anew.
func ofConnection(name string, chunked bool) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "expect", "x-request-id":
		return true
	case "trailer":
		return !chunked
	}
	return false
}

// canonicalTarget is a target as an edge would send it. An address of another host is none.
func canonicalTarget(target string) (string, error) {
	if !strings.HasPrefix(target, "/") || len(target) > relay.MaxTarget {
		return "", mezu.Invalid("edited.target", "is a path with a query, such as /hooks?x=1, %d bytes at most; the host stays that of the tunnel", relay.MaxTarget)
	}
	path, query, asks := strings.Cut(target, "?")
	if strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }) {
		return "", mezu.Invalid("edited.target", "has a space, a control character or a fragment; write %%20 and the like")
	}
	is, err := mezu.CanonicalPath(path)
	if err != nil {
		return "", mezu.Below("edited.target", err)
	}
	if asks {
		return is.Path + "?" + query, nil
	}
	return is.Path, nil
}

// unmaskTarget puts back what is masked in a target.
func unmaskTarget(edited, recorded string) (string, error) {
	if !strings.Contains(edited, mezu.Mask) {
		return edited, nil
	}
	if shown, _ := mask.Line(recorded); shown == edited {
		return recorded, nil
	}
	path, query, _ := strings.Cut(edited, "?")
	wasPath, wasQuery, _ := strings.Cut(recorded, "?")
	if shown, _ := mask.Line(wasPath); shown == path {
		path = wasPath
	}
	var was, is []field
	for part := range strings.SplitSeq(wasQuery, "&") {
		name, _, _ := strings.Cut(part, "=")
		was = append(was, field{Name: name, Value: part})
	}
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		is = append(is, field{Name: name, Value: part})
	}
	if !putBack(is, was, func(_, part string) string {
		shown, _ := mask.Query(part)
		return shown
	}) || strings.Contains(path, mezu.Mask) {
		return "", mezu.Invalid("edited.target", "a masked value stays what it was only in its parameter; write it, or leave it alone")
	}
	parts := make([]string, len(is))
	for n := range is {
		parts[n] = is[n].Value
	}
	return path + "?" + strings.Join(parts, "&"), nil
}

// unmaskFields puts back what is masked in fields.
func unmaskFields(edited, recorded []field) ([]field, error) {
	out := slices.Clone(edited)
	if !putBack(out, recorded, func(name, value string) string {
		shown, _ := mask.Field(name, value)
		return shown
	}) {
		return nil, mezu.Invalid("edited.fields", "a masked value stays what it was only in its field; write it, or leave it alone")
	}
	return out, nil
}

// putBack gives each that is masked its recorded value: that of the first of its name which looks
// like it, or stands at its place if all of it is masked.
func putBack(edited, recorded []field, shown func(name, value string) string) bool {
	seen := map[string]int{} // how many of a name have come
	for n := range edited {
		f := &edited[n]
		name := strings.ToLower(f.Name)
		place := seen[name]
		seen[name]++
		if !strings.Contains(f.Value, mezu.Mask) {
			continue
		}
		found := false
		at := 0
		for _, o := range recorded {
			if !strings.EqualFold(o.Name, f.Name) {
				continue
			}
			whole := f.Value == mezu.Mask || f.Value == f.Name+"="+mezu.Mask
			if looks := shown(o.Name, o.Value) == f.Value; looks && (at >= place || !found) || whole && at == place {
				f.Value, found = o.Value, true
				break
			}
			at++
		}
		if !found {
			return false
		}
	}
	return true
}
