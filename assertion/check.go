package assertion

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// Key is a public key in the form of RFC 7517 and RFC 8037.
type Key struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"` // base64url
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// Keys is a set of them, as an environment's host serves it.
type Keys struct {
	Keys []Key `json:"keys"`
}

// List gives keys in that form.
func List(keys []mezu.AssertionKey) []Key {
	out := make([]Key, 0, len(keys))
	for i := range keys {
		out = append(out, Key{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(keys[i].Key), keys[i].ID(), "sig", algorithm})
	}
	return out
}

// find gives the key with an id, if the set has it and it is one by which assertions are
// signed.
func (k *Keys) find(id string) ed25519.PublicKey {
	for _, c := range k.Keys {
		if c.ID != id || c.Type != "OKP" || c.Curve != "Ed25519" || c.Algorithm != algorithm {
			continue
		}
		if key, err := base64.RawURLEncoding.DecodeString(c.X); err == nil && len(key) == ed25519.PublicKeySize {
			return key
		}
	}
	return nil
}

// maxText bounds an assertion: header, claims of the largest grant, signature.
const maxText = 4 << 10

// ErrUnknownKey says that no key of the set signed an assertion. The set may be an old one: it
// is worth fetching again, though not for each request.
var ErrUnknownKey = errors.New("the assertion is signed by no key of the set")

// Check verifies an assertion for the environment with this URL and id, by the keys of its host,
// and gives what it says. The algorithm is that of the key, whatever the assertion says.
func Check(text string, keys *Keys, issuer, audience string, now time.Time) (*Claims, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("an assertion has at most %d bytes", maxText)
	}
	if strings.ContainsAny(text, "\r\n") { // encoding/base64 would pass over them
		return nil, errors.New("an assertion has no line breaks")
	}
	parts := bytes.Split([]byte(text), []byte{'.'})
	if len(parts) != 3 {
		return nil, errors.New("an assertion has three parts")
	}
	var h header
	if err := decode(parts[0], &h); err != nil {
		return nil, fmt.Errorf("reading the header of an assertion: %w", err)
	}
	if h.Algorithm != algorithm || h.Type != tokenType {
		return nil, errors.New("an assertion is a JWT signed with EdDSA")
	}
	key := keys.find(h.KeyID)
	if key == nil {
		return nil, ErrUnknownKey
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(string(parts[2]))
	if err != nil || !ed25519.Verify(key, []byte(text[:len(parts[0])+1+len(parts[1])]), signature) {
		return nil, errors.New("the signature of the assertion does not verify")
	}
	var c Claims
	if err := decode(parts[1], &c); err != nil {
		return nil, fmt.Errorf("reading the claims of an assertion: %w", err)
	}
	switch at := now.Unix(); {
	case c.Issuer != issuer:
		return nil, errors.New("the assertion is of another environment")
	case c.Audience != audience:
		return nil, errors.New("the assertion is for another environment")
	case c.Subject == "":
		return nil, errors.New("the assertion names no user")
	case at >= c.Expires:
		return nil, errors.New("the assertion has expired")
	case c.NotBefore > at+skew, c.IssuedAt > at+skew:
		return nil, errors.New("the assertion is of the future")
	}
	return &c, nil
}

// skew is how far the clocks of Warpgate and workload may differ, in seconds. They are often
// the same.
const skew = 60

// decode reads a part of an assertion. A header with more in it than ours, such as a key of its
// own, is none of ours.
func decode(part []byte, into any) error {
	text, err := base64.RawURLEncoding.Strict().DecodeString(string(part))
	if err != nil {
		return errors.New("not base64url")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if _, ok := into.(*header); ok {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(into); err != nil {
		return errors.New("not the JSON that is expected")
	}
	if d.More() {
		return errors.New("something follows the JSON")
	}
	return nil
}
