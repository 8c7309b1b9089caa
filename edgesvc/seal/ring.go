package seal

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// KeyLife is the age at which a data key should be replaced. To seal 2³² records under a key
// in that time takes more than 500 writes a second.
const KeyLife = 90 * 24 * time.Hour

// names under which keys are wrapped.
const (
	nameData  = "mezu data key "
	nameIndex = "mezu index key"
)

// Ring is the data keys of one store: the active one seals, all open. It is immutable:
// Rotate and DropOld return a new one. Its owner stores what Encode returns.
type Ring struct {
	doc    ringDoc
	keys   map[keyID]key
	active key
	index  []byte
}

// ringDoc is a ring as it is stored. It holds no secret.
type ringDoc struct {
	// Active is the id of the key that seals.
	Active string       `json:"active"`
	Keys   []wrappedKey `json:"keys"`
	// Index is the key that Derive derives others from. It never changes.
	Index wrappedKey `json:"index"`
}

// wrappedKey is a key, wrapped by a Wrapper.
type wrappedKey struct {
	ID        string    `json:"id,omitempty"`
	WrappedBy string    `json:"wrapped_by"` // Wrapper.KeyID
	Wrapped   []byte    `json:"wrapped"`
	CreatedAt time.Time `json:"created_at"`
}

// NewRing makes the ring of a new store.
func NewRing(ctx context.Context, w Wrapper, now time.Time) (*Ring, error) {
	r := &Ring{keys: map[keyID]key{}, index: newSecret()}
	by, err := w.KeyID(ctx)
	if err == nil {
		r.doc.Index, err = wrap(ctx, w, by, nameIndex, r.index, now)
	}
	if err != nil {
		return nil, fmt.Errorf("making the key ring: %w", err)
	}
	return r.Rotate(ctx, w, now)
}

// ParseRing opens a stored ring. known is the ring of the same store that was opened before,
// or nil. Its keys are not unwrapped again. What they sealed the new ring opens too, even if
// they were dropped since: readers may still hold such records.
func ParseRing(ctx context.Context, w Wrapper, stored []byte, known *Ring) (*Ring, error) {
	r := &Ring{keys: map[keyID]key{}}
	if err := json.Unmarshal(stored, &r.doc); err != nil {
		return nil, fmt.Errorf("opening the key ring: decoding: %w", err)
	}
	if known != nil {
		r.index = known.index
		maps.Copy(r.keys, known.keys)
	}
	for _, k := range r.doc.Keys {
		opened, err := r.unwrap(ctx, w, k)
		if err != nil {
			return nil, fmt.Errorf("opening the key ring: key %s, wrapped under %s: %w", k.ID, k.WrappedBy, err)
		}
		r.keys[opened.id] = opened
		if k.ID == r.doc.Active {
			r.active = opened
		}
	}
	if r.active.aead == nil {
		return nil, errors.New("opening the key ring: its active key is missing")
	}
	if r.index == nil {
		var err error
		if r.index, err = w.Unwrap(ctx, nameIndex, r.doc.Index.Wrapped); err != nil {
			return nil, fmt.Errorf("opening the key ring: index key: %w", err)
		}
	}
	if len(r.index) != keySize {
		return nil, errors.New("opening the key ring: the index key has a wrong length")
	}
	return r, nil
}

// unwrap opens one key, unless the ring has it.
func (r *Ring) unwrap(ctx context.Context, w Wrapper, k wrappedKey) (key, error) {
	for id, have := range r.keys {
		if id.String() == k.ID {
			return have, nil
		}
	}
	secret, err := w.Unwrap(ctx, nameData+k.ID, k.Wrapped)
	if err != nil {
		return key{}, err
	}
	opened, err := newKey(secret)
	if err != nil {
		return key{}, err
	}
	if opened.id.String() != k.ID {
		return key{}, ErrNotAuthentic
	}
	return opened, nil
}

func wrap(ctx context.Context, w Wrapper, by, name string, secret []byte, created time.Time) (wrappedKey, error) {
	b, err := w.Wrap(ctx, name, secret)
	return wrappedKey{WrappedBy: by, Wrapped: b, CreatedAt: created}, err
}

// Encode is the ring as it is stored.
func (r *Ring) Encode() ([]byte, error) { return json.Marshal(r.doc) }

