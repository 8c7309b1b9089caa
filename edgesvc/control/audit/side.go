package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// MaxSide bounds before and after, each: an entity with everything set has a few KiB,
// and a record shares its transaction's 512 KiB with the change.
const MaxSide = 16 << 10

// digest stands for something too large to be shown.
type digest struct {
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
}

// Side encodes an entity as it was before or after a change; nil gives nothing. What
// identifies a person is masked. A side larger than MaxSide is replaced by its digest, and
// cut is true.
func (l *Log) Side(v any) (data json.RawMessage, cut bool, err error) {
	if v == nil {
		return nil, false, nil
	}
	if data, err = json.Marshal(v); err != nil {
		return nil, false, fmt.Errorf("encoding an audit record: %w", err)
	}
	if data, err = l.masked(data); err != nil {
		return nil, false, err
	}
	if len(data) <= MaxSide {
		return data, false, nil
	}
	sum := sha256.Sum256(data)
	data, err = json.Marshal(digest{hex.EncodeToString(sum[:]), len(data)})
	return data, true, err
}

// identifying are the fields, in any entity, that identify a person. They are masked
// because the archive is kept for years without the store's encryption, and because not
// everybody who may read the audit log may read users.
var identifying = [...]string{"email", "profile"}

// masked replaces every string in an identifying field by its keyed hash. Comparing
// records shows whether the string changed, or is the same elsewhere, but not what it is.
func (l *Log) masked(data []byte) ([]byte, error) {
	found := false
	for _, name := range identifying {
		found = found || bytes.Contains(data, []byte(`"`+name+`"`))
	}
	if !found {
		return data, nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("masking an audit record: %w", err)
	}
	out, err := json.Marshal(l.hide(v, false))
	if err != nil {
		return nil, fmt.Errorf("masking an audit record: %w", err)
	}
	return out, nil
}

func (l *Log) hide(v any, within bool) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			hidden := within
			for _, i := range identifying {
				hidden = hidden || name == i
			}
			v[name] = l.hide(value, hidden)
		}
	case []any:
		for i := range v {
			v[i] = l.hide(v[i], within)
		}
	case string:
		if within && v != "" {
			return l.Mask(v)
		}
	}
	return v
}

// Mask is the keyed hash (HMAC-SHA-256, cut to 64 bits) of what identifies a person,
// under a key of this installation.
func (l *Log) Mask(text string) string {
	m := hmac.New(sha256.New, l.mask)
	m.Write([]byte(text))
	return "hmac:" + hex.EncodeToString(m.Sum(nil)[:8])
}
