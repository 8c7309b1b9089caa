package mezu_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestOrganization_Validate(t *testing.T) {
	good := mezu.Organization{Name: "acme", DisplayName: "Acme Größe & Co — 日本"}
	accepted(t, "good", good.Validate())
	refused(t, "name", (&mezu.Organization{}).Validate(), "name")
	for _, text := range []string{long(101), "a\nb", "a\x00", "a\u202eb", "a\u200bb", "a\u2028b", "a\u2029b", "a\u0085b", "\xff"} {
		refused(t, text, (&mezu.Organization{Name: "acme", DisplayName: text}).Validate(), "display_name")
	}
}

func TestMember_Validate(t *testing.T) {
	for _, role := range []mezu.Role{mezu.RoleOwner, mezu.RoleAdmin, mezu.RoleDeveloper, mezu.RoleViewer, mezu.RoleBilling} {
		accepted(t, string(role), (&mezu.Member{Role: role}).Validate())
		accepted(t, string(role), (&mezu.Invitation{Email: "a@b.example", Role: role}).Validate())
	}
	refused(t, "no role", (&mezu.Member{}).Validate(), "role")
	refused(t, "no role", (&mezu.Invitation{Email: "a@b.example"}).Validate(), "role")
	for _, email := range []string{"", "a", "@b", "a@", "a@b@c", "a b@c", "<a@b>", "a,b@c", "a@b\r\nBcc: x@y", "a@b;c@d", long(250) + "@b.example"} {
		refused(t, email, (&mezu.Invitation{Email: email, Role: mezu.RoleOwner}).Validate(), "email")
	}
}

func TestProject_Validate(t *testing.T) {
	good := mezu.Project{Name: "shop", Roles: map[string]mezu.ProjectRole{"staff": {Permissions: []string{"orders.read"}}, "a.b_c-d": {}}}
	accepted(t, "good", good.Validate())
	refused(t, "name", (&mezu.Project{Name: "Shop"}).Validate(), "name")
	refused(t, "display name", (&mezu.Project{Name: "shop", DisplayName: "\n"}).Validate(), "display_name")
	many := map[string]mezu.ProjectRole{}
	for i := range 101 {
		many[long(i%60+1)+strings.Repeat("b", i/60)] = mezu.ProjectRole{}
	}
	for field, roles := range map[string]map[string]mezu.ProjectRole{
		"roles":               many,
		"roles.A":             {"A": {}},
		"roles.a,b":           {"a,b": {}},
		"roles.x":             {"x": {Permissions: make([]string, 101)}},
		"roles.x.permissions": {"x": {Permissions: []string{"a b"}}},
	} {
		refused(t, field, (&mezu.Project{Name: "shop", Roles: roles}).Validate(), field)
	}
}

func TestEnvironment_Validate(t *testing.T) {
	no := false
	e := mezu.Environment{Name: "staging"}
	accepted(t, "good", e.Validate())
	if !e.IsEnabled() || (&mezu.Environment{Enabled: &no}).IsEnabled() {
		t.Error("the switch is on unless it is off")
	}
	refused(t, "name", (&mezu.Environment{}).Validate(), "name")
	refused(t, "waf", (&mezu.Environment{Name: "a", WAF: "on"}).Validate(), "waf")
	refused(t, "directory", (&mezu.Environment{Name: "a", Directory: "dir/x"}).Validate(), "directory")
}

func TestDirectory_Validate(t *testing.T) {
	policy := func(n int) mezu.PasswordPolicy { return mezu.PasswordPolicy{MinLength: n} }
	for _, d := range []mezu.Directory{
		{Name: "a"}, {Name: "a", Signup: mezu.SignupOpen, MFA: mezu.MFAOff, Password: policy(15)}, {Name: "a", MFA: mezu.MFARequired, Password: policy(8)}, {Name: "a", Password: policy(64)},
	} {
		accepted(t, "good", d.Validate())
	}
	for _, c := range []struct {
		field string
		d     mezu.Directory
	}{
		{"name", mezu.Directory{}}, {"signup", mezu.Directory{Name: "a", Signup: "x"}}, {"mfa", mezu.Directory{Name: "a", MFA: "x"}},
		{"password.min_length", mezu.Directory{Name: "a", Password: policy(14)}}, {"password.min_length", mezu.Directory{Name: "a", MFA: mezu.MFAOptional, Password: policy(8)}},
		{"password.min_length", mezu.Directory{Name: "a", MFA: mezu.MFARequired, Password: policy(7)}}, {"password.min_length", mezu.Directory{Name: "a", Password: policy(65)}}, {"password.min_length", mezu.Directory{Name: "a", Password: policy(-1)}},
	} {
		refused(t, c.field, c.d.Validate(), c.field)
	}
}

