package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/trust/store"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority makes a CA of a name, changed as a test has it.
func authority(t *testing.T, name string, change func(*x509.Certificate)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// machine is a home, and folders of a system, that nothing else uses. The programs are the real ones.
type machine struct {
	t               *testing.T
	home, root, bin string
	said            *testkit.Buffer
	out             *bytes.Buffer
	o               *options
}

// newMachine makes one that trusts the CAs of a text, by a profile of that name.
func newMachine(t *testing.T, profileName string, ca []byte) *machine {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the programs are those of Linux")
	}
	testkit.Programs(t, "certutil", "install")
	if _, err := os.Stat("/usr/sbin/update-ca-certificates"); err != nil { // on the path of root alone
		testkit.Missing(t, "update-ca-certificates")
	}
	m := &machine{t: t, home: t.TempDir(), root: t.TempDir(), bin: t.TempDir(), said: &testkit.Buffer{}, out: &bytes.Buffer{}}
	for _, program := range []string{"certutil", "install", "rm"} {
		path, err := exec.LookPath(program)
		if err == nil {
			err = os.Symlink(path, filepath.Join(m.bin, program))
		}
		m.check(err)
	}
	for _, dir := range []string{"usr/local/share/ca-certificates", "etc/ssl/certs", "usr/share/ca-certificates", "hooks"} {
		m.check(os.MkdirAll(filepath.Join(m.root, dir), 0o755))
	}
	// Where there is none at all, update-ca-certificates of Debian leaves what there was.
	m.check(os.WriteFile(filepath.Join(m.root, "usr/share/ca-certificates/public.crt"), authority(t, "Public", nil), 0o600))
	m.check(os.WriteFile(filepath.Join(m.root, "conf"), []byte("public.crt\n"), 0o600))
	m.script("update-ca-certificates", `r='`+m.root+`'; exec /usr/sbin/update-ca-certificates --certsconf $r/conf --certsdir $r/usr/share/ca-certificates --localcertsdir $r/usr/local/share/ca-certificates --etccertsdir $r/etc/ssl/certs --hooksdir $r/hooks "$@"`)
	profiles := profile.Store{Dir: filepath.Join(m.home, "config")}
	m.check(os.WriteFile(m.caFile(), ca, 0o600))
	m.check(profiles.SaveProfile(profileName, profile.Profile{API: "https://control.example.com", CAFile: m.caFile()}))
	m.check(profiles.SetDefault(profileName))
	env := map[string]string{"PATH": m.bin}
	inv := &invocation.Invocation{Streams: terminal.Streams{In: strings.NewReader(""), Out: m.out, Err: m.said}, Getenv: func(n string) string { return env[n] }, Dir: m.home, Profiles: profiles}
	inv.Flags.Output = terminal.JSON
	m.o = &options{Invocation: inv, Yes: true, records: recordsOf(inv), machine: store.Machine{OS: "linux", Home: m.home, Getenv: inv.Getenv, Root: m.root, Superuser: true}}
	return m
}

func (m *machine) check(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// script puts a program of its own into the path of the machine.
func (m *machine) script(name, text string) {
	m.t.Helper()
	m.check(os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o700))
}

func (m *machine) caFile() string { return filepath.Join(m.home, "ca.pem") }

// database makes one of NSS.
func (m *machine) database(args []string, path ...string) string {
	m.t.Helper()
	dir := filepath.Join(append([]string{m.home}, path...)...)
	m.check(os.MkdirAll(dir, 0o700))
	m.certutil(append([]string{"-N", "-d", "sql:" + dir}, args...)...)
	return dir
}

func (m *machine) certutil(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("certutil", args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("certutil %q: %v, %s", args, err, out)
	}
	return string(out)
}