// Rotate returns a ring with a new active key beside the others, all wrapped under the
// Wrapper's present key.
func (r *Ring) Rotate(ctx context.Context, w Wrapper, now time.Time) (*Ring, error) {
	now = now.UTC().Truncate(time.Second)
	k, err := newKey(newSecret())
	if err != nil {
		return nil, err
	}
	by, err := w.KeyID(ctx)
	if err != nil {
		return nil, fmt.Errorf("rotating the key ring: %w", err)
	}
	next := &Ring{doc: r.doc, keys: maps.Clone(r.keys), active: k, index: r.index}
	next.doc.Active = k.id.String()
	next.doc.Keys = append(slices.Clone(r.doc.Keys), wrappedKey{ID: k.id.String(), CreatedAt: now})
	next.keys[k.id] = k
	for i, old := range next.doc.Keys {
		if old.WrappedBy == by {
			continue
		}
		fresh, err := wrap(ctx, w, by, nameData+old.ID, next.secret(old.ID), old.CreatedAt)
		if err != nil {
			return nil, fmt.Errorf("rotating the key ring: %w", err)
		}
		fresh.ID = old.ID
		next.doc.Keys[i] = fresh
	}
	if next.doc.Index.WrappedBy != by {
		if next.doc.Index, err = wrap(ctx, w, by, nameIndex, r.index, r.doc.Index.CreatedAt); err != nil {
			return nil, fmt.Errorf("rotating the key ring: %w", err)
		}
	}
	return next, nil
}

func (r *Ring) secret(id string) []byte {
	for k, have := range r.keys {
		if k.String() == id {
			return have.secret
		}
	}
	return nil
}

// DropOld returns a ring that is stored without the keys that don't seal any more. Its owner
// has made sure that no record in the store is sealed under them. In this process the ring
// still opens such records, since readers may hold some.
func (r *Ring) DropOld() *Ring {
	next := &Ring{doc: r.doc, keys: r.keys, active: r.active, index: r.index}
	next.doc.Keys = slices.DeleteFunc(slices.Clone(r.doc.Keys), func(k wrappedKey) bool { return k.ID != r.doc.Active })
	return next
}

// Old is how many keys of the stored ring don't seal any more.
func (r *Ring) Old() int { return len(r.doc.Keys) - 1 }

// ActiveID names the key that seals.
func (r *Ring) ActiveID() string { return r.doc.Active }

// Since is when the active key was made.
func (r *Ring) Since() time.Time {
	for _, k := range r.doc.Keys {
		if k.ID == r.doc.Active {
			return k.CreatedAt
		}
	}
	return time.Time{}
}

// WrappedBy names the keys of the Wrapper under which keys of the ring are wrapped: the
// operator must not lose any of them.
func (r *Ring) WrappedBy() []string {
	names := []string{r.doc.Index.WrappedBy}
	for _, k := range r.doc.Keys {
		names = append(names, k.WrappedBy)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Seal encrypts plain for the context under the active key. Two calls never give the
// same bytes.
func (r *Ring) Seal(context string, plain []byte) []byte {
	return r.active.seal(versionRing, context, plain)
}

// SealAgain is Seal for a record whose plain text does not change, as when it is sealed
// under a new key. IsAgain recognizes the result.
func (r *Ring) SealAgain(context string, plain []byte) []byte {
	return r.active.seal(versionAgain, context, plain)
}

// IsAgain reports whether a record claims to come from SealAgain. Open verifies the claim.
func IsAgain(sealed []byte) bool {
	_, err := idIn(sealed, versionAgain)
	return err == nil
}

// Sealed reports whether a record claims to come from a Ring, as no text does. Open verifies
// the claim.
func Sealed(b []byte) bool {
	_, err := idIn(b, versionRing, versionAgain)
	return err == nil
}

// Open returns what Seal or SealAgain got, if the context is the same and no byte was
// changed.
func (r *Ring) Open(context string, sealed []byte) ([]byte, error) {
	id, err := idIn(sealed, versionRing, versionAgain)
	if err != nil {
		return nil, err
	}
	k, ok := r.keys[id]
	if !ok {
		return nil, ErrOtherKey
	}
	return k.open(context, sealed)
}

// Current reports whether a record claims to be sealed under the active key.
func (r *Ring) Current(sealed []byte) bool {
	id, err := idIn(sealed, versionRing, versionAgain)
	return err == nil && id == r.active.id
}

// Derive derives a key of 32 bytes for one purpose, such as a keyed blind index
// (HKDF-SHA-256, RFC 5869). It stays the same for the life of the store, rotations and
// restores included. A purpose is a constant of the code, and no two uses share one.
func (r *Ring) Derive(purpose string) []byte {
	k, err := hkdf.Key(sha256.New, r.index, nil, "mezu derived key\x00"+purpose, keySize)
	if err != nil {
		panic(err) // the length is a constant within the limit
	}
	return k
}
