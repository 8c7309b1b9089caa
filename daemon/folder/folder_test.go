package folder_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/folder"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site makes a folder with files, beside others that must not be seen.
func site(t testing.TB) string {
	t.Helper()
	outer := t.TempDir()
	root := filepath.Join(outer, "site")
	for name, text := range map[string]string{
		"secret.txt": "secret", "site/index.html": "<h1>home</h1>", "site/app.js": "js", "site/a b&c.txt": "blank", "site/deep/page.html": "page", "site/docs/index.html": "docs",
		"site/.env": "secret", "site/.git/config": "secret", "site/deep/.hidden": "secret", "site/data.json": "{}", "site/LICENSE": "free", "site/big.txt": "0123456789",
	} {
		name = filepath.Join(outer, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func open(t *testing.T, c folder.Config) *folder.Folder {
	t.Helper()
	f, err := folder.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// get asks as a client that writes its path as it likes.
func get(t *testing.T, f http.Handler, method, target string, fields ...string) *http.Response {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(fields, "", ""), "\r\n"))))
	if err != nil {
		return &http.Response{StatusCode: http.StatusBadRequest, Body: http.NoBody}
	}
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, r)
	return rec.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFiles(t *testing.T) {
	f := open(t, folder.Config{Path: site(t)})
	for target, want := range map[string]struct {
		status     int
		kind, text string
	}{
		"/":               {200, "text/html; charset=utf-8", "<h1>home</h1>"},
		"/?x=1":           {200, "text/html; charset=utf-8", "<h1>home</h1>"},
		"/index.html":     {200, "text/html; charset=utf-8", "<h1>home</h1>"},
		"/app.js":         {200, "text/javascript; charset=utf-8", "js"},
		"/a%20b%26c.txt":  {200, "text/plain; charset=utf-8", "blank"},
		"/data.json":      {200, "application/json", "{}"},
		"/LICENSE":        {200, "text/plain; charset=utf-8", "free"},
		"/docs/":          {200, "text/html; charset=utf-8", "docs"},
		"/deep/page.html": {200, "text/html; charset=utf-8", "page"},
		"/deep/":          {404, "text/plain; charset=utf-8", "404 Not Found\n"},
		"/missing":        {404, "text/plain; charset=utf-8", "404 Not Found\n"},
		"/app.js/":        {404, "text/plain; charset=utf-8", "404 Not Found\n"},
		"/app.js/x":       {404, "text/plain; charset=utf-8", "404 Not Found\n"},
	} {
		resp := get(t, f, "GET", target)
		if text := body(t, resp); resp.StatusCode != want.status || resp.Header.Get("Content-Type") != want.kind || text != want.text || resp.Header.Get("Cache-Control") != "no-cache" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %v %q", target, resp.Status, resp.Header, text)
		}
		if resp := get(t, f, "HEAD", target); resp.StatusCode != want.status {
			t.Errorf("HEAD %s: %s", target, resp.Status)
		}
	}
	for target, want := range map[string]string{"/docs": "./docs/", "/docs?a=b": "./docs/?a=b"} {
		if resp := get(t, f, "GET", target); resp.StatusCode != 307 || resp.Header.Get("Location") != want {
			t.Errorf("%s: %s %v", target, resp.Status, resp.Header)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"} {
		if resp := get(t, f, method, "/"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s %v", method, resp.Status, resp.Header)
		}
	}
}

