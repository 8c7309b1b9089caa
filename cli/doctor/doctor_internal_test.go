package doctor

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nobodyRuns is a machine without a daemon.
func nobodyRuns(context.Context, invocation.Settings) (*local.Client, error) {
	return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "no daemon is running", Cause: local.ErrNotRunning}
}

// person is one run of the command under an environment.
func person(t *testing.T, env map[string]string) (*options, *bytes.Buffer) {
	var out bytes.Buffer
	streams := terminal.Streams{In: strings.NewReader(""), Out: &out, Err: &out}.Under(func(name string) string { return env[name] })
	inv := &invocation.Invocation{Streams: streams, Getenv: func(name string) string { return env[name] }, Dir: t.TempDir(), State: t.TempDir(), Version: "1.3.0"}
	inv.Flags.Output = terminal.Table
	return &options{Invocation: inv, Running: nobodyRuns, Log: daemon.New(inv, nil).Log}, &out
}

// A check that hangs holds no other, and its end is said.
func TestStuckCheck(t *testing.T) {
	o, out := person(t, map[string]string{"LANG": "C.UTF-8"})
	release := make(chan struct{})
	defer close(release)
	stuck := func(context.Context, *examination) []Result { <-release; return one(OK, "late", "", "") }
	slow := func(ctx context.Context, _ *examination) []Result {
		<-ctx.Done()
		return one(Fail, "timed out by itself", "", "")
	}
	quick := func(context.Context, *examination) []Result { return one(OK, "quick", "", "") }
	e := newExamination(o)
	defer e.close()
	results := examine(t.Context(), e, []check{{"dns", stuck}, {"clock", slow}, {"disk", quick}}, 50*time.Millisecond)
	if err := o.show(summarize(results)); err != nil {
		t.Fatal(err)
	}
	want := "✗ dns          timed out after 0.1 s\n               try: mezu doctor, once more\n"
	if !strings.HasPrefix(out.String(), want) || !strings.Contains(out.String(), "✓ disk         quick\n") || !strings.HasSuffix(out.String(), "2 problems, 1 check fine\n") {
		t.Errorf("%s", out)
	}
}

// All fit in ten seconds: the checks, and the bundle after them.
func TestTenSeconds(t *testing.T) {
	if all := checkTimeout + checkGrace + bundleTimeout; all >= 10*time.Second {
		t.Errorf("%v", all)
	}
}

func TestShow(t *testing.T) {
	results := []Result{
		{Check: "version", State: OK, Detail: "mezu 1.3.0, daemon 1.3.0"},
		{Check: "proxy", State: Warn, Detail: "HTTPS_PROXY=http://proxy:3128 carries the tunnels; NO_PROXY lacks localhost"},
		{Check: "edge", Subject: "ams-1", State: Fail, Detail: "203.0.113.81:443 refuses the connection", Cause: "a firewall between here and there, most likely; fra-1 works", Hint: "curl -v https://203.0.113.81:443"},
		{Check: "certificate", State: OK, Detail: "6 d 4 h left\x1b[2J"},
	}
	for lang, want := range map[string]string{
		"C.UTF-8": `✓ version      mezu 1.3.0, daemon 1.3.0
! proxy        HTTPS_PROXY=http://proxy:3128 carries the tunnels; NO_PROXY lacks localhost
✗ edge ams-1   203.0.113.81:443 refuses the connection
               a firewall between here and there, most likely; fra-1 works
               try: curl -v https://203.0.113.81:443
✓ certificate  6 d 4 h left\x1b[2J
1 problem, 1 warning, 2 checks fine
`,
		"C": `ok   version      mezu 1.3.0, daemon 1.3.0
warn proxy        HTTPS_PROXY=http://proxy:3128 carries the tunnels; NO_PROXY lacks localhost
fail edge ams-1   203.0.113.81:443 refuses the connection
                  a firewall between here and there, most likely; fra-1 works
                  try: curl -v https://203.0.113.81:443
ok   certificate  6 d 4 h left\x1b[2J
1 problem, 1 warning, 2 checks fine
`,
	} {
		if runtime.GOOS == "windows" && lang == "C" {
			continue // a console of Windows shows all characters
		}
		o, out := person(t, map[string]string{"LANG": lang})
		if err := o.show(summarize(results)); err != nil || out.String() != want {
			t.Errorf("%v\n%s", err, out)
		}
	}
	var many []Result
	for range manyFine + 2 {
		many = append(many, Result{Check: "route", Subject: "a/b", State: OK, Detail: "1 route"})
	}
	many = append(many, Result{Check: "route", Subject: "a/c", State: Fail, Detail: "none"})
	if short := shorten(many); len(short) != 2 || short[0].Detail != "5 are fine" {
		t.Errorf("%+v", short)
	}
}

