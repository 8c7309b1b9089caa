// Package backup is the file of a backup: all records of a store as they were at one
// moment, sealed as they lie there, and the file encrypted once more.
//
// What lives here: the file's form, writing one from a running store, checking one, and
// putting one into an empty store. What may not: who may ask for it, and what records
// mean. Package control/snapshot alone imports it.
//
// A file is a first line, a header in JSON on a second, and a payload: STREAM over
// AES-256-GCM in chunks of 64 KiB (as in age-encryption.org/v1; Hoang et al. 2015), with
// the header authenticated. Its key is made for this file and lies in the header, wrapped
// as data keys are: without the key that lies outside the store nothing of it is readable,
// and a byte that is changed, missing or added is found out before anything is restored.
package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
)

const (
	magic = "mezu-backup-1\n"
	// maxHeader is more than a header can have: some names, and a wrapped key.
	maxHeader = 64 << 10
	// chunkSize is the payload's, before encryption.
	chunkSize = 64 << 10
	tagSize   = 16
	keySize   = 32
	keyName   = "mezu backup key"
)

// Header is what a backup says of itself.
type Header struct {
	// Format is that of the store's records.
	Format int `json:"format"`
	// Program made it, at MadeAt.
	Program string    `json:"program"`
	MadeAt  time.Time `json:"made_at"`
	// KeyBy names the key outside the store that opens it.
	KeyBy string `json:"key_by"`
	Key   []byte `json:"key"`
}

// ErrDamaged: the file is cut, changed, or longer than it was.
var ErrDamaged = errors.New("the backup is damaged")

// entry is one record of the payload: put, deleted, or the end.
type entry struct {
	kind byte
	store.Record
}

// Kinds of entries. The end counts those before it.
const (
	entryPut    = 'p'
	entryDelete = 'd'
	entryEnd    = 'e'
)

// stream is the cipher of the payload.
type stream struct {
	aead    cipher.AEAD
	bind    []byte
	counter uint64
}

func newStream(key, header []byte) (*stream, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("the key has %d bytes: %w", len(key), ErrDamaged)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(header)
	return &stream{aead: aead, bind: sum[:]}, nil
}

// nonce counts chunks and marks the last.
func (s *stream) nonce(last bool) []byte {
	n := make([]byte, 12)
	binary.BigEndian.PutUint64(n[3:], s.counter)
	if last {
		n[11] = 1
	}
	s.counter++
	return n
}

// writer encrypts a payload.
type writer struct {
	to    io.Writer
	s     *stream
	buf   []byte
	count uint64
}

// newWriter writes the head of a file.
func newWriter(ctx context.Context, to io.Writer, w seal.Wrapper, h Header) (*writer, error) {
	key := make([]byte, keySize)
	rand.Read(key)
	var err error
	if h.KeyBy, err = w.KeyID(ctx); err != nil {
		return nil, fmt.Errorf("asking for the seal key: %w", err)
	}
	if h.Key, err = w.Wrap(ctx, keyName, key); err != nil {
		return nil, fmt.Errorf("wrapping the backup's key: %w", err)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encoding the header: %w", err)
	}
	head := append([]byte(magic), append(line, '\n')...)
	s, err := newStream(key, head)
	if err != nil {
		return nil, err
	}
	_, err = to.Write(head)
	return &writer{to: to, s: s, buf: make([]byte, 0, chunkSize)}, err
}

// put adds an entry.
func (w *writer) put(e entry) error {
	w.count++
	b := binary.AppendUvarint([]byte{e.kind}, e.Revision)
	b = append(binary.AppendUvarint(b, uint64(len(e.Key))), e.Key...)
	b = append(binary.AppendUvarint(b, uint64(len(e.Value))), e.Value...)
	return w.write(b)
}

func (w *writer) write(b []byte) error {
	for len(b) > 0 {
		// A full chunk is kept back until more comes: if none does it is marked as the last.
		if len(w.buf) == chunkSize {
			if err := w.flush(false); err != nil {
				return err
			}
		}
		n := min(chunkSize-len(w.buf), len(b))
		w.buf, b = append(w.buf, b[:n]...), b[n:]
	}
	return nil
}

func (w *writer) flush(last bool) error {
	out := w.s.aead.Seal(nil, w.s.nonce(last), w.buf, w.s.bind)
	w.buf = w.buf[:0]
	_, err := w.to.Write(out)
	return err
}

