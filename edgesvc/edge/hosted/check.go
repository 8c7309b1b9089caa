package hosted

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/policy"
)

// maxField bounds the value of a field of a page: a cookie is the longest.
const maxField = api.MaxPageCookie

// An edge serves many environments, and a page has the whole trust of its host. So what the
// control plane answers is held to what pages are made of, as is what a workload answers.

// statuses are those that a page may have.
var statuses = []int{200, 303, 400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503}

// fields are those that a page may have, by their names as they are sent, with what their
// values must be beyond proper ones; nil is nothing.
var fields = map[string]func(value string) bool{
	"Cache-Control":                nil,
	"Clear-Site-Data":              nil,
	"Content-Language":             nil,
	"Content-Security-Policy":      nil,
	"Content-Type":                 nil,
	"Cross-Origin-Embedder-Policy": nil,
	"Cross-Origin-Opener-Policy":   nil,
	"Cross-Origin-Resource-Policy": nil,
	"Location":                     ownPath,
	"Referrer-Policy":              nil,
	"Retry-After":                  nil,
	"Set-Cookie":                   ownCookie,
	"X-Content-Type-Options":       nil,
	"X-Frame-Options":              nil,
	"X-Robots-Tag":                 nil,
}

// defaults are what a page has if it says nothing else: nobody keeps it, frames it or takes
// it for anything but what it is.
var defaults = []policy.Header{
	{Name: "Cache-Control", Value: "no-store"},
	{Name: "X-Content-Type-Options", Value: "nosniff"},
	{Name: "X-Frame-Options", Value: "DENY"},
}

// check makes the answer to a visitor of a page, if it is one.
func check(page *api.EdgePage, r *Request) (*policy.Answer, error) {
	switch {
	case !slices.Contains(statuses, page.Status):
		return nil, fmt.Errorf("status %d is none of a page", page.Status)
	case len(page.Body) > api.MaxPage:
		return nil, fmt.Errorf("%d bytes are more than a page has", len(page.Body))
	case len(page.Header) > api.MaxPageHeaders:
		return nil, fmt.Errorf("%d header fields are more than a page has", len(page.Header))
	}
	a := &policy.Answer{Status: page.Status, Body: page.Body}
	had := map[string]bool{}
	for _, f := range page.Header {
		allowed, known := fields[f.Name]
		switch {
		case !known:
			return nil, fmt.Errorf("a page has no header field %.64q", f.Name)
		case had[f.Name] && f.Name != "Set-Cookie":
			return nil, fmt.Errorf("%s is there twice", f.Name)
		case len(f.Value) > maxField || !mezu.ValidHeaderValue(f.Value) || allowed != nil && !allowed(f.Value):
			return nil, fmt.Errorf("%s has a value that no page has", f.Name)
		}
		had[f.Name] = true
		a.Header = append(a.Header, policy.Header{Name: f.Name, Value: f.Value})
	}
	switch {
	case had["Location"] != (page.Status == http.StatusSeeOther):
		return nil, errors.New("a Location and status 303 come together")
	case len(page.Body) > 0 && !had["Content-Type"]:
		return nil, errors.New("a body has a Content-Type")
	}
	for _, d := range defaults {
		if !had[d.Name] {
			a.Header = append(a.Header, d)
		}
	}
	return a, nil
}

// ownPath reports whether a Location is a path of this host in its canonical form, with or
// without query and fragment, that every browser takes for one.
func ownPath(location string) bool {
	for i := range len(location) {
		if c := location[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	path := location
	if i := strings.IndexAny(location, "?#"); i >= 0 {
		path = location[:i]
	}
	canonical, err := mezu.CanonicalPath(path)
	return err == nil && canonical.Path == path
}

// ownCookie reports whether a Set-Cookie is of a cookie of ours, with the attributes that
// its prefix asks for, kept from scripts.
func ownCookie(line string) bool {
	c, err := http.ParseSetCookie(line)
	return err == nil && strings.HasPrefix(c.Name, mezu.CookiePrefix) && len(c.Name) > len(mezu.CookiePrefix) &&
		c.Secure && c.HttpOnly && c.Path == "/" && c.Domain == "" && !strings.Contains(strings.ToLower(line), "domain") &&
		(c.SameSite == http.SameSiteLaxMode || c.SameSite == http.SameSiteStrictMode) && len(c.Unparsed) == 0
}
