package mezu_test

import (
	"os"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// cases gives a name in the cases in which clients may send it.
func cases(name string) []string {
	mixed := []byte(strings.ToLower(name))
	for i := 0; i < len(mixed); i += 2 {
		mixed[i] = strings.ToUpper(string(mixed[i]))[0]
	}
	return []string{name, strings.ToLower(name), strings.ToUpper(name), string(mixed)}
}

func TestH1_ReservedHeaders(t *testing.T) {
	for _, name := range []string{
		"X-Auth-User", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Anything",
		"Forwarded", "X-Real-IP", "X-Original-URL", "X-Original-Method", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Method-Override", "True-Client-IP", "CF-Connecting-IP",
		"X-Auth-Request-Email", "Remote-User", "X-Mezu-Anything", mezu.HeaderUserID, mezu.HeaderUserEmail, mezu.HeaderUserName, mezu.HeaderUserRoles, mezu.HeaderAssertion,
		"X-Forwarded-" + long(200),
	} {
		for _, n := range cases(name) {
			if !mezu.ReservedHeader(n) || mezu.LookalikeHeader(n) || !mezu.ReservedHeader([]byte(n)) {
				t.Errorf("%s: reserved %v, look-alike %v", n, mezu.ReservedHeader(n), mezu.LookalikeHeader(n))
			}
		}
	}
	for _, name := range []string{"", "X", "X-", "Accept", "Authorization", "Cookie", "X-Request-Id", "X-Custom", "X-Forward", "X-Mezu", "X-Real-IPs", "Remote", "X-User-Id", "X-Api-Key", "X-Auth-Token", "Impersonate-User", "Via", "X-Amzn-Trace-Id", "X-Ms-Version", "Cf-Ray", "Proxies", "Client-Ips", "X-Requested-With", "Traceparent", "X_Custom", "X.Custom", "Content_Type"} {
		for _, n := range append(cases(name), name) {
			if mezu.ReservedHeader(n) || mezu.LookalikeHeader(n) {
				t.Errorf("%q is not a plain header", n)
			}
		}
	}
}

// TestRow11_ReservedFields: each of the list is reserved in every case, passes for
// nothing else, and stands in docs/security.md with whose it is.
func TestRow11_ReservedFields(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			rows[strings.TrimSpace(line)] = true
		}
	}
	seen := map[string]bool{}
	for _, f := range mezu.ReservedFields() {
		if row := "| `" + f.Name + "` | " + f.Whose + " |"; !rows[row] {
			t.Errorf("docs/security.md does not have the row\n%s", row)
		} else {
			delete(rows, row)
		}
		if seen[f.Name] || f.Name != strings.ToLower(f.Name) || len(f.Name) < 4 || strings.ContainsAny(f.Name, "_.") {
			t.Errorf("%q is repeated or not as it is compared", f.Name)
		}
		seen[f.Name] = true
		names := []string{f.Name}
		if family, ok := strings.CutSuffix(f.Name, "*"); ok {
			names = []string{family + "x", family + "Some-Thing", family + long(200)}
		}
		for _, name := range names {
			for _, n := range cases(name) {
				if !mezu.ReservedHeader(n) || mezu.LookalikeHeader(n) {
					t.Errorf("%s is not reserved", n)
				}
				if other := strings.ReplaceAll(n, "-", "_"); other != n && (!mezu.LookalikeHeader(other) || mezu.ReservedHeader(other)) {
					t.Errorf("%s does not pass for %s", other, n)
				}
			}
		}
	}
	for row := range rows {
		t.Errorf("docs/security.md lists a field that is not reserved: %s", row)
	}
}

func TestH2_LookalikeHeaders(t *testing.T) {
	for _, name := range []string{
		"X_Auth_User", "x_forwarded_for", "X-Auth.User", "X.Real.IP", "X_Mezu-User-Id", "X-Mezu_User_Id", "x_mezu_user_id", "Remote_User", "X-Original_URL", "X-Forwarded.Host", "X_HTTP_Method_Override",
	} {
		for _, n := range cases(name) {
			if !mezu.LookalikeHeader(n) || mezu.ReservedHeader(n) || !mezu.LookalikeHeader([]byte(n)) {
				t.Errorf("%s: reserved %v, look-alike %v", n, mezu.ReservedHeader(n), mezu.LookalikeHeader(n))
			}
		}
	}
}

func TestReservedHeader_AllocatesNothing(t *testing.T) {
	names := [][]byte{[]byte("Accept"), []byte("X-Forwarded-For"), []byte("x_mezu_user_id"), []byte("X-Custom-Thing")}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			mezu.ReservedHeader(name)
			mezu.LookalikeHeader(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidHeader(t *testing.T) {
	// RFC 9110, 5.6.2, spelled out.
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for c := range 256 {
		s := string([]byte{'a', byte(c)})
		if mezu.ValidHeaderName(s) != (strings.IndexByte(token, byte(c)) >= 0) {
			t.Errorf("name with byte %#x: %v", c, mezu.ValidHeaderName(s))
		}
		if mezu.ValidHeaderValue(s) != (c == '\t' || c >= 0x20 && c != 0x7f) {
			t.Errorf("value with byte %#x: %v", c, mezu.ValidHeaderValue(s))
		}
	}
	if mezu.ValidHeaderName("") || !mezu.ValidHeaderValue("") {
		t.Error("an empty name is none, an empty value is one")
	}
}

func TestP15_Methods(t *testing.T) {
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "VERSION-CONTROL", strings.Repeat("A", 32)} {
		accepted(t, m, mezu.ValidateMethod(m))
	}
	for _, m := range []string{"", "get", "Get", "CONNECT", "TRACE", "TRACK", "GE T", "GET\n", "GET/", "G\x00", strings.Repeat("A", 33)} {
		refused(t, m, mezu.ValidateMethod(m), "")
	}
	for m, want := range map[string]bool{"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true, "POST": false, "PATCH": false, "get": false, "": false} {
		if mezu.IdempotentMethod(m) != want {
			t.Errorf("%q idempotent: %v", m, !want)
		}
	}
}
