package update_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/cli/update/source"
	"github.com/mezusphere/mezu/testkit"
)

const script = "../../install.sh"

// person is somebody with a home of their own.
type person struct {
	t     *testing.T
	home  string
	shell []string
	env   []string
}

// newPerson makes one who runs install.sh by a shell, in an empty environment.
func newPerson(t *testing.T, shell ...string) *person {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("install.sh is for Unix")
	}
	if len(shell) == 0 {
		shell = []string{"sh"}
	}
	testkit.Programs(t, shell[0])
	home := t.TempDir()
	tmp := filepath.Join(home, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	return &person{t: t, home: home, shell: shell, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + tmp}}
}

// from names the release to install.
func (p *person) from(r *testkit.Release) {
	p.env = append(p.env, "MEZU_DOWNLOAD="+r.Dir, "MEZU_RELEASE_KEY="+r.Signers)
}

// install runs install.sh.
func (p *person) install(args ...string) (out string, code int) {
	p.t.Helper()
	path, err := filepath.Abs(script)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.run(append(append(slices.Clone(p.shell), path), args...)...)
}

// run runs a program.
func (p *person) run(argv ...string) (out string, code int) {
	p.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = p.env, p.home
	text, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (p *person) path(name string) string { return filepath.Join(p.home, name) }

// program is where mezu is.
func (p *person) program() string { return p.path(".local/bin/mezu") }

// files are those of the home, but for temporary ones.
func (p *person) files() []string {
	p.t.Helper()
	var out []string
	err := filepath.WalkDir(p.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.home, path)
		if rel == "." || rel == "tmp" {
			return err
		}
		if d.IsDir() {
			rel += "/"
		}
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// says checks which version runs, if any.
func (p *person) says(version string) {
	p.t.Helper()
	if out, code := p.run(p.program(), "version"); code != 0 || out != "mezu "+version+"\n" {
		p.t.Errorf("the program: code %d, %q; want %s", code, out, version)
	}
}

// installed are the files of an installation.
func installed() []string {
	return []string{
		".local/", ".local/bin/", ".local/bin/mezu", ".local/share/", ".local/share/bash-completion/", ".local/share/bash-completion/completions/",
		".local/share/bash-completion/completions/mezu", ".local/share/fish/", ".local/share/fish/vendor_completions.d/", ".local/share/fish/vendor_completions.d/mezu.fish",
		".local/share/man/", ".local/share/man/man1/", ".local/share/man/man1/mezu-tunnel.1", ".local/share/man/man1/mezu.1",
		".local/share/mezu/", ".local/share/mezu/install/", ".local/share/mezu/install/mezu",
		".local/share/zsh/", ".local/share/zsh/site-functions/", ".local/share/zsh/site-functions/_mezu",
	}
}

// shells are those that the script is for.
func shells() map[string][]string {
	return map[string][]string{"dash": {"dash"}, "busybox": {"busybox", "sh"}, "bash": {"bash", "--posix"}}
}

// A release is installed with what belongs to it, replaced by the next, and removed without a
// trace, by each shell.
func TestInstall(t *testing.T) {
	r := testkit.NewRelease(t, "v1.2.0", nil)
	next := testkit.NewRelease(t, "v1.3.0", nil)
	next.Pack(t, "v1.3.0", map[string][]byte{"mezu": []byte("#!/bin/sh\necho mezu v1.3.0\n"), "docs/man/mezu.1": []byte(".\\\" new\n"), "docs/man/mezu-new.1": []byte(".\n")})
	for name, shell := range shells() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t, shell...)
			p.from(r)
			if out, code := p.install(); code != 0 || !strings.Contains(out, "installed "+p.program()) {
				t.Fatalf("code %d, %s", code, out)
			}
			p.says("1.2.0")
			if got := p.files(); !slices.Equal(got, installed()) {
				t.Errorf("there are %q", got)
			}
			p.from(next)
			if out, code := p.install(); code != 0 {
				t.Fatalf("code %d, %s", code, out)
			}
			p.says("v1.3.0")
			for _, gone := range []string{"man/man1/mezu-tunnel.1", "zsh/site-functions/_mezu"} {
				if _, err := os.Stat(p.path(".local/share/" + gone)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there", gone)
				}
			}
			p.env = append(p.env, "MEZU_INSTALL_DIR=other/bin")
			if out, code := p.install(); code != 0 {
				t.Fatalf("code %d, %s", code, out)
			}
			if out, code := p.install("--uninstall"); code != 0 {
				t.Fatalf("code %d, %s", code, out)
			}
			if got := p.files(); len(got) > 0 {
				t.Errorf("left %q", got)
			}
			if out, code := p.install("--uninstall"); code != 1 || !strings.Contains(out, "was not installed by this script") {
				t.Errorf("code %d, %s", code, out)
			}
		})
	}
}