// What pages, mails and sessions of a directory go by.
func TestDirectory_Settings(t *testing.T) {
	const hour, day = mezu.Duration(time.Hour), mezu.Duration(24 * time.Hour)
	domains := func(names ...string) mezu.Directory { return mezu.Directory{Name: "a", Domains: names} }
	terms := func(url, version string) mezu.Directory {
		return mezu.Directory{Name: "a", Terms: mezu.Terms{URL: url, Version: version}}
	}
	session := func(idle, absolute mezu.Duration) mezu.Directory {
		return mezu.Directory{Name: "a", Session: mezu.SessionPolicy{Idle: idle, Absolute: absolute}}
	}
	brand := func(name, color string) mezu.Directory {
		return mezu.Directory{Name: "a", Brand: mezu.Brand{Name: name, Color: color}}
	}
	for _, d := range []mezu.Directory{
		domains("acme.example", "xn--bcher-kva.example"), {Name: "a", Require: []mezu.ProfileField{"display_name", "name"}},
		terms("https://acme.example/terms?lang=de#top", "2026-01"), terms("http://localhost:3000/t", "1"), terms("http://[::1]/", "1"), terms("http://127.0.0.1/", "1"),
		session(mezu.MinSession, mezu.MaxSession), session(0, hour), session(7*day, 0), session(hour, hour),
		brand("Bücher & Söhne", "#0B5fff"), brand(strings.Repeat("ü", mezu.MaxBrandName), ""), {Name: "a", Brand: mezu.Brand{Logo: "x"}},
	} {
		accepted(t, fmt.Sprint(d), d.Validate())
	}
	for _, c := range []struct {
		field string
		of    []mezu.Directory
	}{
		{"domains", []mezu.Directory{domains(""), domains("ACME.example"), domains("acme.example."), domains("@acme.example"), domains("acme.example:25"), domains("a b"),
			domains("127.0.0.1"), domains("[::1]"), domains("bücher.example"), domains("*.acme.example"), domains("a.example", "b.example", "a.example")}},
		{"require", []mezu.Directory{{Name: "a", Require: []mezu.ProfileField{"email"}}, {Name: "a", Require: []mezu.ProfileField{""}}, {Name: "a", Require: []mezu.ProfileField{"name", "name"}}}},
		{"terms.url", []mezu.Directory{terms("", "1"), terms("/terms", "1"), terms("//acme.example/", "1"), terms("acme.example/terms", "1"), terms("http://acme.example/", "1"),
			terms("http://localhost.acme.example/", "1"), terms("ftp://acme.example/", "1"), terms("javascript:alert(1)", "1"), terms("https:acme.example", "1"), terms("https://", "1"),
			terms("https://u:p@acme.example/", "1"), terms("https://acme.example/ö", "1"), terms("https://acme.example/a b", "1"), terms("https://a_ b/", "1"), terms("https://a/%zz", "1")}},
		{"terms.version", []mezu.Directory{terms("https://acme.example/", ""), terms("https://acme.example/", "1 2"), terms("https://acme.example/", "ü"), terms("https://acme.example/", "\x7f")}},
		{"session.idle", []mezu.Directory{session(mezu.MinSession-1, 0), session(mezu.MaxSession+1, 0), session(2*hour, hour), session(8*day, 0), session(-1, 0)}},
		{"session.absolute", []mezu.Directory{session(0, mezu.MinSession-1), session(0, mezu.MaxSession+1), session(0, -1)}},
		{"brand.name", []mezu.Directory{brand("a\nb", ""), brand("a\u202eb", ""), brand(" a", ""), brand("a ", ""), brand("\xff", "")}},
		{"brand.color", []mezu.Directory{brand("", "red"), brand("", "#fff"), brand("", "0b5fff"), brand("", "#0b5fff;"), brand("", "#0b5ffg"), brand("", "##b5fff")}},
	} {
		for _, d := range c.of {
			refused(t, fmt.Sprint(d), d.Validate(), c.field)
		}
	}
}

func TestDirectory_Effective(t *testing.T) {
	for _, c := range []struct {
		is             mezu.SessionPolicy
		idle, absolute time.Duration
	}{
		{mezu.SessionPolicy{}, 24 * time.Hour, 168 * time.Hour},
		{mezu.SessionPolicy{Absolute: mezu.Duration(time.Hour)}, time.Hour, time.Hour},
		{mezu.SessionPolicy{Idle: mezu.Duration(time.Hour)}, time.Hour, 168 * time.Hour},
		{mezu.SessionPolicy{Idle: mezu.Duration(time.Hour), Absolute: mezu.Duration(2 * time.Hour)}, time.Hour, 2 * time.Hour},
	} {
		d := mezu.Directory{Name: "a", Session: c.is}
		if idle, absolute := d.SessionIdle(), d.SessionAbsolute(); idle != c.idle || absolute != c.absolute {
			t.Errorf("%+v: %v, %v", c.is, idle, absolute)
		}
		accepted(t, fmt.Sprint(c.is), d.Validate())
	}
	d := mezu.Directory{}
	if d.PasswordLength() != 15 || !d.AdmitsDomain("a@b.example") || d.Lacks(mezu.Profile{}) != nil {
		t.Errorf("%d", d.PasswordLength())
	}
	d = mezu.Directory{Password: mezu.PasswordPolicy{MinLength: 20}, Domains: []string{"acme.example"}, Require: []mezu.ProfileField{"display_name", "name"}}
	if d.PasswordLength() != 20 || !d.AdmitsDomain("a@ACME.example") || d.AdmitsDomain("a@b.acme.example") || d.AdmitsDomain("a") || d.AdmitsDomain("acme.example@b.example") {
		t.Errorf("%d", d.PasswordLength())
	}
	if got := fmt.Sprint(d.Lacks(mezu.Profile{}), d.Lacks(mezu.Profile{Name: " \t", DisplayName: "A"}), d.Lacks(mezu.Profile{Name: "A", DisplayName: "A"})); got != "[display_name name] [name] []" {
		t.Error(got)
	}
}