// do runs the command and gives what happened by place, without the folders of the test.
func (m *machine) do(what func(context.Context, *options) error) (map[string]string, error) {
	m.t.Helper()
	m.out.Reset()
	*m.said = testkit.Buffer{}
	err := what(m.t.Context(), m.o)
	happened := map[string]string{}
	for d := json.NewDecoder(m.out); ; {
		var r report
		if failed := d.Decode(&r); errors.Is(failed, io.EOF) {
			return happened, err
		} else if failed != nil {
			m.t.Fatalf("%v; %v, %s", failed, err, m.said)
		}
		for _, s := range r.Stores {
			happened[strings.TrimPrefix(strings.TrimPrefix(s.Location, m.home), m.root)] = s.Result
		}
	}
}

// trusts reports whether the system trusts a CA.
func (m *machine) trusts(ca []byte) bool {
	text, err := os.ReadFile(filepath.Join(m.root, "etc/ssl/certs/ca-certificates.crt"))
	return err == nil && bytes.Contains(text, bytes.TrimSpace(ca))
}

const (
	systemPlace   = "/usr/local/share/ca-certificates"
	chromiumPlace = "/.pki/nssdb"
	firefoxPlace  = "/.mozilla/firefox/x.default"
)

func same(a, b map[string]string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestTrust: every store takes the CA, each run says what is so, and what is undone is this CA alone,
// with CA file and profile gone.
func TestTrust(t *testing.T) {
	ca := authority(t, "Mezusphere root 1", nil)
	m := newMachine(t, "acme", ca)
	chromium := m.database([]string{"--empty-password"}, ".pki", "nssdb")
	m.database([]string{"--empty-password"}, ".mozilla", "firefox", "x.default")
	want := map[string]string{systemPlace: added, chromiumPlace: added, firefoxPlace: added}
	all := func(result string) map[string]string {
		out := map[string]string{}
		for place := range want {
			out[place] = result
		}
		return out
	}
	if got, err := m.do(run); err != nil || !same(got, want) {
		t.Fatalf("%v, %v: %s", got, err, m.said)
	}
	for _, text := range []string{"SHA-256      ", "constraints  none", "Mezusphere root 1", "of profile acme", "restart what is running of: ", "Firefox"} {
		if !strings.Contains(m.said.String(), text) {
			t.Errorf("%q is not said: %s", text, m.said)
		}
	}
	if !m.trusts(ca) {
		t.Error("the system does not trust it")
	}
	if list := m.certutil("-L", "-d", "sql:"+chromium); !strings.Contains(list, "C,,") {
		t.Errorf("NSS: %s", list)
	}
	if got, err := m.do(run); err != nil || !same(got, all(present)) {
		t.Fatalf("again: %v, %v", got, err)
	}
	// Another installation has a CA of the same name.
	other := authority(t, "Mezusphere root 1", nil)
	m.check(os.WriteFile(m.caFile(), other, 0o600))
	m.check(m.o.Profiles.SaveProfile("globex", profile.Profile{API: "https://other.example.com", CAFile: m.caFile()}))
	m.o.Flags.Profile = "globex"
	if got, err := m.do(run); err != nil || !same(got, want) {
		t.Fatalf("another: %v, %v: %s", got, err, m.said)
	}
	files, err := filepath.Glob(filepath.Join(m.home, "config/trust/*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	m.check(os.Remove(m.caFile()))
	m.check(m.o.Profiles.Remove("acme"))
	m.o.Flags.Profile = "acme"
	if got, err := m.do(undo); err != nil || !same(got, all(removed)) {
		t.Fatalf("undo: %v, %v: %s", got, err, m.said)
	}
	if m.trusts(ca) || !m.trusts(other) {
		t.Error("the system trusts the wrong one of both")
	}
	left := m.certutil("-L", "-d", "sql:"+chromium, "-a", "-n", "mezu-"+parsed(t, other).SHA256()[:16])
	if block, rest := pem.Decode([]byte(left)); block == nil || len(bytes.TrimSpace(rest)) > 0 || !bytes.Equal(block.Bytes, parsed(t, other).Certificate.Raw) {
		t.Errorf("NSS has %s", left)
	}
	if got, err := m.do(undo); len(got) > 0 || mezu.CodeOf(err) != mezu.CodeInvalid { // there is another
		t.Errorf("undo again: %v, %v", got, err)
	}
	m.o.SHA256 = parsed(t, other).Fingerprint()[:23]
	if got, err := m.do(undo); err != nil || !same(got, all(removed)) {
		t.Errorf("undo by fingerprint: %v, %v: %s", got, err, m.said)
	}
	m.o.SHA256 = ""
	if got, err := m.do(undo); err != nil || len(got) > 0 || !strings.Contains(m.said.String(), "nothing is trusted by mezu trust") {
		t.Errorf("undo of nothing: %v, %v: %s", got, err, m.said)
	}
	if files, _ := filepath.Glob(filepath.Join(m.home, "config/trust/*")); len(files) > 0 {
		t.Errorf("%q are left", files)
	}
}

func parsed(t *testing.T, text []byte) store.CA {
	t.Helper()
	all, err := store.Parse(text)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d, %v", len(all), err)
	}
	return all[0]
}

// TestOneFails: a store that fails is said, keeps nothing of the CA, and stops no other.
func TestOneFails(t *testing.T) {
	m := newMachine(t, "acme", authority(t, "Acme", nil))
	secret := filepath.Join(m.home, "password")
	m.check(os.WriteFile(secret, []byte("correct horse\n"), 0o600))
	locked := m.database([]string{"-f", secret}, ".mozilla", "firefox", "locked")
	m.database([]string{"--empty-password"}, ".pki", "nssdb")
	m.script("update-ca-certificates", "echo 'no space left on device\x1b[2J' >&2; exit 1")
	want := map[string]string{systemPlace: failed, chromiumPlace: added, "/.mozilla/firefox/locked": failed}
	got, err := m.do(run)
	if !same(got, want) || exit.Of(err) != exit.Failed || !exit.Said(err) {
		t.Fatalf("%v, %v: %s", got, err, m.said)
	}
	if said := m.said.String(); !strings.Contains(said, "primary password") || !strings.Contains(said, `no space left on device\x1b[2J`) || strings.Contains(said, "\x1b") {
		t.Errorf("%s", said)
	}
	if list := m.certutil("-L", "-d", "sql:"+locked); strings.Contains(list, "mezu-") {
		t.Errorf("left in NSS: %s", list)
	}
	if files, _ := filepath.Glob(m.root + systemPlace + "/*"); len(files) > 0 {
		t.Errorf("left in the system: %q", files)
	}
	// What is undone is what was done, and a store that is gone is no failure.
	m.check(os.RemoveAll(filepath.Join(m.home, ".pki")))
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{chromiumPlace: absent}) {
		t.Errorf("undo: %v, %v: %s", got, err, m.said)
	}
	m.check(os.Remove(filepath.Join(m.bin, "certutil")))
	if got, err := m.do(run); exit.Of(err) != exit.Failed || got["/.mozilla/firefox/locked"] != failed || !strings.Contains(m.said.String(), "libnss3-tools") {
		t.Errorf("without certutil: %v, %v: %s", got, err, m.said)
	}
}

// TestForeign: what somebody else has put into a store is no business of this command.
func TestForeign(t *testing.T) {
	ca := authority(t, "Acme", nil)
	m := newMachine(t, "acme", ca)
	m.check(os.WriteFile(filepath.Join(m.root, systemPlace, "company.crt"), ca, 0o600))
	trusted := m.database([]string{"--empty-password"}, ".pki", "nssdb")
	m.certutil("-A", "-d", "sql:"+trusted, "-t", "CT,,", "-n", "by hand", "-a", "-i", m.caFile())
	untrusted := m.database([]string{"--empty-password"}, ".mozilla", "firefox", "x.default")
	m.certutil("-A", "-d", "sql:"+untrusted, "-t", ",,", "-n", "by hand", "-a", "-i", m.caFile())
	if got, err := m.do(run); exit.Of(err) != exit.Failed || !same(got, map[string]string{systemPlace: present, chromiumPlace: present, firefoxPlace: failed}) || !strings.Contains(m.said.String(), "certutil -M") {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{systemPlace: kept, chromiumPlace: kept}) {
		t.Errorf("undo: %v, %v: %s", got, err, m.said)
	}
	if list := m.certutil("-L", "-d", "sql:"+trusted) + m.certutil("-L", "-d", "sql:"+untrusted); !strings.Contains(list, "CT,,") || strings.Contains(list, " C,,") {
		t.Errorf("NSS: %s", list)
	}
}

// TestConfirm: nothing is done without a yes, and the whole plan is shown before.
func TestConfirm(t *testing.T) {
	m := newMachine(t, "acme", authority(t, "Acme", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"acme.example"}
	}))
	m.script("chromium", "exit 1") // it is here, and has never run
	m.script("sudo", `printf '%s\n' "$*" >> '`+m.home+`/asked'; [ "$1" = -n ] && shift; shift; exec "$@"`)
	m.o.machine.Superuser = false
	m.o.Yes = false
	if got, err := m.do(run); exit.Of(err) != exit.Usage || len(got) > 0 || !strings.Contains(m.said.String(), systemPlace+" (with sudo)") ||
		!strings.Contains(m.said.String(), chromiumPlace) || !strings.Contains(m.said.String(), "only acme.example") {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
	m.o.InTerminal, m.o.ErrTerminal, m.o.ColorOff, m.o.Quiet = true, true, true, true
	m.o.In = strings.NewReader("n\n")
	if got, err := m.do(run); exit.Of(err) != exit.Usage || len(got) > 0 || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(m.said.String(), "SHA-256") || !strings.Contains(m.said.String(), chromiumPlace) {
		t.Errorf("no: %v, %v: %s", got, err, m.said)
	}
	if _, err := os.Stat(filepath.Join(m.home, "asked")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("something was done: %v", err)
	}
	m.o.In = strings.NewReader("yes\n")
	if got, err := m.do(run); err != nil || !same(got, map[string]string{systemPlace: added, chromiumPlace: added}) {
		t.Errorf("yes: %v, %v: %s", got, err, m.said)
	}
	asked, err := os.ReadFile(filepath.Join(m.home, "asked"))
	if lines := strings.Split(string(asked), "\n"); err != nil || len(lines) != 3 || !strings.HasPrefix(lines[0], "-n -- "+m.bin+"/install -m 0644 /dev/stdin ") || !strings.HasPrefix(lines[1], "-n -- "+m.bin+"/update-ca-certificates") {
		t.Errorf("sudo was asked for %s, %v", asked, err)
	}
	if info, err := os.Stat(filepath.Join(m.home, ".pki/nssdb")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	// Nobody is asked about a store that can't be looked at, if no other one would change.
	m.check(os.Remove(filepath.Join(m.bin, "certutil")))
	m.o.InTerminal = false
	if got, err := m.do(run); exit.Of(err) != exit.Failed || !same(got, map[string]string{systemPlace: present, chromiumPlace: failed}) || strings.Contains(m.said.String(), "puts it into") {
		t.Errorf("unknown: %v, %v: %s", got, err, m.said)
	}
}

// TestRefused: files that hold no CA to trust, each with a word of its own.
func TestRefused(t *testing.T) {
	one := authority(t, "One", nil)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, "acme", one)
	for want, text := range map[string][]byte{
		"holds no certificate in PEM": []byte("hello\n"),
		"which is no CA's":            authority(t, "Leaf", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }),
		"there are 2 CAs":             append(append([]byte{}, one...), authority(t, "Two", nil)...),
		"a CA that ended at":          authority(t, "Old", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not good before":             authority(t, "Soon", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		`has a "PRIVATE KEY"`:         append(append([]byte{}, one...), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...),
		"can't be read":               pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("\x30\x03abc")}),
		"more than 16 certificates":   bytes.Repeat(one, 20),
		"an intermediate CA":          intermediate(t),
	} {
		m.check(os.WriteFile(m.caFile(), text, 0o600))
		if got, err := m.do(run); len(got) > 0 || exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, got, err)
		}
	}
	m.check(os.WriteFile(m.caFile(), append(append([]byte{}, one...), authority(t, "Two", nil)...), 0o600))
	m.o.SHA256 = parsed(t, one).SHA256()[:8]
	if got, err := m.do(run); err != nil || got[systemPlace] != added || !m.trusts(one) {
		t.Errorf("one of two: %v, %v", got, err)
	}
	m.check(os.Remove(m.caFile()))
	if _, err := m.do(run); err == nil || !strings.Contains(err.Error(), m.caFile()) {
		t.Errorf("no file: %v", err)
	}
	m.check(m.o.Profiles.SaveProfile("acme", profile.Profile{API: "https://control.example.com"}))
	if _, err := m.do(run); exit.Of(err) != exit.Usage || !strings.Contains(err.Error(), "no CA file is named") {
		t.Errorf("no CA: %v", err)
	}
	m.check(os.RemoveAll(m.root + systemPlace))
	m.o.Flags.CAFile = filepath.Join(m.home, "other.pem")
	m.check(os.WriteFile(m.o.Flags.CAFile, one, 0o600))
	if _, err := m.do(run); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("no store: %v", err)
	}
}