// resultOf is the only result of a check.
func resultOf(t *testing.T, env map[string]string, check func(context.Context, *examination) []Result) Result {
	t.Helper()
	o, _ := person(t, env)
	e := newExamination(o)
	defer e.close()
	e.begin(t.Context())
	results := check(t.Context(), e)
	if len(results) != 1 {
		t.Fatalf("%+v", results)
	}
	return results[0]
}

func TestProxy(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	shut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut.Close()
	through, refused := open.Addr().String(), shut.Addr().String()
	for what, c := range map[string]struct {
		env    map[string]string
		state  State
		detail string
	}{
		"none":          {nil, OK, "none is set: connections go straight"},
		"no exception":  {map[string]string{"HTTPS_PROXY": "http://" + through}, Warn, "HTTPS_PROXY=http://" + through + " carries the tunnels; NO_PROXY lacks localhost"},
		"good":          {map[string]string{"https_proxy": through, "NO_PROXY": "a.example, localhost"}, OK, "https_proxy=http://" + through + " carries the tunnels"},
		"refused":       {map[string]string{"HTTPS_PROXY": "http://" + refused}, Fail, "HTTPS_PROXY=http://" + refused + " refuses the connection"},
		"with password": {map[string]string{"HTTPS_PROXY": "http://ada:hunter22@" + through, "NO_PROXY": "localhost"}, OK, "HTTPS_PROXY=http://" + masked + "@" + through + " carries the tunnels"},
		"garbage":       {map[string]string{"HTTPS_PROXY": "ftp://a:b"}, Fail, "HTTPS_PROXY is no address of a proxy"},
		"not for it":    {map[string]string{"HTTPS_PROXY": "http://" + refused, "NO_PROXY": "control.example", "MEZU_API": "https://control.example"}, OK, "HTTPS_PROXY=http://" + refused + " is not for control.example"},
	} {
		t.Run(what, func(t *testing.T) {
			if r := resultOf(t, c.env, checkProxy); r.State != c.state || r.Detail != c.detail || r.State == Fail && r.Hint == "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestPrivateCA(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ file, detail string }{
		"missing":        {filepath.Join(dir, "none.pem"), "no such file"},
		"no certificate": {empty, "holds no certificate in PEM"},
		"a folder":       {dir, dir},
	} {
		t.Run(what, func(t *testing.T) {
			r := resultOf(t, map[string]string{"MEZU_API": "https://127.0.0.1:1", "MEZU_CA_FILE": c.file}, checkCA)
			if r.State != Fail || !strings.Contains(r.Detail, c.detail) && runtime.GOOS != "windows" || r.Hint == "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestNoControlPlane(t *testing.T) {
	if r := resultOf(t, nil, checkAPI); r.State != Fail || r.Detail != "no control plane is named" || !strings.Contains(r.Hint, "mezu dev 8080") {
		t.Errorf("%+v", r)
	}
	if r := resultOf(t, map[string]string{"MEZU_API": "https://127.0.0.1:1"}, checkAPI); r.State != Fail || r.Detail != "https://127.0.0.1:1 refuses the connection" || r.Hint != "mezu dev 8080" {
		t.Errorf("%+v", r)
	}
	if r := resultOf(t, map[string]string{"MEZU_API": "no address"}, checkAPI); r.State != Fail {
		t.Errorf("%+v", r)
	}
}

// A control plane that takes connections and says nothing is one that does not answer.
func TestSilentControlPlane(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	api := "https://" + silent.Addr().String()
	o, _ := person(t, map[string]string{"MEZU_API": api, "MEZU_TOKEN": mezu.NewToken(mezu.TokenBearer)})
	e := newExamination(o)
	defer e.close()
	results := examine(t.Context(), e, []check{{"clock", checkClock}, {"api", checkAPI}, {"private CA", checkCA}, {"login", checkLogin}}, 200*time.Millisecond)
	if len(results) != 1 || results[0].Check != "api" || results[0].Detail != api+" does not answer" {
		t.Errorf("%+v", results)
	}
}

// halfPlane is a control plane that says what it is to whoever asks, and to those whom it knows what
// a test wants.
func halfPlane(t *testing.T, known http.HandlerFunc) (env map[string]string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":"unauthenticated"}`)
			return
		}
		known(w, r)
	}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"MEZU_API": s.URL, "MEZU_CA_FILE": ca, "MEZU_TOKEN": mezu.NewToken(mezu.TokenBearer), "MEZU_ORG": "acme", "MEZU_PROJECT": "shop", "MEZU_ENVIRONMENT": "staging"}
}

// What a control plane that answers does not say is said not to be known, and is not left out.
func TestUnanswered(t *testing.T) {
	silent := halfPlane(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o, _ := person(t, silent)
	e := newExamination(o)
	defer e.close()
	results := examine(t.Context(), e, []check{{"clock", checkClock}, {"api", checkAPI}, {"private CA", checkCA}, {"login", checkLogin}}, time.Second)
	if len(results) != 4 || results[0].State != Warn || results[1].State != OK || results[2].State != OK || results[3].State != Fail || results[3].Detail != "who is logged in can't be looked at" {
		t.Errorf("%+v", results)
	}

	partly := halfPlane(t, func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/self"):
			_, _ = io.WriteString(w, `{"id":"sva_1"}`)
		case strings.HasSuffix(path, "/routes"):
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"code":"internal","detail":"no"}`)
		case strings.HasSuffix(path, "/warpgates"):
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"code":"forbidden","detail":"no"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not_found","detail":"no"}`)
		}
	})
	if r := resultOf(t, partly, checkRoutes); r.State != Fail || r.Detail != "the routes can't be looked at" || r.Cause != "no" || r.Hint == "" {
		t.Errorf("%+v", r)
	}
	if r := resultOf(t, partly, checkWarpgates); r.State != Warn || r.Cause != "no" {
		t.Errorf("%+v", r)
	}
	if r := resultOf(t, partly, checkEnvironments); r.State != Fail || r.Detail != "acme/shop/staging is not there" {
		t.Errorf("%+v", r)
	}
}

