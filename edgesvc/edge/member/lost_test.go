package member_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Issue 7, row 14: whatever is missing from the disk, or is an older one, is fetched
// before the edge is ready.
func TestRow14LostStatements(t *testing.T) {
	c := newControl(t)
	env, other := newEnvironment(), newEnvironment()
	c.bundle(env, "shop-acme", "/")
	c.bundle(other, "blog-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.edges(e.ID())
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0abc", Scope: env, Until: c.clock.Now().Add(48 * time.Hour)})
	c.keys(env)
	settle := func(at mezu.Position) {
		t.Helper()
		eventually(t, "all is on disk", func() bool {
			data, _ := os.ReadFile(filepath.Join(dir, "stream.json"))
			return e.Metrics().Applied == at && strings.Contains(string(data), fmt.Sprintf(`"cursor":{"epoch":%d,"revision":%d}`, at.Epoch, at.Revision))
		})
	}
	settle(look(c, func() mezu.Position { return c.at }))
	older := map[string][]byte{}
	files := []string{filepath.Join("bundles", env+".json"), filepath.Join("assertions", env+".json"), "edges.json", "revocations.log"}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		older[name] = data
	}
	c.edges(e.ID(), mezu.NewID(mezu.PrefixEdge, time.Now()))
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0def", Scope: env, Until: c.clock.Now().Add(48 * time.Hour)})
	c.keys(env)
	last := c.bundle(env, "shop-acme", "/", "/more/")
	settle(last)

	for _, name := range files {
		for _, how := range []string{"rolled back", "removed"} {
			e.stop()
			path := filepath.Join(dir, name)
			if how == "removed" {
				must(t, os.Remove(path))
			} else {
				must(t, os.WriteFile(path, older[name], 0o600))
			}
			e = open(t, e.cfg)
			if e.Ready() || e.Metrics().Lost != 1 || !e.log.has("not there any more") {
				t.Errorf("%s %s: ready %v, %d kinds are lost", name, how, e.Ready(), e.Metrics().Lost)
			}
			if name == "revocations.log" && how == "removed" {
				// Without the control plane it goes on, and says what is missing.
				c.refused(api.OpEdgeStream, mezu.Errorf(mezu.CodeUnavailable, "not now"))
				e.run()
				eventually(t, "it goes on", e.Ready)
				if doubts := e.Doubts(); len(doubts) != 2 || !strings.Contains(doubts[1], "missing on its disk") {
					t.Errorf("it doubts %q", doubts)
				}
				c.refused(api.OpEdgeStream, nil)
			} else {
				e.run()
			}
			eventually(t, name+" "+how+": it is fetched", func() bool {
				return e.Metrics().Lost == 0 && len(e.Doubts()) == 0 && e.serves("shop-acme", last) && e.Trust().CertificateRevoked("0def") && len(e.told(env)) == 2
			})
			settle(last)
		}
	}
	// What is whole is not doubted.
	e.stop()
	e = open(t, e.cfg)
	if e.Metrics().Lost != 0 {
		t.Error("something is missing from a disk that was left alone")
	}
	e.run()
	eventually(t, "it is in step", func() bool { return e.Ready() && len(e.Doubts()) == 0 })
	if resumed := look(c, func() mezu.Position { return c.resumed[len(c.resumed)-1] }); resumed != last {
		t.Errorf("it asked from %s", resumed)
	}
}

// Issue 7, row 14: the control plane says what must be there. An edge that has something
// else asks for everything, once, and is ready when that has come.
func TestRow14ToldWhatMustBeThere(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.edges(e.ID())
	last := c.bundle(env, "shop-acme", "/", "/more/")
	eventually(t, "it is in step", func() bool { return e.Metrics().Applied == last })
	e.stop()
	// Of a revocation the edge was never told, though it went past its place.
	c.mu.Lock()
	r := mezu.Revocation{Position: mezu.Position{Epoch: 1, Revision: 2}, Kind: mezu.RevokeCertificate, Subject: "0abc", Until: c.clock.Now().Add(48 * time.Hour)}
	c.statements = append(c.statements, statement{"revocation", api.StreamRevocation, r.Position, c.sign(mezu.PurposeRevocation, r)})
	c.says = true
	c.mu.Unlock()
	e = open(t, e.cfg)
	e.run()
	eventually(t, "it is ready", e.Ready)
	if !e.Trust().CertificateRevoked("0abc") || e.Metrics().Differs || !e.log.has("statements are missing on this edge") {
		t.Errorf("ready without what was missing: %+v", e.Metrics())
	}
	asked := look(c, func() []mezu.Position { return c.resumed[len(c.resumed)-2:] })
	if asked[0] != last || !asked[1].IsZero() {
		t.Errorf("it asked from %v", asked)
	}
	// What the control plane doesn't know, as after an old backup, stays and is named.
	e.stop()
	c.mu.Lock()
	c.statements = c.statements[:len(c.statements)-1]
	c.mu.Unlock()
	e = open(t, e.cfg)
	e.run()
	eventually(t, "it is ready, and says so", func() bool { return e.Ready() && e.Metrics().Differs && len(e.Doubts()) == 1 })
	if !e.Trust().CertificateRevoked("0abc") {
		t.Error("a revocation was forgotten")
	}
}

