package badger

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// The engine's key space. Every key starts with one of these bytes, so that no key of a
// caller can clash with one of the driver's, or with the engine's own "!badger!".
const (
	recordSpace = 'r' // r | key                      → revision | lease | value
	changeSpace = 'c' // c | sequence (big endian)    → run | changes of one commit
	leaseSpace  = 'l' // l | lease                    → ttl
	leasedSpace = 'k' // k | lease | 0 | key          → nothing
)

// errCorrupt is an entry that has the right checksum and yet makes no sense.
var errCorrupt = errors.New("entry is malformed")

// recordKey is where the engine keeps the record key.
func recordKey(key string) []byte {
	b := make([]byte, 0, 1+len(key))
	return append(append(b, recordSpace), key...)
}

// changeKey is where the engine keeps commit seq.
func changeKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{changeSpace}, seq)
}

// leaseKey is where the engine keeps the lease.
func leaseKey(id store.LeaseID) []byte {
	return append([]byte{leaseSpace}, id...)
}

// leasedPrefix is the prefix of leasedKey for all records of a lease. The zero byte that
// ends the id is unambiguous, because no id of a lease contains one.
func leasedPrefix(id store.LeaseID) []byte {
	b := append([]byte{leasedSpace}, id...)
	return append(b, 0)
}

// leasedKey is the entry that lists the record key under its lease.
func leasedKey(id store.LeaseID, key string) []byte {
	return append(leasedPrefix(id), key...)
}

// stored is a record as the engine holds it.
type stored struct {
	revision uint64
	lease    store.LeaseID
	value    []byte
}

// maxLeaseID is the most bytes of an id that encode can write. The ids made here have 26.
const maxLeaseID = 255

func (s stored) encode() []byte {
	b := make([]byte, 0, 8+1+len(s.lease)+len(s.value))
	b = binary.BigEndian.AppendUint64(b, s.revision)
	b = append(b, byte(len(s.lease)))
	b = append(b, s.lease...)
	return append(b, s.value...)
}

// decodeRecord reads what encode wrote. The value shares the bytes of b.
func decodeRecord(b []byte) (stored, error) {
	if len(b) < 9 || len(b) < 9+int(b[8]) {
		return stored{}, errCorrupt
	}
	end := 9 + int(b[8])
	return stored{binary.BigEndian.Uint64(b), store.LeaseID(b[9:end]), b[end:]}, nil
}

// commit is one entry of the history.
type commit struct {
	commitID
	changes []store.Change
	size    int // bytes of keys and values
}

// add appends a change.
func (c *commit) add(ch store.Change) {
	c.changes = append(c.changes, ch)
	c.size += len(ch.Key) + len(ch.Value)
}

// encode writes the run, the size and the changes; the sequence is in the key. The size
// comes before the changes, so that opening the store needn't decode those.
func (c *commit) encode() []byte {
	b := make([]byte, 0, 8+binary.MaxVarintLen64+c.size+len(c.changes)*16)
	b = binary.BigEndian.AppendUint64(b, c.run)
	b = binary.AppendUvarint(b, uint64(c.size))
	for _, ch := range c.changes {
		deleted := byte(0)
		if ch.Deleted {
			deleted = 1
		}
		b = append(b, deleted)
		b = binary.AppendUvarint(b, ch.Revision)
		b = appendBytes(b, ch.Key)
		b = appendBytes(b, ch.Value)
	}
	return b
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeHead reads the id and size of a commit and leaves its changes undecoded.
func decodeHead(key, value []byte) (c commit, changes []byte, err error) {
	if len(key) != 9 || len(value) < 8 {
		return commit{}, nil, errCorrupt
	}
	size, n := binary.Uvarint(value[8:])
	if n <= 0 {
		return commit{}, nil, errCorrupt
	}
	c.seq, c.run, c.size = binary.BigEndian.Uint64(key[1:]), binary.BigEndian.Uint64(value), int(size)
	return c, value[8+n:], nil
}

// decodeCommit reads what encode wrote. The changes share the bytes of value.
func decodeCommit(key, value []byte) (*commit, error) {
	c, b, err := decodeHead(key, value)
	if err != nil {
		return nil, err
	}
	for len(b) > 0 {
		ch := store.Change{Deleted: b[0] == 1}
		rev, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return nil, errCorrupt
		}
		ch.Revision, b = rev, b[1+n:]
		var name []byte
		if name, b, err = cutBytes(b); err != nil {
			return nil, err
		}
		ch.Key = string(name)
		if ch.Value, b, err = cutBytes(b); err != nil {
			return nil, err
		}
		c.changes = append(c.changes, ch)
	}
	return &c, nil
}

func cutBytes(b []byte) (head, rest []byte, err error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, errCorrupt
	}
	end := w + int(n)
	return b[w:end:end], b[end:], nil
}

// commitID names one commit of the history: its sequence number, and the random number
// that the store drew when it was opened. When a store was copied, the commits of the copy
// and of the original have the same sequence numbers but other random numbers. So a position
// of one is never taken for one of the other.
type commitID struct{ seq, run uint64 }

func (id commitID) position() store.Position {
	return store.Position(fmt.Sprintf("%016x%016x", id.seq, id.run))
}

// parsePosition reads what position wrote.
func parsePosition(pos store.Position) (commitID, bool) {
	b, err := hex.DecodeString(string(pos))
	if err != nil || len(b) != 16 {
		return commitID{}, false
	}
	return commitID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, true
}
