package rest_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/strictjson"
)

// begun is a call whose body comes in part.
type begun struct {
	*tls.Conn
	answers *bufio.Reader
}

// begin sends the head of a call and the beginning of its body.
func beginCall(in *controltest.Installation, method, path, token, begin string) begun {
	in.T.Helper()
	conn, err := tls.Dial("tcp", in.Plane.Addr(), &tls.Config{RootCAs: in.Roots, Time: in.TLSTime})
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(20 * time.Second))
	}
	if err == nil {
		_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", method, path, token, max(len(begin)+1, api.MaxBody))
	}
	if err != nil {
		in.T.Fatal(err)
	}
	in.T.Cleanup(func() { _ = conn.Close() })
	// The rest may be refused while it is sent.
	_, _ = io.WriteString(conn, begin)
	return begun{conn, bufio.NewReader(conn)}
}

// refusal is the answer that comes before the body is whole.
func (s begun) refusal(t *testing.T) (int, http.Header, api.Problem) {
	t.Helper()
	resp, err := http.ReadResponse(s.answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, p
}

// Row 2 of the attacks: what is sent with the weakest key to a project that isn't its
// own is not read; what may be sent is refused where its type ends it, and not at its
// own end.
func TestBodies_EndWhereTheTypeDoes(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("writer", mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead)
	const apply = "/v1/organizations/acme/projects/shop/apply"
	for _, c := range []struct{ begin, field, detail string }{
		{`{"manifest":{"environments":{"e":{"routes":[{}` + strings.Repeat(",{}", mezu.MaxRoutes), "manifest.environments.e.routes", "more than 10000"},
		{`{"manifest":{"environments":` + strings.Repeat("[", 10), "manifest.environments", "a list does not fit"},
		{`{"manifest":{"roles":{"` + strings.Repeat("k", 2000), "", "a key has at most"},
		{`{"manifest":{"project":"` + strings.Repeat("k", strictjson.MaxString+1), "", "a text has at most"},
	} {
		status, _, p := beginCall(in, "POST", apply, key, c.begin).refusal(t)
		if status != http.StatusBadRequest || p.Field != c.field || !strings.Contains(p.Detail, c.detail) {
			t.Errorf("%.60s…: %d %+v", c.begin, status, p)
		}
	}
}

// Row 2 of the attacks: bodies that are read take a share of the memory, which those get
// back that end, or whose caller hangs up.
func TestBodies_HaveAShare(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	read := []mezu.Permission{mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermDirectoriesRead}
	_, key := x.Account("a", read...)
	_, second := x.Account("b", read...)
	y := in.Tenant(op, "globex")
	_, other := y.Account("c", read...)
	apply := func(organization string) string { return "/v1/organizations/" + organization + "/projects/shop/apply" }
	// What becomes 15 MiB.
	routes := strings.TrimSuffix(strings.Repeat(`{"exact":"/"},`, 9900), ",")
	begin := `{"manifest":{"environments":{"a":{"routes":[` + routes + `]},"b":{"routes":[` + routes + `]},"c":{"routes":[` + routes + `]},"d":`
	const many = 8
	answers := make(chan int, many+1)
	var open []begun
	send := func(organization, token string) {
		s := beginCall(in, "POST", apply(organization), token, begin)
		open = append(open, s)
		go func() {
			resp, err := http.ReadResponse(s.answers, nil)
			if err != nil {
				answers <- 0 // closed by us
				return
			}
			if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
				t.Error("nothing says when to try again")
			}
			answers <- resp.StatusCode
		}()
	}
	for n := range many {
		send("acme", []string{key, second}[n%2])
	}
	for range many / 2 {
		if status := <-answers; status != http.StatusTooManyRequests {
			t.Fatalf("%d", status)
		}
	}
	whole := begin + `{}}}}`
	if status, _, body := in.Raw("POST", apply("globex"), other, "application/json", whole); status != http.StatusConflict {
		t.Errorf("another organization gets %d %.200s", status, body)
	}
	for _, s := range open {
		_ = s.Close() // those that were refused are closed
	}
	controltest.Eventually(t, "the share to come back", func() bool {
		status, _, _ := in.Raw("POST", apply("acme"), key, "application/json", whole)
		return status == http.StatusConflict
	})
	for range many / 2 {
		// A close says first that nothing follows. The server may answer that the body ends too
		// soon before the rest of the close is done.
		if status := <-answers; status != 0 && status != http.StatusTooManyRequests && status != http.StatusBadRequest {
			t.Errorf("%d", status)
		}
	}
}
