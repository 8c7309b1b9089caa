package member_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/edge/member"
	"github.com/mezusphere/mezu/testkit"
)

func TestRestartWithTheControlPlaneDown(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	at := c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.edges(e.ID())
	session := mezu.NewID("ses", time.Now())
	c.revoke(mezu.Revocation{Kind: mezu.RevokeSession, Subject: session, Until: c.clock.Now().Add(time.Hour)})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0abc", Until: c.clock.Now().Add(48 * time.Hour)})
	eventually(t, "revocations are applied", func() bool { return e.Trust().CertificateRevoked("0abc") })
	eventually(t, "certificate is there", func() bool { return e.Metrics().PublicCertificates == 1 })
	if e.mu.Lock(); !slices.Contains(e.revocations, session) {
		t.Error("the hub was not told of the revocation")
	}
	e.mu.Unlock()
	id := e.ID()
	e.stop()
	c.stop()
	head := e.Head()

	again := open(t, e.cfg)
	if again.ID() != id || again.Head() != head || !again.serves("shop-acme", at) {
		t.Fatalf("does not serve from disk: head %s", again.Head())
	}
	if !again.Trust().CertificateRevoked("0abc") {
		t.Error("a revocation did not survive the restart")
	}
	if n, told := len(again.Statements(env)), again.told(env); n != 3 || len(told) != 1 || told[0].Subject != "0abc" {
		t.Errorf("%d documents, want keyset, edges and bundle; told of %v", n, told)
	}
	again.run()
	eventually(t, "it tries", func() bool { return again.log.has("serving what is known") })
	eventually(t, "it goes on without the control plane, and says so", func() bool {
		return again.Ready() && len(again.Doubts()) == 1 && again.log.has("can't be asked")
	})
	must(t, again.Await(t.Context()))
	again.stop()

	// Past its end a revocation is forgotten, on disk too.
	c.clock.Advance(2 * time.Hour)
	late := open(t, e.cfg)
	if _, ended := late.Trust().Revoked(mezu.RevokeSession, session); ended || late.Metrics().Revocations != 1 {
		t.Errorf("after the end of a revocation it counts: %v, %d are kept", ended, late.Metrics().Revocations)
	}
}

func TestTornFilesAreSetAside(t *testing.T) {
	c := newControl(t)
	env, other := newEnvironment(), newEnvironment()
	at := c.bundle(env, "shop-acme", "/")
	at2 := c.bundle(other, "blog-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.edges(e.ID())
	eventually(t, "edges are on disk", func() bool { _, err := os.Stat(filepath.Join(dir, "edges.json")); return err == nil })
	eventually(t, "certificates are there", func() bool { return e.Metrics().PublicCertificates == 2 })
	e.stop()
	torn := []string{filepath.Join("bundles", env+".json"), "edges.json", filepath.Join("certs", "blog-acme.pem")}
	for _, name := range torn {
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, content[:len(content)/2], 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "revocations"), 0o700)) // the version before's
	must(t, os.WriteFile(filepath.Join(dir, "revocations", "x.json"), []byte("{}"), 0o600))
	c.refused(api.OpEdgeStream, mezu.Errorf(mezu.CodeUnavailable, "not now"))

	again := open(t, e.cfg)
	if again.Host("shop-acme."+testDomain) != nil || !again.serves("blog-acme", at2) {
		t.Fatal("a torn file counts, or took others with it")
	}
	for _, name := range append(torn, filepath.Join("revocations", "x.json")) {
		if _, err := os.Stat(filepath.Join(dir, name+".rejected")); err != nil {
			t.Errorf("%s was not set aside: %v", name, err)
		}
	}
	c.refused(api.OpEdgeStream, nil)
	again.stop()
	again = open(t, e.cfg) // the second start misses it too
	again.run()
	eventually(t, "what was lost is fetched again", func() bool { return again.serves("shop-acme", at) && len(again.Statements(env)) == 3 })
}

