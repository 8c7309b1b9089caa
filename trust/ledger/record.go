package ledger

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mezusphere/mezu"
)

// The file is a header and records. A record is
//
//	length u32 | body | the first 16 bytes of its sum
//
// and its sum is SHA-256 of the sum of the record before it, the length and the body. Before
// the first record the sum is that of the header, which names the generation: how often the
// log was rewritten. The body of a revocation is
//
//	'r' | length u8 | key id | length u8 | signature | payload
//
// and that of a mark 'm' and JSON.
const (
	magic      = "mezu-revocations-1\n"
	headerSize = int64(len(magic) + 8)
	prefixSize = 4
	sumSize    = 16
	// maxBody bounds a record: a revocation takes about 400 bytes.
	maxBody = 64 << 10
)

// Kinds of records.
const (
	entryRevocation = 'r'
	entryMark       = 'm'
)

var (
	// errTorn: the file ends within a record.
	errTorn = errors.New("the last record is cut off")
	// errDamaged: it is not as it was written.
	errDamaged = errors.New("the log was altered")
)

// entry is a record, decoded.
type entry struct {
	kind       byte
	revocation *mezu.Revocation
	statement  mezu.Signed
	source     string
	at         mezu.Told
}

// mark is the JSON of an entryMark.
type mark struct {
	Source string `json:"source"`
	mezu.Told
}

type checksum [sha256.Size]byte

// String is how a Mark names it.
func (c checksum) String() string { return hex.EncodeToString(c[:]) }

func sumOf(before checksum, parts ...[]byte) (c checksum) {
	h := sha256.New()
	h.Write(before[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(c[:0])
	return c
}

func header(generation uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(magic), generation)
}

// appendRecord appends a record and gives its sum.
func appendRecord(dst []byte, before checksum, body []byte) ([]byte, checksum) {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	dst = append(dst, body...)
	sum := sumOf(before, dst[at:])
	return append(dst, sum[:sumSize]...), sum
}

func encode(statement mezu.Signed) ([]byte, error) {
	if len(statement.KeyID) > 255 || len(statement.Signature) > 255 || len(statement.Payload) > maxBody-1024 {
		return nil, fmt.Errorf("a revocation of %d + %d + %d bytes is over the limits of the log", len(statement.KeyID), len(statement.Signature), len(statement.Payload))
	}
	body := append(make([]byte, 0, 3+len(statement.KeyID)+len(statement.Signature)+len(statement.Payload)), entryRevocation, byte(len(statement.KeyID)))
	body = append(body, statement.KeyID...)
	body = append(append(body, byte(len(statement.Signature))), statement.Signature...)
	return append(body, statement.Payload...), nil
}

func encodeMark(source string, at mezu.Told) ([]byte, error) {
	text, err := json.Marshal(mark{source, at})
	if err != nil {
		return nil, fmt.Errorf("encoding a mark of the log: %w", err)
	}
	return append([]byte{entryMark}, text...), nil
}

// decode reads a body. What it returns shares the memory of it.
func decode(body []byte) (entry, error) {
	if len(body) == 0 {
		return entry{}, fmt.Errorf("%w: an empty record", errDamaged)
	}
	e := entry{kind: body[0]}
	rest := body[1:]
	switch e.kind {
	case entryMark:
		var m mark
		if err := json.Unmarshal(rest, &m); err != nil {
			return e, fmt.Errorf("%w: %w", errDamaged, err)
		}
		e.source, e.at = m.Source, m.Told
		return e, nil
	case entryRevocation:
		key, rest, ok := field(rest)
		signature, payload, ok2 := field(rest)
		if !ok || !ok2 {
			return e, fmt.Errorf("%w: a short record", errDamaged)
		}
		e.statement = mezu.Signed{Purpose: mezu.PurposeRevocation, KeyID: string(key), Payload: payload, Signature: signature}
		e.revocation = &mezu.Revocation{}
		if err := json.Unmarshal(payload, e.revocation); err != nil {
			return e, fmt.Errorf("%w: %w", errDamaged, err)
		}
		return e, nil
	}
	return e, fmt.Errorf("%w: a record of the unknown kind %q", errDamaged, e.kind)
}

// field reads a field that follows its length.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n:n], b[n:], true
}

// scan reads a file from its beginning and sets where l goes on writing. It calls at with the
// size and sum of each state that the log had, and visit with each record. It returns where
// the good part ends, with errTorn or errDamaged if the file goes on after that.
func (l *Ledger) scan(f *os.File, at func(int64, checksum), visit func(e entry, offset int64, length int)) (int64, error) {
	in := bufio.NewReaderSize(f, 1<<20)
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(in, head); err != nil || !bytes.HasPrefix(head, []byte(magic)) {
		return 0, fmt.Errorf("%w: it has no header", errDamaged)
	}
	generation := binary.BigEndian.Uint64(head[len(magic):])
	l.written, l.sum = headerSize, sumOf(checksum{}, head)
	defer func() { l.on = Mark{generation, l.written, l.sum.String()} }()
	at(l.written, l.sum)
	length := make([]byte, prefixSize)
	for {
		if _, err := io.ReadFull(in, length); err != nil {
			return l.written, ending(err, errTorn)
		}
		n := int(binary.BigEndian.Uint32(length))
		if n > maxBody {
			return l.written, fmt.Errorf("%w: a record of %d bytes at %d", errDamaged, n, l.written)
		}
		record := make([]byte, prefixSize+n+sumSize)
		copy(record, length)
		if _, err := io.ReadFull(in, record[prefixSize:]); err != nil {
			return l.written, tornAt(err)
		}
		sum := sumOf(l.sum, record[:prefixSize+n])
		if !bytes.Equal(sum[:sumSize], record[prefixSize+n:]) {
			return l.written, fmt.Errorf("%w at byte %d", errDamaged, l.written)
		}
		e, err := decode(record[prefixSize : prefixSize+n])
		if err != nil {
			return l.written, err
		}
		visit(e, l.written+prefixSize, n)
		l.written, l.sum = l.written+int64(len(record)), sum
		at(l.written, l.sum)
	}
}

// ending is what an error of reading means: nil at the end of a file, torn within a record,
// else the disk's error.
func ending(err, torn error) error {
	switch {
	case err == io.EOF:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return torn
	}
	return err
}

// tornAt is ending for what follows the length of a record.
func tornAt(err error) error {
	if err == io.EOF {
		return errTorn
	}
	return ending(err, errTorn)
}
