package mezu_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// Every bound of docs/limits.md on what a record holds: at the bound it is accepted,
// one beyond it is refused by the name of its field.
func TestLimits_OfRecords(t *testing.T) {
	text := func(n int) string { return strings.Repeat("a", n) }
	names := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = "n" + text(i/26) + string(rune('a'+i%26))
		}
		return out
	}
	route := func(change func(*mezu.Route, int)) func(int) error {
		return func(n int) error {
			r := mezu.Route{Prefix: "/"}
			change(&r, n)
			return r.Validate()
		}
	}
	directory := func(change func(*mezu.Directory, int)) func(int) error {
		return func(n int) error {
			d := mezu.Directory{Name: "a"}
			change(&d, n)
			return d.Validate()
		}
	}
	addresses := func(n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = fmt.Sprintf("10.0.%d.%d", i/256, i%256)
		}
		return out
	}
	for _, c := range []struct {
		field string
		bound int
		of    func(int) error
	}{
		{"prefix", mezu.MaxMatchValue, route(func(r *mezu.Route, n int) { r.Prefix = "/" + text(n-1) })},
		{"regexp", mezu.MaxRegexpProgram, route(func(r *mezu.Route, n int) { r.Prefix, r.Regexp = "", "/"+text(n-1) })},
		{"methods", mezu.MaxRouteMethods, route(func(r *mezu.Route, n int) {
			for _, name := range names(n) {
				r.Methods = append(r.Methods, strings.ToUpper(name))
			}
		})},
		{"headers", mezu.MaxRouteHeaders, route(func(r *mezu.Route, n int) {
			r.Headers = map[string]string{}
			for _, name := range names(n) {
				r.Headers["X-Of-"+name] = "v"
			}
		})},
		{"headers", mezu.MaxRouteHeaderLen, route(func(r *mezu.Route, n int) { r.Headers = map[string]string{"X-Tier": text(n)} })},
		{"allow_ips", mezu.MaxRouteIPs, route(func(r *mezu.Route, n int) { r.AllowIPs = addresses(n) })},
		{"auth_methods", mezu.MaxRouteAuth, route(func(r *mezu.Route, n int) {
			r.Auth = mezu.AuthRequired
			r.AuthMethods = slices.Repeat([]string{"session"}, n)
		})},
		{"draining", mezu.MaxDraining, func(n int) error {
			b := mezu.Bundle{Environment: mezu.NewID(mezu.PrefixEnvironment, time.Now()), Position: mezu.Position{Epoch: 1, Revision: 1}, Endpoint: "shop-acme"}
			b.Draining = make([]string, n)
			err := b.Validate(t.Context())
			if e := (*mezu.Error)(nil); errors.As(err, &e) && e.Field != "draining" {
				return nil // it has more faults, and not this one
			}
			return err
		}},
		{"domains", mezu.MaxDirectoryDomains, directory(func(d *mezu.Directory, n int) {
			for _, name := range names(n) {
				d.Domains = append(d.Domains, name+".example")
			}
		})},
		{"terms.url", mezu.MaxTermsURL, directory(func(d *mezu.Directory, n int) {
			d.Terms = mezu.Terms{URL: "https://a.example/" + text(n-len("https://a.example/")), Version: "1"}
		})},
		{"terms.version", mezu.MaxTermsVersion, directory(func(d *mezu.Directory, n int) { d.Terms = mezu.Terms{URL: "https://a.example/", Version: text(n)} })},
		{"brand.name", mezu.MaxBrandName, directory(func(d *mezu.Directory, n int) { d.Brand.Name = text(n) })},
		{"session.absolute", int(mezu.MaxSession), directory(func(d *mezu.Directory, n int) { d.Session.Absolute = mezu.Duration(n) })},
		{"retries", mezu.MaxRetries, route(func(r *mezu.Route, n int) { r.Retries = &n })},
		{"timeout", int(time.Duration(mezu.MaxTimeout)), route(func(r *mezu.Route, n int) { r.Timeout = mezu.Duration(n) })},
	} {
		if err := c.of(c.bound); err != nil {
			t.Errorf("%s of %d: %v", c.field, c.bound, err)
		}
		refused(t, c.field, c.of(c.bound+1), c.field)
	}
}
