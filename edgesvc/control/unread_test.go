package control_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// unread sends the head of a call, and nothing of the body that it announces, and gives
// the status of the answer.
func (in *installation) unread(op api.Operation, path, token string) int {
	in.t.Helper()
	conn, err := tls.Dial("tcp", in.plane.Addr(), &tls.Config{RootCAs: in.roots, Time: in.tlsTime})
	if err != nil {
		in.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		in.t.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", op.Method, path, api.MaxBody)
	if err == nil && token != "" {
		_, err = fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", token)
	}
	if err == nil {
		_, err = fmt.Fprint(conn, "\r\n")
	}
	if err != nil {
		in.t.Fatal(err)
	}
	// "HTTP/1.1 401": the rest is the problem document.
	head := make([]byte, len("HTTP/1.1 401"))
	if _, err := io.ReadFull(conn, head); err != nil {
		in.t.Errorf("no answer before the body: %v", err)
		return 0
	}
	status, err := strconv.Atoi(string(head[len(head)-3:]))
	if err != nil {
		in.t.Fatal(err)
	}
	return status
}

// A8: of who may not call an operation no body is read, which could be 16 MiB of
// anybody's.
func TestA8_StrangersBodiesAreNotRead(t *testing.T) {
	in := install(t)
	x := in.tenant(in.operator(), "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	const apply = "/v1/organizations/acme/projects/shop/apply"
	for _, c := range []struct {
		op    api.Operation
		path  string
		token string
		want  int
	}{
		{api.OpApplyProject, apply, "", http.StatusUnauthorized},
		{api.OpApplyProject, apply, mezu.NewToken(mezu.TokenBearer), http.StatusUnauthorized},
		{api.OpCreateOrganization, "/v1/organizations", key, http.StatusForbidden},
		{api.OpApplyProject, apply + "?unknown=1", "", http.StatusBadRequest},
	} {
		if got := in.unread(c.op, c.path, c.token); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.op.Method, c.path, got, c.want)
		}
	}
}
