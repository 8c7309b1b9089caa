package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

// Revocations are records of the stream, one of each subject: a later one takes the
// place of the one before. Those of the version before have one for each statement,
// under its position, and are read until they end.
//
//	stream/revocation/certificate/ENVIRONMENT/SERIAL	of an edge with "edges" for the environment
//	stream/revocation/directory/ORGANIZATION/DIRECTORY
//	stream/revocation/user/ORGANIZATION/DIRECTORY/USER
const prefixEnded = "ended/"

// resignMargin is how long before a signing key leaves the keyset what it signed is
// signed anew: an edge that enrols must be able to verify all of it.
const resignMargin = mezu.KeysetOverlap / 2

// current reports whether a key still has a long life in the keyset.
func (s *Records) current(purpose mezu.Purpose, keyID string) bool {
	_, keyset := s.anchor.Keyset()
	return slices.ContainsFunc(keyset.Keys, func(k mezu.PublicKey) bool {
		return k.ID == keyID && k.Purpose == purpose && k.NotAfter.After(s.now().Add(resignMargin))
	})
}

// statement is a signed record of the stream. make gets the position that the
// statement takes.
type statement struct {
	key     func(mezu.Position) string
	kind    api.StreamKind
	purpose mezu.Purpose
	make    func(mezu.Position) any
	owner   document.Owner // of its document
	signed  *mezu.Signed   // instead of purpose and make, for what is signed elsewhere
	until   time.Time      // when the record may be forgotten; zero is never
	// notBefore is that of a revocation.
	notBefore time.Time
}

// streamRecord is a statement as it is kept.
type streamRecord struct {
	streamHead
	Signed blob   `json:"signed"`
	KeyID  string `json:"key_id"`
}

// streamHead is what is listed of a statement.
type streamHead struct {
	Kind     api.StreamKind `json:"kind"`
	Position mezu.Position  `json:"position"`
	Until    time.Time      `json:"until,omitzero"`
	// NotBefore is that of a revocation, whose subject is in the key.
	NotBefore time.Time `json:"not_before,omitzero"`
}

// blob is a document, inside its record or in chunks.
type blob struct {
	Inline []byte        `json:"inline,omitempty"`
	Ref    *document.Ref `json:"ref,omitempty"`
}

// keep stores a document's chunks, if it needs any. What the owner had before goes soon.
func (s *Records) keep(ctx context.Context, ch *change, owner document.Owner, data []byte) (blob, error) {
	if ch.dry {
		return blob{Inline: data}, nil
	}
	s.tidier.Name(owner)
	if len(data) <= cmp.Or(ch.inline, inlineLimit) {
		return blob{Inline: data}, nil
	}
	if ch.kept.IsZero() {
		ch.kept = time.Now()
	}
	ref, err := document.Put(ctx, s.store, owner, s.most(quotaBytes), data)
	if errors.Is(err, document.ErrFull) {
		return blob{}, s.noBytes()
	}
	if err != nil {
		return blob{}, fmt.Errorf("storing a document: %w", err)
	}
	ch.documents = append(ch.documents, store.Check{Key: ref.Head(), Revision: 1})
	return blob{Ref: &ref}, nil
}

// read gives a document back.
func (s *Records) read(ctx context.Context, b blob) ([]byte, error) {
	if b.Ref == nil {
		return b.Inline, nil
	}
	data, err := document.Get(ctx, s.store, *b.Ref)
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	return data, nil
}

// merged is what two revocations of one subject say together.
func merged(a, b mezu.Revocation) mezu.Revocation {
	a.NotBefore, a.Until = latest(a.NotBefore, b.NotBefore), latest(a.Until, b.Until)
	return a
}

// statement reads a signed statement of the stream.
func (s *Records) statement(ctx context.Context, key string) (mezu.Signed, error) {
	rec, err := get[streamRecord](ctx, s, key)
	if err != nil {
		return mezu.Signed{}, err
	}
	return s.signed(ctx, rec.Value)
}

func (s *Records) signed(ctx context.Context, rec streamRecord) (mezu.Signed, error) {
	var out mezu.Signed
	data, err := s.read(ctx, rec.Signed)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("decoding a statement of the stream: %w", err)
	}
	return out, nil
}

// keyEnded counts the users of an organization, or of one directory, of whom there is a
// revocation. What has ended is counted until the next sweep.
func keyEnded(owner string) string { return prefixEnded + owner }

func keyRevocation(kind mezu.RevocationKind, path ...string) string {
	return prefixRevocation + string(kind) + "/" + strings.Join(path, "/")
}

func (s *Records) stateRevocation(ch *change, key string, r mezu.Revocation) {
	ch.state(statement{
		key: func(mezu.Position) string { return key }, kind: api.StreamRevocation, purpose: mezu.PurposeRevocation, until: r.Until, notBefore: r.NotBefore,
		make: func(p mezu.Position) any {
			r.Position = p
			return r
		},
	})
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