func intermediate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := parsed(t, authority(t, "Root", nil)).Certificate
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Issuer"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true}
	root.PublicKey = nil // it is the name that counts: the signature is of this key
	der, err := x509.CreateCertificate(rand.Reader, template, root, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestDamagedRecord: what others could have written, or is no record, removes nothing.
func TestDamagedRecord(t *testing.T) {
	m := newMachine(t, "acme", authority(t, "Acme", nil))
	if got, err := m.do(run); err != nil || got[systemPlace] != added {
		t.Fatalf("%v, %v", got, err)
	}
	path := m.o.records.path(parsed(t, []byte(must(os.ReadFile(m.caFile())))).SHA256())
	text := must(os.ReadFile(path))
	m.check(os.Remove(m.caFile()))
	for name, spoil := range map[string]func(){
		"cut":         func() { m.check(os.WriteFile(path, text[:len(text)/2], 0o600)) },
		"another":     func() { m.check(os.WriteFile(path, bytes.ReplaceAll(text, []byte("acme"), nil)[:10], 0o600)) },
		"for anybody": func() { m.check(errors.Join(os.WriteFile(path, text, 0o600), os.Chmod(path, 0o666))) },
	} {
		spoil()
		if got, err := m.do(undo); err == nil || len(got) > 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	m.check(errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, text, 0o600)))
	if got, err := m.do(undo); err != nil || got[systemPlace] != removed {
		t.Errorf("%v, %v", got, err)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

// TestOtherSystems: what macOS and Windows are asked for, as far as it can be seen here: their
// programs are stood in for.
func TestOtherSystems(t *testing.T) {
	m := newMachine(t, "acme", authority(t, "Acme", nil))
	m.check(os.RemoveAll(m.root + systemPlace))
	log := filepath.Join(m.home, "asked")
	m.script("wslpath", `echo "W:$2"`)
	sum := thumbprintOf(t, m.caFile())
	m.script("certutil.exe", `echo "$@" | sed "s,W:.*,FILE," >> '`+log+`'
case "$2$3" in
-storeRoot) [ ! -e '`+m.home+`/broken' ] || exit 1
	[ ! -e '`+m.home+`/there' ] || echo "Cert Hash(sha1): `+sum+`" | sed 's/../& /g';;
-f-addstore) grep -q BEGIN "${5#W:}" && touch '`+m.home+`/there';;
-delstoreRoot) rm '`+m.home+`/there';;
esac`)
	before := m.o.machine.Getenv
	m.o.machine.Getenv = func(n string) string {
		if n == "WSL_DISTRO_NAME" {
			return "Debian"
		}
		return before(n)
	}
	for _, want := range []string{added, present} {
		if got, err := m.do(run); err != nil || !same(got, map[string]string{"Root of Windows, for you": want}) {
			t.Errorf("WSL: %v, %v: %s", got, err, m.said)
		}
	}
	// What can't be looked at isn't called gone.
	asked := must(os.ReadFile(log))
	m.check(os.WriteFile(filepath.Join(m.home, "broken"), nil, 0o600))
	if got, err := m.do(undo); exit.Of(err) != exit.Failed || !same(got, map[string]string{"Root of Windows, for you": failed}) {
		t.Errorf("WSL: %v, %v: %s", got, err, m.said)
	}
	m.check(errors.Join(os.Remove(filepath.Join(m.home, "broken")), os.WriteFile(log, asked, 0o600)))
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{"Root of Windows, for you": removed}) {
		t.Errorf("WSL: %v, %v: %s", got, err, m.said)
	}
	look := "-user -store Root\n"
	if asked := string(must(os.ReadFile(log))); asked != look+"-user -f -addstore Root FILE\n"+look+look+"-user -delstore Root "+sum+"\n" {
		t.Errorf("%s", asked)
	}

	m.check(os.Remove(log))
	m.check(os.MkdirAll(filepath.Join(m.root, "usr/bin"), 0o700))
	m.bin = filepath.Join(m.root, "usr/bin")
	m.script("security", `for last; do :; done; echo "$@" | sed "s,/[^ ]*/mezu-[^ ]*,FILE," >> '`+log+`'
case $1 in
find-certificate) [ ! -e '`+m.home+`/there' ] || cat '`+m.home+`/there';;
add-trusted-cert) cat "$last" > '`+m.home+`/there'; [ ! -e '`+m.home+`/refused' ];;
delete-certificate) rm '`+m.home+`/there';;
esac`)
	m.o.machine.OS = "darwin"
	keychain := "/Library/Keychains/System.keychain"
	// A certificate whose trust was refused doesn't stay.
	m.check(os.WriteFile(filepath.Join(m.home, "refused"), nil, 0o600))
	if got, err := m.do(run); exit.Of(err) != exit.Failed || !same(got, map[string]string{keychain: failed}) {
		t.Errorf("macOS: %v, %v: %s", got, err, m.said)
	}
	if _, err := os.Stat(filepath.Join(m.home, "there")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the certificate stays: %v", err)
	}
	m.check(errors.Join(os.Remove(filepath.Join(m.home, "refused")), os.Remove(log)))
	for _, want := range []string{added, present} {
		if got, err := m.do(run); err != nil || !same(got, map[string]string{keychain: want}) {
			t.Errorf("macOS: %v, %v: %s", got, err, m.said)
		}
	}
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{keychain: removed}) {
		t.Errorf("macOS: %v, %v: %s", got, err, m.said)
	}
	look = "find-certificate -a -p " + keychain + "\n"
	if asked := string(must(os.ReadFile(log))); asked != look+"add-trusted-cert -d -r trustRoot -k "+keychain+" FILE\n"+look+look+"remove-trusted-cert -d FILE\ndelete-certificate -Z "+strings.ToUpper(sum)+" "+keychain+"\n" {
		t.Errorf("%s", asked)
	}
}

