package filter

import (
	"bytes"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

// paths give the addresses in a response the prefix back that strip_prefix has cut off the request's
// path, so that the client finds what the workload means: Location and Content-Location, as paths or
// as URLs of the same host, and the Path of cookies. What has the prefix keeps it.
type paths struct{}

func (paths) Request(*Exchange) (*Answer, error) { return nil, nil }

func (paths) Response(x *Exchange, h *relay.ResponseHead, from From) {
	if from != FromWorkload || x.Route.Route == nil || x.Route.StripPrefix == "" {
		return
	}
	_, prefix := x.Route.Cut(x.Request.Path.Path)
	if prefix == "" {
		return
	}
	for i := range h.Fields {
		switch f := &h.Fields[i]; {
		case f.Is("location"), f.Is("content-location"):
			f.Value = prefixedURL(f.Value, prefix, x.Request.Authority)
		case f.Is("set-cookie"):
			f.Value = prefixedCookie(f.Value, prefix)
		}
	}
}

// prefixedURL gives a reference with the prefix before its path, if it is a path or a URL of a host.
// One that is relative to the client's own path has it from there.
func prefixedURL(value []byte, prefix, authority string) []byte {
	path := 0
	if rest, at := behindScheme(value); at > 0 {
		end := bytes.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		if _, own, err := mezu.CanonicalAuthority(string(rest[:end])); err != nil || own != authority {
			return value
		}
		if path = at + end; path == len(value) || value[path] != '/' {
			return splice(value, path, prefix+"/") // the root, which no path says
		}
	} else if len(value) == 0 || value[0] != '/' {
		return value
	}
	end := len(value)
	if i := bytes.IndexAny(value[path:], "?#"); i >= 0 {
		end = path + i
	}
	if hasPrefix(string(value[path:end]), prefix) {
		return value
	}
	return splice(value, path, prefix)
}

// behindScheme is what stands behind the two slashes before a host, and where, zero if no host is
// named.
func behindScheme(value []byte) (rest []byte, at int) {
	for _, scheme := range [...]string{"https:", "http:", ""} {
		begin := scheme + "//"
		if len(value) >= len(begin) && strings.EqualFold(string(value[:len(begin)]), begin) {
			return value[len(begin):], len(begin)
		}
	}
	return nil, 0
}

// hasPrefix reports whether a path is the prefix or below it, as a client resolves it.
func hasPrefix(path, prefix string) bool {
	if canonical, err := mezu.CanonicalPath(path); err == nil {
		path = canonical.Path
	}
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// splice puts a text into a value.
func splice(value []byte, at int, text string) []byte {
	out := make([]byte, 0, len(value)+len(text))
	out = append(append(out, value[:at]...), text...)
	return append(out, value[at:]...)
}

// prefixedCookie gives a Set-Cookie with the prefix before its Path. A cookie whose name says that it
// is for the whole host has to be (RFC 6265bis, 4.1.3.2).
func prefixedCookie(value []byte, prefix string) []byte {
	const host = "__host-"
	if len(value) >= len(host) && strings.EqualFold(string(value[:len(host)]), host) {
		return value
	}
	pair, attributes, more := bytes.Cut(value, []byte{';'})
	out := append(make([]byte, 0, len(value)+len(prefix)), pair...)
	for more {
		var a []byte
		a, attributes, more = bytes.Cut(attributes, []byte{';'})
		name, path, _ := bytes.Cut(a, []byte{'='})
		path = bytes.Trim(path, " \t")
		out = append(out, ';')
		if !bytes.EqualFold(bytes.Trim(name, " \t"), []byte("path")) || len(path) == 0 || path[0] != '/' || hasPrefix(string(path), prefix) {
			out = append(out, a...)
			continue
		}
		if len(path) == 1 {
			path = nil // all below the prefix, and the prefix itself
		}
		out = append(append(append(append(out, name...), '='), prefix...), path...)
	}
	return out
}