// A browser that has a file asks whether it is still the same, and gets a part of it if it
// wants no more.
func TestETagAndRanges(t *testing.T) {
	root := site(t)
	f := open(t, folder.Config{Path: root})
	tag := get(t, f, "GET", "/big.txt").Header.Get("ETag")
	if len(tag) < 3 || tag[0] != '"' {
		t.Fatalf("ETag: %s", tag)
	}
	for fields, want := range map[string]string{
		"If-None-Match: " + tag:                   "304 ",
		"If-None-Match: \"other\"":                "200 0123456789",
		"Range: bytes=2-4":                        "206 234",
		"Range: bytes=-3":                         "206 789",
		"Range: bytes=2-4\r\nIf-Range: " + tag:    "206 234",
		"Range: bytes=2-4\r\nIf-Range: \"other\"": "200 0123456789",
		"Range: bytes=20-":                        "416 invalid range: failed to overlap\n",
	} {
		resp := get(t, f, "GET", "/big.txt", fields)
		if got := fmt.Sprint(resp.StatusCode, " ", body(t, resp)); got != want {
			t.Errorf("%q: %q, want %q", fields, got, want)
		}
	}
	name := filepath.Join(root, "big.txt")
	if err := os.WriteFile(name, []byte("9876543210"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if resp := get(t, f, "GET", "/big.txt", "If-None-Match: "+tag); resp.StatusCode != 200 || resp.Header.Get("ETag") == tag {
		t.Errorf("a changed file: %s %v", resp.Status, resp.Header)
	}
}

// No way to write a path leads outside or to what begins with a dot.
func TestAttackPaths(t *testing.T) {
	root := site(t)
	for _, spa := range []bool{false, true} {
		f := open(t, folder.Config{Path: root, Listing: true, SPA: spa})
		for _, target := range []string{
			"/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/%2E%2E%2Fsecret.txt", "/deep/../../secret.txt", "/deep/..%2f..%2fsecret.txt", "/..\\secret.txt", "/..%5csecret.txt", "/%5c..%5csecret.txt",
			"/.env", "/%2eenv", "/.git/config", "/.git/", "/.git", "/deep/.hidden", "/deep/%2ehidden", "/deep/./page.html", "/deep/%2e/page.html", "/./index.html", "/.", "/..", "/%2e", "/%2e%2e", "/%2e/",
			"/%E2%80%8C.git/config", "/%E2%80%8D.env", "/.%E2%80%8Cenv",
			"//secret.txt", "//etc/passwd", "/deep//page.html", "//", "/deep%2fpage.html", "/deep%2Fpage.html", "/index.html%00", "/index.html%00.txt", "/%00", "/a%ff%fe", "/...", "/....//secret.txt",
			"/..;/secret.txt", "/.;/secret.txt", "/%252e%252e/secret.txt/.x", "/" + strings.Repeat("../", 50) + "etc/passwd",
		} {
			resp := get(t, f, "GET", target)
			if text := body(t, resp); resp.StatusCode != 404 && resp.StatusCode != 400 || strings.Contains(text, "secret") {
				t.Errorf("%s: %d %q", target, resp.StatusCode, text)
			}
		}
	}
}

// Names that Windows reads in its own way are no names there, and harmless elsewhere.
func TestAttackWindowsNames(t *testing.T) {
	f := open(t, folder.Config{Path: site(t)})
	for _, target := range []string{"/CON", "/nul", "/aux.txt", "/COM1", "/LPT1.txt", "/C:/secret.txt", "/c:secret.txt", "/index.html::$DATA", "/.git::$INDEX_ALLOCATION/config", "/GIT~1/config", "/%5c%5c?%5cC:%5csecret.txt", "/index.html.", "/index.html%20", "/index.html.%20."} {
		resp := get(t, f, "GET", target)
		if resp.StatusCode != 404 && resp.StatusCode != 400 {
			t.Errorf("%s: %s %q", target, resp.Status, body(t, resp))
		}
	}
}

// A link within the folder is followed, and none that leads outside of it.
func TestAttackLinks(t *testing.T) {
	root := site(t)
	for name, to := range map[string]string{
		"inside.js": "app.js", "insidedir": "docs", "out.txt": "../secret.txt", "absolute.txt": filepath.Join(filepath.Dir(root), "secret.txt"), "up": "..", "chain": "up", "loop": "loop", "etc": "/etc", "dangling": "nothing",
	} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Skip(err)
		}
	}
	f := open(t, folder.Config{Path: root, Listing: true})
	for target, want := range map[string]int{
		"/inside.js": 200, "/insidedir/": 200, "/out.txt": 404, "/absolute.txt": 404, "/up/": 404, "/up": 404, "/up/secret.txt": 404, "/chain/secret.txt": 404, "/loop": 404, "/etc/passwd": 404, "/etc/": 404, "/dangling": 404,
	} {
		if resp := get(t, f, "GET", target); resp.StatusCode != want {
			t.Errorf("%s: %s %q", target, resp.Status, body(t, resp))
		}
	}
	// Nor is any shown in a listing.
	if err := os.Remove(filepath.Join(root, "index.html")); err != nil {
		t.Fatal(err)
	}
	text := body(t, get(t, f, "GET", "/"))
	for name, shown := range map[string]bool{"inside.js": true, "insidedir/": true, "app.js": true, "out.txt": false, "up": false, "loop": false, "etc": false, ".env": false, ".git": false, "dangling": false} {
		if strings.Contains(text, ">"+name+"<") != shown {
			t.Errorf("%s in %s", name, text)
		}
	}
}

// The folder is the one that was opened, whatever comes in its place.
func TestAttackSwappedFolder(t *testing.T) {
	root := site(t)
	f := open(t, folder.Config{Path: root})
	if err := os.Rename(root, root+"-was"); err != nil {
		t.Skip(err) // Windows keeps an open folder
	}
	if err := os.Symlink("/", root); err != nil {
		t.Fatal(err)
	}
	if text := body(t, get(t, f, "GET", "/")); text != "<h1>home</h1>" {
		t.Errorf("%q", text)
	}
	if resp := get(t, f, "GET", "/etc/passwd"); resp.StatusCode != 404 {
		t.Error(resp.Status)
	}
}

