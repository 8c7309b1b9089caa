package record

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// How long a creation can be repeated.
const (
	// IdempotencyLife is how long an Idempotency-Key is remembered.
	IdempotencyLife = 24 * time.Hour
	// SecretLife is how long an answer with a secret can be had again: long
	// enough for a client that lost the connection, short for a copy at rest.
	SecretLife = 10 * time.Minute
	// Lengths of an Idempotency-Key. It seals secrets, so it must not be
	// guessable; a UUID is long enough.
	MinIdempotencyKey = 16
	MaxIdempotencyKey = 255
	// maxKeptAnswer bounds an answer that is kept: a route can be a hundred times as
	// large, and who makes and deletes it again and again keeps each.
	maxKeptAnswer = 16 << 10
)

// Idempotency makes a creation repeatable.
type Idempotency struct {
	// Key is the client's Idempotency-Key; if empty, nothing is remembered.
	Key string
	// Digest is that of path and body: the same key with another one is a
	// conflict.
	Digest string
}

func (o Idempotency) validate() error {
	if o.Key == "" {
		return nil
	}
	if len(o.Key) < MinIdempotencyKey || len(o.Key) > MaxIdempotencyKey {
		return mezu.Invalid("Idempotency-Key", "has %d to %d characters, such as a UUID", MinIdempotencyKey, MaxIdempotencyKey)
	}
	for i := range len(o.Key) {
		if o.Key[i] <= ' ' || o.Key[i] > '~' {
			return mezu.Invalid("Idempotency-Key", "has visible ASCII characters only")
		}
	}
	return nil
}

// idempotencyRecord is a creation that was done, and its answer.
type idempotencyRecord struct {
	Digest    string    `json:"digest"`
	Answer    []byte    `json:"answer,omitempty"` // sealed if SealedEnd is set
	SealedEnd time.Time `json:"sealed_end,omitzero"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Idempotent runs a creation inside a change at most once for each key: if it was done,
// its answer is given again and nothing is planned. secret says that the answer
// holds one.
func Idempotent[T any](ctx context.Context, s *Records, ch *Change, o Idempotency, secret bool, create func() (T, error)) (T, error) {
	var zero T
	if err := o.validate(); err != nil {
		return zero, err
	}
	if o.Key == "" {
		return create()
	}
	// Another credential of the same caller may have less than the one that created:
	// what it repeats is a request of its own.
	key := prefixIdempotency + ch.author.Actor.ID + "/" + ch.author.Credential + "/" + ch.author.Operation + "/" + mezu.HashSecret(o.Key)
	prior, err := Optional[idempotencyRecord](ctx, s, key)
	if err != nil {
		return zero, err
	}
	if prior.Revision != 0 && s.Now().Before(prior.Value.ExpiresAt) {
		return repeat[T](s, prior.Value, key, o)
	}
	out, err := create()
	if err != nil {
		// What is in the way may be what the same call made meanwhile.
		now, readErr := Optional[idempotencyRecord](ctx, s, key)
		if readErr == nil && now.Revision != prior.Revision {
			ch.Reset() // the half that was planned
			return repeat[T](s, now.Value, key, o)
		}
		return zero, err
	}
	answer, err := json.Marshal(out)
	if err != nil {
		return zero, fmt.Errorf("encoding an answer: %w", err)
	}
	if len(answer) > maxKeptAnswer {
		answer = nil // what was made can be read where it lies
	}
	rec := idempotencyRecord{Digest: o.Digest, Answer: answer, ExpiresAt: s.Stamp().Add(IdempotencyLife)}
	if secret {
		rec.SealedEnd = s.Stamp().Add(SecretLife)
		if rec.Answer, err = sealAnswer(o.Key, key, answer); err != nil {
			return zero, err
		}
	}
	ch.Update(key, prior.Revision, rec)
	return out, nil
}

func repeat[T any](s *Records, rec idempotencyRecord, key string, o Idempotency) (T, error) {
	var out T
	if rec.Digest != o.Digest {
		return out, &mezu.Error{Code: mezu.CodeConflict, Field: "Idempotency-Key", Detail: "this key was used for another request", Hint: "use a new key for each thing to create"}
	}
	answer := rec.Answer
	if !rec.SealedEnd.IsZero() {
		if !s.Now().Before(rec.SealedEnd) || len(answer) == 0 {
			return out, &mezu.Error{Code: mezu.CodeConflict, Field: "Idempotency-Key", Detail: "this was done, and its secret is not kept any more", Hint: "delete what was made and create it anew"}
		}
		var err error
		if answer, err = openAnswer(o.Key, key, answer); err != nil {
			return out, err
		}
	}
	if len(answer) == 0 {
		return out, &mezu.Error{Code: mezu.CodeConflict, Field: "Idempotency-Key", Detail: "this was done, and its answer is too large to be kept", Hint: "read what was made"}
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return out, fmt.Errorf("decoding a kept answer: %w", err)
	}
	return out, nil
}

// answerCipher is AES-256-GCM under a key that only the holder of the
// Idempotency-Key can derive (HKDF, RFC 5869): the store keeps its hash alone.
func answerCipher(idempotencyKey, context string) (cipher.AEAD, error) {
	raw, err := hkdf.Key(sha256.New, []byte(idempotencyKey), nil, "mezu idempotent answer\x00"+context, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealAnswer(idempotencyKey, context string, plain []byte) ([]byte, error) {
	aead, err := answerCipher(idempotencyKey, context)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(context)), nil
}

func openAnswer(idempotencyKey, context string, sealed []byte) ([]byte, error) {
	aead, err := answerCipher(idempotencyKey, context)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("opening a kept answer: it is too short")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(context))
}

// sweepIdempotency removes old records, and sealed answers from those that stay.
func (s *Records) sweepIdempotency(ctx context.Context) error {
	err := Sweep(ctx, s, prefixIdempotency, func(r idempotencyRecord) bool { return s.Now().After(r.ExpiresAt) })
	if err != nil {
		return err
	}
	return Each(ctx, s, prefixIdempotency, func(f Record[idempotencyRecord]) error {
		if f.Value.SealedEnd.IsZero() || len(f.Value.Answer) == 0 || s.Now().Before(f.Value.SealedEnd) {
			return nil
		}
		f.Value.Answer = nil
		value, err := Encode(f.Value)
		if err != nil {
			return err
		}
		_, err = s.Housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Value: value}}})
		return err
	})
}
