package control_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// race runs n calls at once and counts the ones that win.
func race(n int, try func(i int) error) (won int, lost []error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			err := try(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else {
				lost = append(lost, err)
			}
		})
	}
	close(start)
	wg.Wait()
	return won, lost
}

// K7: a single-use secret used by many at once lets exactly one in.
func TestK7_SingleUse(t *testing.T) {
	in := install(t)
	const many = 8
	code := in.bootstrapCode()
	won, lost := race(many, func(int) error {
		_, err := api.Invoke[api.TokenResponse](t.Context(), in.client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: code})
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
	if _, err := os.Stat(filepath.Join(in.dir, "bootstrap")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of the used link is there: %v", err)
	}

	token, err := in.plane.DevToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	op := in.client(token, nil)
	join := in.joinToken(op)
	ids := make([]*identity, many)
	for i := range ids {
		ids[i] = newIdentity(t)
	}
	won, lost = race(many, func(i int) error {
		_, err := api.Invoke[any](t.Context(), in.client(join, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[i].csr, Name: "edge-" + string(rune('a'+i)), TunnelAddress: "127.0.0.1:9443"})
		return err
	})
	if won != 1 {
		t.Fatalf("join token: %d won: %v", won, lost)
	}
	if n := len(call[api.List[mezu.Edge]](t, op, api.OpListEdges, nil).Items); n != 1 {
		t.Fatalf("%d edges", n)
	}
	e := refused(t, mezu.CodeUnauthenticated, in.client(join, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[0].csr, Name: "again", TunnelAddress: "127.0.0.1:9443"})
	if !strings.Contains(e.Hint, "join-token create") {
		t.Errorf("hint %q", e.Hint)
	}

	x := in.tenant(op, "acme")
	gate := newIdentity(t)
	enrolment := call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: spki(t, gate.csr)}, x.path()...)
	refused(t, mezu.CodeForbidden, in.client(enrolment.Token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: newIdentity(t).csr})
	won, lost = race(many, func(int) error {
		_, err := api.Invoke[any](t.Context(), in.client(enrolment.Token, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: gate.csr})
		return err
	})
	if won != 1 {
		t.Fatalf("enrolment token: %d won: %v", won, lost)
	}
	if n := len(call[api.List[mezu.Warpgate]](t, op, api.OpListWarpgates, nil, x.path()...).Items); n != 1 {
		t.Fatalf("%d Warpgates", n)
	}

	late := in.joinToken(op)
	in.clock.advance(mezu.JoinTokenLife + time.Second)
	refused(t, mezu.CodeUnauthenticated, in.client(late, nil), api.OpEnrolEdge, api.EnrolRequest{CSR: ids[1].csr, Name: "late", TunnelAddress: "127.0.0.1:9443"})
}

func spki(t *testing.T, csr string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(csr))
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(req.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// K1, K2: what is wrong with a key is told, with what to do next; a deleted
// account's key and the Warpgates that it let in are cut.
func TestK2_Keys(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	acc, key := x.account("gate", mezu.PermWarpgateRegister)
	if acc.KeyPrefix != key[:mezu.KeyPrefixLength] {
		t.Errorf("prefix %q", acc.KeyPrefix)
	}
	shown := call[map[string]any](t, op, api.OpGetServiceAccount, nil, x.org, x.prj, "gate")
	if _, there := shown["key"]; there || shown["last_used_at"] != nil {
		t.Errorf("a read shows %v", shown)
	}
	w, _ := in.register(key, "")
	if used := call[mezu.ServiceAccount](t, op, api.OpGetServiceAccount, nil, x.org, x.prj, acc.ID); used.LastUsedAt.IsZero() {
		t.Error("the use of the key is not shown")
	}
	csr := newIdentity(t).csr
	flipped := []byte(key)
	flipped[3] ^= 1
	for name, bad := range map[string]string{
		"truncated": key[:30], "mistyped": string(flipped), "foreign": mezu.NewKey(), "nonsense": "mezu_x", "another kind": mezu.NewToken("mezunone_"),
	} {
		e := refused(t, mezu.CodeUnauthenticated, in.client(bad, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr})
		if e.Hint == "" || e.Detail == "" {
			t.Errorf("%s: %+v has no hint", name, e)
		}
	}
	call[any](t, op, api.OpDeleteServiceAccount, nil, x.org, x.prj, "gate")
	if e := refused(t, mezu.CodeUnauthenticated, in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr}); e.Hint == "" {
		t.Errorf("revoked: %+v", e)
	}
	refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	refused(t, mezu.CodeNotFound, op, api.OpGetWarpgate, nil, x.path(w.id)...)
}

