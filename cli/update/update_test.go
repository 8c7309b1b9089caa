package update_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu/cli"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/update/record"
	"github.com/mezusphere/mezu/cli/update/source"
	"github.com/mezusphere/mezu/cli/update/sshsig"
	"github.com/mezusphere/mezu/testkit"
)

// versionVariable makes this test the program itself, of that version.
const versionVariable = "MEZU_TEST_VERSION"

func TestMain(m *testing.M) {
	if version := os.Getenv(versionVariable); version != "" {
		inv := invocation.Invocation{Streams: terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv), Getenv: os.Getenv, Dir: ".", Profiles: profile.Store{Dir: os.Getenv("HOME") + "/.config/mezu"}}
		os.Exit(cli.Main(context.Background(), os.Args[1:], inv, cli.Config{Version: version}))
	}
	goleak.VerifyTestMain(m)
}

// offsets are places at which something that long is cut: the last ones and some others, or all in
// the long form of the tests.
func offsets(length, last, others int) []int {
	if os.Getenv("MEZU_SOAK") != "" {
		return sequence(0, length)
	}
	random := rand.New(rand.NewPCG(1, uint64(length)))
	out := sequence(length-last, length)
	for range others {
		out = append(out, random.IntN(length))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func sequence(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// updating is a person whose program is v1.2.0 and can update itself.
func updating(t *testing.T, r *testkit.Release) *person {
	t.Helper()
	p := newPerson(t)
	place(t, p.program())
	p.env = append(p.env, versionVariable+"=v1.2.0")
	p.note(r.Dir, r)
	return p
}

// place puts the program somewhere.
func place(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, path); err != nil { // on another disk
		data, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		testkit.WriteProgram(t, path, data)
	}
}

// note writes what install.sh would have noted.
func (p *person) note(source string, r *testkit.Release) {
	p.t.Helper()
	list, err := os.ReadFile(r.Signers)
	if err != nil {
		p.t.Fatal(err)
	}
	_, key, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(string(list)), "\t", " "), "\n")
	path := p.path(".local/share/mezu/install/mezu")
	manual := p.path(".local/share/man/man1/mezu-old.1")
	for _, file := range []string{path, manual} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
			p.t.Fatal(err)
		}
	}
	noted := record.Record{Version: "v1.2.0", Source: source, Keys: []string{key}, Programs: []string{p.program()}, Files: []string{manual}}
	text, err := noted.Text()
	if err := errors.Join(err, os.WriteFile(path, text, 0o600)); err != nil {
		p.t.Fatal(err)
	}
}

// update runs "mezu update".
func (p *person) update(args ...string) (out string, code int) {
	p.t.Helper()
	return p.run(append([]string{p.program(), "update"}, args...)...)
}

