package control_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/controltest/leak"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// authorityKeys are the CA's private keys, as bytes and as its record writes them.
func authorityKeys(in *controltest.Installation) {
	in.T.Helper()
	rec, err := in.Store.Get(in.T.Context(), "ca/authority")
	if err != nil {
		in.T.Fatal(err)
	}
	var state struct {
		Issuers []struct{ Key []byte }
		Keys    []struct{ Seed []byte }
	}
	if err := json.Unmarshal(rec.Value, &state); err != nil || len(state.Issuers) == 0 || len(state.Keys) == 0 {
		in.T.Fatalf("the authority's record: %v", err)
	}
	for _, i := range state.Issuers {
		in.Secret(string(i.Key))
		in.Secret(base64.StdEncoding.EncodeToString(i.Key))
	}
	for _, k := range state.Keys {
		in.Secret(string(k.Seed))
		in.Secret(base64.StdEncoding.EncodeToString(k.Seed))
	}
}

// S8, C3: nothing that opens something lies in the store or the log: no token, key or
// code that was given out, by the API or from a remembered answer, and no key of the CA.
func TestS8_NoSecretAtRest(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	in.Register(key, "")
	in.Enrol(op, "edge-1")
	in.Secret(controltest.Call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: mezu.HashSecret("x")}, x.Path()...).Token)
	in.RecoveredToken()
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client(key[:40], nil), api.OpSelf, nil)
	controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/" + in.Secret("internal-path")}}}, x.Path()...)
	in.Join(op, "acme", in.Secret("ana.example.person@acme.example"), mezu.RoleDeveloper)
	in.Invite(op, "acme", in.Secret("late.example.person@acme.example"), mezu.RoleViewer)
	backup, err := os.ReadFile(in.Backup(op))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in.Dir, "a backup"), backup, 0o600); err != nil { // among the files that are scanned
		t.Fatal(err)
	}
	authorityKeys(in)
	if _, err := in.Store.(*sealed.Store).Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := in.Store.(*sealed.Store).Maintain(t.Context()); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	leak.Scan(in)
}

// A restart finds everything there, in the same epoch, with the counter going on.
func TestRestart(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	_, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, first := in.Register(key, "")
	state := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/"}}}, x.Path()...)
	ca, err := os.ReadFile(in.Plane.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	in.Restart()
	if again, err := os.ReadFile(in.Plane.CAFile()); err != nil || !bytes.Equal(ca, again) {
		t.Fatalf("the CA changed: %v", err)
	}
	op = in.Client(token, nil)
	after := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if after.Position != state.Position || len(after.Routes) != 1 || after.Revision != state.Revision {
		t.Errorf("routes %+v, before %+v", after, state)
	}
	next := controltest.Call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{}}, x.Path()...)
	if next.Position.Epoch != state.Position.Epoch || next.Position.Revision <= state.Position.Revision {
		t.Errorf("position %s after %s", next.Position, state.Position)
	}
	renewed := controltest.Call[api.RegisterResponse](t, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	if !bytes.Equal(renewed.TrustRoot, first.TrustRoot) || renewed.Head.Compare(first.Head) <= 0 {
		t.Errorf("trust root or head changed: %+v", renewed.Head)
	}
	if strings.Count(in.Notice.String(), "/bootstrap#") != 1 {
		t.Errorf("notices: %q", in.Notice.String())
	}
}

