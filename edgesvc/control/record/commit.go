package record

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// How long a change is planned anew because others came between its reads and its
// write. Writers of one process queue; those of several lose to each other now and
// then, and wait a random time under a ceiling that doubles, so that they come apart.
const (
	commitPatience = 2 * time.Second // of the three that a caller waits for an answer
	firstPause     = 10 * time.Millisecond
	lastPause      = 160 * time.Millisecond
)

// InlineLimit is the size up to which a document stays inside its record, which
// saves a second write; larger ones go into chunks of their own.
const InlineLimit = 16 << 10

// Change is a transaction being planned: checks and writes, statements that go to
// the edges with it, and what its audit record tells.
type Change struct {
	author     Author
	txn        store.Txn
	statements []Statement
	audited    []auditEntry
	counts     []counted
	// Inline is the size up to which documents stay inside records; if zero,
	// InlineLimit.
	Inline int
	// documents are the heads of those that it refers to, written since kept.
	documents []store.Check
	kept      time.Time
	// judged are the ids of environments whose routes passed mezu.ValidateRoutes for this
	// change, and need not be looked at again for their bundle.
	judged map[string]bool
	// Dry says that the change is planned and not committed.
	Dry bool
	err error
}

// Actor is on whose behalf the change is made.
func (c *Change) Actor() mezu.AuditActor { return c.author.Actor }

func (c *Change) write(key string, v any) {
	data, err := Encode(v)
	if err != nil {
		c.err = errors.Join(c.err, fmt.Errorf("encoding record %q: %w", key, err))
	}
	c.txn.Ops = append(c.txn.Ops, store.Op{Key: key, Value: data})
}

// Add adds what somebody else planned.
func (c *Change) Add(txn store.Txn) {
	c.txn.Checks, c.txn.Ops = append(c.txn.Checks, txn.Checks...), append(c.txn.Ops, txn.Ops...)
}

// Put writes whatever is there.
func (c *Change) Put(key string, v any) { c.write(key, v) }

// Create writes a record that must not exist.
func (c *Change) Create(key string, v any) { c.Update(key, 0, v) }

// Update writes over exactly this revision.
func (c *Change) Update(key string, revision uint64, v any) {
	c.Require(key, revision)
	c.write(key, v)
}

// Remove deletes exactly this revision.
func (c *Change) Remove(key string, revision uint64) {
	c.Require(key, revision)
	c.Drop(key)
}

// Drop deletes whatever is there.
func (c *Change) Drop(key string) {
	c.txn.Ops = append(c.txn.Ops, store.Op{Key: key, Delete: true})
}

// Require makes the change depend on a record's revision.
func (c *Change) Require(key string, revision uint64) {
	known := slices.ContainsFunc(c.txn.Checks, func(k store.Check) bool { return k.Key == key && k.Revision == revision })
	if !known {
		c.txn.Checks = append(c.txn.Checks, store.Check{Key: key, Revision: revision})
	}
}

// Planned is the value that the change gives to a record, if it writes it.
func Planned[T any](c *Change, key string) (value T, ok bool, err error) {
	i := slices.IndexFunc(c.txn.Ops, func(o store.Op) bool { return o.Key == key && !o.Delete })
	if i < 0 {
		return value, false, nil
	}
	f, err := Decode[T](store.Record{Key: key, Value: c.txn.Ops[i].Value})
	return f.Value, true, err
}

// Reset forgets all that was planned.
func (c *Change) Reset() { *c = Change{author: c.author, Dry: c.Dry} }

// Empty reports whether nothing is written.
func (c *Change) Empty() bool { return len(c.txn.Ops) == 0 }

// MarkedValid reports whether MarkValid was called for an environment.
func (c *Change) MarkedValid(environment string) bool { return c.judged[environment] }

// MarkValid notes that the routes of an environment passed mezu.ValidateRoutes.
func (c *Change) MarkValid(environment string) {
	if c.judged == nil {
		c.judged = map[string]bool{}
	}
	c.judged[environment] = true
}

// Statements is how many statements the change has.
func (c *Change) Statements() int { return len(c.statements) }

// RevokedBefore is the NotBefore of a revocation that the change makes; zero if it makes none with
// that key.
func (c *Change) RevokedBefore(key string) (at time.Time) {
	for _, st := range c.statements {
		if !st.notBefore.IsZero() && st.Key(mezu.Position{}) == key {
			at = Latest(at, st.notBefore)
		}
	}
	return at
}

// AddStatement has the commit sign a statement and write it.
func (c *Change) AddStatement(st Statement) { c.statements = append(c.statements, st) }

// Publish is Commit for changes with statements.
func (s *Records) Publish(ctx context.Context, a Author, plan func(*Change) error) (mezu.Position, error) {
	leave, err := s.publishing.publish(ctx, a.Line)
	if err != nil {
		return mezu.Position{}, err
	}
	defer leave()
	return s.Commit(ctx, a, plan)
}

