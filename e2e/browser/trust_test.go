package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestTrust: a Chromium of a person who has never used one refuses the certificate of the edge, and
// accepts it after mezu trust.
func TestTrust(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	testkit.Programs(t, "certutil")
	home := t.TempDir()
	env := append(os.Environ(), "HOME="+home, "MEZU_HOME="+filepath.Join(home, "mezu"), "MEZU_NO_KEYRING=1", "XDG_DATA_HOME=")
	page := func() string {
		cmd := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-component-update", "--user-data-dir="+filepath.Join(home, "chromium"), "--dump-dom", w.url+"/")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	trust := func(args ...string) {
		cmd := exec.Command(w.dev.program, append([]string{"trust", "--user", "--yes", "--api", w.dev.api, "--ca-file", w.dev.ca}, args...)...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mezu trust %s: %v\n%s", args, err, out)
		}
	}
	const workload = "<title>workload</title>"
	if text := page(); strings.Contains(text, workload) {
		t.Fatalf("before: %s", text)
	}
	trust()
	if text := page(); !strings.Contains(text, workload) {
		t.Errorf("after: %s", text)
	}
	trust("--undo")
	databases := 0
	for _, dir := range []string{".pki/nssdb", ".local/share/pki/nssdb"} { // by the version of Chromium
		out, err := exec.Command("certutil", "-L", "-d", "sql:"+filepath.Join(home, dir)).Output()
		if err != nil {
			continue
		}
		if databases++; strings.Contains(string(out), "mezu-") {
			t.Errorf("undone: %s", out)
		}
	}
	if databases == 0 {
		t.Error("there is no database")
	}
}