// What a change owed when its process was killed is done after the next start.
func TestRestart_FinishesWhatIsOwed(t *testing.T) {
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	acc, key := x.Account("gate", mezu.PermWarpgateRegister)
	w, _ := in.Register(key, "")
	prj := controltest.Call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	in.Stop()
	// The transaction of the deletion, without what follows it.
	owed := `{"kind":"account","id":"` + acc.ID + `","project":"` + prj.ID + `"}`
	_, err := in.Store.Commit(t.Context(), store.Txn{Ops: []store.Op{
		{Key: "sva/" + prj.ID + "/gate", Delete: true}, {Key: "id/" + acc.ID, Delete: true}, {Key: "key/" + mezu.HashSecret(key), Delete: true},
		{Key: "pending/account/" + acc.ID, Value: []byte(owed)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	in.Start()
	op = in.Client(token, nil)
	controltest.Eventually(t, "the Warpgate to be cut", func() bool {
		_, err := api.Invoke[any](t.Context(), op, api.OpGetWarpgate, nil, x.Path(w.ID)...)
		return mezu.CodeOf(err) == mezu.CodeNotFound
	})
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", w.Cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.CSR})
	controltest.Eventually(t, "the debt to be settled", func() bool {
		_, err := in.Store.Get(t.Context(), "pending/account/"+acc.ID)
		return errors.Is(err, store.ErrNotFound)
	})
}

// The bootstrap link is private, and one until it is used.
func TestBootstrap(t *testing.T) {
	in := controltest.Install(t)
	info, err := os.Stat(filepath.Join(in.Dir, "bootstrap"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	code := in.BootstrapCode()
	if !strings.Contains(in.Notice.String(), code) || strings.Contains(in.Log.String(), code) {
		t.Error("the link is not where it belongs")
	}
	in.Restart()
	if again := in.BootstrapCode(); again != code {
		t.Error("a restart changed the link")
	}
	if err := os.Remove(filepath.Join(in.Dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	in.Restart()
	if again := in.BootstrapCode(); again == code || again == "" {
		t.Error("a lost link was not replaced")
	}
	e := controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: mezu.NewToken(mezu.TokenBootstrap)})
	if !strings.Contains(e.Hint, "bootstrap") {
		t.Errorf("hint %q", e.Hint)
	}
	token := in.OperatorToken()
	self := controltest.Call[api.Self](t, in.Client(token, nil), api.OpSelf, nil)
	if self.Kind != "operator" || !self.Operator || self.ExpiresAt.IsZero() {
		t.Errorf("self %+v", self)
	}
}

// What is in the way at the start is named, and nothing stays behind.
func TestListen_Refuses(t *testing.T) {
	in := controltest.Install(t)
	for name, cfg := range map[string]control.Config{
		"port in use":       {StateDir: t.TempDir(), APIAddr: in.Plane.Addr(), Domain: "localhost"},
		"admin port in use": {StateDir: t.TempDir(), APIAddr: "127.0.0.1:0", AdminAddr: in.Plane.AdminAddr(), Domain: "localhost"},
		"directory in use":  {StateDir: in.Dir, APIAddr: "127.0.0.1:0", Domain: "localhost"},
		"a file as state":   {StateDir: in.Plane.CAFile(), APIAddr: "127.0.0.1:0", Domain: "localhost"},
		"no password":       {StateDir: t.TempDir(), APIAddr: "127.0.0.1:0", Domain: "localhost", SMTP: control.SMTP{Address: "mail.example:587", From: "a@acme.example", Username: "a", PasswordFile: "/nowhere"}},
		"no certificate":    {StateDir: t.TempDir(), APIAddr: "127.0.0.1:0", Domain: "localhost", TLSCert: "/nowhere.pem", TLSKey: "/nowhere.key"},
	} {
		plane, err := control.New(cfg)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := plane.Listen(); err == nil {
			t.Errorf("%s: listens", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	for name, cfg := range map[string]control.Config{
		"no state":    {Domain: "localhost"},
		"no domain":   {StateDir: "x"},
		"upper case":  {StateDir: "x", Domain: "Localhost"},
		"half a pair": {StateDir: "x", Domain: "localhost", TLSCert: "a"},
		"no sender":   {StateDir: "x", Domain: "localhost", SMTP: control.SMTP{Address: "mail.example:587"}},
		"no port":     {StateDir: "x", Domain: "localhost", APIAddr: "localhost"},
	} {
		if _, err := control.New(cfg); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdmin(t *testing.T) {
	in := controltest.Install(t)
	controltest.Refused(t, mezu.CodeUnauthenticated, in.Client("", nil), api.OpSelf, nil)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/livez": "", "/readyz": "", "/metrics": `mezusphere_api_calls_total{operation="self",status="401"} 1`} {
		resp, err := client.Get("http://" + in.Plane.AdminAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %v", path, resp.StatusCode, err)
		}
	}
	for _, path := range []string{"/metrics", "/livez", "/readyz"} {
		if status, _, _ := in.Raw("GET", path, "", "", ""); status != 404 {
			t.Errorf("the API listener answers %s with %d", path, status)
		}
	}
}
