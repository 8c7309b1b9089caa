package e2e

import (
	"archive/tar"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// recordVariable names the archive that TestRecord writes, as make before-fixture does.
const recordVariable = "MEZU_RECORD"

// TestRecord runs an installation of the programs of MEZU_PROGRAMS and packs what it
// leaves on the disk: what package before opens with the code of today. It is no test of
// anything, and skipped unless somebody asks for the archive.
func TestRecord(t *testing.T) {
	archive := os.Getenv(recordVariable)
	if archive == "" {
		t.Skip("make before-fixture records what the build of a commit writes")
	}
	// Addresses that are in the recording: the services of today listen there again, and
	// nobody else does.
	const public = "127.8.0.1:28443"
	w := &world{t: t, dir: t.TempDir(), api: "127.8.0.1:28444"}
	w.startControl()
	w.bootstrap()
	e := w.addEdge("edge-1", "--https-addr", public)
	e.https = public
	w.makeProject(recordedRoutes())
	wl := newWorkload(t, false)
	g := w.addGate("gate-1", wl.addr())
	more := w.recordEntities(t)
	w.inStep()
	offline := filepath.Join(w.dir, "control", "offline")
	w.operate(0, "keys", "rotate", "--what", "signing", "--offline", offline)
	w.operate(0, "keys", "rotate", "--what", "seal")
	for _, dir := range []string{e.dir, filepath.Join(w.dir, "gate-1")} {
		eventually(t, "the second keyset in "+filepath.Base(dir), func() error {
			v, err := keysetIn(dir)
			if err == nil && v != 2 {
				err = fmt.Errorf("it is %d", v)
			}
			return err
		})
	}
	eventually(t, "all to be sealed by the new key", func() error {
		if out, _ := w.operate(0, "keys", "show", "--json"); !strings.Contains(out, `"old_keys":0`) {
			return errors.New(out)
		}
		return nil
	})
	w.applied(w.setRoutes(recordedRoutes()...), 2)
	w.operate(0, "backup", filepath.Join(w.dir, "backup"))
	export := startWith(t, "export", []string{"MEZU_API=https://" + w.api, "MEZU_TOKEN=" + w.token, "MEZU_CA_FILE=" + w.caFile()},
		filepath.Join(binaries, "mezu"), "export", "--org", "acme", "--project", "shop")
	if export.exit() != 0 {
		t.Fatal(export.log.String())
	}
	w.secretFile("export.yaml", export.out.String())
	answers := w.askAll(t, e)
	g.down(false)
	e.down(false)
	eventually(t, "edge and Warpgate to count as gone", func() error {
		for _, x := range invoke[api.List[mezu.Warpgate]](w, w.client, api.OpListWarpgates, nil, w.path()...).Items {
			if x.Status == mezu.WarpgateConnected || x.Status == mezu.WarpgateUnknown {
				return fmt.Errorf("%s is %s", x.ID, x.Status)
			}
		}
		return nil
	})
	shown := w.shown(t)
	w.control.down(false)
	w.startControl()
	for path, now := range w.shown(t) {
		if was := shown[path]; now.Status != was.Status || string(now.Body) != string(was.Body) {
			t.Errorf("after a restart %s is %d %s, was %d %s", path, now.Status, now.Body, was.Status, was.Body)
		}
	}
	w.control.down(false)
	about, err := json.MarshalIndent(map[string]any{
		"at": time.Now(), "host": w.host, "edge": public, "api": w.api, "token": w.token, "member": more.member, "account": more.key, "shown": shown, "asked": answers,
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	w.secretFile("about.json", string(about))
	if t.Failed() {
		return
	}
	pack(t, archive, w.dir, "about.json", "backup", "export.yaml", "control", "edge-1", "gate-1")
}

// recordedRoutes are routes with every setting that there is.
func recordedRoutes() []mezu.Route {
	off, two := false, 2
	return []mezu.Route{
		open,
		{Name: "exact", Exact: "/exact", Methods: []string{"GET", "PUT"}, Headers: map[string]string{"X-Version": "2"}},
		{Name: "pattern", Regexp: "/item/[0-9]+", Priority: 7},
		{Name: "address", Prefix: "/address/", AllowIPs: []string{"127.0.0.0/8", "::1"}, DenyIPs: []string{"127.0.0.9"}},
		{Name: "denied", Prefix: "/denied/", DenyIPs: []string{"127.0.0.0/8"}},
		{Name: "small", Prefix: "/small/", MaxBody: 10, Timeout: mezu.Duration(5 * time.Second), IdleTimeout: mezu.Duration(time.Minute), Retries: &two},
		{Name: "plain", Prefix: "/plain/", WebSocket: &off, EncodedSlashes: true, HostHeader: "inner.example"},
		{Name: "elsewhere", Prefix: "/elsewhere/", Upstream: "http://127.0.0.1:9"},
		{Name: "users", Prefix: "/users/", Auth: mezu.AuthRequired, AuthMethods: []string{"session", "bearer"}, Roles: []string{"staff"}, Permissions: []string{"orders.read"}, AnyPermissions: []string{"orders.read", "orders.write"}},
		{Name: "maybe", Prefix: "/maybe/", Auth: mezu.AuthOptional},
		{Name: "cors", Prefix: "/cors/", CORS: &mezu.CORS{AllowOrigins: []string{"https://a.example"}, AllowMethods: []string{"GET"}, AllowHeaders: []string{"X-A"},
			ExposeHeaders: []string{"X-B"}, AllowCredentials: true, MaxAge: mezu.Duration(time.Hour)}},
		{Name: "rate", Prefix: "/rate/", RateLimit: &mezu.RateLimit{Requests: 10, Per: mezu.Duration(time.Second), By: "ip"}},
		{Name: "waf", Prefix: "/waf/", WAF: mezu.WAFBlock},
		{Name: "strip", Prefix: "/strip/", StripPrefix: "/strip"},
		{Name: "moved", Exact: "/moved", Redirect: &mezu.Redirect{To: "/exact", Status: 308}},
		{Name: "edits", Prefix: "/edits/", RequestHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-A": "b"}, Remove: []string{"X-C"}},
			ResponseHeaders: &mezu.HeaderEdits{Set: map[string]string{"X-D": "e"}, Remove: []string{"X-F"}}},
	}
}

// recordEntities makes what addEntities makes, ends some of it, and adds what only a
// recording needs: at least one of every record that the store can have.
func (w *world) recordEntities(t *testing.T) entities {
	out := w.addEntities()
	invoke[any](w, w.client, api.OpUpdateOrganization, map[string]any{"display_name": "Acme, Inc."}, "acme")
	invoke[any](w, w.client, api.OpUpdateDirectory, map[string]any{"signup": "open", "mfa": "optional", "password": map[string]any{"min_length": 20}}, "acme", "shop", "customers")
	invoke[any](w, w.client, api.OpUpdateEnvironment, map[string]any{"directory": "customers", "waf": "detect", "enabled": false}, "acme", "shop", "staging")
	users := invoke[api.List[mezu.User]](w, w.client, api.OpListUsers, nil, "acme", "shop", "customers").Items
	invoke[any](w, w.client, api.OpUpdateUser, map[string]any{"status": "suspended", "roles": []string{"shop/staff"}, "profile": map[string]any{"display_name": "One"}}, "acme", "shop", "customers", users[0].ID)
	invoke[any](w, w.client, api.OpDeleteUser, nil, "acme", "shop", "customers", users[1].ID)
	invoke[any](w, w.client, api.OpRotateServiceAccount, api.RotateRequest{}, "acme", "shop", "reader")
	invoke[any](w, w.client, api.OpCreateServiceAccount, mezu.ServiceAccount{Name: "ended", Permissions: []mezu.Permission{mezu.PermWarpgateRegister}}, "acme", "shop")
	invoke[any](w, w.client, api.OpDeleteServiceAccount, nil, "acme", "shop", "ended")
	token := invoke[api.TokenCreated](w, w.client, api.OpCreateToken, mezu.Token{Name: "script", Permissions: []mezu.Permission{mezu.PermProjectsRead}})
	ended := invoke[api.TokenCreated](w, w.client, api.OpCreateToken, mezu.Token{Name: "ended"})
	invoke[any](w, w.client, api.OpDeleteToken, nil, ended.ID)
	invoke[any](w, w.newClient(token.Secret), api.OpGetProject, nil, "acme", "shop")
	members := invoke[api.List[mezu.Member]](w, w.client, api.OpListMembers, nil, "acme").Items
	for _, m := range members {
		if m.Role == mezu.RoleDeveloper {
			invoke[any](w, w.client, api.OpCreateOperator, api.OperatorRequest{Person: m.Person})
		}
	}
	invoke[any](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: "ended"}, "acme", "shop")
	invoke[any](w, w.client, api.OpDeleteEnvironment, nil, "acme", "shop", "ended")
	invoke[any](w, w.client, api.OpCreateEnrolmentToken, api.EnrolmentTokenRequest{PublicKeySHA256: strings.Repeat("ab", 32)}, w.path()...)
	removed, drained := w.enrolWarpgate(t, "production"), w.enrolWarpgate(t, "production")
	invoke[any](w, w.client, api.OpDeleteWarpgate, nil, w.path(removed.ID)...)
	invoke[any](w, w.client, api.OpDrainWarpgate, nil, w.path(drained.ID)...)
	gone := w.addEdge("edge-2")
	for _, e := range invoke[api.List[mezu.Edge]](w, w.client, api.OpListEdges, nil).Items {
		if e.Name == gone.name {
			invoke[any](w, w.client, api.OpDeleteEdge, nil, e.ID)
		}
	}
	gone.kill()
	w.edges = w.edges[:1]
	return out
}

// asked is a request through an edge and what became of it.
type asked struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	Status int               `json:"status"`
	Code   mezu.Code         `json:"code,omitempty"` // of an answer that no workload gave
}

// askAll sends requests for every route of recordedRoutes.
func (w *world) askAll(t *testing.T, e *edgeNode) []asked {
	t.Helper()
	version := map[string]string{"X-Version": "2"}
	all := []asked{
		{Method: "GET", Path: "/"}, {Method: "POST", Path: "/", Body: "some"}, {Method: "GET", Path: "//"}, {Method: "GET", Path: "/a%2Fb"},
		{Method: "GET", Path: "/exact", Header: version}, {Method: "DELETE", Path: "/exact", Header: version}, {Method: "GET", Path: "/exact"},
		{Method: "GET", Path: "/item/12"}, {Method: "GET", Path: "/address/"}, {Method: "GET", Path: "/denied/"},
		{Method: "POST", Path: "/small/", Body: "little"}, {Method: "POST", Path: "/small/", Body: strings.Repeat("much", 10)},
		{Method: "GET", Path: "/plain/a%2Fb"}, {Method: "GET", Path: "/plain/", Header: map[string]string{"Connection": "Upgrade", "Upgrade": "websocket"}},
		{Method: "GET", Path: "/elsewhere/"}, {Method: "GET", Path: "/users/"}, {Method: "GET", Path: "/maybe/"}, {Method: "GET", Path: "/cors/"},
		{Method: "GET", Path: "/rate/"}, {Method: "GET", Path: "/waf/"}, {Method: "GET", Path: "/strip/x"}, {Method: "GET", Path: "/moved"}, {Method: "GET", Path: "/edits/"},
	}
	client := w.http(e)
	for i := range all {
		a := &all[i]
		req, err := http.NewRequestWithContext(t.Context(), a.Method, "https://"+w.host+a.Path, strings.NewReader(a.Body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range a.Header {
			req.Header.Set(name, value)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var told api.Problem
		err = json.NewDecoder(resp.Body).Decode(&told)
		resp.Body.Close()
		if a.Status = resp.StatusCode; err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
			a.Code = told.Code
		}
	}
	return all
}

// answer is what the API says at one path.
type answer struct {
	Status int             `json:"status"`
	ETag   string          `json:"etag,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"` // of what is there
}

// shown asks for everything that the API shows to an operator: each listing and each
// item of it.
func (w *world) shown(t *testing.T) map[string]answer {
	t.Helper()
	values := map[string][]string{"organization": {"acme"}, "project": {"shop"}, "environment": {"production", "staging"}, "directory": {"customers", "staff"}}
	items := map[string]string{} // path of a listing: parameter that names an item
	var reads []api.Operation
	for _, op := range api.Operations() {
		if op.Method != "GET" || strings.HasSuffix(op.Path, "/watch") || op.ID == api.OpEdgeStream.ID {
			continue
		}
		reads = append(reads, op)
		if params := op.Params(); strings.HasSuffix(op.Path, "}") {
			last := params[len(params)-1]
			items[strings.TrimSuffix(op.Path, "/{"+last+"}")] = last
		}
	}
	// A listing comes before what needs its items.
	slices.SortFunc(reads, func(a, b api.Operation) int { return len(a.Params()) - len(b.Params()) })
	out := map[string]answer{}
	for _, op := range reads {
		for _, path := range paths(op, values) {
			got := w.read(t, path)
			out[path] = got
			param, ok := items[op.Path]
			if !ok || param == "organization" || param == "project" || param == "environment" || param == "directory" {
				continue
			}
			var list struct {
				Items, Routes []struct{ ID string }
			}
			if got.Status == 200 {
				if err := json.Unmarshal(got.Body, &list); err != nil {
					t.Fatal(err)
				}
			}
			for _, item := range append(list.Items, list.Routes...) {
				if !slices.Contains(values[param], item.ID) {
					values[param] = append(values[param], item.ID)
				}
			}
		}
	}
	return out
}

// paths are those of an operation with all values of its parameters.
func paths(op api.Operation, values map[string][]string) []string {
	filled := [][]string{nil}
	for _, param := range op.Params() {
		var next [][]string
		for _, so := range filled {
			for _, v := range values[param] {
				next = append(next, append(slices.Clone(so), v))
			}
		}
		filled = next
	}
	var out []string
	for _, params := range filled {
		out = append(out, op.Expand(params...))
	}
	return out
}

func (w *world) read(t *testing.T, path string) answer {
	t.Helper()
	carrier := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.roots}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+w.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := (&http.Client{Transport: carrier, Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		return answer{Status: resp.StatusCode}
	}
	return answer{resp.StatusCode, resp.Header.Get("ETag"), body}
}

// pack writes files and folders of a directory into an archive.
func pack(t *testing.T, archive, dir string, names ...string) {
	t.Helper()
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	zw, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	for _, name := range names {
		err := filepath.WalkDir(filepath.Join(dir, name), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || d.Name() == "ballast" { // 64 MiB that the store makes anew
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Mode: 0o600, Size: int64(len(data))}); err != nil {
				return err
			}
			_, err = tw.Write(data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