// K8, K9, T8: a certificate opens only what its role, its life and the registry
// let it.
func TestK8_Certificates(t *testing.T) {
	in := install(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	e, _ := in.enrol(op, "edge-1")
	csr := newIdentity(t).csr
	refused(t, mezu.CodeForbidden, in.client("", w.cert), api.OpRenewEdge, api.RenewRequest{CSR: csr})
	refused(t, mezu.CodeForbidden, in.client("", w.cert), api.OpEdgeReport, api.EdgeReport{})
	refused(t, mezu.CodeForbidden, in.client("", e.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	refused(t, mezu.CodeForbidden, in.client("", e.cert), api.OpListEdges, nil)
	refused(t, mezu.CodeForbidden, in.client("", w.cert), api.OpGetProject, nil, x.org, x.prj)

	// A certificate of another installation with the same identity in it.
	other := install(t)
	oop := other.operator()
	f, _ := other.enrol(oop, "edge-1")
	refused(t, mezu.CodeUnauthenticated, in.client("", f.cert), api.OpEdgeReport, api.EdgeReport{})

	// Another key under the same Warpgate id.
	refused(t, mezu.CodeForbidden, in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: csr, Warpgate: w.id})
	again := call[api.RegisterResponse](t, in.client(key, nil), api.OpRegisterWarpgate, api.RegisterRequest{CSR: w.csr, Warpgate: w.id})
	if again.Warpgate != w.id {
		t.Errorf("the same key registered as %s", again.Warpgate)
	}
	in.clock.advance(mezu.LeafLife + time.Hour)
	e2 := refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: csr})
	if e2.Hint == "" {
		t.Errorf("expired: %+v", e2)
	}
}

// A peer that renews without end keeps a bounded number of certificates alive.
func TestK9_RenewalsAreBounded(t *testing.T) {
	in := install(t)
	op := in.operator()
	e, enrolled := in.enrol(op, "edge-1")
	first := e.cert
	for range 20 {
		n := newIdentity(t)
		out := call[api.EnrolResponse](t, in.client("", e.cert), api.OpRenewEdge, api.RenewRequest{CSR: n.csr})
		n.take(t, out.Certificates, e.id)
		e = n
	}
	refused(t, mezu.CodeUnauthenticated, in.client("", first), api.OpEdgeReport, api.EdgeReport{})
	f := newFollower(t, enrolled)
	f.until(open(t, in.client("", e.cert), mezu.Position{}), "the snapshot", func() bool { return f.synced })
	if !f.revoked[trust.Serial(first.Leaf)] || f.revoked[trust.Serial(e.cert.Leaf)] {
		t.Errorf("revoked %v", f.revoked)
	}
}

func devToken(t *testing.T, in *installation) string {
	t.Helper()
	token, err := in.plane.DevToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A foreign TLS authority: the client says so and names the way out.
func TestClient_ForeignCA(t *testing.T) {
	in := install(t)
	c, err := api.NewClient(api.ClientConfig{BaseURL: "https://" + in.plane.Addr(), TLS: &tls.Config{RootCAs: x509.NewCertPool()}})
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
