package trust_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit"
	"github.com/mezusphere/mezu/trust"
)

// refused checks that err has all of these words.
func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q doesn't say %q", err, w)
		}
	}
}

func TestAcceptKeyset(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := trust.New(a.trustRoot.Public().(ed25519.PublicKey), a.clock.Now)
	if s, k := anchor.Keyset(); k != nil || s.Payload != nil {
		t.Fatal("a keyset before the first")
	}
	if roots := anchor.Roots(); roots == nil || !roots.Equal(x509.NewCertPool()) {
		t.Fatal("roots before the first keyset")
	}
	for _, step := range []struct {
		version uint64
		changed bool
	}{{3, true}, {3, false}, {4, true}, {9, true}} {
		changed, err := anchor.AcceptKeyset(a.keyset(step.version))
		if err != nil || changed != step.changed {
			t.Fatalf("keyset %d: %t, %v", step.version, changed, err)
		}
	}
	_, err := anchor.AcceptKeyset(a.keyset(8))
	refused(t, err, "keyset 8 is older than keyset 9")
	_, err = anchor.AcceptKeyset(a.keyset(9, a.makeCA(nil).pem()))
	refused(t, err, "keyset 9 differs")
	if _, k := anchor.Keyset(); k.Version != 9 {
		t.Errorf("keyset %d is in force", k.Version)
	}
	if want, err := trust.ParseRoots([]byte(a.root.pem())); err != nil || !anchor.Roots().Equal(want) {
		t.Error("not the roots of the keyset")
	}
}

func TestAcceptKeysetRefuses(t *testing.T) {
	a := newAuthority(t, newClock())
	stranger := newAuthority(t, a.clock)
	late := newClock()
	late.Advance(366 * 24 * time.Hour)
	asBundle := a.sign(mezu.PurposeBundle, a.trustRoot, mezu.Keyset{Version: 1, CARoots: []string{a.root.pem()}, NotAfter: start.AddDate(1, 0, 0)})
	renamed := asBundle
	renamed.Purpose = mezu.PurposeKeyset
	byOnlineKey := a.keyset(1)
	byOnlineKey.Signature = a.sign(mezu.PurposeKeyset, a.statements, byOnlineKey.Payload).Signature
	leaf := a.leaf(newEdge(), nil)
	for name, c := range map[string]struct {
		keyset mezu.Signed
		clock  *testkit.Clock
		words  string
	}{
		"foreign trust root":     {stranger.keyset(1), a.clock, "does not verify"},
		"signed by online key":   {byOnlineKey, a.clock, "does not verify"},
		"another purpose":        {asBundle, a.clock, "bundle"},
		"another purpose hidden": {renamed, a.clock, "does not verify"},
		"past its end":           {a.keyset(1), late, "ended"},
		"version 0":              {a.keyset(0), a.clock, "no version"},
		"K11 no root":            {a.keyset(1, []string{}...), a.clock, ""},
		"K11 empty root":         {a.keyset(1, ""), a.clock, "empty"},
		"K11 garbage root":       {a.keyset(1, "garbage"), a.clock, "no PEM"},
		"K11 half a root":        {a.keyset(1, a.root.pem()[:200]), a.clock, "no PEM"},
		"K11 root and garbage":   {a.keyset(1, a.root.pem(), "garbage"), a.clock, "no PEM"},
		"K11 leaf as root":       {a.keyset(1, (&caKey{cert: leaf.Leaf}).pem()), a.clock, "is no CA's"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "K11 no root" {
				c.keyset = a.sign(mezu.PurposeKeyset, a.trustRoot, mezu.Keyset{Version: 1, NotAfter: start.AddDate(1, 0, 0)})
			}
			anchor := trust.New(a.trustRoot.Public().(ed25519.PublicKey), c.clock.Now)
			_, err := anchor.AcceptKeyset(c.keyset)
			refused(t, err, "accepting", c.words)
			if _, k := anchor.Keyset(); k != nil {
				t.Error("it is in force")
			}
		})
	}
}

// TestAcceptKeysetAtOnce: whatever the order of arrival, the highest wins and
// each version is new once.
func TestAcceptKeysetAtOnce(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := trust.New(a.trustRoot.Public().(ed25519.PublicKey), a.clock.Now)
	const versions = 20
	var all sync.WaitGroup
	for v := range uint64(versions) {
		s := a.keyset(v + 1)
		all.Go(func() { anchor.AcceptKeyset(s) })
	}
	all.Wait()
	if _, k := anchor.Keyset(); k.Version != versions {
		t.Errorf("keyset %d is in force", k.Version)
	}
}

