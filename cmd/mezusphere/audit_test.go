package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
)

// archived makes an archive of one segment, and the file of its trust root.
func archived(t *testing.T) (dir, root string) {
	t.Helper()
	public, rootKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auditPublic, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	keyset, err := mezu.Sign(mezu.PurposeKeyset, "trust-root", rootKey, mezu.Keyset{Version: 1, NotAfter: now.Add(time.Hour), CARoots: []string{"-"},
		Keys: []mezu.PublicKey{{ID: "audit-1", Purpose: mezu.PurposeAudit, Key: auditPublic, NotAfter: now.Add(time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	a := archive.New(dir, public)
	if err := a.Keep(keyset); err != nil {
		t.Fatal(err)
	}
	rec := mezu.AuditRecord{ID: mezu.NewAuditID(now), Time: now, Operation: "create-project"}
	line, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(v any) (mezu.Signed, error) { return mezu.Sign(mezu.PurposeAudit, "audit-1", key, v) }
	if _, err := a.Append("installation", archive.Head{}, []archive.Line{{ID: rec.ID, JSON: line}}, now, sign); err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "trust-root.pub")
	if err := os.WriteFile(root, []byte(base64.StdEncoding.EncodeToString(public)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, root
}

// An archive that is whole is told of on standard output; a changed one ends with code 1
// and the file's name; without a trust root nothing is believed.
func TestAuditVerify(t *testing.T) {
	dir, root := archived(t)
	code, out, talk := mezusphere(nil, "audit", "verify", "--trust-root", root, dir)
	if code != 0 || !strings.HasPrefix(out, "installation: 1 segments, 1 records from ") || !strings.Contains(out, ", head 1 ") || talk != "" {
		t.Errorf("code %d, %q, %q", code, out, talk)
	}
	code, out, _ = mezusphere(nil, "audit", "verify", "--json", "--trust-root", root, dir)
	var report archive.ScopeReport
	if err := json.Unmarshal([]byte(out), &report); code != 0 || err != nil || report.Records != 1 || report.Head.Sequence != 1 {
		t.Errorf("as JSON: code %d, %q, %v", code, out, err)
	}
	if code, _, talk = mezusphere(nil, "audit", "verify", "--trust-root", root, t.TempDir()); code != 0 || !strings.Contains(talk, "empty") {
		t.Errorf("an empty one: code %d, %q", code, talk)
	}
	_, other := archived(t)
	segment := filepath.Join(dir, "installation", "0000000001.seg")
	if code, _, talk = mezusphere(nil, "audit", "verify", "--trust-root", other, dir); code != 1 || !strings.Contains(talk, segment) {
		t.Errorf("another installation's trust root: code %d, %q", code, talk)
	}
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, []byte(strings.Replace(string(data), "create-project", "delete-project", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, talk = mezusphere(nil, "audit", "verify", "--trust-root", root, dir); code != 1 || !strings.Contains(talk, segment) || !strings.Contains(talk, "faults: 1") {
		t.Errorf("a changed one: code %d, %q", code, talk)
	}
	for _, args := range [][]string{{"audit"}, {"audit", "mend"}, {"audit", "verify", dir}, {"audit", "verify", "--trust-root", root}, {"audit", "verify", "--no-such", dir}} {
		if code, _, talk := mezusphere(nil, args...); code != 2 || talk == "" {
			t.Errorf("%q: code %d, %q", args, code, talk)
		}
	}
	for name, args := range map[string][]string{
		"no key in the file": {"audit", "verify", "--trust-root", segment, dir}, "no file": {"audit", "verify", "--trust-root", dir + "/x", dir},
		"no directory": {"audit", "verify", "--trust-root", root, dir + "/x"},
	} {
		if code, _, talk := mezusphere(nil, args...); code != 1 || talk == "" {
			t.Errorf("%s: code %d, %q", name, code, talk)
		}
	}
	if code, out, _ := mezusphere(nil, "audit", "--help"); code != 0 || !strings.Contains(out, "--trust-root") {
		t.Errorf("help: code %d, %q", code, out)
	}
}

// C7: an archive that can't be written to is told of at the start, not in a week.
func TestArchiveIsCheckedAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, talk := mezusphere(nil, "control", "--state", t.TempDir(), "--domain", "localhost", "--api-addr", "127.0.0.1:0", "--admin-addr", "", "--archive", "dir:"+file)
	if code == 0 || !strings.Contains(talk, "archive") || !strings.Contains(talk, "--archive dir:PATH") {
		t.Errorf("code %d, %q", code, talk)
	}
}