func TestUser_Validate(t *testing.T) {
	accepted(t, "good", (&mezu.User{Status: mezu.UserSuspended, Profile: mezu.Profile{Email: "a@b.example", Name: "Ann"}}).Validate())
	refused(t, "status", (&mezu.User{Status: "x"}).Validate(), "status")
	refused(t, "email", (&mezu.User{}).Validate(), "profile.email")
	refused(t, "name", (&mezu.User{Profile: mezu.Profile{Email: "a@b.example", Name: "\n"}}).Validate(), "profile.name")
	refused(t, "display name", (&mezu.User{Profile: mezu.Profile{Email: "a@b.example", DisplayName: long(101)}}).Validate(), "profile.display_name")
}

func TestEdge_Validate(t *testing.T) {
	good := mezu.Edge{Name: "fra1", TunnelAddress: "edge.example:443", PublicAddress: "[2001:db8::1]:443"}
	accepted(t, "good", good.Validate())
	for _, address := range []string{"", "edge.example", "443", "http://edge.example:443", "EDGE.example:443", "unix:/x", "edge.example:0", "a b:1"} {
		e := good
		e.TunnelAddress = address
		refused(t, address, e.Validate(), "tunnel_address")
		if address != "" {
			e = good
			e.PublicAddress = address
			refused(t, address, e.Validate(), "public_address")
		}
	}
	refused(t, "name", (&mezu.Edge{TunnelAddress: "a:1"}).Validate(), "name")
	good.Version = "1\n"
	refused(t, "version", good.Validate(), "version")
}

func TestStatusOf(t *testing.T) {
	for _, c := range []struct {
		holding, silent int
		want            mezu.WarpgateStatus
	}{{0, 0, mezu.WarpgateDisconnected}, {1, 0, mezu.WarpgateConnected}, {2, 3, mezu.WarpgateConnected}, {0, 1, mezu.WarpgateUnknown}} {
		if got := mezu.StatusOf(c.holding, c.silent); got != c.want {
			t.Errorf("%d, %d: %s", c.holding, c.silent, got)
		}
	}
}

func TestBundle_Validate(t *testing.T) {
	good := mezu.Bundle{Position: mezu.Position{Epoch: 1}, Environment: "env_" + id26, Endpoint: "shop-acme", Issued: time.Unix(0, 0), Routes: []mezu.Route{{Prefix: "/"}}}
	accepted(t, "good", good.Validate(t.Context()))
	for field, change := range map[string]func(*mezu.Bundle){
		"environment":      func(b *mezu.Bundle) { b.Environment = "prj_" + id26 },
		"position":         func(b *mezu.Bundle) { b.Position = mezu.Position{} },
		"endpoint":         func(b *mezu.Bundle) { b.Endpoint = "www" },
		"directory":        func(b *mezu.Bundle) { b.Directory = "customers" },
		"waf":              func(b *mezu.Bundle) { b.WAF = "blokk" },
		"roles.A":          func(b *mezu.Bundle) { b.Roles = map[string]mezu.ProjectRole{"A": {}} },
		"routes[0].prefix": func(b *mezu.Bundle) { b.Routes = []mezu.Route{{Prefix: "x"}} },
	} {
		b := good
		change(&b)
		refused(t, field, b.Validate(t.Context()), field)
	}
	removed := mezu.Bundle{Position: mezu.Position{Epoch: 1}, Environment: "env_" + id26, Removed: true}
	accepted(t, "removed", removed.Validate(t.Context()))
}

func TestBundle_PermissionsOf(t *testing.T) {
	b := mezu.Bundle{Roles: map[string]mezu.ProjectRole{"a": {Permissions: []string{"x", "y"}}, "b": {Permissions: []string{"y", "z"}}}}
	if got := strings.Join(b.PermissionsOf([]string{"b", "unknown", "a"}), " "); got != "y z x" {
		t.Error(got)
	}
	if b.PermissionsOf(nil) != nil {
		t.Error("no roles, no permissions")
	}
}

func TestToken(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range []string{mezu.TokenBearer, mezu.TokenJoin, mezu.TokenEnrolment, mezu.TokenBootstrap} {
		for range 50 {
			token := mezu.NewToken(kind)
			if rest, ok := strings.CutPrefix(token, kind); !ok || len(rest) != 43 || seen[token] || seen[mezu.HashSecret(token)] {
				t.Fatalf("token %q", token)
			}
			seen[token], seen[mezu.HashSecret(token)] = true, true
		}
	}
	// FIPS 180-2, B.1.
	if got := mezu.HashSecret("abc"); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
}
