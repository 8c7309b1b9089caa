package ca_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/trust"
)

func TestCreate(t *testing.T) {
	i := created(t)
	k := i.keyset()
	if k.Version != 1 || len(k.CARoots) != 1 || len(k.Keys) != 7 || k.NotAfter.Before(i.now().Add(364*day)) {
		t.Errorf("%+v", k)
	}
	keys := make(map[string]bool)
	for _, p := range []mezu.Purpose{mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeRevocation, mezu.PurposeGrant, mezu.PurposeAudit, mezu.PurposeAssertions, mezu.PurposeEdgePart} {
		s, err := i.ca.Sign(p, map[string]int{"a": 1})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]int
		if err := k.Open(s, p, i.now(), &got); err != nil || got["a"] != 1 {
			t.Fatal(err)
		}
		keys[s.KeyID] = true
	}
	if len(keys) != 7 {
		t.Errorf("%d keys for 7 purposes", len(keys))
	}
	_, err := i.ca.Sign(mezu.PurposeKeyset, k)
	refused(t, err, "no key for it")
	if err := ca.Create(t.Context(), i.vault, i.offline, i.now); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating twice: %v", err)
	}
	root := chain(t, k.CARoots[0])[0]
	if years := root.NotAfter.Sub(i.now()) / (365 * day); years != 10 || !root.IsCA {
		t.Errorf("a root of %d years", years)
	}
	issuer := chain(t, i.issue().Chain)[1]
	if !issuer.IsCA || issuer.MaxPathLen != 0 || !issuer.MaxPathLenZero || issuer.NotAfter.After(i.now().Add(365*day)) {
		t.Errorf("issuer: CA %t, path length %d, until %s", issuer.IsCA, issuer.MaxPathLen, issuer.NotAfter)
	}
}

// issue issues a certificate to an edge.
func (i *installation) issue() ca.Issued {
	i.t.Helper()
	_, _, csr := request(i.t)
	issued, err := i.ca.IssuePeer(csr, edgeID())
	if err != nil {
		i.t.Fatal(err)
	}
	return issued
}

// TestK10RootsOffline: both root keys are in files of mode 0600 and nowhere else.
func TestK10RootsOffline(t *testing.T) {
	i := created(t)
	i.change(rotate(api.RotateSigning))
	i.change(rotate(api.RotateRoot))
	record := i.vault.all()
	files, err := filepath.Glob(filepath.Join(i.offline, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("offline: %v, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
		secret, der := secretOf(t, file)
		for _, s := range [][]byte{secret, der} {
			if bytes.Contains(record, s) || bytes.Contains(record, []byte(base64.StdEncoding.EncodeToString(s))) {
				t.Errorf("the key of %s is in the vault", file)
			}
		}
	}
	var decoded struct{ Issuers, Keys []map[string]any }
	if err := json.Unmarshal(record, &decoded); err != nil || len(decoded.Issuers) == 0 || len(decoded.Keys) == 0 {
		t.Fatalf("the search above searched nothing: %v", err)
	}
}

// secretOf is the private number of a key file, and its encoding.
func secretOf(t *testing.T, file string) (secret, der []byte) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PRIVATE KEY" {
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		switch k := key.(type) {
		case ed25519.PrivateKey:
			return k.Seed(), block.Bytes
		case *ecdsa.PrivateKey:
			raw, err := k.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return raw, block.Bytes
		}
	}
	t.Fatalf("no key in %s", file)
	return nil, nil
}

// TestCreateInterrupted: a call that failed half-way can be made again and finds
// the roots that it left.
func TestCreateInterrupted(t *testing.T) {
	i := newInstallation(t)
	full := errors.New("disk full")
	i.vault.failing = full
	if err := ca.Create(t.Context(), i.vault, i.offline, i.now); !errors.Is(err, full) {
		t.Fatal(err)
	}
	if _, err := ca.Open(t.Context(), i.vault, i.now); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("opening what was never created: %v", err)
	}
	secret, _ := secretOf(t, filepath.Join(i.offline, "trust-root.pem"))
	i.vault.failing = nil
	if err := ca.Create(t.Context(), i.vault, i.offline, i.now); err != nil {
		t.Fatal(err)
	}
	a, err := ca.Open(t.Context(), i.vault, i.now)
	if err != nil {
		t.Fatal(err)
	}
	if !a.TrustRoot().Equal(ed25519.NewKeyFromSeed(secret).Public()) {
		t.Error("another trust root")
	}
}