func bundle() mezu.Bundle {
	return mezu.Bundle{
		Position: mezu.Position{Epoch: 1, Revision: 7}, Environment: mezu.NewID(mezu.PrefixEnvironment, start),
		Endpoint: "shop-acme", Enabled: true,
	}
}

func TestOpenBundle(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := a.anchor()
	good := bundle()
	got, err := anchor.OpenBundle(a.sign(mezu.PurposeBundle, a.statements, good))
	if err != nil || got.Environment != good.Environment || got.Position != good.Position {
		t.Fatalf("%+v, %v", got, err)
	}
	newer := struct {
		mezu.Bundle
		Novelty string `json:"novelty"`
	}{good, "x"}
	if got, err := anchor.OpenBundle(a.sign(mezu.PurposeBundle, a.statements, newer)); err != nil || got.Unknown(0) != "novelty" {
		t.Errorf("a field of a newer control plane: %v, %v", got, err)
	}

	altered := a.sign(mezu.PurposeBundle, a.statements, good)
	altered.Payload[len(altered.Payload)-2] ^= 1
	_, err = anchor.OpenBundle(altered)
	refused(t, err, "does not verify")
	_, err = anchor.OpenBundle(a.sign(mezu.PurposeEdges, a.statements, good))
	refused(t, err, "bundle", "edges")
	_, err = anchor.OpenBundle(a.sign(mezu.PurposeBundle, a.trustRoot, good))
	refused(t, err, "does not verify")
	unknown := a.sign(mezu.PurposeBundle, a.statements, good)
	unknown.KeyID = "other"
	_, err = anchor.OpenBundle(unknown)
	refused(t, err, `no key "other"`)
	_, err = anchor.OpenBundle(a.sign(mezu.PurposeBundle, a.statements, []int{1}))
	refused(t, err, "decoding")
	broken := good
	broken.Endpoint = "-"
	_, err = anchor.OpenBundle(a.sign(mezu.PurposeBundle, a.statements, broken))
	refused(t, err, "validating", good.Environment)
	_, err = trust.New(a.trustRoot.Public().(ed25519.PublicKey), nil).OpenBundle(unknown)
	refused(t, err, "no keyset")
}

// TestEnds: keys end, and keysets end for those who run through as for those
// who start anew.
func TestEnds(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := a.anchor()
	s := a.sign(mezu.PurposeBundle, a.statements, bundle())
	a.clock.Advance(200 * 24 * time.Hour)
	_, err := anchor.OpenBundle(s)
	refused(t, err, `key "k"`, "ended")
	a.clock.Advance(200 * 24 * time.Hour)
	_, err = anchor.OpenBundle(s)
	refused(t, err, "keyset 1 ended", "clock")
}

func TestOpenEdges(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := a.anchor()
	list := mezu.EdgeList{Edges: []mezu.EdgeInfo{{ID: newEdge().ID, Name: "one", TunnelAddress: "127.0.0.1:1"}}}
	got, err := anchor.OpenEdges(a.sign(mezu.PurposeEdges, a.statements, list))
	if err != nil || len(got.Edges) != 1 || got.Edges[0] != list.Edges[0] {
		t.Fatalf("%+v, %v", got, err)
	}
	list.Edges[0].ID = "edg_1"
	_, err = anchor.OpenEdges(a.sign(mezu.PurposeEdges, a.statements, list))
	refused(t, err, "edges.id")
	_, err = anchor.OpenEdges(a.sign(mezu.PurposeBundle, a.statements, list))
	refused(t, err, "edges")
}