// What the version before kept in a file each is taken into the log, whatever was done
// of it before a kill.
func TestRevocationsOfTheVersionBefore(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	at := c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	eventually(t, "bundle is served", func() bool { return e.serves("shop-acme", at) })
	e.stop()
	c.stop()
	folder := filepath.Join(dir, "revocations")
	must(t, os.Mkdir(folder, 0o700))
	until := c.clock.Now().Add(48 * time.Hour)
	write := func(n int) {
		r := mezu.Revocation{Position: at, Kind: mezu.RevokeCertificate, Subject: fmt.Sprint("0", n), Until: until}
		data, err := json.Marshal(c.sign(mezu.PurposeRevocation, r))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(folder, fmt.Sprint(n, ".json")), data, 0o600))
	}
	for n := range 20 {
		write(n)
	}
	e = open(t, e.cfg)
	if n := len(e.told(env)); n != 20 || e.Metrics().Revocations != 20 {
		t.Errorf("told of %d, %d are kept", n, e.Metrics().Revocations)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
	e.stop()
	// Killed between writing the log and removing the last files.
	must(t, os.Mkdir(folder, 0o700))
	write(3)
	write(20)
	e = open(t, e.cfg)
	if n := len(e.told(env)); n != 21 {
		t.Errorf("told of %d", n)
	}
	for n := range 21 {
		if !e.Trust().CertificateRevoked(fmt.Sprint("0", n)) {
			t.Errorf("number %d is not revoked", n)
		}
	}
}

// A Warpgate is told of the directory that its environment names, from the moment on in
// which it does, and of nothing that concerns others.
func TestRow1ToldOfItsDirectory(t *testing.T) {
	c := newControl(t)
	env, other := newEnvironment(), newEnvironment()
	a, b := mezu.NewID(mezu.PrefixDirectory, time.Now()), mezu.NewID(mezu.PrefixDirectory, time.Now())
	publish := func(environment, label, directory string) mezu.Position {
		bundle := newBundle(environment, label, "/")
		bundle.Directory = directory
		return c.publish(bundle)
	}
	e := c.startEdge(t.TempDir())
	publish(env, "shop-acme", a)
	publish(other, "blog-beta", b)
	until := c.clock.Now().Add(48 * time.Hour)
	c.revoke(mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr_a", Scope: a, NotBefore: c.clock.Now(), Until: until})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr_b", Scope: b, NotBefore: c.clock.Now(), Until: until})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0b", Scope: other, Until: until})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeUser, Subject: "usr_unscoped", NotBefore: c.clock.Now(), Until: until})
	c.revoke(mezu.Revocation{Kind: mezu.RevokeCertificate, Subject: "0edge", Until: until})
	at := look(c, func() mezu.Position { return c.at })
	eventually(t, "all is applied", func() bool { return e.Metrics().Applied == at })
	names := func(told []mezu.Revocation) (out string) {
		for _, r := range told {
			out += r.Subject + " "
		}
		return out
	}
	if got := names(e.told(env)); got != "0edge usr_a " {
		t.Errorf("told of %s", got)
	}
	if got := names(e.told(other)); got != "0edge 0b usr_b " {
		t.Errorf("the other is told of %s", got)
	}
	for rev, want := range map[*mezu.Revocation]string{
		{Kind: mezu.RevokeUser, Scope: a}: env, {Kind: mezu.RevokeCertificate, Scope: other}: other, {Kind: mezu.RevokeUser, Scope: b}: other,
	} {
		if got, all := e.Concerned(rev); all || len(got) != 1 || got[0] != want {
			t.Errorf("%+v concerns %v, %v", rev, got, all)
		}
	}
	feed := e.Revocations(env, mezu.Told{Directory: a, Position: at})
	if docs := feed.Next(10); len(docs) != 0 {
		t.Errorf("told again of %d", len(docs))
	}
	if told, ok := feed.Current(); !ok || told != (mezu.Told{Directory: a, Position: at}) {
		t.Errorf("told up to %+v, %v", told, ok)
	}
	moved := publish(env, "shop-acme", b)
	eventually(t, "the other directory is named", func() bool { return e.Metrics().Applied == moved })
	if docs := feed.Next(10); len(docs) != 1 || !strings.Contains(string(docs[0].Payload), "usr_b") {
		t.Errorf("told of %d of the other directory", len(docs))
	}
}