// Of more than is looked at, it is said that there is more, and what is in trouble comes first.
func TestTooMany(t *testing.T) {
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	dir := t.TempDir()
	for i := range maxKeys + 2 {
		of := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(of, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(of, keyFile), []byte("key"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tunnel := mezu.Tunnel{Links: []mezu.Link{{Name: "z", Address: refused.Addr().String(), State: mezu.LinkDown}}}
	for i := range maxPlaces + 3 {
		tunnel.Links = append(tunnel.Links, mezu.Link{Name: strconv.Itoa(i), Address: "192.0.2.1:443", State: mezu.LinkConnected})
	}
	o, _ := person(t, nil)
	e := newExamination(o)
	e.daemon.find(t.Context(), func(context.Context) (daemonFact, error) {
		return daemonFact{tunnels: []mezu.Tunnel{tunnel}, status: local.Status{StateDir: dir}}, nil
	})
	edges := checkEdges(t.Context(), e)
	if last := edges[len(edges)-1]; len(edges) != maxPlaces+1 || edges[0].Subject != "z" || edges[0].State != Fail || last.State != Warn || last.Detail != "4 further edges not looked at" {
		t.Errorf("%+v", edges)
	}
	if keys := checkKeys(t.Context(), e); len(keys) != 1 || keys[0].State != Warn {
		t.Errorf("%+v", keys)
	}
}

// Where nothing can be made, nothing can be kept.
func TestDiskWithoutAPlace(t *testing.T) {
	o, _ := person(t, nil)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o.State = filepath.Join(file, "state")
	e := newExamination(o)
	e.begin(t.Context())
	if r := checkDisk(t.Context(), e); len(r) != 1 || r[0].State != Fail || r[0].Detail != "nothing can be written at "+file && runtime.GOOS != "windows" {
		t.Errorf("%+v", r)
	}
}

func TestMask(t *testing.T) {
	m := newMask("correct horse", "Pa55word&", "a")
	for text, want := range map[string]string{
		"my correct horse":                           "my ••••••",
		"q=Pa55word%26":                              "q=••••••",
		"a cat":                                      "a cat",
		"Bearer mezu_k3yTh4tN0b0dySees1":             "Bearer ••••••",
		"mezuenrol_abcdefghijklmnopqrst is":          "•••••• is",
		"wgt_06h2gwr82fhkqn5jtjcreej778":             "wgt_06h2gwr82fhkqn5jtjcreej778",
		"https://ada:pw@proxy:3128/x":                "https://••••••@proxy:3128/x",
		"GET https://a.example/x?token=abc&y=1 HTTP": "GET https://a.example/x?•••••• HTTP",
		"https://a.example/link#2YWKTyMUnwx":         "https://a.example/link#••••••",
		`Authorization: Basic YWRhOnB3`:              `Authorization: ••••••`,
		`{"password":"hunter2","user":"ada"}`:        `{"password":"••••••","user":"ada"}`,
		`msg="x" token=abcdef level=info`:            `msg="x" token=•••••• level=info`,
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln":     "••••••",
		"-----BEGIN PRIVATE KEY-----\nMIIE\n":        "••••••",
	} {
		if got := m.text(text); got != want {
			t.Errorf("%q: %q instead of %q", text, got, want)
		}
	}
	u := url.URL{Scheme: "http", User: url.UserPassword("a", "b"), Host: "proxy:1"}
	if got := maskURL(&u); got != "http://"+masked+"@proxy:1" {
		t.Error(got)
	}
}

// C3: a bundle holds no secret, whatever is in the log, and is its owner's alone.
func TestC3_BundleHoldsNoSecret(t *testing.T) {
	secrets := map[string]string{"MEZU_TOKEN": mezu.NewToken(mezu.TokenBearer), "MEZU_BASIC_AUTH": "open-sesame-please", "HTTPS_PROXY": "http://ada:hunter22@127.0.0.1:1", "MEZU_API": "https://127.0.0.1:1"}
	o, out := person(t, secrets)
	log := filepath.Join(o.State, "daemon", "log")
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		t.Fatal(err)
	}
	enrolment := mezu.NewToken(mezu.TokenEnrolment)
	lines := "level=INFO msg=\"here\" token=" + enrolment + "\nuser said " + secrets["MEZU_BASIC_AUTH"] + " to http://ada:hunter22@127.0.0.1:1\nkept line\n"
	// The log is two files, one of which may have just begun.
	if err := os.WriteFile(log+".1", []byte(strings.Repeat("x", local.MaxLog)+"\nolder line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Bundle = "report.zip"
	if err := run(t.Context(), o); exit.Of(err) != exit.Failed || !exit.Said(err) {
		t.Fatalf("%v\n%s", err, out)
	}
	file := o.Path(o.Bundle)
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	texts := unzip(t, file)
	for name, text := range texts {
		for _, s := range []string{secrets["MEZU_TOKEN"], secrets["MEZU_BASIC_AUTH"], "hunter22", enrolment} {
			if strings.Contains(text, s) || strings.Contains(out.String(), s) {
				t.Errorf("%s holds %q", name, s)
			}
		}
	}
	if !strings.HasSuffix(texts["daemon.log"], "kept line\n") || !strings.HasPrefix(texts["daemon.log"], "older line\n") || len(texts["daemon.log"]) > local.MaxLog || !strings.Contains(texts["versions.json"], "1.3.0") || !strings.Contains(texts["results.json"], "refuses the connection") || !strings.Contains(texts["settings.json"], "MEZU_TOKEN") {
		t.Errorf("%v", texts["results.json"])
	}
	// It replaces nothing, not by a link either.
	for _, name := range []string{"report.zip", "link.zip"} {
		if name == "link.zip" {
			if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), o.Path(name)); err != nil {
				t.Skip(err)
			}
		}
		o.Bundle = name
		if err := run(t.Context(), o); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "is there already") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func unzip(t *testing.T, file string) map[string]string {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		out[f.Name] = string(data)
	}
	return out
}
