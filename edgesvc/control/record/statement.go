package record

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
//	stream/revocation/session/ORGANIZATION/DIRECTORY/SESSION
//	stream/revocation/user/ORGANIZATION/DIRECTORY/USER

// PrefixEnded is where the users with a revocation are counted; see KeyEnded.
const PrefixEnded = "ended/"

// Statement is a signed record of the stream. Key and Make get the position that the
// statement takes.
type Statement struct {
	Key     func(mezu.Position) string
	Kind    api.StreamKind
	Purpose mezu.Purpose
	Make    func(mezu.Position) any
	Owner   document.Owner // of its document
	Signed  *mezu.Signed   // instead of Purpose and Make, for what is signed elsewhere
	Until   time.Time      // when the record may be forgotten; zero is never
	// Before are the ones of this key before, the last one last, for who has not come to this
	// one yet.
	Before []Stated
	// notBefore is that of a revocation.
	notBefore time.Time
}

// StreamRecord is a statement as it is kept.
type StreamRecord struct {
	StreamHead
	Signed Blob   `json:"signed"`
	KeyID  string `json:"key_id"`
	// Stated is when it was made, which builds before did not note; Before are the ones before it.
	Stated time.Time `json:"stated,omitzero"`
	Before []Stated  `json:"before,omitempty"`
}

// Stated is a statement that another one came after.
type Stated struct {
	Position mezu.Position `json:"position"`
	At       time.Time     `json:"at"`
}

// Lacks is how many of a statement, and those before it, somebody lacks who is at a position, and
// when the first of these was made.
func (r *StreamRecord) Lacks(at mezu.Position) (n int, since time.Time) {
	for _, s := range append(slices.Clone(r.Before), Stated{r.Position, r.Stated}) {
		if at.Compare(s.Position) < 0 {
			if n++; n == 1 {
				since = s.At
			}
		}
	}
	return n, since
}

// Followed are the ones before the statement that comes after this one.
func (r *StreamRecord) Followed() []Stated {
	if r.Position.IsZero() || r.Stated.IsZero() {
		return nil
	}
	all := append(slices.Clone(r.Before), Stated{r.Position, r.Stated})
	return all[max(0, len(all)-(mezu.MaxLag-1)):]
}

// StreamHead is what is listed of a statement.
type StreamHead struct {
	Kind     api.StreamKind `json:"kind"`
	Position mezu.Position  `json:"position"`
	Until    time.Time      `json:"until,omitzero"`
	// NotBefore is that of a revocation, whose subject is in the key.
	NotBefore time.Time `json:"not_before,omitzero"`
}

// Blob is a document, inside its record or in chunks.
type Blob struct {
	Inline []byte        `json:"inline,omitempty"`
	Ref    *document.Ref `json:"ref,omitempty"`
}

// KeepDocument stores a document's chunks, if it needs any. What the owner had before goes soon.
func (s *Records) KeepDocument(ctx context.Context, ch *Change, owner document.Owner, data []byte) (Blob, error) {
	if ch.Dry {
		return Blob{Inline: data}, nil
	}
	s.tidier.Name(owner)
	if len(data) <= cmp.Or(ch.Inline, InlineLimit) {
		return Blob{Inline: data}, nil
	}
	if ch.kept.IsZero() {
		ch.kept = time.Now()
	}
	ref, err := document.Put(ctx, s.store, owner, s.Most(quotaBytes), data)
	if errors.Is(err, document.ErrFull) {
		return Blob{}, s.noBytes()
	}
	if err != nil {
		return Blob{}, fmt.Errorf("storing a document: %w", err)
	}
	ch.documents = append(ch.documents, store.Check{Key: ref.Head(), Revision: 1})
	return Blob{Ref: &ref}, nil
}

// LeaveDocuments says that a change refers to no document of the owner any more. They go soon.
func (s *Records) LeaveDocuments(owner document.Owner) { s.tidier.Name(owner) }

// ReadDocument gives a document back.
func (s *Records) ReadDocument(ctx context.Context, b Blob) ([]byte, error) {
	if b.Ref == nil {
		return b.Inline, nil
	}
	data, err := document.Get(ctx, s.store, *b.Ref)
	if err != nil {
		return nil, fmt.Errorf("reading a document: %w", err)
	}
	return data, nil
}

// MergeRevocations is what two revocations of one subject say together.
func MergeRevocations(a, b mezu.Revocation) mezu.Revocation {
	a.NotBefore, a.Until = Latest(a.NotBefore, b.NotBefore), Latest(a.Until, b.Until)
	return a
}

// Statement reads a signed statement of the stream.
func (s *Records) Statement(ctx context.Context, key string) (mezu.Signed, error) {
	rec, err := Get[StreamRecord](ctx, s, key)
	if err != nil {
		return mezu.Signed{}, err
	}
	return s.Signed(ctx, rec.Value)
}

// Signed is the statement that a record of the stream keeps.
func (s *Records) Signed(ctx context.Context, rec StreamRecord) (mezu.Signed, error) {
	var out mezu.Signed
	data, err := s.ReadDocument(ctx, rec.Signed)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("decoding a statement of the stream: %w", err)
	}
	return out, nil
}

// KeyEnded counts the users and sessions of an organization, or of one directory, of which
// there is a revocation. What has ended is counted until the next sweep.
func KeyEnded(owner string) string { return PrefixEnded + owner }

// KeyRevocation is the key of the revocation of one subject, whose path begins with its
// environment or organization.
func KeyRevocation(kind mezu.RevocationKind, path ...string) string {
	return PrefixRevocation + string(kind) + "/" + strings.Join(path, "/")
}

// AddRevocation adds the statement of a revocation to a change.
func (s *Records) AddRevocation(ch *Change, key string, r mezu.Revocation) {
	ch.AddStatement(Statement{
		Key: func(mezu.Position) string { return key }, Kind: api.StreamRevocation, Purpose: mezu.PurposeRevocation, Until: r.Until, notBefore: r.NotBefore,
		Make: func(p mezu.Position) any {
			r.Position = p
			return r
		},
	})
}

// Latest is the later of two moments.
func Latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