// In this checkout the program is built by the Go that is here, at the version of git.
func TestInstall_Checkout(t *testing.T) {
	if os.Getenv("MEZU_SOAK") == "" {
		t.Skip("builds the whole program; TestInstallPage has a Go that does not, and make soak does it")
	}
	testkit.Programs(t, "git")
	p := newPerson(t)
	p.env = append(p.env, "XDG_CONFIG_HOME="+t.TempDir()) // Go counts there what it is used for
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY"} {
		value, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		p.env = append(p.env, name+"="+strings.TrimSpace(string(value)))
	}
	version, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		t.Skipf("this is no checkout: %v", err)
	}
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	p.says(strings.TrimSpace(string(version)))
	if out, code := p.run(p.program(), "update"); code != 5 || !strings.Contains(out, "this program was built in ") || !strings.Contains(out, "  try: git -C ") {
		t.Errorf("code %d, %s", code, out)
	}
	if out, code := p.install("--uninstall"); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	if got := p.files(); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// Each program goes alone, in any order, and the last one takes the folders with it.
func TestInstall_Several(t *testing.T) {
	r := testkit.NewRelease(t, "v1.2.0", nil)
	r.Pack(t, "v1.2.0", map[string][]byte{"warpgate": []byte("#!/bin/sh\necho warpgate v1.2.0\n"), "man/warpgate.1": []byte(".\n")})
	p := newPerson(t)
	p.from(r)
	for _, program := range []string{"mezu", "warpgate"} {
		if out, code := p.install(program); code != 0 {
			t.Fatalf("code %d, %s", code, out)
		}
	}
	if out, code := p.install("mezu", "--uninstall"); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	if out, code := p.run(p.path(".local/bin/warpgate"), "version"); code != 0 || out != "warpgate v1.2.0\n" {
		t.Errorf("code %d, %s", code, out)
	}
	if out, code := p.install("warpgate", "--uninstall"); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	if got := p.files(); len(got) > 0 {
		t.Errorf("left %q", got)
	}
}

// Two programs are installed at once where there was nothing.
func TestInstall_AtOnce(t *testing.T) {
	r := testkit.NewRelease(t, "v1.2.0", nil)
	r.Pack(t, "v1.2.0", map[string][]byte{"warpgate": []byte("#!/bin/sh\necho warpgate v1.2.0\n"), "man/warpgate.1": []byte(".\n")})
	for range 3 {
		p := newPerson(t)
		p.from(r)
		var both sync.WaitGroup
		for _, program := range []string{"mezu", "warpgate"} {
			both.Go(func() {
				if out, code := p.install(program); code != 0 {
					t.Errorf("%s: code %d, %s", program, code, out)
				}
			})
		}
		both.Wait()
		p.says("1.2.0")
		if out, code := p.run(p.path(".local/bin/warpgate"), "version"); code != 0 || out != "warpgate v1.2.0\n" {
			t.Errorf("code %d, %s", code, out)
		}
	}
}

