package mezu_test

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newKey(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func sign(t *testing.T, purpose mezu.Purpose, id string, key ed25519.PrivateKey, statement any) mezu.Signed {
	t.Helper()
	s, err := mezu.Sign(purpose, id, key, statement)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPosition(t *testing.T) {
	ordered := []mezu.Position{{}, {Revision: 1}, {Revision: 9}, {Epoch: 1}, {Epoch: 1, Revision: 1}, {Epoch: 2}, {Epoch: 10, Revision: 3}}
	for i, p := range ordered {
		for j, q := range ordered {
			if got := p.Compare(q); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v to %v: %d", p, q, got)
			}
		}
		if again, err := mezu.ParsePosition(p.String()); err != nil || again != p || p.IsZero() != (i == 0) {
			t.Errorf("%v reads as %v, %v", p, again, err)
		}
	}
	for _, s := range []string{"", ".", "1", "1.", ".1", "1.2.3", "-1.2", "+1.2", "1. 2", "x.y", "18446744073709551616.0"} {
		if p, err := mezu.ParsePosition(s); err == nil {
			t.Errorf("%q reads as %v", s, p)
		}
	}
}

func TestSigned_Verify(t *testing.T) {
	public, private := newKey(t)
	stranger, _ := newKey(t)
	good := sign(t, mezu.PurposeBundle, "k1", private, map[string]string{"a": "b"})
	accepted(t, "good", good.Verify(mezu.PurposeBundle, public))
	if good.Verify(mezu.PurposeBundle, stranger) == nil {
		t.Error("verifies under another key")
	}
	for _, key := range []ed25519.PublicKey{nil, {}, public[:31], append(public[:32:32], 0)} {
		if good.Verify(mezu.PurposeBundle, key) == nil {
			t.Errorf("verifies under a key of %d bytes", len(key))
		}
	}
	for name, change := range map[string]func(*mezu.Signed){
		"payload":         func(s *mezu.Signed) { s.Payload = append([]byte(" "), s.Payload...) },
		"empty":           func(s *mezu.Signed) { s.Payload = nil },
		"signature":       func(s *mezu.Signed) { s.Signature = append([]byte(nil), s.Signature...); s.Signature[0] ^= 1 },
		"short signature": func(s *mezu.Signed) { s.Signature = s.Signature[:63] },
		"no signature":    func(s *mezu.Signed) { s.Signature = nil },
		"over the limit":  func(s *mezu.Signed) { s.Payload = make([]byte, mezu.MaxSignedPayload+1) },
	} {
		s := good
		change(&s)
		if s.Verify(mezu.PurposeBundle, public) == nil {
			t.Errorf("%s: verifies", name)
		}
	}
	if _, err := mezu.Sign(mezu.PurposeBundle, "k1", private, strings.Repeat("a", mezu.MaxSignedPayload)); err == nil {
		t.Error("signs beyond the limit")
	}
}

func TestSigned_PurposesAreNotConfused(t *testing.T) {
	public, private := newKey(t)
	purposes := []mezu.Purpose{mezu.PurposeKeyset, mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeRevocation, mezu.PurposeGrant}
	for _, is := range purposes {
		s := sign(t, is, "k1", private, struct{}{})
		for _, want := range purposes {
			if err := s.Verify(want, public); (err == nil) != (is == want) {
				t.Errorf("a %s as a %s: %v", is, want, err)
			}
			relabelled := s
			relabelled.Purpose = want
			if err := relabelled.Verify(want, public); (err == nil) != (is == want) {
				t.Errorf("a %s labelled %s: %v", is, want, err)
			}
		}
	}
	// What is signed begins with the type: neither the bare payload nor a payload
	// that holds another type's prefix passes.
	bare := mezu.Signed{Purpose: mezu.PurposeGrant, Payload: []byte("{}"), Signature: ed25519.Sign(private, []byte("{}"))}
	if bare.Verify(mezu.PurposeGrant, public) == nil {
		t.Error("a signature over the bare payload verifies")
	}
}

func keyset(keys ...mezu.PublicKey) mezu.Keyset {
	return mezu.Keyset{Version: 3, IssuedAt: noon, NotAfter: noon.Add(time.Hour), CARoots: []string{"PEM"}, Keys: keys}
}

func TestOpenKeyset(t *testing.T) {
	root, rootKey := newKey(t)
	_, otherKey := newKey(t)
	good := sign(t, mezu.PurposeKeyset, "root", rootKey, keyset())
	if k, err := mezu.OpenKeyset(good, root, noon); err != nil || k.Version != 3 {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := mezu.OpenKeyset(good, root, noon.Add(time.Hour)); err != nil {
		t.Errorf("at its last moment: %v", err)
	}
	empty, rootless := keyset(), keyset()
	empty.Version, rootless.CARoots = 0, nil
	for name, c := range map[string]struct {
		s   mezu.Signed
		now time.Time
	}{
		"expired":       {good, noon.Add(time.Hour + 1)},
		"wrong key":     {sign(t, mezu.PurposeKeyset, "root", otherKey, keyset()), noon},
		"wrong purpose": {sign(t, mezu.PurposeBundle, "root", rootKey, keyset()), noon},
		"no version":    {sign(t, mezu.PurposeKeyset, "root", rootKey, empty), noon},
		"no CA root":    {sign(t, mezu.PurposeKeyset, "root", rootKey, rootless), noon},
		"no keyset":     {sign(t, mezu.PurposeKeyset, "root", rootKey, []int{1}), noon},
		"zero":          {mezu.Signed{}, noon},
	} {
		if k, err := mezu.OpenKeyset(c.s, root, c.now); err == nil || k != nil {
			t.Errorf("%s: opened %+v, %v", name, k, err)
		}
	}
}

func TestKeyset_Open(t *testing.T) {
	public, private := newKey(t)
	successor, successorKey := newKey(t)
	_, strangerKey := newKey(t)
	k := keyset(
		mezu.PublicKey{ID: "b1", Purpose: mezu.PurposeBundle, Key: public, NotAfter: noon},
		mezu.PublicKey{ID: "b2", Purpose: mezu.PurposeBundle, Key: successor, NotAfter: noon.Add(mezu.KeysetOverlap)},
		mezu.PublicKey{ID: "k1", Purpose: mezu.PurposeKeyset, Key: public, NotAfter: noon.Add(time.Hour)},
	)
	statement := mezu.Revocation{Subject: "x"}
	open := func(s mezu.Signed, purpose mezu.Purpose, now time.Time) error {
		var got mezu.Revocation
		err := k.Open(s, purpose, now, &got)
		if err == nil && got.Subject != "x" {
			t.Errorf("opened %+v", got)
		}
		return err
	}
	old, young := sign(t, mezu.PurposeBundle, "b1", private, statement), sign(t, mezu.PurposeBundle, "b2", successorKey, statement)
	accepted(t, "old key at its last moment", open(old, mezu.PurposeBundle, noon))
	accepted(t, "new key", open(young, mezu.PurposeBundle, noon))
	accepted(t, "new key later", open(young, mezu.PurposeBundle, noon.Add(time.Hour)))
	for name, err := range map[string]error{
		"old key after its end":        open(old, mezu.PurposeBundle, noon.Add(1)),
		"another purpose":              open(old, mezu.PurposeGrant, noon),
		"key of another purpose":       open(sign(t, mezu.PurposeGrant, "b1", private, statement), mezu.PurposeGrant, noon),
		"unknown key":                  open(sign(t, mezu.PurposeBundle, "b3", private, statement), mezu.PurposeBundle, noon),
		"forged under a known key":     open(sign(t, mezu.PurposeBundle, "b1", strangerKey, statement), mezu.PurposeBundle, noon),
		"a keyset by a key of its own": open(sign(t, mezu.PurposeKeyset, "k1", private, statement), mezu.PurposeKeyset, noon),
		"another statement":            open(sign(t, mezu.PurposeBundle, "b1", private, 7), mezu.PurposeBundle, noon),
	} {
		if err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}
