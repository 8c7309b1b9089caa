package control_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// scan looks for every secret that was given out in all files and the log, and, since
// the engine compresses its files, in every record and every commit of the history as the
// driver reads them.
func (in *installation) scan() {
	in.t.Helper()
	in.stop()
	if len(in.secrets) == 0 {
		in.t.Fatal("no secret was given out")
	}
	look := func(where string, data []byte) {
		for _, secret := range in.secrets {
			if bytes.Contains(data, []byte(secret)) {
				in.t.Errorf("%s has the secret %.8s…", where, secret)
			}
		}
	}
	look("the log", []byte(in.log.String()))
	in.lookAtFiles(look)
	driver := in.driver
	if driver == nil {
		var err error
		if driver, err = badger.Open(badger.Options{Dir: filepath.Join(in.dir, "store"), Ballast: -1}); err != nil {
			in.t.Fatal(err)
		}
	}
	in.lookAtRecords(driver, look)
	if err := driver.Close(); err != nil {
		in.t.Error(err)
	}
	in.lookAtFiles(look) // what closing moved
}

func (in *installation) lookAtFiles(look func(string, []byte)) {
	in.t.Helper()
	files := 0
	err := filepath.WalkDir(in.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, filepath.Join(in.dir, "offline")) {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		look(path, data)
		return err
	})
	if err != nil || files < 4 {
		in.t.Fatalf("%d files: %v", files, err)
	}
}