// end writes the end and the last chunk.
func (w *writer) end() error {
	if err := w.write(binary.AppendUvarint([]byte{entryEnd}, w.count)); err != nil {
		return err
	}
	return w.flush(true)
}

// reader decrypts a payload.
type reader struct {
	Header
	from  *bufio.Reader
	s     *stream
	plain bytes.Reader
	last  bool
	count uint64
}

// newReader reads the head of a file.
func newReader(ctx context.Context, from io.Reader, w seal.Wrapper) (*reader, error) {
	r := &reader{from: bufio.NewReaderSize(from, chunkSize+tagSize+1)}
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(r.from, first); err != nil || string(first) != magic {
		return nil, mezu.Invalid("", "this is no backup of mezusphere")
	}
	line, err := readLine(r.from)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &r.Header); err != nil {
		return nil, fmt.Errorf("decoding the header: %w", ErrDamaged)
	}
	key, err := w.Unwrap(ctx, keyName, r.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "seal_key_file", Detail: fmt.Sprintf("the seal key is missing: %v", err),
			Hint: "put the key file of the control plane that made the backup there, or name it with --seal-key-file", Cause: err}
	case errors.Is(err, seal.ErrOtherKey):
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "seal_key_file", Detail: fmt.Sprintf("the backup of %s opens with the seal key %s, which is not there", r.MadeAt.Format(time.RFC3339), r.KeyBy),
			Hint: "name the key file that the control plane had then, with --seal-key-file", Cause: err}
	case errors.Is(err, seal.ErrNotAuthentic):
		return nil, fmt.Errorf("opening its key: %w", ErrDamaged)
	case err != nil:
		return nil, fmt.Errorf("opening the backup's key: %w", err)
	}
	r.s, err = newStream(key, append(first, line...))
	return r, err
}

// readLine reads the header with its line feed.
func readLine(from *bufio.Reader) ([]byte, error) {
	var line []byte
	for len(line) < maxHeader {
		b, err := from.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("reading the header: %w", ErrDamaged)
		}
		if line = append(line, b); b == '\n' {
			return line, nil
		}
	}
	return nil, fmt.Errorf("the header has no end: %w", ErrDamaged)
}

// chunk reads and opens the next chunk.
func (r *reader) chunk() error {
	sealed := make([]byte, chunkSize+tagSize)
	n, err := io.ReadFull(r.from, sealed)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the backup: %w", err)
	}
	_, err = r.from.Peek(1)
	r.last = errors.Is(err, io.EOF)
	plain, err := r.s.aead.Open(nil, r.s.nonce(r.last), sealed[:n], r.s.bind)
	if err != nil {
		return fmt.Errorf("at chunk %d: %w", r.s.counter, ErrDamaged)
	}
	r.plain.Reset(plain)
	return nil
}

// ReadByte gives the next byte of the payload.
func (r *reader) ReadByte() (byte, error) {
	for r.plain.Len() == 0 {
		if r.last {
			return 0, fmt.Errorf("the payload has no end: %w", ErrDamaged)
		}
		if err := r.chunk(); err != nil {
			return 0, err
		}
	}
	return r.plain.ReadByte()
}

// bytes reads a length, at most limit, and so many bytes.
func (r *reader) bytes(limit uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%d bytes where at most %d may be: %w", n, limit, ErrDamaged)
	}
	out := make([]byte, 0, n)
	for uint64(len(out)) < n {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		rest := make([]byte, min(uint64(r.plain.Len()), n-uint64(len(out))))
		if _, err := io.ReadFull(&r.plain, rest); err != nil {
			return nil, err
		}
		out = append(out, rest...)
	}
	return out, nil
}

// next reads an entry; entryEnd is the last.
func (r *reader) next() (entry, error) {
	var e entry
	var err error
	if e.kind, err = r.ReadByte(); err != nil {
		return e, err
	}
	if e.Revision, err = binary.ReadUvarint(r); err != nil {
		return e, err
	}
	switch e.kind {
	case entryEnd:
		if e.Revision != r.count || r.plain.Len() != 0 || !r.last {
			return e, fmt.Errorf("%d entries, and the end counts %d: %w", r.count, e.Revision, ErrDamaged)
		}
		return e, nil
	case entryPut, entryDelete:
	default:
		return e, fmt.Errorf("an entry of kind %q: %w", e.kind, ErrDamaged)
	}
	r.count++
	key, err := r.bytes(store.MaxKeyBytes)
	if err != nil {
		return e, err
	}
	e.Key = string(key)
	e.Value, err = r.bytes(store.MaxTxnBytes)
	return e, err
}