func thumbprintOf(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", `sed '1d;$d' "$1" | base64 -d | sha1sum | cut -d' ' -f1`, "sh", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestEarlier: a profile whose installation has begun anew is told what is trusted still.
func TestEarlier(t *testing.T) {
	first := authority(t, "Acme", nil)
	m := newMachine(t, "acme", first)
	if got, err := m.do(run); err != nil || got[systemPlace] != added {
		t.Fatalf("%v, %v", got, err)
	}
	second := authority(t, "Acme", nil)
	m.check(os.WriteFile(m.caFile(), second, 0o600))
	if got, err := m.do(run); err != nil || got[systemPlace] != added || !strings.Contains(m.said.String(), "--sha256 "+parsed(t, first).SHA256()[:16]) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
	if got, err := m.do(undo); err != nil || got[systemPlace] != removed || m.trusts(first) || m.trusts(second) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
	// What can't be remembered isn't done.
	m.check(os.RemoveAll(m.o.records.dir))
	m.check(os.WriteFile(m.o.records.dir, nil, 0o600))
	if got, err := m.do(run); exit.Of(err) != exit.Failed || len(got) > 0 && got[systemPlace] != failed || m.trusts(second) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
}

// TestUser: the system stays as it is.
func TestUser(t *testing.T) {
	ca := authority(t, "Acme", nil)
	m := newMachine(t, "acme", ca)
	m.database([]string{"--empty-password"}, ".pki", "nssdb")
	m.o.User = true
	if got, err := m.do(run); err != nil || !same(got, map[string]string{chromiumPlace: added}) || m.trusts(ca) {
		t.Errorf("%v, %v", got, err)
	}
	m.o.User = false
	if got, err := m.do(run); err != nil || !same(got, map[string]string{systemPlace: added, chromiumPlace: present}) {
		t.Errorf("%v, %v", got, err)
	}
	m.o.User = true
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{chromiumPlace: removed}) || !m.trusts(ca) {
		t.Errorf("%v, %v", got, err)
	}
	m.o.User = false
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{systemPlace: removed}) || m.trusts(ca) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
}