// A program that install.sh has installed updates itself, with what came with it, and is removed
// by install.sh.
func TestUpdate(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	r := testkit.NewRelease(t, "v1.2.0", program)
	p := newPerson(t)
	p.env = append(p.env, versionVariable+"=v1.2.0")
	plain := slices.Clone(p.env)
	p.from(r)
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	p.env = plain // where it came from is noted, and by whose key
	if out, code := p.update("--check", "-o", "json"); code != 0 || !strings.Contains(out, `"available": "v1.2.0"`) {
		t.Errorf("code %d, %s", code, out)
	}
	if out, code := p.update(); code != 0 || !strings.Contains(out, "v1.2.0 is the newest release at "+r.Dir) {
		t.Errorf("code %d, %s", code, out)
	}
	r.Pack(t, "v1.3.0", map[string][]byte{"mezu": []byte("#!/bin/sh\necho mezu 1.3.0\n"), "docs/man/mezu.1": []byte(".\\\" new\n"), "docs/man/mezu-new.1": []byte(".\n")})
	if out, code := p.update("--check"); code != 8 || !strings.Contains(out, "available\tv1.3.0") {
		t.Errorf("code %d, %s", code, out)
	}
	p.says("v1.2.0")
	out, code := p.update("-o", "json")
	var said struct {
		Version, Available, Source string
		Updated                    bool
	}
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &said); code != 0 || err != nil || !said.Updated || said.Available != "v1.3.0" || said.Version != "v1.2.0" || said.Source != r.Dir {
		t.Fatalf("code %d, %s", code, out)
	}
	p.says("1.3.0")
	manual, err := os.ReadFile(p.path(".local/share/man/man1/mezu.1"))
	if err != nil || string(manual) != ".\\\" new\n" {
		t.Errorf("%q, %v", manual, err)
	}
	for name, want := range map[string]bool{"man/man1/mezu-new.1": true, "man/man1/mezu-tunnel.1": false, "zsh/site-functions/_mezu": false} {
		if _, err := os.Stat(p.path(".local/share/" + name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, code := p.install("--uninstall"); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
	if got := p.files(); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// TestC6_UpdateRefuses: a release that is not signed, not newer, or not what was signed replaces
// nothing.
func TestC6_UpdateRefuses(t *testing.T) {
	text := func(t *testing.T, r *testkit.Release, name, text string) {
		if err := os.WriteFile(filepath.Join(r.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(t *testing.T, r *testkit.Release, name string) {
		if err := os.Remove(filepath.Join(r.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil  func(*testing.T, *testkit.Release)
		expect string
		code   int
	}{
		"no SHA256SUMS": {func(t *testing.T, r *testkit.Release) { remove(t, r, "SHA256SUMS") }, "there is no SHA256SUMS", 4},
		"no signature":  {func(t *testing.T, r *testkit.Release) { remove(t, r, "SHA256SUMS.sig") }, "is not signed", 1},
		"another's signature": {func(t *testing.T, r *testkit.Release) {
			r.Key = testkit.NewRelease(t, "v9.0.0", nil).Key
			r.Sign(t, "mezu-release")
		}, "not signed by a key that is trusted", 1},
		"signed for something else": {func(t *testing.T, r *testkit.Release) { r.Sign(t, "file") }, `signed for "file"`, 1},
		"changed after signing": {func(t *testing.T, r *testkit.Release) {
			text(t, r, "SHA256SUMS", r.Sum(t, r.Archive)+r.Sum(t, "VERSION")+"\n")
		}, "does not belong", 1},
		"a long list":  {func(t *testing.T, r *testkit.Release) { text(t, r, "SHA256SUMS", strings.Repeat("\n", 300<<10)) }, "is over", 1},
		"a wrong list": {func(t *testing.T, r *testkit.Release) { r.Sums(t, "x\n") }, "wrong line", 1},
		"listed twice": {func(t *testing.T, r *testkit.Release) {
			r.Sums(t, r.Sum(t, r.Archive)+r.Sum(t, r.Archive)+r.Sum(t, "VERSION"))
		}, "wrong line", 1},
		"no archive listed": {func(t *testing.T, r *testkit.Release) { r.Sums(t, r.Sum(t, "VERSION")) }, "has no mezu_", 4},
		"no version listed": {func(t *testing.T, r *testkit.Release) { r.Sums(t, r.Sum(t, r.Archive)) }, "VERSION at", 1},
		"changed archive":   {func(t *testing.T, r *testkit.Release) { text(t, r, r.Archive, "x") }, "is not what was signed", 1},
		"no archive":        {func(t *testing.T, r *testkit.Release) { remove(t, r, r.Archive) }, "there is no mezu_", 4},
		// What was signed when it was new is offered again: its version is signed too.
		"an older release":              {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.1.9", nil) }, "which is older than this one (v1.2.0)", 5},
		"an older one under a new name": {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.1.9", nil); text(t, r, "VERSION", "v1.9.0\n") }, "VERSION at", 1},
		"no version":                    {func(t *testing.T, r *testkit.Release) { r.Fill(t, "newest", nil) }, "can't be compared", 1},
		"a long version":                {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.4.0-"+strings.Repeat("a", 130), nil) }, "is over", 1},
		"a program of another version":  {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.4.0", []byte("#!/bin/sh\necho mezu 1.1.0\n")) }, `says that it is "1.1.0"`, 1},
		"a program for another machine": {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.4.0", []byte("\x7fELF nothing")) }, "does not start on this machine", 1},
		"no program":                    {func(t *testing.T, r *testkit.Release) { r.Pack(t, "v1.4.0", map[string][]byte{"README": nil}) }, "holds no program", 1},
		"a link instead": {func(t *testing.T, r *testkit.Release) {
			r.Pack(t, "v1.4.0", map[string][]byte{"mezu": []byte("link to /bin/sh")})
		}, "holds no program", 1},
		"a long archive": {func(t *testing.T, r *testkit.Release) {
			if os.Getenv("MEZU_SOAK") == "" {
				t.Skip("a quarter of a gigabyte takes a second; make soak does it")
			}
			if err := os.Truncate(filepath.Join(r.Dir, r.Archive), source.MaxArchive+1); err != nil {
				t.Fatal(err)
			}
		}, "is over", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := testkit.NewRelease(t, "v1.3.0", nil)
			p := updating(t, r)
			before := p.files()
			c.spoil(t, r)
			if out, code := p.update(); code != c.code || !strings.Contains(out, c.expect) {
				t.Errorf("code %d, %s; want %d, %q", code, out, c.code, c.expect)
			}
			p.unchanged(before)
		})
	}
}

// unchanged checks that the old program runs and nothing is beside it.
func (p *person) unchanged(before []string) {
	p.t.Helper()
	p.says("v1.2.0")
	if got := p.files(); !slices.Equal(got, before) {
		p.t.Errorf("there are %q", got)
	}
	if left, err := os.ReadDir(p.path("tmp")); err != nil || len(left) > 0 {
		p.t.Errorf("left %v, %v", left, err)
	}
}

// What is not known to be newer is not installed: a build that has no version, a key that nobody
// named, a place that nobody named.
func TestUpdate_NothingToGoBy(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	many := filepath.Join(t.TempDir(), "many")
	if err := os.WriteFile(many, bytes.Repeat([]byte("x\n"), sshsig.MaxSigners), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env    []string
		forget bool
		expect string
		code   int
	}{
		"no record":        {nil, true, "install.sh did not install this program", 5},
		"no key":           {[]string{"MEZU_DOWNLOAD=" + r.Dir}, true, "no key is known", 5},
		"another key":      {[]string{"MEZU_RELEASE_KEY=" + testkit.NewRelease(t, "v1.3.0", nil).Signers}, false, "not signed by a key that is trusted", 1},
		"no version":       {[]string{versionVariable + "=devel"}, false, "can't be compared", 5},
		"plain http":       {[]string{"MEZU_DOWNLOAD=http://127.0.0.1:1/"}, false, "is not an https:// address", 2},
		"nobody there":     {[]string{"MEZU_DOWNLOAD=https://127.0.0.1:1/x"}, false, "getting SHA256SUMS from https://127.0.0.1:1/x", 6},
		"a broken key":     {[]string{"MEZU_RELEASE_KEY=" + script}, false, "MEZU_RELEASE_KEY", 1},
		"endless keys":     {[]string{"MEZU_RELEASE_KEY=" + many}, false, "the list of signers is over", 2},
		"no CA":            {[]string{"MEZU_CA_FILE=" + many}, false, "holds no certificate in PEM", 2},
		"go install's bin": {[]string{"GOBIN=BIN", "MEZU_DOWNLOAD=" + r.Dir}, true, "go install keeps", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := updating(t, r)
			if c.forget {
				if err := os.RemoveAll(p.path(".local/share/mezu")); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range c.env {
				p.env = append(p.env, strings.ReplaceAll(e, "BIN=BIN", "BIN="+filepath.Dir(p.program())))
			}
			if out, code := p.update(); code != c.code || !strings.Contains(out, c.expect) {
				t.Errorf("code %d, %s", code, out)
			}
		})
	}
	p := newPerson(t)
	place(t, p.program())
	p.env = append(p.env, versionVariable+"=v1.2.0", "MEZU_DOWNLOAD="+r.Dir, "MEZU_RELEASE_KEY="+r.Signers)
	if out, code := p.update(); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
	p.says("1.3.0")
	if _, err := os.Stat(p.path(".local/share")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a program that was only copied gets a manual")
	}
}

// A key that is named for an update is gone by from then on.
func TestUpdate_NotesTheKey(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	p := updating(t, testkit.NewRelease(t, "v9.0.0", nil))
	p.env = append(p.env, "MEZU_DOWNLOAD="+r.Dir, "MEZU_RELEASE_KEY="+r.Signers)
	if out, code := p.update(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	noted, err := record.Read(p.path(".local/share/mezu/install/mezu"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(r.Signers)
	if err != nil || len(noted.Keys) != 1 || !strings.HasSuffix(strings.ReplaceAll(strings.TrimSpace(string(list)), "\t", " "), "\n"+noted.Keys[0]) {
		t.Errorf("noted %q, %v", noted.Keys, err)
	}
	if noted.Version != "v1.3.0" || noted.Source == r.Dir {
		t.Errorf("noted %+v", noted)
	}
}

// A program that a package manager keeps is left alone, and its command named.
func TestUpdate_Kept(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	for where, expect := range map[string]string{
		"homebrew/Cellar/mezu/1.2.0/bin/mezu": "brew upgrade mezu", "home/scoop/apps/mezu/1.2.0/mezu": "scoop update mezu", "go/bin/mezu": "go install github.com/mezusphere/mezu/cmd/mezu@latest",
	} {
		p := newPerson(t)
		place(t, p.path(where))
		link := p.path("bin/mezu")
		if err := errors.Join(os.Mkdir(filepath.Dir(link), 0o755), os.Symlink(p.path(where), link)); err != nil {
			t.Fatal(err)
		}
		p.from(r)
		p.env = append(p.env, versionVariable+"=v1.2.0")
		before := p.files()
		if out, code := p.run(link, "update"); code != 5 || !strings.Contains(out, "  try: "+expect) || !strings.Contains(out, "is left alone") {
			t.Errorf("%s: code %d, %s", where, code, out)
		}
		if got := p.files(); !slices.Equal(got, before) {
			t.Errorf("there are %q", got)
		}
	}
	// Those that are asked: what they are is not here, what they answer is.
	for tool, expect := range map[string]string{"dpkg-query": "apt-get install --only-upgrade mezu", "rpm": "dnf upgrade mezu", "apk": "apk upgrade mezu", "pacman": "pacman -Syu mezu"} {
		p := updating(t, r)
		asked := p.path("tmp/bin/" + tool)
		text := "#!/bin/sh\ncase \"$*\" in *" + p.program() + ") exit 0;; esac\nexit 1\n"
		if err := os.Mkdir(filepath.Dir(asked), 0o755); err != nil {
			t.Fatal(err)
		}
		testkit.WriteProgram(t, asked, []byte(text))
		p.env = append(p.env, "PATH="+filepath.Dir(asked))
		if out, code := p.update(); code != 5 || !strings.Contains(out, expect) {
			t.Errorf("%s: code %d, %s", tool, code, out)
		}
		if out, code := p.update("--timeout", "1ns"); code != 7 || strings.Contains(out, "left alone") {
			t.Errorf("%s, which is not asked: code %d, %s", tool, code, out)
		}
	}
}

// site is a release behind https, whose answers a test may change.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc
	agents []string
}

// answers has the site answer so from now on.
func (s *site) answers(by http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = by
}

// moved leads from each address to another one of the site, which has what was there.
func (s *site) moved(whole http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if rest, ok := strings.CutPrefix(req.URL.Path, "/moved/"); ok {
			req.URL.Path = "/" + rest
			whole(w, req)
			return
		}
		http.Redirect(w, req, s.URL+"/moved"+req.URL.Path, http.StatusFound)
	}
}

// ServeHTTP answers as the site does now.
func (s *site) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	answer := s.answer
	s.agents = append(s.agents, req.UserAgent())
	s.mu.Unlock()
	answer(w, req)
}

func newSite(t *testing.T, r *testkit.Release) (*site, *person) {
	t.Helper()
	s := &site{answer: http.FileServerFS(os.DirFS(r.Dir)).ServeHTTP}
	s.Server = httptest.NewTLSServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // whoever hangs up is no error here
	t.Cleanup(s.Close)
	p := updating(t, r)
	p.note(s.URL+"/", r)
	ca := p.path("ca.pem")
	if err := os.WriteFile(ca, pemOf(s.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "MEZU_CA_FILE="+ca)
	return s, p
}

func pemOf(certificate []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
}

// cut has somebody get each file of a release from the site cut at some bytes, whether it says how
// long it is or not, and checks that nothing comes of it. Then the site answers as before.
func (s *site) cut(t *testing.T, r *testkit.Release, p *person, get func() (out string, code int)) {
	t.Helper()
	before := p.files()
	whole := s.answer
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.sig", "VERSION", r.Archive} {
		data, err := os.ReadFile(filepath.Join(r.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		length := len(data)
		if name == "SHA256SUMS.sig" {
			length-- // the end of its last line says nothing
		}
		for i, n := range offsets(length, 1, 2) {
			s.answers(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Path != "/"+name {
					whole(w, req)
					return
				}
				if i%2 == 1 {
					w.Header().Set("Content-Length", strconv.Itoa(len(data)))
				}
				w.Write(data[:n])
			})
			if out, code := get(); code == 0 {
				t.Fatalf("%s, %d bytes: %s", name, n, out)
			}
			p.unchanged(before)
		}
	}
	s.answers(whole)
}

// A download that is cut at any byte replaces nothing.
func TestUpdate_CutDownload(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	s, p := newSite(t, r)
	s.cut(t, r, p, func() (string, int) { return p.update() })
	if out, code := p.update(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	p.says("1.3.0")
	if agent := s.agents[0]; agent != "mezu/v1.2.0" {
		t.Errorf("asked as %q", agent)
	}
}

// TestC6_UpdateByHTTPSAlone: an address does not lead to one that somebody on the way can
// answer for, nor round and round, nor to more than a release can have.
func TestC6_UpdateByHTTPSAlone(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	s, p := newSite(t, r)
	before := p.files()
	plain := httptest.NewServer(http.FileServerFS(os.DirFS(r.Dir)))
	defer plain.Close()
	whole := s.answer
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		expect string
	}{
		"to http": {func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, plain.URL+req.URL.Path, http.StatusFound)
		}, "leads away from https"},
		"around":  {func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, req.URL.Path, http.StatusFound) }, "from one address to the next"},
		"nothing": {http.NotFound, "there is no SHA256SUMS"},
		"failing": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502 Bad Gateway"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat([]byte("a"), 64<<10)); err != nil {
					return
				}
			}
		}, "is over"},
	} {
		s.answers(c.answer)
		if out, code := p.update(); code == 0 || !strings.Contains(out, c.expect) {
			t.Errorf("%s: code %d, %s", name, code, out)
		}
		p.unchanged(before)
	}
	s.answers(s.moved(whole))
	if out, code := p.update(); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
}

// Downloads go through the proxy that is named.
func TestUpdate_Proxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.Method+" "+req.Host)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	p := updating(t, testkit.NewRelease(t, "v1.3.0", nil))
	p.env = append(p.env, "MEZU_DOWNLOAD=https://user:secret@releases.example.com/mezu", "HTTPS_PROXY="+proxy.URL)
	out, code := p.update()
	if code != 6 || !slices.Equal(asked, []string{"CONNECT releases.example.com:443"}) {
		t.Errorf("code %d, %s; asked %q", code, out, asked)
	}
	if strings.Contains(out, "secret") {
		t.Errorf("the password is shown: %s", out)
	}
}

// A folder that can't be written to leaves what was there.
func TestUpdate_ReadOnly(t *testing.T) {
	for _, dir := range []string{".local/bin", ".local/share/man/man1", ".local/share/mezu/install"} {
		p := updating(t, testkit.NewRelease(t, "v1.3.0", nil))
		before := p.files()
		readOnly(t, p.path(dir))
		if out, code := p.update(); code != 5 || !strings.Contains(out, "nothing was replaced") {
			t.Errorf("%s: code %d, %s", dir, code, out)
		}
		p.unchanged(before)
	}
}

// A record that is not as install.sh writes it is not gone by.
func TestUpdate_BrokenRecord(t *testing.T) {
	r := testkit.NewRelease(t, "v1.3.0", nil)
	p := updating(t, r)
	path := p.path(".local/share/mezu/install/mezu")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"else x", "file relative", "version ", "mezu-install 2", "file /" + strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(path, []byte(fmt.Sprintf("%s%s\n", good, line)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := p.update(); code != 2 || !strings.Contains(out, "is not what install.sh writes") {
			t.Errorf("%.40s: code %d, %s", line, code, out)
		}
	}
	p.says("v1.2.0")
}
