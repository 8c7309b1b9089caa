package mezu_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// The example of RFC 8037, A.3.
func TestAssertionKeyID(t *testing.T) {
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got := mezu.AssertionKeyID(key); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Error(got)
	}
}

func TestAssertionKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	public := func() ed25519.PublicKey { k, _, _ := ed25519.GenerateKey(nil); return k }
	a := mezu.AssertionKeys{Position: mezu.Position{Epoch: 1, Revision: 1}, Environment: mezu.NewID(mezu.PrefixEnvironment, now), Keys: []mezu.AssertionKey{
		{Key: public(), Warpgate: mezu.NewID(mezu.PrefixWarpgate, now)}, {Key: public(), Warpgate: mezu.NewID(mezu.PrefixWarpgate, now), Until: now},
	}}
	if err := a.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(a.Listed(now)) != 2 || len(a.Listed(now.Add(1))) != 1 || len(a.Keys) != 2 {
		t.Error("other keys are listed")
	}
	if !a.InUse(a.Keys[0].Key) || a.InUse(a.Keys[1].Key) || a.InUse(public()) {
		t.Error("other keys are in use")
	}
	for field, change := range map[string]func(*mezu.AssertionKeys){
		"environment": func(a *mezu.AssertionKeys) { a.Environment = "shop" },
		"position":    func(a *mezu.AssertionKeys) { a.Position = mezu.Position{} },
		"keys.key": func(a *mezu.AssertionKeys) {
			a.Keys = []mezu.AssertionKey{{Key: a.Keys[0].Key[1:], Warpgate: a.Keys[0].Warpgate}}
		},
		"keys.warpgate": func(a *mezu.AssertionKeys) { a.Keys = []mezu.AssertionKey{{Key: a.Keys[0].Key}} },
		"keys":          func(a *mezu.AssertionKeys) { a.Keys = make([]mezu.AssertionKey, mezu.MaxAssertionKeys+1) },
	} {
		b := a
		change(&b)
		if e := (*mezu.Error)(nil); !errors.As(b.Validate(), &e) || e.Field != field {
			t.Errorf("%s: %v", field, e)
		}
	}
}

// A proof is of one key, for one certificate.
func TestCheckAssertionKey(t *testing.T) {
	public, key, _ := ed25519.GenerateKey(nil)
	other, _, _ := ed25519.GenerateKey(nil)
	proof := mezu.ProveAssertionKey(key, []byte("certified"))
	if err := mezu.CheckAssertionKey(public, []byte("certified"), proof); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"another key":         mezu.CheckAssertionKey(other, []byte("certified"), proof),
		"another certificate": mezu.CheckAssertionKey(public, []byte("other"), proof),
		"no proof":            mezu.CheckAssertionKey(public, []byte("certified"), nil),
		"no key":              mezu.CheckAssertionKey(public[1:], []byte("certified"), proof),
		"signed text":         mezu.CheckAssertionKey(public, []byte("certified"), ed25519.Sign(key, []byte("certified"))),
	} {
		if mezu.CodeOf(err) != mezu.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
