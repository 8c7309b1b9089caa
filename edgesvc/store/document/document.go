// Package document keeps documents, which are values that may be larger than a record, in
// chunks. A record of the caller refers to the document.
//
// What lives here: cutting documents into chunks, reading and deleting them, and counting
// how many bytes a tenant's documents take. What may not: the content of documents, and the
// records that refer to them. Only edgesvc packages import it.
//
// A document is written in two steps. Put writes it, in several transactions; then the
// caller commits the Ref in a record of its own. A document belongs to one owner and shares
// no chunk with others. If the caller never reaches the second step, or a newer version
// replaces the document, no record refers to it any more. A Tidier deletes such documents.
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
	// Grace is how long a document must have been seen unreferenced before it is deleted.
	// Its writer may still be about to commit the Ref, and a reader of an older record may
	// still be reading it.
	Grace = 2 * PutToCommit

	// timeSize is the size of the time before the bytes in a chunk of a document without
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

// Owner is what a document belongs to. The zero owner is the installation.
type Owner struct {
	// Tenant is whose documents are counted together. Name is the owner within the tenant.
	Tenant, Name string
}

// String is the owner as it is written in keys.
func (o Owner) String() string {
	if o == (Owner{}) {
		return "installation"
	}
	return o.Tenant + "/" + o.Name
}

// Ref refers to a document, in a record of the caller. The zero Ref is the empty document.
type Ref struct {
	Size   int      `json:"size"`             // bytes
	Chunks []string `json:"chunks,omitempty"` // SHA-256 of each, lower-case hex, in order
	Owner  string   `json:"owner,omitempty"`
	// ID tells the owner's documents apart. A document that an earlier version wrote has
	// none, and the keys of its chunks are their SHA-256; see shared.go.
	ID string `json:"id,omitempty"`
}

// Head is the key of the document's head, a record that is written before the first chunk
// and deleted together with all chunks. So there is no chunk without a head.
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

// chunksOf is how many chunks a document of this size has.
func chunksOf(size int) int { return (size + MaxChunk - 1) / MaxChunk }

// validate checks that the fields of a Ref agree.
func (r Ref) validate() error {
	if r.Size < 0 || r.Size > MaxSize || len(r.Chunks) != chunksOf(r.Size) {
		return fmt.Errorf("%d chunks for %d bytes: %w", len(r.Chunks), r.Size, ErrDamaged)
	}
	return nil
}

// head is the record at Ref.Head.
type head struct {
	Size int `json:"size"`
}

// Put writes a document and gives its Ref, which the caller must commit within PutToCommit.
// All documents of a tenant together may have most bytes; if zero, any number. A document
// counts from the beginning of Put until it is deleted.
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

// change commits a transaction together with the tenant's count, which rises by bytes and
// must not exceed most.
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
			// If the count has not changed, another check failed: trying again is no use.
			if now, _, readErr := Stored(ctx, st, tenant); readErr != nil || now == count-bytes {
				return err
			}
		}
	}
}

// Stored is how many bytes a tenant's documents have, including those that nothing refers to
// but that are not deleted yet. It gives the revision of that count too.
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
