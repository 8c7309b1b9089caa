package control_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/trust"
)

// K7: a single-use secret used by many at once lets exactly one in.
func TestK7_SingleUse(t *testing.T) {
	in := controltest.Install(t)
	const many = 8
	code := in.BootstrapCode()
	won, lost := controltest.Race(many, func(int) error {
		_, err := api.Invoke[api.TokenResponse](t.Context(), in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
		return err
	})
	if won != 1 {
		t.Fatalf("bootstrap: %d won: %v", won, lost)
	}
	for _, err := range lost {
		if mezu.CodeOf(err) != mezu.CodeUnauthenticated {
			t.Errorf("bootstrap: lost with %v", err)
		}
	}
	if _, err := os.Stat(filepath.Join(in.Dir, "bootstrap")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the used link is there: %v", err)
	}

	op := in.Client(in.RecoveredToken(), nil)
	join := in.JoinToken(op)
	ids := make([]*controltest.Identity, many)
	for i := range ids {
		ids[i] = controltest.NewIdentity(t)
	}
	won, lost = controltest.Race(many, func(i int) error {
		_, err := api.Invoke[any](t.Context(), in.Client(join, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[i].CSR, Name: "edge-" + string(rune('a'+i)), TunnelAddress: "127.0.0.1:9443"})
		return err
	})
	if won != 1 {
		t.Fatalf("join token: %d won: %v", won, lost)
	}
	if n := len(controltest.Call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items); n != 1 {
		t.Fatalf("%d edges", n)
	}
	e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(join, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[0].CSR, Name: "again", TunnelAddress: "127.0.0.1:9443"})
	if !strings.Contains(e.Hint, "join-token create") {
		t.Errorf("hint %q", e.Hint)
	}

	x := in.Tenant(op, "acme")
	gate := controltest.NewIdentity(t)
	enrolment := controltest.Call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: controltest.SPKI(t, gate.CSR)}, x.Path()...)
	controltest.Refused(t, mezu.CodeForbidden, in.Client(enrolment.Token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: controltest.NewIdentity(t).CSR})
	won, lost = controltest.Race(many, func(int) error {
		_, err := api.Invoke[any](t.Context(), in.Client(enrolment.Token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: gate.CSR})
		return err
	})
	if won != 1 {
		t.Fatalf("enrolment token: %d won: %v", won, lost)
	}
	if n := len(controltest.Call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.Path()...).Items); n != 1 {
		t.Fatalf("%d Warpgates", n)
	}

	late := in.JoinToken(op)
	in.Clock.Advance(mezu.JoinTokenLife + time.Second)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(late, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[1].CSR, Name: "late", TunnelAddress: "127.0.0.1:9443"})
}

// K1, K2: what is wrong with a key is told, with what to do next; a deleted
// account's key and the Warpgates that it let in are cut.
func TestK2_Keys(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	acc, key := x.Account("gate", mezu.PermWarpgateRegister)
	if acc.KeyPrefix != key[:mezu.KeyPrefixLength] {
		t.Errorf("prefix %q", acc.KeyPrefix)
	}
	shown := controltest.Call[map[string]any](t, op, api.OpGetServiceAccount, nil, x.Org, x.Prj, "gate")
	if _, there := shown["key"]; there || shown["last_used_at"] != nil {
		t.Errorf("a read shows %v", shown)
	}
	w, _ := in.Register(key, "")
	if used := controltest.Call[mezu.ServiceAccount](t, op, api.OpGetServiceAccount, nil, x.Org, x.Prj, acc.ID); used.LastUsedAt.IsZero() {
		t.Error("the use of the key is not shown")
	}
	csr := controltest.NewIdentity(t).CSR
	flipped := []byte(key)
	flipped[3] ^= 1
	for name, bad := range map[string]string{
		"truncated": key[:30], "mistyped": string(flipped), "foreign": mezu.NewKey(), "nonsense": "mezu_x", "another kind": mezu.NewToken("mezunone_"),
	} {
		e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(bad, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr})
		if e.Hint == "" || e.Detail == "" {
			t.Errorf("%s: %+v has no hint", name, e)
		}
	}
	controltest.Call[any](t, op, api.OpDeleteServiceAccount, nil, x.Org, x.Prj, "gate")
	if e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr}); e.Hint == "" {
		t.Errorf("revoked: %+v", e)
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	controltest.Refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, x.Path(w.ID)...)
}

// K8, K9, T8: a certificate opens only what its role, its life and the registry
// let it.
func TestK8_Certificates(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	e, _ := in.Enrol(op, "edge-1")
	csr := controltest.NewIdentity(t).CSR
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", w.Cert), api.OpRenewEdge, api.RenewRequest{CSR: csr})
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", w.Cert), api.OpEdgeReport, api.EdgeReport{})
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", e.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", e.Cert), api.OpListEdges, nil)
	controltest.Refused(t, mezu.CodeForbidden, in.Client("", w.Cert), api.OpGetProject, nil, x.Org, x.Prj)

	// A certificate of another installation with the same identity in it.
	other := controltest.Install(t)
	oop := other.Operator()
	f, _ := other.Enrol(oop, "edge-1")
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", f.Cert), api.OpEdgeReport, api.EdgeReport{})

	// Another key under the same Warpgate id.
	controltest.Refused(t, mezu.CodeForbidden, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr, Warpgate: w.ID})
	again := controltest.Call[api.RegisterResponse](t, in.Client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.CSR, Warpgate: w.ID})
	if again.Warpgate != w.ID {
		t.Errorf("the same key registered as %s", again.Warpgate)
	}
	in.Clock.Advance(mezu.LeafLife + time.Hour)
	e2 := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	if e2.Hint == "" {
		t.Errorf("expired: %+v", e2)
	}
}

// A peer that renews without end keeps a bounded number of certificates alive.
func TestK9_RenewalsAreBounded(t *testing.T) {
	in := controltest.Install(t)
	op := in.Operator()
	e, enrolled := in.Enrol(op, "edge-1")
	first := e.Cert
	for range 20 {
		n := controltest.NewIdentity(t)
		out := controltest.Call[api.EnrolResponse](t, in.Client("", e.Cert), api.OpRenewEdge, api.RenewRequest{CSR: n.CSR})
		n.Take(t, out.Certificates, e.ID)
		e = n
	}
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", first), api.OpEdgeReport, api.EdgeReport{})
	f := controltest.NewFollower(t, enrolled)
	f.Until(controltest.OpenStream(t, in.Client("", e.Cert), mezu.Position{}), "the snapshot", func() bool { return f.Synced })
	if !f.Revoked[trust.Serial(first.Leaf)] || f.Revoked[trust.Serial(e.Cert.Leaf)] {
		t.Errorf("revoked %v", f.Revoked)
	}
}

// A foreign TLS authority: the client says so and names the way out.
func TestClient_ForeignCA(t *testing.T) {
	in := controltest.Install(t)
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.Plane.Addr(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdle()
	_, err = api.Invoke[any](t.Context(), c, api.OpSelf, nil)
	var unreachable *api.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "--ca-file") {
		t.Fatalf("got %v", err)
	}
}