func TestRevoke(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := a.anchor()
	r := mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "ab12", Until: start.Add(time.Hour)}
	got, err := anchor.OpenRevocation(a.sign(mezu.PurposeRevocation, a.statements, r))
	if err != nil || *got != r {
		t.Fatalf("%+v, %v", got, err)
	}
	if anchor.CertificateRevoked("ab12") {
		t.Fatal("opening a revocation revoked")
	}
	longer := r
	longer.Until = start.Add(2 * time.Hour)
	for _, step := range []struct {
		r     mezu.Revocation
		added bool
	}{{r, true}, {r, false}, {longer, true}, {r, false}} {
		if added := anchor.Revoke(&step.r); added != step.added {
			t.Fatalf("%+v: added is %t", step.r, added)
		}
	}
	if !anchor.CertificateRevoked("ab12") || anchor.CertificateRevoked("ab1") {
		t.Fatal("the wrong serials are revoked")
	}
	if _, ok := anchor.Revoked(mezu.RevokeToken, "ab12"); ok {
		t.Fatal("a certificate's revocation revokes a token")
	}
	a.clock.Advance(90 * time.Minute)
	if !anchor.CertificateRevoked("ab12") {
		t.Fatal("the shorter revocation won")
	}
	a.clock.Advance(time.Hour)
	if anchor.CertificateRevoked("ab12") || anchor.Revoke(&r) {
		t.Fatal("remembered past its end")
	}
	for _, bad := range []mezu.Revocation{{Kind: mezu.RevokeUser, Until: start}, {Kind: mezu.RevokeUser, Subject: "usr"}} {
		_, err := anchor.OpenRevocation(a.sign(mezu.PurposeRevocation, a.statements, bad))
		refused(t, err, "no subject or no end")
	}
}

// TestRevokeUser: a later moment counts, an earlier one changes nothing.
func TestRevokeUser(t *testing.T) {
	anchor := newAuthority(t, newClock()).anchor()
	r := mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr", NotBefore: start, Until: start.Add(time.Hour)}
	anchor.Revoke(&r)
	later := r
	later.NotBefore, later.Until = start.Add(time.Minute), start.Add(time.Minute)
	if !anchor.Revoke(&later) || anchor.Revoke(&r) {
		t.Fatal("added is wrong")
	}
	got, _ := anchor.Revoked(mezu.RevokeUser, "usr")
	if !got.NotBefore.Equal(later.NotBefore) || !got.Until.Equal(r.Until) {
		t.Errorf("%+v", got)
	}
}

// TestK11LoadRoots: nothing but a whole file of CA certificates is taken.
func TestK11LoadRoots(t *testing.T) {
	a := newAuthority(t, newClock())
	dir := t.TempDir()
	key, keyPEM, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	leaf := &caKey{cert: a.leafFor(key, newEdge(), nil).Leaf}
	write := func(text string) string {
		path := filepath.Join(dir, rand.Text())
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, path := range map[string]string{
		"missing":     filepath.Join(dir, "none"),
		"a directory": dir,
		"empty":       write(""),
		"blank":       write("\n \n"),
		"garbage":     write("garbage"),
		"a key":       write(string(keyPEM)),
		"a leaf":      write(leaf.pem()),
		"cut":         write(a.root.pem()[:300]),
		"then more":   write(a.root.pem() + "more"),
		"broken DER":  write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"too large":   write(strings.Repeat("\n", 2<<20)),
	} {
		pool, err := trust.LoadRoots(path)
		if pool != nil || err == nil {
			t.Errorf("%s: %v, %v", name, pool, err)
			continue
		}
		refused(t, err, "reading CA certificates", path)
	}
	pool, err := trust.LoadRoots(write(a.root.pem() + "\n" + a.issuer.pem()))
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AddCert(a.root.cert)
	want.AddCert(a.issuer.cert)
	if !pool.Equal(want) {
		t.Error("not the certificates of the file")
	}
}

func TestKeys(t *testing.T) {
	key, text, err := trust.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.ParseKey(text)
	if err != nil || !key.PublicKey.Equal(again.Public()) {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "garbage", strings.ReplaceAll(string(text), "PRIVATE KEY", "CERTIFICATE"), string(text[:90])} {
		_, err := trust.ParseKey([]byte(bad))
		refused(t, err, "parsing a private key")
		if len(bad) > 60 && strings.Contains(err.Error(), bad[40:60]) {
			t.Error("the error repeats the key")
		}
	}
	if _, err := trust.CSR(key); err != nil {
		t.Fatal(err)
	}
}

func FuzzParseRoots(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nProc-Type: 4\n\nMAA=\n-----END CERTIFICATE-----"))
	f.Fuzz(func(t *testing.T, text []byte) {
		pool, err := trust.ParseRoots(text)
		if (pool == nil) == (err == nil) {
			t.Fatal("neither roots nor an error, or both")
		}
		if pool != nil && pool.Equal(x509.NewCertPool()) {
			t.Fatal("no root and no error")
		}
	})
}
