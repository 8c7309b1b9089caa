package edgepart_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edgepart"
)

func newKey(t *testing.T) *edgepart.Key {
	t.Helper()
	made, err := edgepart.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := made.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := edgepart.ParseKey(kept)
	if err != nil || !bytes.Equal(key.Public(), made.Public()) || edgepart.CheckPublic(key.Public()) != nil {
		t.Fatal(err)
	}
	return key
}

const (
	shop  = "env_00000000000000000000000001"
	other = "env_00000000000000000000000002"
)

func TestSeal(t *testing.T) {
	a, b, c := newKey(t), newKey(t), newKey(t)
	content := &mezu.EdgeContent{Webhooks: []mezu.WebhookSecrets{{Webhook: mezu.Webhook{Name: "pay", Provider: mezu.WebhookStripe}, Secrets: []string{"hush-hush"}}}}
	p := mezu.EdgePart{Position: mezu.Position{Epoch: 1, Revision: 7}, Environment: shop}
	if err := edgepart.Seal(&p, content, map[string][]byte{"edg_b": b.Public(), "edg_a": a.Public()}); err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(p); err != nil || bytes.Contains(text, []byte("hush")) || bytes.Contains(text, []byte("aHVzaC")) {
		t.Errorf("%s, %v", text, err)
	}
	for id, key := range map[string]*edgepart.Key{"edg_a": a, "edg_b": b} {
		got, err := key.Open(&p, id)
		if err != nil || len(got.Webhooks) != 1 || got.Webhooks[0].Name != "pay" || got.Webhooks[0].Secrets[0] != "hush-hush" {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	for id, key := range map[string]*edgepart.Key{"edg_c": c, "edg_a": c, "edg_b": a, "": a} {
		if _, err := key.Open(&p, id); !errors.Is(err, edgepart.ErrNotForUs) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for name, change := range map[string]func(*mezu.EdgePart){
		"of another environment": func(p *mezu.EdgePart) { p.Environment = other },
		"with another content":   func(p *mezu.EdgePart) { p.Sealed = bytes.Clone(p.Sealed); p.Sealed[20]++ },
		"cut short":              func(p *mezu.EdgePart) { p.Sealed = p.Sealed[:8] },
	} {
		q := p
		change(&q)
		if got, err := a.Open(&q, "edg_a"); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got, err := c.Open(&mezu.EdgePart{Environment: shop}, "edg_c"); err != nil || len(got.Webhooks) != 0 {
		t.Errorf("an empty one: %+v, %v", got, err)
	}
	if err := edgepart.Seal(&p, content, map[string][]byte{"edg_a": []byte("short")}); err == nil || edgepart.CheckPublic([]byte("short")) == nil {
		t.Error("takes what is no key")
	}
	if edgepart.CheckPublic(make([]byte, 32)) == nil {
		t.Error("takes a key with which there is no secret")
	}
	if _, err := edgepart.ParseKey(nil); err == nil {
		t.Error("parses nothing")
	}
}