// TestK11Open: a record or an offline file that is not whole is refused, and is
// never taken for a first run.
func TestK11Open(t *testing.T) {
	i := created(t)
	other := created(t)
	replace := func(field string, with any) func([]byte) []byte {
		return func(data []byte) []byte {
			var record map[string]any
			if err := json.Unmarshal(data, &record); err != nil {
				t.Fatal(err)
			}
			if _, ok := record[field]; !ok {
				t.Fatalf("the record has no %q", field)
			}
			record[field] = with
			out, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
	}
	fieldOf := func(from *installation, field string) any {
		var record map[string]any
		if err := json.Unmarshal(from.vault.all(), &record); err != nil {
			t.Fatal(err)
		}
		return record[field]
	}
	for name, change := range map[string]func([]byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"garbage":         func([]byte) []byte { return []byte("garbage") },
		"null":            func([]byte) []byte { return []byte("null") },
		"cut":             func(data []byte) []byte { return data[:len(data)/2] },
		"no trust root":   replace("trust_root", nil),
		"foreign root":    replace("trust_root", fieldOf(other, "trust_root")),
		"foreign keyset":  replace("keyset", fieldOf(other, "keyset")),
		"no keys":         replace("keys", nil),
		"foreign keys":    replace("keys", fieldOf(other, "keys")),
		"no issuers":      replace("issuers", nil),
		"foreign issuers": replace("issuers", fieldOf(other, "issuers")),
	} {
		t.Run(name, func(t *testing.T) {
			defer i.vault.alter(change)()
			_, err := ca.Open(t.Context(), i.vault, i.now)
			refused(t, err, "opening the certificate authority")
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("taken for a first run: %v", err)
			}
			if err := i.ca.Reload(t.Context()); err == nil {
				t.Error("reloaded")
			}
			if err := ca.Create(t.Context(), i.vault, i.offline, i.now); !errors.Is(err, fs.ErrExist) {
				t.Errorf("created over it: %v", err)
			}
			i.issue() // the running authority goes on
		})
	}
	if _, err := ca.Open(t.Context(), i.vault, i.now); err != nil {
		t.Fatalf("the record is not as it was: %v", err)
	}
}

func TestK11OfflineFiles(t *testing.T) {
	for _, file := range []string{"trust-root.pem", "ca-root-1.pem"} {
		for name, text := range map[string]string{"empty": "", "garbage": "garbage", "missing": "-"} {
			t.Run(file+" "+name, func(t *testing.T) {
				i := created(t)
				path := filepath.Join(i.offline, file)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if text != "-" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				err := rotate(api.RotateSigning)(t.Context(), i.vault, i.offline, i.now)
				refused(t, err, path)
				if err := i.ca.Reload(t.Context()); err != nil || i.keyset().Version != 1 {
					t.Errorf("after a refused rotation: %v", err)
				}
			})
		}
	}
	i, other := created(t), created(t)
	refused(t, rotate(api.RotateSigning)(t.Context(), i.vault, other.offline, i.now), "belongs to another installation")
}

