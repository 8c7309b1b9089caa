// Package audit is the control plane's audit log: records in the store, written with
// the changes that they tell of, and segments in the archive, where they go after a
// week. A query reads both as one.
//
// Records lie under "audit/" + scope + "/" + id; the scope is an organization's id, or
// Installation for what belongs to none. Ids sort by time, so that reading a part of a
// scope is listing a range of keys, and writing one touches no other record.
//
// What lives here: the form of records, what may not be in them, reading, following and
// archiving them. What may not: who may read what (package service), HTTP, signing
// keys. Only control and its folders import it.
package audit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Installation is the scope of records that belong to no organization.
const Installation = "installation"

// Keys of the store.
const (
	prefixRecord = "audit/"
	prefixHead   = "audithead/"
	keyMask      = "auditmask" // not below "meta/", which is not sealed
)

// Prefix is where the records of a scope lie.
func Prefix(scope string) string { return prefixRecord + scope + "/" }

// Key is where a record lies.
func Key(r mezu.AuditRecord) string { return Prefix(ScopeOf(r)) + r.ID }

// ScopeOf is the scope of a record.
func ScopeOf(r mezu.AuditRecord) string {
	if r.Organization == "" {
		return Installation
	}
	return r.Organization
}

// Archive is where records go from the store.
type Archive = archive.Archive

// Config is what a log works with.
type Config struct {
	Store store.Store
	// Archive takes what is older than Life; if nil, records stay in the store.
	Archive *Archive
	// Sign signs a segment, and Keyset has the public key that verifies it.
	Sign   func(statement any) (mezu.Signed, error)
	Keyset func() mezu.Signed
	Now    func() time.Time
}

// Log is the audit log. It is safe for concurrent use.
type Log struct {
	cfg Config
	// mask is the key of Mask.
	mask []byte
	// last is the time of the latest record of this process, in microseconds.
	last atomic.Int64

	denialsMu sync.Mutex
	denials   denials
}

// Open prepares a log, and the key under which it hides identities, on its store.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	l := &Log{cfg: cfg, denials: denials{windows: map[attempt]*window{}}}
	for {
		rec, err := cfg.Store.Get(ctx, keyMask)
		if err == nil {
			return l, json.Unmarshal(rec.Value, &l.mask)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("opening the audit log: %w", err)
		}
		key := make([]byte, 32)
		rand.Read(key)
		value, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		_, err = cfg.Store.Commit(ctx, store.Txn{Checks: []store.Check{{Key: keyMask}}, Ops: []store.Op{{Key: keyMask, Value: value}}})
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return nil, fmt.Errorf("opening the audit log: %w", err)
		}
	}
}

// Begin begins a record of what somebody does now.
func (l *Log) Begin(actor mezu.AuditActor, operation string) mezu.AuditRecord {
	at := l.moment()
	return mezu.AuditRecord{ID: mezu.NewAuditID(at), Time: at, Operation: operation, Actor: actor}
}

// moment is the current time, made later than that of every earlier record of this
// process, so that records sort in the order in which they were begun.
func (l *Log) moment() time.Time {
	for {
		last := l.last.Load()
		next := max(l.cfg.Now().UnixMicro(), last+1)
		if l.last.CompareAndSwap(last, next) {
			return time.UnixMicro(next).UTC()
		}
	}
}

// decode reads a record of the store.
func decode(r store.Record) (mezu.AuditRecord, error) {
	var out mezu.AuditRecord
	if err := json.Unmarshal(r.Value, &out); err != nil {
		return out, fmt.Errorf("decoding audit record %q: %w", r.Key, err)
	}
	return out, nil
}
