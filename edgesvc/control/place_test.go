package control_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// TestEdgeTakesItsPlace: the edge in the process of a control plane that was restored onto new
// state has another key, and is the edge of its name again. Nobody else can be, and what it
// had before is worth nothing.
func TestEdgeTakesItsPlace(t *testing.T) {
	before := controltest.InstallWithStore(t)
	token := before.OperatorToken()
	op := before.Client(token, nil)
	const address = "127.0.0.1:9443"
	enrol := func(in *controltest.Installation, token string, e *controltest.Identity, name, at string) (api.EnrolResponse, error) {
		return api.Invoke[api.EnrolResponse](t.Context(), in.Client(token, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: e.CSR, Name: name, TunnelAddress: at, Version: "1.0"})
	}
	own := func(in *controltest.Installation) string {
		t.Helper()
		secret, err := in.Plane.JoinToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return in.Secret(secret)
	}
	was := controltest.NewIdentity(t)
	place, err := enrol(before, own(before), was, "edge", address)
	if err != nil {
		t.Fatal(err)
	}
	was.Take(t, place.Certificates, place.Edge)
	remote, _ := before.Enrol(op, "remote")
	controltest.Call[any](t, before.Client("", was.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})

	refused := func(in *controltest.Installation, why, token, name, at, hint string) {
		t.Helper()
		_, err := enrol(in, token, controltest.NewIdentity(t), name, at)
		e, ok := err.(*mezu.Error)
		if !ok || e.Code != mezu.CodeConflict || !strings.Contains(e.Hint, hint) {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused(before, "one that is heard of", own(before), "edge", address, "start it again once nothing was heard")

	in := before.Restored(before.Backup(op), false)
	in.Start()
	defer in.Stop()
	op = in.Client(token, nil)
	refused(in, "an operator's token", in.JoinToken(op), "edge", address, "mezu edges delete edge")
	refused(in, "another machine's edge", own(in), "remote", "192.0.2.1:9443", "mezu edges delete remote")
	is := controltest.NewIdentity(t)
	got, err := enrol(in, own(in), is, "edge", "127.0.0.1:9999")
	if err != nil {
		t.Fatal(err)
	}
	if got.Edge != place.Edge {
		t.Errorf("it is %s, and was %s", got.Edge, place.Edge)
	}
	is.Take(t, got.Certificates, got.Edge)
	controltest.Call[any](t, in.Client("", is.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", was.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	controltest.Call[any](t, in.Client("", remote.Cert), api.OpEdgeReport, api.EdgeReport{Full: true})
	audited := slices.ContainsFunc(controltest.Call[api.List[mezu.AuditRecord]](t, op, api.OpListInstallationAudit, nil).Items, func(r mezu.AuditRecord) bool {
		return r.Operation == api.OpEnrolEdge.ID && strings.Contains(string(r.Before), was.Cert.Leaf.SerialNumber.Text(16)) && strings.Contains(string(r.After), is.Cert.Leaf.SerialNumber.Text(16))
	})
	if !audited {
		t.Error("the log has nothing of it")
	}
}
