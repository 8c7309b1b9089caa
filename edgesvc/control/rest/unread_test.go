package rest_test

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
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// unread sends the head of a call, and nothing of the body that it announces, and gives
// the status of the answer.
func unread(in *controltest.Installation, op api.Operation, path, token string) int {
	in.T.Helper()
	conn, err := tls.Dial("tcp", in.Plane.Addr(), &tls.Config{RootCAs: in.Roots, Time: in.TLSTime})
	if err != nil {
		in.T.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		in.T.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", op.Method, path, api.MaxBody)
	if err == nil && token != "" {
		_, err = fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", token)
	}
	if err == nil {
		_, err = fmt.Fprint(conn, "\r\n")
	}
	if err != nil {
		in.T.Fatal(err)
	}
	// "HTTP/1.1 401": the rest is the problem document.
	head := make([]byte, len("HTTP/1.1 401"))
	if _, err := io.ReadFull(conn, head); err != nil {
		in.T.Errorf("no answer before the body: %v", err)
		return 0
	}
	status, err := strconv.Atoi(string(head[len(head)-3:]))
	if err != nil {
		in.T.Fatal(err)
	}
	return status
}

// A8: of who may not call an operation where the call goes no body is read, which could
// be 16 MiB of anybody's.
func TestA8_StrangersBodiesAreNotRead(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	in.Tenant(op, "globex")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	_, writer := x.Account("writer", mezu.PermProjectsRead, mezu.PermEnvironmentsRead, mezu.PermRoutesRead, mezu.PermRoutesWrite, mezu.PermDirectoriesRead, mezu.PermUsersWrite)
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
		// Row 2 of the attacks: who may call it somewhere may not call it anywhere.
		{api.OpApplyProject, apply, key, http.StatusForbidden},
		{api.OpApplyProject, "/v1/organizations/acme/projects/other/apply", writer, http.StatusNotFound},
		{api.OpApplyProject, "/v1/organizations/globex/projects/shop/apply", writer, http.StatusNotFound},
		{api.OpReplaceRoutes, "/v1/organizations/globex/projects/shop/environments/production/routes", writer, http.StatusNotFound},
		{api.OpReplaceRoutes, "/v1/organizations/acme/projects/shop/environments/staging/routes", writer, http.StatusNotFound},
		{api.OpReplaceRoutes, "/v1/organizations/acme/projects/shop/environments/production/routes", key, http.StatusForbidden},
		{api.OpUpdateOrganization, "/v1/organizations/globex", writer, http.StatusNotFound},
		{api.OpCreateUser, "/v1/organizations/acme/projects/shop/directories/none/users", writer, http.StatusNotFound},
	} {
		if got := unread(in, c.op, c.path, c.token); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.op.Method, c.path, got, c.want)
		}
	}
}