// TestJava: the store of JAVA_HOME takes the CA. That of Debian has it from the system's update, under
// another name, which that would leave there.
func TestJava(t *testing.T) {
	ca := authority(t, "Acme", nil)
	m := newMachine(t, "acme", ca)
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Skip("there is no Java here")
	}
	const home, debian = "/java/lib/security/cacerts", "/etc/ssl/certs/java/cacerts"
	put := func(file, alias, from string) {
		t.Helper()
		if out, err := exec.Command(keytool, "-importcert", "-noprompt", "-alias", alias, "-file", from, "-keystore", file, "-storepass", "changeit").CombinedOutput(); err != nil {
			t.Fatalf("%v, %s", err, out)
		}
	}
	for _, dir := range []string{m.home + "/java/bin", filepath.Dir(m.home + home), filepath.Dir(m.root + debian)} {
		m.check(os.MkdirAll(dir, 0o700))
	}
	m.check(errors.Join(os.Symlink(keytool, m.home+"/java/bin/keytool"), os.Symlink(keytool, m.bin+"/keytool")))
	put(m.home+home, "first", filepath.Join(m.root, "usr/share/ca-certificates/public.crt"))
	testkit.CopyFile(t, m.home+home, m.root+debian)
	put(m.root+debian, "debian:mezu-"+parsed(t, ca).SHA256()[:16]+".pem", m.caFile())
	m.check(os.RemoveAll(m.root + systemPlace))
	before := m.o.machine.Getenv
	m.o.machine.Getenv = func(n string) string {
		if n == "JAVA_HOME" {
			return m.home + "/java"
		}
		return before(n)
	}
	if got, err := m.do(run); err != nil || !same(got, map[string]string{home: added, debian: present}) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
	if got, err := m.do(undo); err != nil || !same(got, map[string]string{home: removed, debian: removed}) {
		t.Errorf("%v, %v: %s", got, err, m.said)
	}
}