// What somebody else has in the same folders stays.
func TestInstall_LeavesOthersAlone(t *testing.T) {
	p := newPerson(t)
	p.from(testkit.NewRelease(t, "v1.2.0", nil))
	for _, name := range []string{".local/bin/other", ".local/share/man/man1/other.1", ".local/share/mezu/other", ".config/mezu/profiles"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p.path(name)), 0o755), os.WriteFile(p.path(name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	before := p.files()
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	if out, code := p.install("--uninstall"); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	if got := p.files(); !slices.Equal(got, before) {
		t.Errorf("there are %q, and were %q", got, before)
	}
}

// TestC6_InstallRefuses: what is not signed, or not what was signed, is not installed, and what
// was there still runs.
func TestC6_InstallRefuses(t *testing.T) {
	old := testkit.NewRelease(t, "v1.2.0", nil)
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
	zeros := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		spoil  func(*testing.T, *testkit.Release)
		expect string
	}{
		"no SHA256SUMS": {func(t *testing.T, r *testkit.Release) { remove(t, r, "SHA256SUMS") }, "SHA256SUMS can't be had"},
		"no signature":  {func(t *testing.T, r *testkit.Release) { remove(t, r, "SHA256SUMS.sig") }, "SHA256SUMS.sig can't be had"},
		"another's signature": {func(t *testing.T, r *testkit.Release) {
			r.Key = old.Key
			r.Sign(t, "mezu-release")
		}, "is not signed by a key that is trusted"},
		"signed for something else": {func(t *testing.T, r *testkit.Release) { r.Sign(t, "file") }, "is not signed"},
		"changed after signing": {func(t *testing.T, r *testkit.Release) {
			text(t, r, "SHA256SUMS", r.Sum(t, r.Archive)+r.Sum(t, "VERSION")+"\n")
		}, "is not signed"},
		"no keys":    {func(t *testing.T, r *testkit.Release) { text(t, &testkit.Release{}, r.Signers, "# none\n") }, "no key is known"},
		"not listed": {func(t *testing.T, r *testkit.Release) { r.Sums(t, zeros+"  x"+r.Archive+"\n"+r.Sum(t, "VERSION")) }, "no single digest"},
		"empty list": {func(t *testing.T, r *testkit.Release) { r.Sums(t, "\n") }, "no single digest"},
		"listed twice": {func(t *testing.T, r *testkit.Release) {
			r.Sums(t, r.Sum(t, r.Archive)+r.Sum(t, "VERSION")+zeros+"  "+r.Archive+"\n")
		}, "no single digest"},
		"short digest":                  {func(t *testing.T, r *testkit.Release) { r.Sums(t, "00  "+r.Archive+"\n"+r.Sum(t, "VERSION")) }, "no single digest"},
		"other digest":                  {func(t *testing.T, r *testkit.Release) { r.Sums(t, zeros+"  "+r.Archive+"\n"+r.Sum(t, "VERSION")) }, "is not what SHA256SUMS says"},
		"changed archive":               {func(t *testing.T, r *testkit.Release) { text(t, r, r.Archive, "x") }, "is not what SHA256SUMS says"},
		"no archive":                    {func(t *testing.T, r *testkit.Release) { remove(t, r, r.Archive) }, "can't be had"},
		"another version":               {func(t *testing.T, r *testkit.Release) { text(t, r, "VERSION", "v9.0.0\n") }, "VERSION is not what SHA256SUMS says"},
		"an older version":              {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.2.0-rc.1", nil) }, "which is older than v1.2.0"},
		"a program of another version":  {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.4.0", []byte("#!/bin/sh\necho mezu 1.1.0\n")) }, "says that it is mezu 1.1.0"},
		"a program for another machine": {func(t *testing.T, r *testkit.Release) { r.Fill(t, "v1.4.0", []byte("\x7fELF nothing")) }, "does not start on this machine"},
		"no program":                    {func(t *testing.T, r *testkit.Release) { r.Pack(t, "v1.4.0", map[string][]byte{"README": nil}) }, "holds no mezu"},
		"a link instead": {func(t *testing.T, r *testkit.Release) {
			r.Pack(t, "v1.4.0", map[string][]byte{"mezu": []byte("link to /bin/sh")})
		}, "no plain file"},
		"a file elsewhere": {func(t *testing.T, r *testkit.Release) {
			r.Pack(t, "v1.4.0", map[string][]byte{"mezu": []byte("#!/bin/sh\necho mezu v1.4.0\n"), "../../x": nil})
		}, "something else beside it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPerson(t)
			p.from(old)
			if out, code := p.install(); code != 0 {
				t.Fatalf("code %d, %s", code, out)
			}
			before := p.files()
			r := testkit.NewRelease(t, "v1.3.0", nil)
			c.spoil(t, r)
			p.from(r)
			out, code := p.install()
			if code != 1 || !strings.Contains(out, c.expect) || !strings.Contains(out, "nothing was installed") {
				t.Errorf("code %d, %s; want %q", code, out, c.expect)
			}
			p.says("1.2.0")
			if got := p.files(); !slices.Equal(got, before) {
				t.Errorf("there are %q", got)
			}
			if left, err := os.ReadDir(p.path("tmp")); err != nil || len(left) > 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// tools makes a folder of what install.sh needs anyway, and of others.
func tools(t *testing.T, bin string, others ...string) {
	t.Helper()
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tool := range append([]string{"uname", "dirname", "basename", "mktemp", "cp", "mv", "rm", "mkdir", "rmdir", "chmod", "cat", "tr", "awk", "sed", "grep", "find", "sort", "head", "tar", "gzip", "sha256sum", "cut", "ln", "sh"}, others...) {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("%s is not here", tool)
		}
		if err := os.Symlink(path, filepath.Join(bin, filepath.Base(tool))); err != nil {
			t.Fatal(err)
		}
	}
}

// Without ssh-keygen nothing is installed, unless that is asked for.
func TestC6_InstallUnsigned(t *testing.T) {
	p := newPerson(t)
	r := testkit.NewRelease(t, "v1.2.0", nil)
	p.from(r)
	bin := p.path("tmp/bin")
	tools(t, bin)
	p.env = append(p.env, "PATH="+bin)
	if out, code := p.install(); code != 1 || !strings.Contains(out, "ssh-keygen is not here") {
		t.Fatalf("code %d, %s", code, out)
	}
	if out, code := p.install("--unsigned"); code != 0 || !strings.Contains(out, "who made this release is not checked") {
		t.Fatalf("code %d, %s", code, out)
	}
	p.says("1.2.0")
}

// An older release is installed if somebody says so.
func TestInstall_Older(t *testing.T) {
	p := newPerson(t)
	p.from(testkit.NewRelease(t, "v1.10.0", nil))
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	p.from(testkit.NewRelease(t, "v1.9.0", nil))
	if out, code := p.install(); code != 1 {
		t.Fatalf("code %d, %s", code, out)
	}
	if out, code := p.install("--older"); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	p.says("1.9.0")
}

// TestC6_SameOrder: the script and mezu update mean the same by older, by each shell.
func TestC6_SameOrder(t *testing.T) {
	versions := []string{"v0.9.10", "1.0.0-alpha.1", "1.0.0-alpha.beta", "v1.0.0-rc.9", "v1.0.0-rc.10", "v1.0.0-rc.10-2-g0a1b2c3", "v1.0.0", "v1.0.0-3-gabcdef0", "v1.0.0-12-gabcdef0-dirty",
		"1.0.1-pre1700000000", "1.0.1-pre1700000001", "v1.2.0", "v1.10.0", "380cf70", "devel", "v1.2"}
	var pairs, want []string
	for i, a := range versions {
		for _, b := range versions[max(0, i-1):min(len(versions), i+2)] {
			v, ok := source.ParseVersion(a)
			w, also := source.ParseVersion(b)
			pairs = append(pairs, a+" "+b)
			want = append(want, fmt.Sprintf("%s %s %v", a, b, ok && also && v.Compare(w) > 0))
		}
	}
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	_, function, _ := strings.Cut(string(text), "\nnewer() {\n")
	function, _, ok := strings.Cut(function, "\n}\n")
	if !ok {
		t.Fatal("the script has no function newer")
	}
	for name, shell := range shells() {
		p := newPerson(t, shell...)
		if busybox, err := exec.LookPath("busybox"); err == nil && name == "busybox" {
			if err := os.Symlink(busybox, p.path("tmp/awk")); err != nil {
				t.Fatal(err)
			}
			p.env = append(p.env, "PATH="+p.path("tmp")+":"+os.Getenv("PATH"))
		}
		program := "newer() {\n" + function + "\n}\nwhile read -r a b; do if newer $a $b; then echo $a $b true; else echo $a $b false; fi; done <<.\n" + strings.Join(pairs, "\n") + "\n.\n"
		out, code := p.run(append(slices.Clone(p.shell), "-c", program)...)
		if got := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || !slices.Equal(got, want) {
			t.Errorf("%s: code %d, %q; want %q", name, code, got, want)
		}
	}
}

func TestInstall_Usage(t *testing.T) {
	for name, c := range map[string]struct {
		from, arg, expect string
		code              int
	}{
		"plain http":      {"http://127.0.0.1:1/x", "mezu", "is not https", 2},
		"no folder":       {"nowhere", "mezu", "neither https:// nor a folder", 2},
		"unknown program": {".", "../mezu", "the programs are", 2},
		"unreachable":     {"https://ana:secret@127.0.0.1:1/x", "mezu", "can't be had from https://127.0.0.1:1/x;", 1},
	} {
		p := newPerson(t)
		p.env = append(p.env, "MEZU_DOWNLOAD="+c.from)
		if out, code := p.install(c.arg); code != c.code || !strings.Contains(out, c.expect) || strings.Contains(out, "secret") {
			t.Errorf("%s: code %d, %s", name, code, out)
		}
		if got := p.files(); len(got) > 0 {
			t.Errorf("%s: left %q", name, got)
		}
	}
	// What the record could not say is not installed.
	for _, dir := range []string{"a\tb", "a\nb", "a\x1b[2Jb"} {
		p := newPerson(t)
		p.from(testkit.NewRelease(t, "v1.2.0", nil))
		p.env = append(p.env, "MEZU_INSTALL_DIR="+p.path(dir))
		if out, code := p.install(); code != 2 || !strings.Contains(out, "can't be noted") {
			t.Errorf("%q: code %d, %s", dir, code, out)
		}
		if got := p.files(); len(got) > 0 {
			t.Errorf("%q: left %q", dir, got)
		}
	}
	// Elsewhere than in a checkout it has to be told.
	p := newPerson(t)
	text, err := os.ReadFile(script)
	if err == nil {
		err = os.WriteFile(p.path("tmp/install.sh"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, code := p.run("sh", p.path("tmp/install.sh")); code != 2 || !strings.Contains(out, "MEZU_DOWNLOAD does not say") {
		t.Errorf("code %d, %s", code, out)
	}
}

// A script of which a part arrived does nothing, whichever part.
func TestC6_InstallCut(t *testing.T) {
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	p := newPerson(t)
	p.from(testkit.NewRelease(t, "v1.2.0", nil))
	cut := p.path("tmp/cut.sh")
	for _, n := range offsets(len(text)-1, len("{ main \"$@\"; }"), 12) { // the line's end may be missing
		if err := os.WriteFile(cut, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		p.run("sh", cut)
		if got := p.files(); !slices.Equal(got, []string{"tmp/cut.sh"}) {
			t.Fatalf("%d bytes of it did %q", n, got)
		}
	}
}

// A release that comes over https is cut at any byte, or led elsewhere, and nothing is installed.
func TestInstall_HTTPS(t *testing.T) {
	testkit.Programs(t, "curl")
	r := testkit.NewRelease(t, "v1.3.0", nil)
	s, p := newSite(t, r)
	before := p.files()
	p.env = append(p.env, "MEZU_DOWNLOAD="+s.URL, "MEZU_RELEASE_KEY="+r.Signers)
	s.cut(t, r, p, func() (string, int) {
		out, code := p.install()
		if code != 1 || !strings.Contains(out, "nothing was installed") {
			t.Errorf("code %d, %s", code, out)
		}
		return out, code
	})
	whole := s.answer
	plain := httptest.NewServer(http.HandlerFunc(whole))
	defer plain.Close()
	toPlain := func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, plain.URL+req.URL.Path, http.StatusFound)
	}
	s.answers(toPlain)
	if out, code := p.install(); code != 1 || !strings.Contains(out, "nothing was installed") {
		t.Errorf("code %d, %s", code, out)
	}
	p.unchanged(before)
	moved := s.moved(whole)
	if wget, err := exec.LookPath("wget"); err == nil { // where there is no curl
		bin := p.path("tmp/bin")
		tools(t, bin, wget, "ssh-keygen")
		alone := &person{t: t, home: p.home, shell: p.shell, env: append(slices.Clone(p.env), "PATH="+bin, "MEZU_INSTALL_DIR="+p.path("tmp/other"), "XDG_DATA_HOME="+p.path("tmp/share"))}
		if out, code := alone.install(); code != 1 || !strings.Contains(out, "nothing was installed") {
			t.Errorf("by wget, led to http: code %d, %s", code, out)
		}
		for _, answer := range []http.HandlerFunc{whole, moved} {
			s.answers(answer)
			if out, code := alone.install(); code != 0 {
				t.Errorf("by wget: code %d, %s", code, out)
			}
		}
	}
	s.answers(moved)
	if out, code := p.install(); code != 0 {
		t.Errorf("code %d, %s", code, out)
	}
	p.says("1.3.0")
}

// A disk that is full before all is in place leaves what was there.
func TestInstall_FullDisk(t *testing.T) {
	p := newPerson(t)
	p.from(testkit.NewRelease(t, "v1.2.0", nil))
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	before := p.files()
	big := append([]byte("#!/bin/sh\necho mezu 1.3.0\nexit\n"), make([]byte, 600<<10)...)
	for i := range big[64:] {
		big[64+i] = byte(i * i >> 3)
	}
	p.from(testkit.NewRelease(t, "v1.3.0", big))
	// Blocks of 512 bytes, or 1,024: the archive fits, or does not, or a file of it.
	for _, blocks := range []string{"0", "1", "100", "500"} {
		path, _ := filepath.Abs(script)
		if out, code := p.run("sh", "-c", "trap '' XFSZ; ulimit -f "+blocks+"; exec sh "+path); code == 0 {
			t.Errorf("%s blocks: %s", blocks, out)
		}
		p.says("1.2.0")
		if got := p.files(); !slices.Equal(got, before) {
			t.Errorf("%s blocks: there are %q", blocks, got)
		}
	}
}

// readOnly makes a folder one that can't be written to until the test ends, for root too.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(dir, 0o700) })
		return
	}
	mountReadOnly(t, dir)
}

// A folder that can't be written to is left as it is, and so is the rest.
func TestInstall_ReadOnly(t *testing.T) {
	for _, dir := range []string{".local/bin", ".local/share/man/man1", ".local/share/mezu/install"} {
		p := newPerson(t)
		p.from(testkit.NewRelease(t, "v1.2.0", nil))
		if out, code := p.install(); code != 0 {
			t.Fatalf("code %d, %s", code, out)
		}
		before := p.files()
		readOnly(t, p.path(dir))
		p.from(testkit.NewRelease(t, "v1.3.0", nil))
		out, code := p.install()
		if code != 1 || !strings.Contains(out, "nothing was installed") {
			t.Errorf("%s: code %d, %s", dir, code, out)
		}
		p.says("1.2.0")
		if got := p.files(); !slices.Equal(got, before) {
			t.Errorf("%s: there are %q", dir, got)
		}
	}
}

// A signal at any moment leaves the old program or the new one, and nothing beside it.
func TestInstall_Interrupted(t *testing.T) {
	p := newPerson(t)
	p.from(testkit.NewRelease(t, "v1.2.0", nil))
	if out, code := p.install(); code != 0 {
		t.Fatalf("code %d, %s", code, out)
	}
	before := p.files()
	// The new program is what is asked for its version while it is staged. Then it has the script
	// interrupted, which is its parent's parent or its parent.
	p.from(testkit.NewRelease(t, "v1.3.0", []byte("#!/bin/sh\nkill -TERM \"$INSTALLER\"\necho mezu 1.3.0\n")))
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	if out, code := p.run("sh", "-c", "INSTALLER=$$; export INSTALLER; exec sh "+path); code != 130 {
		t.Errorf("code %d, %s", code, out)
	}
	p.says("1.2.0")
	if got := p.files(); !slices.Equal(got, before) {
		t.Errorf("there are %q", got)
	}
}

// The script and mezu update trust the same keys.
func TestInstall_SameKeys(t *testing.T) {
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile("allowed_signers")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for line := range strings.Lines(string(list)) {
		if !strings.HasPrefix(line, "#") {
			keys = append(keys, strings.TrimSpace(line))
		}
	}
	if !strings.Contains(string(text), "\nrelease_keys='"+strings.Join(keys, "\n")+"'\n") {
		t.Errorf("install.sh has other release_keys than cli/update/allowed_signers: %q", keys)
	}
}

func TestInstall_Shellcheck(t *testing.T) {
	testkit.Programs(t, "shellcheck")
	if out, err := exec.Command("shellcheck", "--norc", "--shell=sh", script).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The names in install.sh are those that a release makes.
func TestInstall_KnowsTheArchives(t *testing.T) {
	config, err := os.ReadFile("../../goreleaser.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"mezu", "warpgate", "mezusphere"} {
		if !strings.Contains(string(config), program+"_{{ .Os }}_{{ .Arch }}") {
			t.Errorf("goreleaser.yaml names no archive of %s as install.sh expects it", program)
		}
	}
	if !strings.Contains(string(config), "name_template: SHA256SUMS") {
		t.Error("goreleaser.yaml makes no SHA256SUMS")
	}
}
