package e2e

import (
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// reservedFields are what a client may try to pass for the truth: some by name, and all
// of the list.
var reservedFields = func() []string {
	out := slices.Clone(someReserved)
	for _, f := range mezu.ReservedFields() {
		name := textproto.CanonicalMIMEHeaderKey(strings.Replace(f.Name, "*", "-Any", 1))
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}()

var someReserved = []string{
	"X-Mezu-User-Id", "X-Mezu-User-Email", "X-Mezu-User-Name", "X-Mezu-User-Roles", "X-Mezu-Assertion", "X-Mezu-Anything",
	"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-User", "X-Forwarded-Client-Cert",
	"Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Original-Url", "X-Original-Host", "X-Auth-User", "X-Auth-Request-User", "Remote-User", "X-Remote-User", "X-User",
}

// truth are the fields that the Warpgate itself writes; anonymous users have no
// identity.
func (a *target) truth(t *testing.T, m *message) {
	t.Helper()
	want := map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": m.get("Host")}
	for _, name := range reservedFields {
		value, ours := want[name]
		switch {
		case ours && (m.count(name) != 1 || m.get(name) != value):
			t.Errorf("%s is %q (%d times), want %q", name, m.get(name), m.count(name), value)
		case !ours && m.count(name) > 0:
			t.Errorf("the workload received %s: %q", name, m.get(name))
		}
	}
}

func attackH1(t *testing.T, a *target) {
	for _, form := range []func(string) string{textproto.CanonicalMIMEHeaderKey, strings.ToLower, strings.ToUpper} {
		for some := range slices.Chunk(reservedFields, 50) {
			var fields strings.Builder
			for _, name := range some {
				fields.WriteString(form(name) + ": forged\r\n" + form(name) + ":\r\n")
			}
			a.truth(t, a.accepted(t, head("GET", "/p/h1")+fields.String()+"\r\n", "p", "GET", "/p/h1", ""))
		}
	}
}

// attackConditions: a route that asks for a header is not reached beside a line that
// says something else, in both versions.
func attackConditions(t *testing.T, a *target) {
	for _, lines := range [][]string{
		{}, {"free"}, {"gold", "free"}, {"free", "gold"}, {"gold", ""}, {"gold, free"}, {"gold,gold"}, {"Gold"},
	} {
		var fields strings.Builder
		two := a.request2("GET", "/tier/x", "refused-9")
		for _, v := range lines {
			fields.WriteString("X-Tier: " + v + "\r\n")
			two = append(two, "x-tier", v)
		}
		a.refused(t, head("GET", "/tier/x")+fields.String()+"\r\n", mezu.CodeNoRoute)
		c := a.dialHTTP2(t)
		if err := c.headers(1, true, two); err != nil {
			t.Fatal(err)
		}
		if got := c.outcome(1); got != "404" {
			t.Errorf("%q over HTTP/2: %s", lines, got)
		}
		c.Close()
	}
	a.refused(t, head("GET", "/tier/x")+"X-Tier: gold\r\nX_Tier: free\r\n\r\n", mezu.CodeNoRoute)
	a.refused(t, head("GET", "/tier/x")+"X-Tier: gold\r\nConnection: X-Tier\r\n\r\n", mezu.CodeNoRoute)
	a.accepted(t, head("GET", "/tier/x")+"X-Tier: gold\r\nx-tier:gold\r\n\r\n", "tier", "GET", "/tier/x", "")
}

func attackH2(t *testing.T, a *target) {
	for _, name := range []string{
		"X_Auth_User", "x_forwarded_for", "X-Auth.User", "X_Forwarded-For", "X.Forwarded.For", "x-forwarded_proto", "X_Mezu_User_Id", "X-Mezu_User-Id", "X.Mezu.User.Id",
		"X_Real_Ip", "Remote_User", "X_Original_Url", "X_HTTP_Method_Override", "X_Rewrite_Url", "X-Client_IP", "True_Client_IP",
	} {
		a.refused(t, head("GET", "/p/h2")+name+": forged\r\n\r\n", bad)
	}
	// Others with such signs are nobody's.
	m := a.accepted(t, head("GET", "/p/h2")+"My_Field: a\r\nX.Other: b\r\n\r\n", "p", "GET", "/p/h2", "")
	if m.get("My_Field") != "a" || m.get("X.Other") != "b" {
		t.Errorf("the workload received %v", m)
	}
}

func attackH3(t *testing.T, a *target) {
	for _, listed := range []string{
		"close, X-Auth-User, X-Forwarded-Host", "X-Forwarded-For", "x-forwarded-for, X-FORWARDED-PROTO, x-forwarded-host, x-request-id", "Host", "host, content-length",
		"X-Mezu-User-Id, keep-alive", "X-Request-Id", "Transfer-Encoding", "\t,, X-Forwarded-For ,", "Upgrade, X-Forwarded-For",
	} {
		m := a.accepted(t, head("POST", "/p/h3")+"Connection: "+listed+"\r\nContent-Length: 2\r\n\r\nhi", "p", "POST", "/p/h3", "hi")
		a.truth(t, m)
		if m.get("Host") != a.host || m.count("Connection") > 0 {
			t.Errorf("the workload received %v", m)
		}
	}
	m := a.accepted(t, head("GET", "/p/h3")+"Connection: X-Mine, keep-alive\r\nX-Mine: a\r\nX-Kept: b\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\nTrailer: X\r\n\r\n", "p", "GET", "/p/h3", "")
	if m.get("X-Kept") != "b" || m.count("X-Mine")+m.count("Keep-Alive")+m.count("Proxy-Connection")+m.count("Proxy-Authorization")+m.count("TE")+m.count("Trailer") > 0 {
		t.Errorf("the workload received %v", m)
	}
}

func attackH9(t *testing.T, a *target) {
	forged := "X-Forwarded-For: 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5\r\nX-Real-Ip: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nTrue-Client-Ip: 10.0.0.1\r\n"
	a.truth(t, a.accepted(t, head("GET", "/p/h9")+forged+"\r\n", "p", "GET", "/p/h9", ""))
	a.refused(t, head("GET", "/denied")+forged+"\r\n", mezu.CodeForbidden)
	a.refused(t, head("GET", "/elsewhere")+forged+"\r\n", mezu.CodeForbidden)
}