// TestNeeded: the advice is given for a private CA that nobody trusts yet.
func TestNeeded(t *testing.T) {
	m := newMachine(t, "acme", authority(t, "Acme", nil))
	if !Needed(m.o.Invocation, m.caFile()) || Needed(m.o.Invocation, "") || Needed(m.o.Invocation, m.home+"/none") {
		t.Error("before")
	}
	if Advised(t.Context(), m.o.Invocation, m.caFile(), "https://127.0.0.1:1") {
		t.Error("of an address where nobody is")
	}
	if _, err := m.do(run); err != nil || Needed(m.o.Invocation, m.caFile()) {
		t.Errorf("after: %v", err)
	}
	if _, err := m.do(undo); err != nil || !Needed(m.o.Invocation, m.caFile()) {
		t.Errorf("undone: %v", err)
	}
}

// FuzzParse: whatever a CA file has, what comes of it is a root that tells its names in one line.
func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := store.Parse(text)
		if (err == nil) != (len(all) > 0) {
			t.Errorf("%d, %v", len(all), err)
		}
		for _, ca := range all {
			if !ca.Certificate.IsCA || len(ca.SHA256()) != 64 || ca.Constraints() == "" {
				t.Errorf("%s", ca.Fingerprint())
			}
			if again, err := store.Parse(ca.Text()); err != nil || again[0].SHA256() != ca.SHA256() {
				t.Errorf("again: %v", err)
			}
		}
	})
}
