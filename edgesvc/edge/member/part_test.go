package member_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/trust"
)

// knows reports whether the edge has this secret of the environment's webhook; empty is none.
func (e *edge) knows(environment, secret string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	content := e.contents[environment]
	if content == nil || len(content.Webhooks) == 0 {
		return secret == ""
	}
	return content.Webhooks[0].Secrets[0] == secret
}

// What edges alone know comes over the stream and lies on the disk encrypted, is there after a
// restart without the control plane, goes with the environment, and is told to no Warpgate.
func TestPartOfEdges(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	c.edges()
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.part(env, "hush-one")
	eventually(t, "the secret is known", func() bool { return e.knows(env, "hush-one") })
	older := look(c, func() mezu.Signed { return c.statements[len(c.statements)-1].signed })
	c.part(env, "hush-two")
	eventually(t, "the next one is known", func() bool { return e.knows(env, "hush-two") })
	c.raw("older", api.StreamEdgePart, older)
	eventually(t, "an older one is refused", func() bool { return e.Metrics().Backwards == 1 })
	forged := c.sign(mezu.PurposeBundle, mezu.EdgePart{Position: mezu.Position{Epoch: 9, Revision: 9}, Environment: env})
	forged.Purpose = mezu.PurposeEdgePart
	c.raw("forged", api.StreamEdgePart, forged)
	eventually(t, "what no key for that has signed is refused", func() bool { return e.Metrics().Rejected == 1 && e.knows(env, "hush-two") })
	for _, doc := range e.Statements(env) {
		if doc.Purpose == mezu.PurposeEdgePart {
			t.Error("a Warpgate is told")
		}
	}
	e.mu.Lock()
	for _, doc := range e.documents {
		if doc == env+" "+string(mezu.PurposeEdgePart) {
			t.Error("Warpgates are told")
		}
	}
	e.mu.Unlock()
	e.stop()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte("hush")) || bytes.Contains(content, []byte("aHVzaC")) {
			t.Errorf("%s has the secret", path)
		}
		return err
	}))
	c.stop()
	again := open(t, e.cfg)
	if !again.knows(env, "hush-two") {
		t.Error("a restart without the control plane knows other secrets")
	}
	again.stop()
	c.restart()
	again = open(t, e.cfg)
	again.run()
	gone := newBundle(env, "shop-acme")
	gone.Removed = true
	c.publish(gone)
	eventually(t, "the secret is gone", func() bool { return again.knows(env, "") })
	eventually(t, "and its file", func() bool { _, err := os.Stat(filepath.Join(dir, "parts", env+".json")); return os.IsNotExist(err) })
}

// A lost file of the disk is fetched again.
func TestPartOfEdges_Lost(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.part(env, "hush")
	eventually(t, "the secret is known", func() bool { return e.knows(env, "hush") })
	e.stop()
	must(t, os.Remove(filepath.Join(dir, "parts", env+".json")))
	again := open(t, e.cfg)
	if again.knows(env, "hush") {
		t.Fatal("it is known without the file")
	}
	again.run()
	eventually(t, "it is fetched", func() bool { return again.knows(env, "hush") })
}

// An edge whose state is of the version before, or whose control plane is, has no key: it goes on
// without secrets, and registers one as soon as that is possible.
func TestPartOfEdges_VersionBefore(t *testing.T) {
	c := newControl(t)
	c.noSealing = true
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	dir := t.TempDir()
	e := c.startEdge(dir)
	c.part(env, "hush")
	eventually(t, "it waits", func() bool { return e.log.has("waiting for the secrets") })
	if !e.knows(env, "") || look(c, func() int { return len(c.sealing) }) != 0 {
		t.Error("it knows what is not for it")
	}
	e.stop()
	file := filepath.Join(dir, "identity.json")
	var stored map[string]any
	content, err := os.ReadFile(file)
	must(t, err)
	must(t, json.Unmarshal(content, &stored))
	if _, has := stored["sealing_key"]; has {
		t.Error("keeps a key that nobody knows")
	}
	again := open(t, e.cfg)
	look(c, func() bool {
		c.noSealing = false
		// What is encrypted to the new key comes before the answer that lets the edge go on with it.
		c.meanwhile = func() {
			at := c.part(env, "hush")
			eventually(t, "it comes", func() bool { return again.Head().Compare(at) >= 0 })
		}
		return true
	})
	again.run()
	eventually(t, "the secret is known", func() bool { return again.knows(env, "hush") })
	again.stop()
	last := open(t, e.cfg)
	if !last.knows(env, "hush") {
		t.Error("the key was not kept")
	}
}

// A renewal at a control plane of the version before, as there may be one beside a newer one while
// they are replaced, takes no key from an edge that has one.
func TestPartOfEdges_RenewedAtVersionBefore(t *testing.T) {
	c := newControl(t)
	env := newEnvironment()
	c.bundle(env, "shop-acme", "/")
	e := c.startEdge(t.TempDir())
	c.part(env, "hush")
	eventually(t, "the secret is known", func() bool { return e.knows(env, "hush") })
	first, err := e.PeerCertificate()
	must(t, err)
	e.stop()
	look(c, func() bool { c.noSealing = true; return true })
	c.clock.Advance(mezu.RenewAge + 4*time.Hour)
	again := open(t, e.cfg)
	again.run()
	eventually(t, "renewed", func() bool {
		cert, err := again.PeerCertificate()
		return err == nil && trust.Serial(cert.Leaf) != trust.Serial(first.Leaf)
	})
	c.part(env, "hush two")
	eventually(t, "the next secret is known", func() bool { return again.knows(env, "hush two") })
	again.stop()
	if last := open(t, e.cfg); !last.knows(env, "hush two") {
		t.Error("the key was not kept")
	}
}
