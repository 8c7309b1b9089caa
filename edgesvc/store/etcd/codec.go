package etcd

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// errCorrupt is an entry in the store's namespace that this driver can't have written.
var errCorrupt = errors.New("entry is malformed")

// space is the prefix of a store's keys in the cluster. A letter after it tells records
// from the driver's own entries, so that no key of a caller can clash with one of those.
type space string

const (
	recordSpace = "r/" // r/ | key → format | revision | value
	idName      = "i"  // → the store's id
	compactName = "c"  // → the revision that was compacted last
	probeName   = "p"  // → nothing, ever: what Writable asks about
)

func (s space) id() string               { return string(s) + idName }
func (s space) compacted() string        { return string(s) + compactName }
func (s space) probe() string            { return string(s) + probeName }
func (s space) record(key string) string { return string(s) + recordSpace + key }

// key is the inverse of record.
func (s space) key(b []byte) (string, bool) { return strings.CutPrefix(string(b), s.record("")) }

// after is the first etcd key of the records that follow key.
func (s space) after(key string) string { return s.record(key) + "\x00" }

// end is the end of the range of all records with the prefix.
func (s space) end(prefix string) string { return engine.GetPrefixRangeEnd(s.record(prefix)) }

const (
	idSize     = 8
	formatSize = 1
	headSize   = formatSize + 8
	// format is the first byte of every value. A later layout will have another one.
	format = 1
)

// encode gives the value that etcd keeps for a record.
func encode(revision uint64, value []byte) string {
	var b strings.Builder
	b.Grow(headSize + len(value))
	b.WriteByte(format)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], revision)
	b.Write(n[:])
	b.Write(value)
	return b.String()
}

// decode reads a record out of what etcd keeps. The record's value shares the bytes of kv.
func (s space) decode(kv *mvccpb.KeyValue) (store.Record, error) {
	key, ok := s.key(kv.Key)
	if !ok || len(kv.Value) < headSize || kv.Value[0] != format {
		return store.Record{}, fmt.Errorf("record %q: %w", kv.Key, errCorrupt)
	}
	return store.Record{Key: key, Revision: binary.BigEndian.Uint64(kv.Value[formatSize:]), Value: kv.Value[headSize:]}, nil
}

// commitID is what a position stands for: an etcd revision, of one store in one cluster.
type commitID struct {
	cluster, store uint64
	revision       int64
}

func (db *DB) position(revision int64) store.Position {
	return store.Position(fmt.Sprintf("%016x%016x%016x", db.cluster, db.id, uint64(revision)))
}

// parsePosition reads what position wrote.
func parsePosition(pos store.Position) (commitID, bool) {
	b, err := hex.DecodeString(string(pos))
	if err != nil || len(b) != 24 {
		return commitID{}, false
	}
	id := commitID{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), int64(binary.BigEndian.Uint64(b[16:]))}
	return id, id.revision > 0
}

// Lease ids are etcd's, in hexadecimal.
func formatLease(id engine.LeaseID) store.LeaseID {
	return store.LeaseID(strconv.FormatInt(int64(id), 16))
}

// parseLease reads what formatLease wrote. Anything else names no lease that exists.
func parseLease(id store.LeaseID) (engine.LeaseID, error) {
	n, err := strconv.ParseInt(string(id), 16, 64)
	if err != nil || n <= 0 || formatLease(engine.LeaseID(n)) != id {
		return 0, store.ErrLeaseExpired
	}
	return engine.LeaseID(n), nil
}
