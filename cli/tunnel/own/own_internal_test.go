package own

import (
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPropose(t *testing.T) {
	environment := map[string]string{}
	getenv := func(name string) string { return environment[name] }
	for mail, want := range map[string]string{
		"ada@dev.test": "dev-ada", "ada+test@dev.test": "dev-ada", "Ada.Lovelace@x": "dev-ada-lovelace", "ÀDÉ_x@x": "dev-d-x", "--a--@x": "dev-a",
		"a-very-long-name-of-somebody@x": "dev-a-very-long-name-of", "+@x": "dev-abcdef", "": "dev-abcdef", "ab--c@x": "dev-ab-c", "日本@x": "dev-abcdef",
	} {
		if got := Propose(api.Self{Kind: "member", ID: "prs_0123abcdef", Email: mail}, getenv); got != want || mezu.ValidateName("", got) != nil {
			t.Errorf("%q: %q, want %q", mail, got, want)
		}
	}
	if got := Propose(api.Self{Kind: kindAccount, ID: "sva_1", Name: "github"}, getenv); got != "ci-github" {
		t.Errorf("%q", got)
	}
	// The developer of mezu dev has no mail; the user of the machine has a name.
	for _, variable := range []string{"USER", "LOGNAME", "USERNAME"} {
		for user, want := range map[string]string{"Ada Lovelace": "dev-ada-lovelace", "日本": "dev-abcdef"} {
			environment = map[string]string{variable: user}
			if got := Propose(api.Self{Kind: "member", ID: "prs_0123abcdef"}, getenv); got != want {
				t.Errorf("%s=%s: %q, want %q", variable, user, got, want)
			}
		}
		if got := Propose(api.Self{Kind: "member", Email: "eve@x"}, getenv); got != "dev-eve" {
			t.Errorf("%q", got)
		}
	}
}

func site(routes ...mezu.Route) *Site {
	s := &Site{Organization: "acme", Project: "shop", routes: routes}
	s.Name, s.Directory = "dev-ada", "customers"
	return s
}

// A run makes narrower what it is asked to, and wider only with Public.
func TestNarrow(t *testing.T) {
	all, admin := mezu.Route{Prefix: "/"}, mezu.Route{Prefix: "/admin/", Auth: mezu.AuthRequired, Roles: []string{"staff"}}
	login := mezu.Route{Prefix: "/", Auth: mezu.AuthRequired, Roles: []string{"staff"}}
	from := func(r mezu.Route, ranges ...string) mezu.Route {
		r.AllowIPs = ranges
		return r
	}
	with := func(r mezu.Route, auth mezu.AuthMode) mezu.Route {
		r.Auth = auth
		return r
	}
	for name, c := range map[string]struct {
		routes []mezu.Route
		a      Access
		want   []mezu.Route
		kept   string
		openTo string
	}{
		"nothing asked":          {[]mezu.Route{all, admin}, Access{}, []mezu.Route{all, admin}, "", "everyone"},
		"login kept":             {[]mezu.Route{login, admin}, Access{}, []mezu.Route{login, admin}, "asked for login", "who logs in at directory customers"},
		"login asked":            {[]mezu.Route{all, admin}, Access{Directory: "customers"}, []mezu.Route{with(all, mezu.AuthRequired), admin}, "", "who logs in"},
		"public":                 {[]mezu.Route{from(login, "10.0.0.0/8"), admin}, Access{Public: true}, []mezu.Route{all, admin}, "", "everyone"},
		"public for users":       {[]mezu.Route{from(all, "10.0.0.0/8")}, Access{Public: true, Directory: "customers"}, []mezu.Route{with(all, mezu.AuthRequired)}, "", "who logs in"},
		"a range":                {[]mezu.Route{all}, Access{CIDRs: []string{"10.0.0.0/8"}}, []mezu.Route{from(all, "10.0.0.0/8")}, "", "who comes from 10.0.0.0/8"},
		"a narrower range":       {[]mezu.Route{from(all, "10.0.0.0/8")}, Access{CIDRs: []string{"10.1.0.0/16", "10.2.0.1"}}, []mezu.Route{from(all, "10.1.0.0/16", "10.2.0.1")}, "", "10.1.0.0/16, 10.2.0.1"},
		"a wider range":          {[]mezu.Route{from(all, "10.0.0.0/8")}, Access{CIDRs: []string{"0.0.0.0/0"}}, []mezu.Route{from(all, "10.0.0.0/8")}, "was open to 10.0.0.0/8 only", "10.0.0.0/8"},
		"a range of the other":   {[]mezu.Route{from(all, "10.0.0.0/8")}, Access{CIDRs: []string{"::/0"}}, []mezu.Route{from(all, "10.0.0.0/8")}, "was open to", "10.0.0.0/8"},
		"a wider range, allowed": {[]mezu.Route{from(all, "10.0.0.0/8")}, Access{CIDRs: []string{"0.0.0.0/0"}, Public: true}, []mezu.Route{from(all, "0.0.0.0/0")}, "", "0.0.0.0/0"},
		"one route is open":      {[]mezu.Route{login, {Prefix: "/open/"}}, Access{}, []mezu.Route{login, {Prefix: "/open/"}}, "asked for login", "everyone"},
		"no routes":              {nil, Access{}, nil, "", "nobody"},
	} {
		s := site(c.routes...)
		kept := strings.Join(c.a.narrow(s), " ")
		if !reflect.DeepEqual(s.routes, c.want) || !strings.Contains(kept, c.kept) || (c.kept == "") != (kept == "") || !strings.Contains(s.OpenTo(false), c.openTo) {
			t.Errorf("%s: %+v, kept %q, open to %q", name, s.routes, kept, s.OpenTo(false))
		}
	}
	if got := site(login).OpenTo(true); got != "who logs in at directory customers, who has the password" {
		t.Errorf("%q", got)
	}
	many := site(from(all, "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"))
	if got := many.OpenTo(false); got != "who comes from 10.0.0.1, 10.0.0.2, 10.0.0.3 and 2 more" {
		t.Errorf("%q", got)
	}
}
