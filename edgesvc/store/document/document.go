// Package document keeps documents that are larger than one record: in chunks, which a
// record of the caller refers to.
//
// What lives here: cutting, putting together and removing of chunks, and the count of
// what a tenant's take. What may not: what the documents say, and the records that refer
// to them. Only edgesvc packages import it.
//
// A document is written in two steps: Put writes it, in several transactions, and then
// the caller commits the Ref in a record of its own. It belongs to an owner and shares
// nothing with another one. What no record refers to, left by a caller that never came to
// the second step or by a newer version, a Tidier deletes.
package document

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	// MaxChunk is the size of all chunks of a document but the last, which may be
	// shorter: half of the largest transaction.
	MaxChunk = 256 << 10
	// MaxSize is the largest document in bytes: the signed bundle of the largest
	// environment (mezu.MaxSignedPayload, a third more in base64, and its
	// envelope). All of its chunks are deleted in one transaction.
	MaxSize = 13 << 20
	// PutToCommit is how long after the beginning of Put its Ref may be committed.
	PutToCommit = 15 * time.Second
	// Grace is how long a document that nothing refers to is seen before it goes: who
	// put it may commit it yet, and who read the record before may be reading it.
	Grace = 2 * PutToCommit

	// timeSize is how much stands before the bytes in the chunk of a document without
	// an ID.
	timeSize = 8

	prefix      = "piece/"    // and owner, id and number
	prefixHead  = "document/" // and owner and id
	prefixCount = "stored/"   // and tenant
)

var (
	// ErrTooLarge: the document is over MaxSize.
	ErrTooLarge = errors.New("document too large")
	// ErrFull: the tenant's documents take all that they may.
	ErrFull = errors.New("no room for the tenant's document")
	// ErrDamaged: a chunk is missing or isn't what it was, or the Ref is malformed.
	ErrDamaged = errors.New("document damaged")
)

// Owner is whose a document is. The zero owner is the installation.
type Owner struct {
	// Tenant is whose documents are counted together, Name one of its things.
	Tenant, Name string
}

// String is the owner as keys have it.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "installation"
	}
	return o.Tenant + "/" + o.Name
}

// Ref names a document. It is a part of the record that refers to the document. The zero
// Ref is the empty document.
type Ref struct {
	Size   int      `json:"size"`             // bytes
	Chunks []string `json:"chunks,omitempty"` // SHA-256 of each, lower-case hex, in order
	Owner  string   `json:"owner,omitempty"`
	// ID tells it from the owner's others. A document of before owners were told apart
	// has none, and its chunks their SHA-256 as keys.
	ID string `json:"id,omitempty"`
}

// Head is the record of a document that tells of it before and after its chunks are
// there: as long as it is, they are.
func (r Ref) Head() string { return keyHead(r.Owner, r.ID) }

func keyHead(owner, id string) string { return prefixHead + owner + "/" + id }

// key is that of the n-th chunk.
func (r Ref) key(n int) string {
	if r.ID == "" {
		return prefixShared + r.Chunks[n]
	}
	return keyChunk(r.Owner, r.ID, n)
}

func keyChunk(owner, id string, n int) string {
	return prefix + owner + "/" + id + "/" + strconv.Itoa(n)
}

// chunksOf is how many chunks so many bytes take.
func chunksOf(size int) int { return (size + MaxChunk - 1) / MaxChunk }

// validate checks what a Ref says of itself.
func (r Ref) validate() error {
	if r.Size < 0 || r.Size > MaxSize || len(r.Chunks) != chunksOf(r.Size) {
		return fmt.Errorf("%d chunks for %d bytes: %w", len(r.Chunks), r.Size, ErrDamaged)
	}
	return nil
}

// head is what the record at Head says.
type head struct {
	Size int `json:"size"`
}