// Rehearse plans a change as Publish does, in the same line, and writes nothing.
func (s *Records) Rehearse(ctx context.Context, a Author, plan func(*Change) error) error {
	leave, err := s.publishing.publish(ctx, a.Line)
	if err != nil {
		return err
	}
	defer leave()
	return plan(&Change{author: a, Dry: true})
}

// Commit plans and writes a change with its audit record; when another writer came
// between, it plans again. plan reads what it needs each time and has no other
// effect. A change by a caller says once what it does (Audit), or is refused;
// one that neither writes nor says anything, as the repetition of a creation, leaves no
// record. The position is that of the last statement.
func (s *Records) Commit(ctx context.Context, a Author, plan func(*Change) error) (mezu.Position, error) {
	ceiling := firstPause
	for begin := time.Now(); ; ceiling = min(2*ceiling, lastPause) {
		counter, err := Optional[uint64](ctx, s, keyRevision)
		if err != nil {
			return mezu.Position{}, err
		}
		ch := Change{author: a}
		if err := plan(&ch); err != nil {
			return mezu.Position{}, err
		}
		ch.writeCounts()
		last, err := s.sign(ctx, &ch, counter)
		if err != nil {
			return mezu.Position{}, err
		}
		if len(ch.txn.Ops) == 0 && len(ch.audited) == 0 {
			return last, nil
		}
		if err := s.appendAudit(&ch); err != nil {
			return mezu.Position{}, err
		}
		if ch.err != nil {
			return mezu.Position{}, ch.err
		}
		if err := ch.hold(); err != nil {
			return mezu.Position{}, err
		}
		_, err = s.store.Commit(ctx, ch.txn)
		if !errors.Is(err, store.ErrConflict) {
			return last, err
		}
		if time.Since(begin) > commitPatience {
			return mezu.Position{}, &mezu.Error{Code: mezu.CodeUnavailable, Detail: "too many changes at once", Hint: "try again", Cause: err}
		}
		if err := backoff.Sleep(ctx, backoff.Jitter(ceiling)); err != nil {
			return mezu.Position{}, err
		}
	}
}

// Housekeep writes what the control plane does for itself, without a record of
// audit, and reports whether it did: not when a record changed meanwhile.
func (s *Records) Housekeep(ctx context.Context, txn store.Txn) (bool, error) {
	_, err := s.store.Commit(ctx, txn)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// sign gives each statement its position, signs it and adds it and the raised
// counter to the change.
func (s *Records) sign(ctx context.Context, ch *Change, counter Record[uint64]) (mezu.Position, error) {
	position := mezu.Position{Epoch: s.Epoch, Revision: counter.Value}
	if len(ch.statements) == 0 {
		return position, nil
	}
	for _, st := range ch.statements {
		var stated time.Time
		if st.Kind == api.StreamBundle {
			stated = s.Stamp()
		}
		position.Revision++
		signed := st.Signed
		if signed == nil {
			made, err := s.Authority.Sign(st.Purpose, st.Make(position))
			if err != nil {
				return position, fmt.Errorf("signing a %s: %w", st.Purpose, err)
			}
			signed = &made
		}
		data, err := Encode(signed)
		if err != nil {
			return position, fmt.Errorf("encoding a signed %s: %w", st.Purpose, err)
		}
		kept, err := s.KeepDocument(ctx, ch, st.Owner, data)
		if err != nil {
			return position, err
		}
		ch.Put(st.Key(position), StreamRecord{StreamHead{st.Kind, position, st.Until, st.notBefore}, kept, signed.KeyID, stated, st.Before})
	}
	ch.Update(keyRevision, counter.Revision, position.Revision)
	return position, nil
}

// hold has the commit fail when a document is not there any more. A change of many
// environments has no room for that: its time alone bounds it.
func (c *Change) hold() error {
	if len(c.documents) == 0 {
		return nil
	}
	if len(c.txn.Checks)+len(c.documents) <= sealed.MaxChecks {
		c.txn.Checks = append(c.txn.Checks, c.documents...)
	}
	if time.Since(c.kept) > document.PutToCommit {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "the store takes too long to take the documents of this change", Hint: "try again in a moment"}
	}
	return nil
}

// Size is what a change takes of a transaction.
type Size struct{ Ops, Checks int }

// Size is what the change takes as it is planned so far, with what its commit adds:
// statements, the counter of positions and the audit record.
func (c *Change) Size() Size {
	n := Size{Ops: len(c.txn.Ops) + len(c.counts) + len(c.statements) + 1, Checks: len(c.txn.Checks) + len(c.counts) + 1}
	if len(c.statements) > 0 {
		n.Ops, n.Checks = n.Ops+1, n.Checks+1
	}
	return n
}

// Head is the newest position of the installation.
func (s *Records) Head(ctx context.Context) (mezu.Position, error) {
	counter, err := Get[uint64](ctx, s, keyRevision)
	if err != nil {
		return mezu.Position{}, err
	}
	return mezu.Position{Epoch: s.Epoch, Revision: counter.Value}, nil
}

// Limits is the most that a change takes of a transaction.
func Limits() Size { return Size{Ops: store.MaxOps, Checks: sealed.MaxChecks} }