func TestListing(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"b.txt", "<script>.txt", "a&b \"c\".txt", "javascript:alert(1)"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil && runtime.GOOS != "windows" {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sub", "er"), 0o700); err != nil {
		t.Fatal(err)
	}
	f := open(t, folder.Config{Path: root, Listing: true})
	resp := get(t, f, "GET", "/")
	text := body(t, resp)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Security-Policy") != "default-src 'none'" || strings.Contains(text, "<script") || strings.Contains(text, "../") {
		t.Errorf("%v %s", resp.Header, text)
	}
	want := []string{`<a href="./sub/">sub/</a>`, `<a href="./b.txt">b.txt</a>`}
	if runtime.GOOS != "windows" {
		want = append(want, `<a href="./%3Cscript%3E.txt">&lt;script&gt;.txt</a>`, `<a href="./a&b%20%22c%22.txt">a&amp;b &#34;c&#34;.txt</a>`, `<a href="./javascript:alert%281%29">`)
	}
	for _, line := range want {
		if !strings.Contains(text, line) {
			t.Errorf("%s is not in %s", line, text)
		}
	}
	if text := body(t, get(t, f, "GET", "/sub/")); !strings.Contains(text, `<a href="../">`) || !strings.Contains(text, `<a href="./er/">`) {
		t.Error(text)
	}
	if text := body(t, get(t, f, "HEAD", "/")); text != "" {
		t.Errorf("HEAD has %q", text)
	}
	if resp := get(t, open(t, folder.Config{Path: root}), "GET", "/"); resp.StatusCode != 404 {
		t.Errorf("without --listing: %s", resp.Status)
	}
}

// A folder of more files than anybody reads has an end.
func TestListing_Bounded(t *testing.T) {
	root := t.TempDir()
	for i := range folder.MaxListed + 1 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprint(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := body(t, get(t, open(t, folder.Config{Path: root, Listing: true}), "GET", "/"))
	if n := strings.Count(text, "<a "); n != folder.MaxListed || !strings.Contains(text, "of more.") {
		t.Errorf("%d entries", n)
	}
}

// A path of a program in the browser is its page; a file that is missing is missing.
func TestSPA(t *testing.T) {
	f := open(t, folder.Config{Path: site(t), SPA: true})
	for target, want := range map[string]int{"/users/7": 200, "/users/7/": 200, "/deep/": 200, "/deep/x": 200, "/assets/app.js": 404, "/users/a.b": 404, "/.git/x": 404} {
		resp := get(t, f, "GET", target)
		if text := body(t, resp); resp.StatusCode != want || want == 200 && (text != "<h1>home</h1>" || resp.Header.Get("Content-Type") != "text/html; charset=utf-8") {
			t.Errorf("%s: %s %q", target, resp.Status, text)
		}
	}
}

func TestOpen_Refuses(t *testing.T) {
	root := site(t)
	for _, path := range []string{filepath.Join(root, "app.js"), filepath.Join(root, "missing")} {
		if _, err := folder.Open(folder.Config{Path: path}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The server's way is this user's alone, serves while its context lives, and leaves nothing.
func TestServer(t *testing.T) {
	s, err := folder.Listen(folder.Config{Path: site(t)})
	if err != nil {
		t.Fatal(err)
	}
	u := s.Upstream()
	if u.Scheme == mezu.UpstreamUnix && runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{u.Address: 0o600, filepath.Dir(u.Address): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v %v", path, info.Mode(), err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, u.Network(), u.Address)
	}}}
	resp, err := client.Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, resp); text != "<h1>home</h1>" {
		t.Error(text)
	}
	resp.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if u.Scheme == mezu.UpstreamUnix {
		if _, err := os.Stat(u.Address); !os.IsNotExist(err) {
			t.Errorf("the socket is left: %v", err)
		}
		if _, err := os.Stat(filepath.Dir(u.Address)); !os.IsNotExist(err) {
			t.Errorf("its folder is left: %v", err)
		}
	}
}

// Where the path for temporary files is too long for a socket there is no port instead, which
// would be open to all users of the machine, whatever password the tunnel asks for.
func TestAttackReadByAnotherUser(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a folder for temporary files is a user's own there")
	}
	root, long := site(t), filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	s, err := folder.Listen(folder.Config{Path: root})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if u := s.Upstream(); u.Scheme != mezu.UpstreamUnix {
		t.Errorf("it listens on %v", u)
	}
}

func TestServer_Closed(t *testing.T) {
	s, err := folder.Listen(folder.Config{Path: site(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a closed server runs")
	}
}

// FuzzPaths: whatever a path is, nothing outside and nothing hidden comes of it.
func FuzzPaths(f *testing.F) {
	for _, path := range []string{"/", "/docs", "/../secret.txt", "/.env", "/deep/%2e%2e/.git/config", "//", "/a\x00", "/out.txt"} {
		f.Add(path, path)
	}
	root := site(f)
	os.Symlink("../secret.txt", filepath.Join(root, "out.txt"))
	files, err := folder.Open(folder.Config{Path: root, Listing: true, SPA: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { files.Close() })
	f.Fuzz(func(t *testing.T, path, raw string) {
		rec := httptest.NewRecorder()
		files.ServeHTTP(rec, &http.Request{Method: "GET", URL: &url.URL{Path: path, RawPath: raw}})
		if strings.Contains(rec.Body.String(), "secret") || strings.HasPrefix(rec.Header().Get("Location"), "/") {
			t.Errorf("%q %q: %d %v %s", path, raw, rec.Code, rec.Header(), rec.Body)
		}
	})
}
