package filter

import (
	"bytes"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// cors is the cross-origin policy of a route by the Fetch standard (https://fetch.spec.whatwg.org,
// 3.3 and 4.8): it answers preflights, and says of every other response which page may read it. The
// workload's own word on that is dropped.
type cors struct{}

// Fields of CORS.
var (
	fieldAllowOrigin      = []byte("Access-Control-Allow-Origin")
	fieldAllowCredentials = []byte("Access-Control-Allow-Credentials")
	fieldExpose           = []byte("Access-Control-Expose-Headers")
	fieldVary             = []byte("Vary")
	valueTrue             = []byte("true")
	valueOrigin           = []byte("Origin")
)

// Preflight is what the request asks for if it may be a preflight, else nil.
func (x *Exchange) Preflight() *policy.Preflight {
	if x.Request.Method != "OPTIONS" {
		return nil
	}
	method, once := single(x.Request.Fields, "access-control-request-method")
	origin, _ := single(x.Request.Fields, "origin")
	if origin == nil || !once || mezu.ValidateMethod(string(method)) != nil {
		return nil
	}
	x.asked = policy.Preflight{Method: string(method), Fields: x.requested}
	return &x.asked
}

// requested are the names in Access-Control-Request-Headers, in lower case. The head of a request
// bounds how many there are.
func (x *Exchange) requested(yield func(string) bool) {
	for i := range x.Request.Fields {
		if f := &x.Request.Fields[i]; f.Is("access-control-request-headers") {
			for name := range bytes.SplitSeq(f.Value, []byte{','}) {
				if name = bytes.TrimSpace(name); len(name) > 0 && !yield(strings.ToLower(string(name))) {
					return
				}
			}
		}
	}
}

// single is the value of a field, nil if there is none; once is false if there are several.
func single(fields []relay.Field, lower string) (value []byte, once bool) {
	for i := range fields {
		if f := &fields[i]; f.Is(lower) {
			if value != nil {
				return value, false
			}
			value = f.Value
		}
	}
	return value, value != nil
}

// findReader notes which origin may read the answer: none, if there are several.
func (x *Exchange) findReader() {
	x.reader = x.reader[:0]
	if x.Route.CORS.AnyOrigin {
		x.reader = append(x.reader, '*') // whoever asks: a cache may keep the answer for another
	} else if origin, once := single(x.Request.Fields, "origin"); once {
		x.reader = x.Route.CORS.AppendOrigin(x.reader, origin)
	}
}

// allowedOrigin reports whether the route's CORS names the request's origin. One that it allows
// because it allows all is not named.
func (x *Exchange) allowedOrigin() bool {
	return x.Route.CORS != nil && len(x.reader) > 0 && !x.Route.CORS.AnyOrigin
}

func (cors) Request(x *Exchange) (*Answer, error) {
	if x.asked.Method == "" {
		return nil, nil
	}
	c := x.Route.CORS
	if why := c.Refuses(&x.asked, len(x.reader) > 0); why != "" {
		return nil, &mezu.Error{Code: mezu.CodeForbidden, Detail: why}
	}
	a := &Answer{Status: 204, Header: []policy.Header{
		{Name: "Access-Control-Allow-Methods", Value: allowed(c.Methods, x.asked.Method)},
	}}
	if list := c.Headers; list != "" {
		a.Header = append(a.Header, policy.Header{Name: "Access-Control-Allow-Headers", Value: list})
	}
	if c.MaxAge != "" {
		a.Header = append(a.Header, policy.Header{Name: "Access-Control-Max-Age", Value: c.MaxAge})
	}
	// Private Network Access: a page of a public site asks before it reaches a host of a local one.
	if x.Request.Carries("access-control-request-private-network", "true") {
		a.Header = append(a.Header, policy.Header{Name: "Access-Control-Allow-Private-Network", Value: "true"})
	}
	a.Header = append(a.Header, policy.Header{Name: "Vary", Value: "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"})
	return a, nil
}

// allowed is the list of methods for an answer. It has the one that was asked for, whatever allows
// it.
func allowed(list, asked string) string {
	if list == "" || list == "*" {
		return asked
	}
	return list
}

func (cors) Response(x *Exchange, h *relay.ResponseHead, from From) {
	c := x.Route.CORS
	if c == nil {
		return
	}
	if from == FromWorkload {
		h.Fields = withoutCORS(h.Fields)
	}
	if len(x.reader) > 0 {
		h.Fields = append(h.Fields, relay.Field{Name: fieldAllowOrigin, Value: x.reader})
		if c.Credentials {
			h.Fields = append(h.Fields, relay.Field{Name: fieldAllowCredentials, Value: valueTrue})
		}
		if x.asked.Method == "" {
			h.Fields = append(h.Fields, relay.Field{Name: fieldExpose, Value: c.Expose})
		}
	}
	if !c.AnyOrigin && !varies(h.Fields) {
		h.Fields = append(h.Fields, relay.Field{Name: fieldVary, Value: valueOrigin})
	}
}

// withoutCORS takes the fields of CORS away, in place.
func withoutCORS(fields []relay.Field) []relay.Field {
	const prefix = "access-control-"
	left := fields[:0]
	for _, f := range fields {
		if len(f.Name) < len(prefix) || !strings.EqualFold(string(f.Name[:len(prefix)]), prefix) {
			left = append(left, f)
		}
	}
	return left
}

// varies reports whether a response says already that it depends on Origin.
func varies(fields []relay.Field) bool {
	for i := range fields {
		if f := &fields[i]; f.Is("vary") {
			for name := range bytes.SplitSeq(f.Value, []byte{','}) {
				if name = bytes.TrimSpace(name); string(name) == "*" || bytes.EqualFold(name, valueOrigin) {
					return true
				}
			}
		}
	}
	return false
}