// Put writes a document and gives back its name, which the caller commits within
// PutToCommit. Of a tenant's documents, which are counted from here until they are
// deleted, all together have at most so many bytes; zero is any number.
func Put(ctx context.Context, st store.Store, owner Owner, most int, data []byte) (Ref, error) {
	if len(data) > MaxSize {
		return Ref{}, fmt.Errorf("%d bytes: %w", len(data), ErrTooLarge)
	}
	ref := Ref{Size: len(data), Owner: owner.String(), ID: rand.Text()}
	about, err := json.Marshal(head{len(data)})
	if err != nil {
		return Ref{}, err
	}
	if err := change(ctx, st, owner.Tenant, len(data), most, store.Txn{Ops: []store.Op{{Key: ref.Head(), Value: about}}}); err != nil {
		return Ref{}, fmt.Errorf("beginning a document: %w", err)
	}
	for n := 0; len(data) > 0; n++ {
		chunk := data[:min(len(data), MaxChunk)]
		data = data[len(chunk):]
		sum := sha256.Sum256(chunk)
		ref.Chunks = append(ref.Chunks, hex.EncodeToString(sum[:]))
		if _, err := st.Commit(ctx, store.Txn{Ops: []store.Op{{Key: ref.key(n), Value: chunk}}}); err != nil {
			return Ref{}, fmt.Errorf("writing a chunk: %w", err)
		}
	}
	return ref, nil
}

// change commits a transaction that takes so many bytes more of a tenant.
func change(ctx context.Context, st store.Store, tenant string, bytes, most int, txn store.Txn) error {
	if tenant == "" {
		_, err := st.Commit(ctx, txn)
		return err
	}
	for {
		count, revision, err := Stored(ctx, st, tenant)
		if err != nil {
			return err
		}
		count += bytes
		if bytes > 0 && most > 0 && count > most {
			return ErrFull
		}
		op := store.Op{Key: prefixCount + tenant, Value: []byte(strconv.Itoa(count)), Delete: count <= 0}
		_, err = st.Commit(ctx, store.Txn{
			Checks: append(txn.Checks[:len(txn.Checks):len(txn.Checks)], store.Check{Key: op.Key, Revision: revision}),
			Ops:    append(txn.Ops[:len(txn.Ops):len(txn.Ops)], op),
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		if len(txn.Checks) > 0 {
			// Which of the checks it was decides whether to try again.
			if now, _, readErr := Stored(ctx, st, tenant); readErr != nil || now == count-bytes {
				return err
			}
		}
	}
}

// Stored is how many bytes a tenant's documents have, those included that are about to
// go, and the revision of that count.
func Stored(ctx context.Context, st store.Reader, tenant string) (bytes int, revision uint64, err error) {
	r, err := st.Get(ctx, prefixCount+tenant)
	if errors.Is(err, store.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	bytes, err = strconv.Atoi(string(r.Value))
	return bytes, r.Revision, err
}

// Get reads a document and verifies every byte of it.
func Get(ctx context.Context, st store.Reader, ref Ref) ([]byte, error) {
	if err := ref.validate(); err != nil {
		return nil, err
	}
	data := make([]byte, 0, ref.Size)
	for n, name := range ref.Chunks {
		r, err := st.Get(ctx, ref.key(n))
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("chunk %s is missing: %w", name, ErrDamaged)
		}
		if err != nil {
			return nil, fmt.Errorf("reading chunk %s: %w", name, err)
		}
		chunk := r.Value
		if ref.ID == "" {
			chunk = chunk[min(len(chunk), timeSize):]
		}
		if sum := sha256.Sum256(chunk); hex.EncodeToString(sum[:]) != name {
			return nil, fmt.Errorf("chunk %s has another content: %w", name, ErrDamaged)
		}
		data = append(data, chunk...)
	}
	if len(data) != ref.Size {
		return nil, fmt.Errorf("%d bytes instead of %d: %w", len(data), ref.Size, ErrDamaged)
	}
	return data, nil
}
