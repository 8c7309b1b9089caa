package profile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/profile"
)

func TestSaveAndLoad(t *testing.T) {
	s := profile.Store{Dir: filepath.Join(t.TempDir(), "config")}
	if _, err := s.Load("dev"); !errors.Is(err, profile.ErrNone) || mezu.CodeOf(err) != mezu.CodeNotFound {
		t.Fatalf("without a file: %v", err)
	}
	want := profile.Profile{API: "https://localhost:7443", CAFile: "/x/ca.pem", Organization: "dev", Project: "shop", Environment: "development"}
	if err := s.Save("dev", want, profile.Credential{Token: "mezu_secret"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Load("dev")
	if err != nil || *got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	c, repaired, err := s.Credential("dev")
	if c != (profile.Credential{Token: "mezu_secret"}) || repaired || err != nil {
		t.Fatalf("%v, %v", repaired, err)
	}
	if names, err := s.Names(); err != nil || len(names) != 1 || names[0] != "dev" {
		t.Errorf("names %q, %v", names, err)
	}
	if err := s.SetDefault("dev"); err != nil {
		t.Fatal(err)
	}
	if name, err := s.Default(); name != "dev" || err != nil {
		t.Errorf("default %q, %v", name, err)
	}
	for range 2 {
		if err := s.Remove("dev"); err != nil {
			t.Fatal(err)
		}
	}
	if name, _ := s.Default(); name != "" {
		t.Errorf("removed, still the default: %q", name)
	}
	if c, _, _ := s.Credential("dev"); c.Token != "" {
		t.Error("removed, still a token")
	}
}

// A login that renews itself is kept whole, and a damaged file says so without what is in it.
func TestCredential(t *testing.T) {
	s := profile.Store{Dir: filepath.Join(t.TempDir(), "config")}
	want := profile.Credential{Token: "mezu_a", Refresh: "mezu_refresh_b", ExpiresAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if err := s.SaveCredential("acme", want); err != nil {
		t.Fatal(err)
	}
	if got, repaired, err := s.Credential("acme"); got != want || repaired || err != nil {
		t.Errorf("%v, %v", repaired, err)
	}
	path := filepath.Join(s.Dir, "credentials", "acme")
	for _, text := range []string{`{"token": "mezu_a`, `{"token": 7}`, `{"token": "mezu_a\nb"}`, "mezu_a\nmezu_b\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, _, err := s.Credential("acme"); err == nil || got.Token != "" || strings.Contains(err.Error(), "mezu_a") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for range 2 {
		if err := s.RemoveCredential("acme"); err != nil {
			t.Error(err)
		}
	}
	held, err := s.LockCredential(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.LockCredential(ended, "acme"); !errors.Is(err, context.Canceled) {
		t.Errorf("while another one holds it: %v", err)
	}
	if other, err := s.LockCredential(t.Context(), "lock"); err != nil || other.Close() != nil {
		t.Errorf("another profile's: %v", err)
	}
	got := make(chan error, 1)
	go func() {
		next, err := s.LockCredential(t.Context(), "acme")
		if err == nil {
			err = next.Close()
		}
		got <- err
	}()
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	if _, err := s.LockCredential(t.Context(), "../x"); err == nil {
		t.Error("a name that leads elsewhere")
	}
}

func TestC4CredentialFilesArePrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are those of Unix")
	}
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.MkdirAll(filepath.Join(dir, "credentials"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := profile.Store{Dir: dir}
	if err := s.Save("dev", profile.Profile{API: "https://a"}, profile.Credential{Token: "secret"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "credentials", "dev")
	mode := func(p string) os.FileMode {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if mode(path) != 0o600 || mode(filepath.Dir(path)) != 0o700 {
		t.Errorf("file %o in directory %o", mode(path), mode(filepath.Dir(path)))
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, repaired, err := s.Credential("dev"); !repaired || err != nil || mode(path) != 0o600 {
		t.Errorf("a readable file: repaired %v, %v, mode %o", repaired, err, mode(path))
	}
}

// Issue 7, row 13: what others could have written or put there sends no token anywhere.
func TestRow13ConfigurationOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes are those of Unix")
	}
	dir := filepath.Join(t.TempDir(), "config")
	s := profile.Store{Dir: dir}
	if err := s.Save("dev", profile.Profile{API: "https://a"}, profile.Credential{Token: "secret"}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"", "profiles", "credentials", "profiles/dev.yaml", "credentials/dev"} {
		path := filepath.Join(dir, at)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
		_, loaded := s.Load("dev")
		_, _, token := s.Credential("dev")
		err = errors.Join(loaded, token)
		var refused *mezu.Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Detail, path) || refused.Hint == "" || !strings.Contains(refused.Hint, "chmod go-w "+path) {
			t.Errorf("%s of mode 0777: %v", at, err)
		}
		if err := os.Chmod(path, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load("dev"); err != nil {
		t.Error(err)
	}
}

func TestBadNamesAndFiles(t *testing.T) {
	s := profile.Store{Dir: t.TempDir()}
	for _, name := range []string{"", "../x", "a/b", "A", "."} {
		if _, err := s.Load(name); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
		if err := s.Save(name, profile.Profile{}, profile.Credential{}); mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "profiles"), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"api: https://x\nnonsense: 1\n": "2:1",
		"api: [\n":                      "reading profile",
		strings.Repeat("#", 100<<10):    "more than",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, "profiles", "dev.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load("dev"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, org, project, err string }{
		{"organization: acme\nproject: shop\nroles: {}\n", "acme", "shop", ""},
		{"\ufefforganization: \"acme\"  # us\nenvironments:\n  x:\n    project: no\n", "acme", "", ""},
		{"project : 'shop'\r\n", "", "shop", ""},
		{"", "", "", ""},
		{"a: 1\nproject: Not A Name\n", "", "", "mezu.yaml:2:1: one name"},
		{"project: a\nproject: b\n", "", "", "mezu.yaml:2:1: one name"},
		{"project:\n  - a\n", "", "", "mezu.yaml:1:1: one name"},
	} {
		if err := os.WriteFile(filepath.Join(top, "mezu.yaml"), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := profile.Find(deep)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.text, err, c.err)
			}
			continue
		}
		if err != nil || got.Organization != c.org || got.Project != c.project || got.Path != filepath.Join(top, "mezu.yaml") {
			t.Errorf("%q: %+v, %v", c.text, got, err)
		}
	}
}

func TestC7HugeFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "mezu.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(100 << 20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := profile.Find(dir); mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), "more than") {
		t.Errorf("100 MiB: %v", err)
	}
}

// C7: a profile that is wrong is an error with its line, and takes no memory to speak of.
func TestC7_ProfileFiles(t *testing.T) {
	s := profile.Store{Dir: filepath.Join(t.TempDir(), "config")}
	if err := s.Save("acme", profile.Profile{API: "https://a"}, profile.Credential{Token: "mezu_a"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Dir, "profiles", "acme.yaml")
	// Each line names the one before nine times: at the end it would be 9^40 words.
	bomb := "api: https://a\nx0: &x0 lol\n"
	for i := range 40 {
		bomb += fmt.Sprintf("x%d: &x%d [%s*x%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d, ", i), 8), i)
	}
	inner := "api: &a0 [lol, lol]\n"
	for i := range 40 {
		inner += fmt.Sprintf("%s: &a%d [%s*a%d]\n", []string{"organization", "project", "environment", "ca_file"}[i%4], i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 8), i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":  {"api: https://a\norganisation: acme\n", `[2:1] unknown field "organisation"`},
		"a wrong type":    {"api: https://a\nproject: [shop]\n", "[2:10]"},
		"a key twice":     {"api: https://a\napi: https://evil.example\n", "[2:1]"},
		"an alias bomb":   {bomb, "unknown field"},
		"a bomb in a key": {inner, "acme.yaml"},
		"a deep one":      {"api: " + strings.Repeat("[", 8_000), "acme.yaml"},
		"a deeper one":    {"api: " + strings.Repeat("[", 60_000), "more than"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Load("acme")
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("%s takes %d MiB", name, used>>20)
		}
	}
	for _, big := range []string{path, filepath.Join(s.Dir, "credentials", "acme"), filepath.Join(s.Dir, "default")} {
		if err := os.WriteFile(path, []byte("api: https://a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(big, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(big, 100<<20); err != nil {
			t.Fatal(err)
		}
		_, loaded := s.Load("acme")
		_, _, read := s.Credential("acme")
		_, chosen := s.Default()
		if err := errors.Join(loaded, read, chosen); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("100 MiB of %s: %v", big, err)
		}
		if err := os.Remove(big); err != nil {
			t.Fatal(err)
		}
	}
}