func TestTornKeysetServesNothingAndLosesNothing(t *testing.T) {
	c := newControl(t)
	at := c.bundle(newEnvironment(), "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	e.stop()
	must(t, os.WriteFile(filepath.Join(dir, "keyset.json"), []byte("{"), 0o600))
	again := open(t, e.cfg)
	if again.Ready() || again.Host("shop-acme."+testDomain) != nil {
		t.Fatal("serves what it can't verify")
	}
	if set, _ := filepath.Glob(filepath.Join(dir, "bundles", "*.rejected")); len(set) != 0 {
		t.Error("bundles were set aside for the keyset's sake")
	}
	again.run()
	eventually(t, "it recovers", func() bool { return again.Ready() && again.serves("shop-acme", at) })
}

func TestTornPositionKeepsServing(t *testing.T) {
	c := newControl(t)
	at := c.bundle(newEnvironment(), "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	e.stop()
	c.stop()
	must(t, os.WriteFile(filepath.Join(dir, "stream.json"), nil, 0o600))
	again := open(t, e.cfg)
	again.run()
	eventually(t, "it serves without the position", func() bool { return again.Ready() && again.serves("shop-acme", at) && again.Head() == at })
}

func TestForeignBundleOnDiskIsNotTrusted(t *testing.T) {
	c, foreign := newControl(t), newControl(t)
	env, planted := newEnvironment(), newEnvironment()
	at := c.bundle(env, "shop-acme", "/")
	foreign.bundle(planted, "evil-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	e.stop()
	// Another installation's bundle, and a good one under another's name.
	other := foreign.startEdge(t.TempDir())
	eventually(t, "foreign bundle is there", func() bool { return other.Host("evil-acme."+testDomain) != nil && other.Metrics().Unwritten == 0 })
	content, err := os.ReadFile(filepath.Join(other.cfg.StateDir, "bundles", planted+".json"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "bundles", planted+".json"), content, 0o600))
	content, err = os.ReadFile(filepath.Join(dir, "bundles", env+".json"))
	must(t, err)
	misnamed := newEnvironment()
	must(t, os.WriteFile(filepath.Join(dir, "bundles", misnamed+".json"), content, 0o600))
	again := open(t, e.cfg)
	if again.Host("evil-acme."+testDomain) != nil || !again.serves("shop-acme", at) {
		t.Error("a planted file counts")
	}
	for _, name := range []string{planted, misnamed} {
		if _, err := os.Stat(filepath.Join(dir, "bundles", name+".json.rejected")); err != nil {
			t.Errorf("planted file was not set aside: %v", err)
		}
	}
}

func TestLockedDirectory(t *testing.T) {
	c := newControl(t)
	dir := t.TempDir()
	e := open(t, c.configure(dir))
	if _, err := member.Open(e.cfg); !errors.Is(err, atomicfile.ErrLocked) {
		t.Fatalf("second open says %v", err)
	}
	must(t, e.Close())
	must(t, e.Close())
	again := open(t, e.cfg)
	must(t, again.Close())
}

func TestUnwritableDiskKeepsServingWhatComes(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	dir := t.TempDir()
	e := c.startEdge(dir)
	bundles := filepath.Join(dir, "bundles")
	must(t, os.RemoveAll(bundles))
	must(t, os.WriteFile(bundles, nil, 0o600)) // stops root too
	at := c.bundle(env, "shop-acme", "/")
	eventually(t, "it is served all the same", func() bool { return e.serves("shop-acme", at) })
	eventually(t, "it is counted as waiting", func() bool { m := e.Metrics(); return m.Unsaved > 0 && m.Unwritten == 1 })
	must(t, os.Remove(bundles))
	must(t, os.Mkdir(bundles, 0o700))
	eventually(t, "it is written later", func() bool {
		_, err := os.Stat(filepath.Join(bundles, env+".json"))
		return err == nil && e.Metrics().Unwritten == 0
	})

	// Ending before it could be written loses nothing either.
	must(t, os.RemoveAll(bundles))
	must(t, os.WriteFile(bundles, nil, 0o600))
	last := c.bundle(env, "shop-acme", "/", "/new/")
	eventually(t, "the next is served", func() bool { return e.serves("shop-acme", last) && e.Metrics().Applied == last })
	e.stop()
	must(t, os.Remove(bundles))
	again := open(t, e.cfg)
	again.run()
	eventually(t, "it comes again", func() bool { return again.serves("shop-acme", last) })
}

// TestKillBetweenServingAndWriting: what was in force and not on disk yet when the
// process was killed comes again, and nothing on disk claims that it is there.
func TestKillBetweenServingAndWriting(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	first := c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "the first is on disk, and a position", func() bool {
		_, err := os.Stat(filepath.Join(dir, "stream.json"))
		return err == nil && e.serves("shop-acme", first) && e.Metrics().Unwritten == 0
	})
	// The disk stands still: whoever writes a bundle waits until the kill.
	bundles, aside := filepath.Join(dir, "bundles"), filepath.Join(dir, "aside")
	must(t, os.Rename(bundles, aside))
	must(t, os.WriteFile(bundles, nil, 0o600))
	second := c.bundle(env, "shop-acme", "/", "/new/")
	eventually(t, "the second is served", func() bool { return e.serves("shop-acme", second) && e.Metrics().Unwritten == 1 })

	killed := t.TempDir()
	testkit.CopyDir(t, dir, killed)
	must(t, os.Remove(filepath.Join(killed, "bundles")))
	must(t, os.Rename(filepath.Join(killed, "aside"), filepath.Join(killed, "bundles")))
	e.stop()
	cfg := e.cfg
	cfg.StateDir = killed
	c.refused(api.OpEdgeStream, mezu.Errorf(mezu.CodeUnavailable, "not now"))
	again := open(t, cfg)
	if !again.serves("shop-acme", first) {
		t.Error("it does not serve what is on disk")
	}
	if at := again.Metrics().Applied; at.Compare(second) >= 0 {
		t.Errorf("on disk is position %s, as if %s were", at, second)
	}
	c.refused(api.OpEdgeStream, nil)
	again.run()
	eventually(t, "the second comes again", func() bool { return again.serves("shop-acme", second) })
}
