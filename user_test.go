package mezu_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

func TestUser_Roles(t *testing.T) {
	user := func(roles ...string) error {
		u := mezu.User{Profile: mezu.Profile{Email: "a@b.example"}, Roles: roles}
		return u.Validate()
	}
	var most []string
	for i := range mezu.MaxUserRoles {
		most = append(most, fmt.Sprint("shop/r", i))
	}
	accepted(t, "the most", user(most...))
	refused(t, "one more", user(append(most, "shop/x")...), "roles")
	refused(t, "twice", user("shop/a", "shop/a"), "roles")
	for _, role := range []string{"", "staff", "/staff", "shop/", "Shop/staff", "shop/Staff", "shop/a/b", "shop/a,b", "shop/" + long(65), "shop /a"} {
		refused(t, role, user(role), "roles")
	}
}

func TestLogin_Validate(t *testing.T) {
	good := mezu.Login{Time: time.Unix(1, 0), Address: "192.0.2.1", Method: "passkey", Outcome: mezu.LoginRefused}
	accepted(t, "good", good.Validate())
	for field, change := range map[string]func(*mezu.Login){
		"time":    func(l *mezu.Login) { l.Time = time.Time{} },
		"address": func(l *mezu.Login) { l.Address = "fe80::1%eth0" },
		"method":  func(l *mezu.Login) { l.Method = "" },
		"outcome": func(l *mezu.Login) { l.Outcome = "ok" },
	} {
		l := good
		change(&l)
		refused(t, field, l.Validate(), field)
	}
}

func TestParseUserFilter(t *testing.T) {
	for text, want := range map[string]mezu.UserFilter{
		"":                  {},
		"email=a@b.example": {Email: "a@b.example"},
		"email=a=c@b":       {Email: "a=c@b"},
		"status=suspended":  {Status: mezu.UserSuspended},
		"role=shop/staff,status=active,email=A@b": {Email: "A@b", Status: mezu.UserActive, Role: "shop/staff"},
	} {
		got, err := mezu.ParseUserFilter(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"x", ",", "email", "email=", "status=", "role=", "role=a", "name=a", "Status=active", "status=active,", "status=active,status=active",
		"status=active status=active", " status=active", "status= active", "email=a@b,c@d", "role=a/b/c", "email=\xff@a", "email=a@b\x00", "email=" + long(600) + "@b"} {
		if got, err := mezu.ParseUserFilter(text); got != (mezu.UserFilter{}) {
			t.Errorf("%q: %+v", text, got)
		} else {
			refused(t, text, err, "filter")
		}
	}
	longest := mezu.UserFilter{Email: long(mezu.MaxEmail-2) + "@b", Status: mezu.UserSuspended, Role: long(mezu.MaxNameLength) + "/" + long(64)}
	if got, err := mezu.ParseUserFilter(longest.String()); err != nil || got != longest {
		t.Errorf("the longest filter of %d bytes: %+v, %v", len(longest.String()), got, err)
	}
}

// What is taken is written back as it means, and what is refused names the field.
func FuzzParseUserFilter(f *testing.F) {
	for _, seed := range []string{"", "email=a@b", "status=active,role=shop/staff", "email=a=b@c,status=suspended", "role=a/b,", "=,=", "status=active,status=active", "email=\xff@b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := mezu.ParseUserFilter(text)
		if err != nil {
			refused(t, text, err, "filter")
			if filter != (mezu.UserFilter{}) {
				t.Fatalf("%q is refused and taken: %+v", text, filter)
			}
			return
		}
		again, err := mezu.ParseUserFilter(filter.String())
		if err != nil || again != filter {
			t.Fatalf("%q is %+v, written %q is %+v, %v", text, filter, filter.String(), again, err)
		}
		if (filter == mezu.UserFilter{}) != (text == "") || strings.Count(text, ",") > 2 {
			t.Fatalf("%q: %+v", text, filter)
		}
	})
}
