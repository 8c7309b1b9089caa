package login

import (
	"net/netip"
	"net/url"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/identity/pages"
)

// Whatever a visitor sends, a flow sees each field of its form once, in UTF-8, and returns to
// the same host.
func FuzzReadForm(f *testing.F) {
	f.Add("to=%2Fa", "application/x-www-form-urlencoded", "email=a%40example.com&password=x&to=%2Fb%3Fc")
	f.Add("to=/a&to=/b", "application/x-www-form-urlencoded; charset=utf-8", "email=a&email=b")
	f.Add("to=//evil", "APPLICATION/X-WWW-FORM-URLENCODED", "email=%ff&to=%5C%5Cevil")
	f.Add("%zz", "text/plain", "email;password&=&&")
	s := &Logins{records: &record.Records{Now: time.Now}}
	at := newTeam(s, mezu.SignupOpen)
	s.cfg.Site = "https://login.example"
	fields := []string{pages.FieldEmail, pages.FieldPassword}
	client := netip.MustParseAddr("192.0.2.1").String()
	f.Fuzz(func(t *testing.T, query, kind, body string) {
		v, err := s.visit(t.Context(), at, api.EdgePageRequest{Method: "POST", Path: pages.PathLogin, Query: query, Client: client, Origin: s.cfg.Site, ContentType: kind, Body: []byte(body)})
		if err != nil {
			if len(query) <= api.MaxPageQuery && len(body) <= api.MaxPageBody {
				t.Error(err)
			}
			return
		}
		code := v.readForm(fields)
		if mezu.ReturnPath(v.view.To) != v.view.To {
			t.Errorf("it returns to %q", v.view.To)
		}
		if code != "" {
			return
		}
		sent, err := url.ParseQuery(body)
		if err != nil || len(sent) != len(v.form) {
			t.Errorf("%q has %v: %v", body, v.form, err)
		}
		for name, value := range v.form {
			if name != pages.FieldTo && !slices.Contains(fields, name) || !slices.Equal(sent[name], []string{value}) || !utf8.ValidString(value) {
				t.Errorf("%q has %q: %q", body, name, value)
			}
		}
	})
}