// TestRotate: the new keys are published before they sign, the old verify for
// the overlap, and peers that follow miss nothing.
func TestRotate(t *testing.T) {
	i := created(t)
	early := i.anchor() // never hears of the rotation
	peer := i.anchor()
	sign := func() mezu.Signed {
		t.Helper()
		s, err := i.ca.Sign(mezu.PurposeRevocation, mezu.Revocation{Kind: mezu.RevokeSession, Subject: "s", Until: i.now().Add(day)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := sign()
	oldIssuer := chain(t, i.issue().Chain)[1]

	i.change(rotate(api.RotateSigning))
	i.follow(peer)
	k := i.keyset()
	if k.Version != 2 || len(k.Keys) != 14 || len(k.CARoots) != 1 {
		t.Fatalf("keyset %d with %d keys and %d roots", k.Version, len(k.Keys), len(k.CARoots))
	}
	i.advance(ca.ActivationDelay - time.Second)
	if s := sign(); s.KeyID != old.KeyID {
		t.Fatal("the new key signs before its time")
	}
	if !chain(t, i.issue().Chain)[1].Equal(oldIssuer) {
		t.Fatal("the new issuer issues before its time")
	}
	i.advance(time.Second)
	fresh := sign()
	if fresh.KeyID == old.KeyID {
		t.Fatal("the old key signs after its time")
	}
	if chain(t, i.issue().Chain)[1].Equal(oldIssuer) {
		t.Fatal("the old issuer issues after its time")
	}
	if _, err := early.OpenRevocation(fresh); err == nil {
		t.Fatal("verified without the keyset: publishing first would not matter")
	}
	for _, s := range []mezu.Signed{old, fresh} {
		if _, err := peer.OpenRevocation(s); err != nil {
			t.Fatal(err)
		}
	}
	i.advance(mezu.KeysetOverlap + ca.ProposalLife)
	if _, err := peer.OpenRevocation(old); err != nil {
		t.Fatalf("at the end of the overlap: %v", err)
	}
	i.advance(time.Second)
	_, err := peer.OpenRevocation(old)
	refused(t, err, "ended")
	if _, err := peer.OpenRevocation(fresh); err != nil {
		t.Fatal(err)
	}
	i.change(rotate(api.RotateSigning))
	if k := i.keyset(); k.Version != 3 || len(k.Keys) != 14 {
		t.Errorf("keyset %d has %d keys: those past their end are not gone", k.Version, len(k.Keys))
	}
	_, err = i.anchor().AcceptKeyset(mezu.Signed{})
	refused(t, err)
}

// TestRotateTwiceAtOnce: a second rotation before the first is active breaks
// nothing.
func TestRotateTwiceAtOnce(t *testing.T) {
	i := created(t)
	i.change(rotate(api.RotateSigning))
	i.advance(time.Minute)
	i.change(rotate(api.RotateSigning))
	peer := i.anchor()
	seen := make(map[string]bool)
	for range 10 {
		s, err := i.ca.Sign(mezu.PurposeEdges, mezu.EdgeList{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := peer.OpenEdges(s); err != nil {
			t.Fatal(err)
		}
		seen[s.KeyID] = true
		i.issue()
		i.advance(time.Minute)
	}
	if len(seen) != 3 {
		t.Errorf("%d keys signed, not one after the other", len(seen))
	}
}

// TestRotateRoot: with the new root published first nobody is cut off; once the
// old one is pruned its leaves are refused.
func TestRotateRoot(t *testing.T) {
	i := created(t)
	edge := edgeID()
	edgeAnchor, gateAnchor := i.anchor(), i.anchor()
	edgeCert, gateCert := i.peer(edge), i.peer(warpgateID())
	both := func() error {
		server := edgeAnchor.ServerTLS(present(edgeCert), mezu.PeerWarpgate, mezu.ProtocolData)
		return meet(t, server, gateAnchor.EdgeTLS(present(gateCert), edge.ID, mezu.ProtocolData))
	}
	must := func() {
		t.Helper()
		if err := both(); err != nil {
			t.Fatal(err)
		}
	}
	must()
	old := chain(t, i.keyset().CARoots[0])[0]
	under := func(c *tls.Certificate, roots ...*x509.Certificate) bool {
		pool := x509.NewCertPool()
		for _, r := range roots {
			pool.AddCert(r)
		}
		between := x509.NewCertPool()
		for _, der := range c.Certificate[1:] {
			parsed, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			between.AddCert(parsed)
		}
		_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: i.now()})
		return err == nil
	}

	i.change(rotate(api.RotateRoot))
	if k := i.keyset(); k.Version != 2 || len(k.CARoots) != 2 || len(k.Keys) != 7 {
		t.Fatalf("%+v", k)
	}
	must() // nobody has heard of it
	i.follow(edgeAnchor)
	if edgeCert = i.peer(edge); !under(edgeCert, old) {
		t.Fatal("issued under the new root before its time")
	}
	must()
	i.advance(ca.ActivationDelay)
	i.follow(gateAnchor)
	if edgeCert = i.peer(edge); under(edgeCert, old) {
		t.Fatal("issued under the old root after its time")
	}
	must() // old Warpgate, new edge

	i.change(rotate(api.RotatePrune)) // too early: removes nothing
	if k := i.keyset(); k.Version != 3 || len(k.CARoots) != 2 {
		t.Fatalf("keyset %d has %d roots", k.Version, len(k.CARoots))
	}
	i.follow(edgeAnchor, gateAnchor)
	must()

	i.advance(mezu.LeafLife - time.Hour)
	must() // to the last hour of the old Warpgate's certificate
	i.advance(mezu.KeysetOverlap)
	gateCert, edgeCert = i.peer(warpgateID()), i.peer(edge)
	i.change(rotate(api.RotatePrune))
	k := i.keyset()
	if k.Version != 4 || len(k.CARoots) != 1 || chain(t, k.CARoots[0])[0].Equal(old) {
		t.Fatalf("keyset %d has %d roots", k.Version, len(k.CARoots))
	}
	must()
	i.follow(edgeAnchor, gateAnchor)
	must()
	_, err := edgeAnchor.AcceptKeyset(created(t).ca.Keyset())
	refused(t, err)
}

// TestPrunedRootIsRefused: leaves of a removed root are refused although they
// have not expired.
func TestPrunedRootIsRefused(t *testing.T) {
	i := created(t)
	edge := edgeID()
	stale := newInstallation(t) // a copy that doesn't know of the rotation goes on issuing
	stale.vault, stale.offline = &vault{records: map[string][]byte{"authority": i.vault.all()}}, i.offline
	i.change(rotate(api.RotateRoot))
	i.advance(ca.ActivationDelay + mezu.KeysetOverlap)
	stale.nanos.Store(i.nanos.Load())
	var err error
	if stale.ca, err = ca.Open(t.Context(), stale.vault, stale.now); err != nil {
		t.Fatal(err)
	}
	old := stale.peer(warpgateID())
	edgeAnchor := i.anchor()
	server := edgeAnchor.ServerTLS(present(i.peer(edge)), mezu.PeerWarpgate, mezu.ProtocolData)
	client := edgeAnchor.EdgeTLS(present(old), edge.ID, mezu.ProtocolData)
	if err := meet(t, server, client); err != nil {
		t.Fatalf("before the pruning: %v", err)
	}
	i.change(rotate(api.RotatePrune))
	i.follow(edgeAnchor)
	refused(t, meet(t, server, client), "not signed by this installation's certificate authority")
}

// TestRotateRootInterrupted: a root that nobody was told of is used by the next
// try.
func TestRotateRootInterrupted(t *testing.T) {
	i := created(t)
	p, err := ca.Propose(t.Context(), i.vault, api.RotateRoot, 0, i.now)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ca.Endorse(i.offline, p, i.now)
	if err != nil {
		t.Fatal(err)
	}
	i.vault.failing = errors.New("disk full")
	if err := ca.Install(t.Context(), i.vault, e, i.now); !errors.Is(err, i.vault.failing) {
		t.Fatal(err)
	}
	i.vault.failing = nil
	secret, _ := secretOf(t, filepath.Join(i.offline, "ca-root-2.pem"))
	i.change(rotate(api.RotateRoot))
	again, _ := secretOf(t, filepath.Join(i.offline, "ca-root-2.pem"))
	if !bytes.Equal(secret, again) {
		t.Error("the second try made another root")
	}
	if len(i.keyset().CARoots) != 2 {
		t.Error("the root is not in the keyset")
	}
	i.change(rotate(api.RotateRoot))
	i.advance(ca.ActivationDelay)
	i.change(rotate(api.RotateSigning)) // under the newest root
	i.advance(ca.ActivationDelay)
	newest := chain(t, i.keyset().CARoots[2])[0]
	if err := chain(t, i.issue().Chain)[1].CheckSignatureFrom(newest); err != nil {
		t.Error(err)
	}
}

// TestReloadOlder: a vault that went back in time is refused.
func TestReloadOlder(t *testing.T) {
	i := created(t)
	before := i.vault.all()
	i.change(rotate(api.RotateSigning))
	i.vault.alter(func([]byte) []byte { return before })
	refused(t, i.ca.Reload(t.Context()), "keyset 1 is older than keyset 2")
	if i.keyset().Version != 2 {
		t.Error("went back")
	}
}

// TestNotAfter: the alarm follows what ends first, and a rotation moves it.
func TestNotAfter(t *testing.T) {
	i := created(t)
	first := i.ca.NotAfter()
	if left := first.Sub(i.now()); left < 364*day || left > 365*day {
		t.Fatalf("%s left", left)
	}
	i.advance(300 * day)
	i.change(rotate(api.RotatePrune)) // a new keyset, with the same keys
	if !i.ca.NotAfter().Equal(first) {
		t.Errorf("%s, not %s", i.ca.NotAfter(), first)
	}
	i.change(rotate(api.RotateSigning))
	i.advance(ca.ActivationDelay)
	if left := i.ca.NotAfter().Sub(i.now()); left < 364*day {
		t.Errorf("%s left after a rotation", left)
	}
}

// TestUseWhileRotating: signing and issuing go on through rotations.
func TestUseWhileRotating(t *testing.T) {
	i := created(t)
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() { use(t, i, stop) })
	}
	for _, f := range []func(context.Context, ca.Vault, string, func() time.Time) error{rotate(api.RotateSigning), rotate(api.RotateRoot), rotate(api.RotatePrune), rotate(api.RotateSigning)} {
		i.change(f)
		i.advance(ca.ActivationDelay)
	}
	close(stop)
	users.Wait()
}

// use signs, and verifies under a keyset fetched afterwards, until stop.
func use(t *testing.T, i *installation, stop <-chan struct{}) {
	for {
		s, err := i.ca.Sign(mezu.PurposeEdges, mezu.EdgeList{})
		if err != nil {
			t.Error(err)
			return
		}
		peer := trust.New(i.ca.TrustRoot(), i.now)
		if _, err := peer.AcceptKeyset(i.ca.Keyset()); err != nil {
			t.Error(err)
		}
		if _, err := peer.OpenEdges(s); err != nil {
			t.Error(err)
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// TestK10Install: what was not proposed, was endorsed elsewhere or too late is
// refused, and changes nothing.
func TestK10Install(t *testing.T) {
	i, other := created(t), created(t)
	propose := func(of *installation, what api.Rotation) (api.KeyProposal, api.KeyEndorsement) {
		t.Helper()
		p, err := ca.Propose(t.Context(), of.vault, what, 0, of.now)
		if err != nil {
			t.Fatal(err)
		}
		e, err := ca.Endorse(of.offline, p, of.now)
		if err != nil {
			t.Fatal(err)
		}
		return p, e
	}
	install := func(e api.KeyEndorsement) error { return ca.Install(t.Context(), i.vault, e, i.now) }
	_, stale := propose(i, api.RotateSigning)
	p, good := propose(i, api.RotateSigning)
	refused(t, install(stale), "not what was proposed last")
	_, foreign := propose(other, api.RotateSigning)
	refused(t, install(foreign), "not signed by this installation's trust root")
	mixed := good
	mixed.Issuer = foreign.Issuer
	refused(t, install(mixed), "issuer")
	mixed.Issuer = stale.Issuer
	refused(t, install(mixed), "issuer")
	rooted := good
	_, withRoot := propose(other, api.RotateRoot)
	rooted.Root, rooted.Keyset = withRoot.Root, stale.Keyset
	refused(t, install(rooted), "proposed last")
	more := p
	more.Keyset.Keys = append(more.Keyset.Keys[:len(more.Keyset.Keys):len(more.Keyset.Keys)], more.Keyset.Keys[0])
	unasked, err := ca.Endorse(i.offline, more, i.now)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, install(unasked), "proposed last")
	skipped := p
	skipped.Keyset.Version = 1
	_, err = ca.Endorse(i.offline, skipped, i.now)
	refused(t, err, "no successor")
	if err := i.ca.Reload(t.Context()); err != nil || i.keyset().Version != 1 {
		t.Fatalf("after refusals: %v", err)
	}
	if err := install(good); err != nil {
		t.Fatal(err)
	}
	refused(t, install(good), "no proposal")
	_, late := propose(i, api.RotateSigning)
	i.advance(ca.ProposalLife + time.Second)
	refused(t, install(late), "no proposal")
	p, err = ca.Propose(t.Context(), i.vault, api.RotateSigning, 1000, i.now)
	if err != nil || p.Keyset.Version != 1000 {
		t.Errorf("version %d with a floor of 1000, %v", p.Keyset.Version, err)
	}
	_, err = ca.Propose(t.Context(), i.vault, "other", 0, i.now)
	refused(t, err, "what")
}