func (in *installation) lookAtRecords(db store.Store, look func(string, []byte)) {
	in.t.Helper()
	records := 0
	for token := ""; ; {
		page, err := db.List(in.t.Context(), "", token, store.MaxPage)
		if err != nil {
			in.t.Fatal(err)
		}
		for _, r := range page.Records {
			records++
			look("the key of "+r.Key, []byte(r.Key))
			look(r.Key, r.Value)
			if plain := !seal.Sealed(r.Value); plain != format.Plain(r.Key) {
				in.t.Errorf("%s lies in the clear: %v", r.Key, plain)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if records < 10 {
		in.t.Errorf("%d records only", records)
	}
}

// authorityKeys are the CA's private keys, as bytes and as its record writes them.
func (in *installation) authorityKeys() {
	in.t.Helper()
	rec, err := in.store.Get(in.t.Context(), "ca/authority")
	if err != nil {
		in.t.Fatal(err)
	}
	var state struct {
		Issuers []struct{ Key []byte }
		Keys    []struct{ Seed []byte }
	}
	if err := json.Unmarshal(rec.Value, &state); err != nil || len(state.Issuers) == 0 || len(state.Keys) == 0 {
		in.t.Fatalf("the authority's record: %v", err)
	}
	for _, i := range state.Issuers {
		in.secret(string(i.Key))
		in.secret(base64.StdEncoding.EncodeToString(i.Key))
	}
	for _, k := range state.Keys {
		in.secret(string(k.Seed))
		in.secret(base64.StdEncoding.EncodeToString(k.Seed))
	}
}

// S8, C3: nothing that opens something lies in the store or the log: no token, key or
// code that was given out, by the API or from a remembered answer, and no key of the CA.
func TestS8_NoSecretAtRest(t *testing.T) {
	in := withStore(t)
	op := in.operator()
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	in.register(key, "")
	in.enrol(op, "edge-1")
	in.secret(call[api.JoinTokenResponse](t, op, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: mezu.HashSecret("x")}, x.path()...).Token)
	in.secret(devToken(t, in))
	refused(t, mezu.CodeUnauthenticated, in.client(key[:40], nil), api.OpSelf, nil)
	call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/" + in.secret("internal-path")}}}, x.path()...)
	in.join(op, "acme", in.secret("ana.example.person@acme.example"), mezu.RoleDeveloper)
	in.invite(op, "acme", in.secret("late.example.person@acme.example"), mezu.RoleViewer)
	backup, err := os.ReadFile(in.backup(op))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(in.dir, "a backup"), backup, 0o600); err != nil { // among the files that are scanned
		t.Fatal(err)
	}
	in.authorityKeys()
	if _, err := in.store.(*sealed.Store).Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := in.store.(*sealed.Store).Maintain(t.Context()); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	in.scan()
}

// A restart finds everything there, in the same epoch, with the counter going on.
func TestRestart(t *testing.T) {
	in := install(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	_, key := x.account("gate", mezu.PermWarpgateRegister)
	w, first := in.register(key, "")
	state := call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{map[string]any{"prefix": "/"}}}, x.path()...)
	ca, err := os.ReadFile(in.plane.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	in.restart()
	if again, err := os.ReadFile(in.plane.CAFile()); err != nil || !bytes.Equal(ca, again) {
		t.Fatalf("the CA changed: %v", err)
	}
	op = in.client(token, nil)
	after := call[api.RoutesState](t, op, api.OpListRoutes, nil, x.path()...)
	if after.Position != state.Position || len(after.Routes) != 1 || after.Revision != state.Revision {
		t.Errorf("routes %+v, before %+v", after, state)
	}
	next := call[api.RoutesState](t, op, api.OpReplaceRoutes, map[string]any{"routes": []any{}}, x.path()...)
	if next.Position.Epoch != state.Position.Epoch || next.Position.Revision <= state.Position.Revision {
		t.Errorf("position %s after %s", next.Position, state.Position)
	}
	renewed := call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	if !bytes.Equal(renewed.TrustRoot, first.TrustRoot) || renewed.Head.Compare(first.Head) <= 0 {
		t.Errorf("trust root or head changed: %+v", renewed.Head)
	}
	if strings.Count(in.notice.String(), "#code=") != 1 {
		t.Errorf("notices: %q", in.notice.String())
	}
}

// What a change owed when its process was killed is done after the next start.
func TestRestart_FinishesWhatIsOwed(t *testing.T) {
	in := withStore(t)
	token := in.operatorToken()
	op := in.client(token, nil)
	x := in.tenant(op, "acme")
	acc, key := x.account("gate", mezu.PermWarpgateRegister)
	w, _ := in.register(key, "")
	prj := call[mezu.Project](t, op, api.OpGetProject, nil, "acme", "shop")
	in.stop()
	// The transaction of the deletion, without what follows it.
	owed := `{"kind":"account","id":"` + acc.ID + `","project":"` + prj.ID + `"}`
	_, err := in.store.Commit(t.Context(), store.Txn{Ops: []store.Op{
		{Key: "sva/" + prj.ID + "/gate", Delete: true}, {Key: "id/" + acc.ID, Delete: true}, {Key: "key/" + mezu.HashSecret(key), Delete: true},
		{Key: "pending/account/" + acc.ID, Value: []byte(owed)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	in.start()
	op = in.client(token, nil)
	eventually(t, "the Warpgate to be cut", func() bool {
		_, err := api.Invoke[any](t.Context(), op, api.OpGetWarpgate, nil, x.path(w.id)...)
		return mezu.CodeOf(err) == mezu.CodeNotFound
	})
	refused(t, mezu.CodeUnauthenticated, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
	eventually(t, "the debt to be settled", func() bool {
		_, err := in.store.Get(t.Context(), "pending/account/"+acc.ID)
		return errors.Is(err, store.ErrNotFound)
	})
}

// The bootstrap link is private, and one until it is used.
func TestBootstrap(t *testing.T) {
	in := install(t)
	info, err := os.Stat(filepath.Join(in.dir, "bootstrap"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	code := in.bootstrapCode()
	if !strings.Contains(in.notice.String(), code) || strings.Contains(in.log.String(), code) {
		t.Error("the link is not where it belongs")
	}
	in.restart()
	if again := in.bootstrapCode(); again != code {
		t.Error("a restart changed the link")
	}
	if err := os.Remove(filepath.Join(in.dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	in.restart()
	if again := in.bootstrapCode(); again == code || again == "" {
		t.Error("a lost link was not replaced")
	}
	e := refused(t, mezu.CodeUnauthenticated, in.client("", nil), api.OpBootstrap, api.BootstrapRequest{Code: mezu.NewToken(mezu.TokenBootstrap)})
	if !strings.Contains(e.Hint, "bootstrap") {
		t.Errorf("hint %q", e.Hint)
	}
	token := in.operatorToken()
	self := call[api.Self](t, in.client(token, nil), api.OpSelf, nil)
	if self.Kind != "operator" || !self.Operator || self.ExpiresAt.IsZero() {
		t.Errorf("self %+v", self)
	}
}

// The developer's installation is set up once, whatever is repeated.
func TestDevSetup(t *testing.T) {
	in := install(t)
	setup := control.Setup{Organization: "dev", Project: "shop", Environment: "development"}
	first, err := in.plane.DevSetup(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	if first.Environment.URL != "https://shop-development-dev.localhost:8443" {
		t.Errorf("environment %+v", first.Environment)
	}
	w, _ := in.register(first.Key, "")
	dev := in.client(devToken(t, in), nil)
	state := call[api.RoutesState](t, dev, api.OpListRoutes, nil, "dev", "shop", "development")
	if len(state.Routes) != 1 || state.Routes[0].Prefix != "/" {
		t.Errorf("routes %+v", state.Routes)
	}
	in.restart()
	second, err := in.plane.DevSetup(t.Context(), setup)
	if err != nil || second.Environment.ID != first.Environment.ID {
		t.Fatalf("%v %+v", err, second)
	}
	refused(t, mezu.CodeUnauthenticated, in.client(first.Key, nil), api.OpSelf, nil)
	in.register(second.Key, "")
	call[api.RegisterResponse](t, in.client("", w.cert), api.OpRenewWarpgate, api.RenewRequest{CSR: w.csr})
}

// What is in the way at the start is named, and nothing stays behind.
func TestListen_Refuses(t *testing.T) {
	in := install(t)
	for name, cfg := range map[string]control.Config{
		"port in use":       {StateDir: t.TempDir(), APIAddr: in.plane.Addr(), Domain: "localhost"},
		"admin port in use": {StateDir: t.TempDir(), APIAddr: "127.0.0.1:0", AdminAddr: in.plane.AdminAddr(), Domain: "localhost"},
		"directory in use":  {StateDir: in.dir, APIAddr: "127.0.0.1:0", Domain: "localhost"},
		"a file as state":   {StateDir: in.plane.CAFile(), APIAddr: "127.0.0.1:0", Domain: "localhost"},
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
		"no port":     {StateDir: "x", Domain: "localhost", APIAddr: "localhost"},
	} {
		if _, err := control.New(cfg); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdmin(t *testing.T) {
	in := install(t)
	refused(t, mezu.CodeUnauthenticated, in.client("", nil), api.OpSelf, nil)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/livez": "", "/readyz": "", "/metrics": `mezusphere_api_calls_total{operation="self",status="401"} 1`} {
		resp, err := client.Get("http://" + in.plane.AdminAddr() + path)
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
		if status, _, _ := in.raw("GET", path, "", "", ""); status != 404 {
			t.Errorf("the API listener answers %s with %d", path, status)
		}
	}
}
