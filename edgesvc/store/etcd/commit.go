package etcd

import (
	"bytes"
	"context"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// version is one version of a record as etcd has it. All is zero if there is no record.
// The same mod always comes with the same revision and value.
type version struct {
	mod      int64  // the etcd revision that wrote it
	revision uint64 // the record's own
	value    []byte
}

// Commit checks and writes. When it returns nil a majority of the members has the
// write on its disks.
func (db *DB) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	if err := txn.Validate(); err != nil {
		return "", fmt.Errorf("committing: %w", err)
	}
	if err := db.enter(ctx); err != nil {
		return "", err
	}
	defer db.leave()
	revision, err := db.commit(ctx, txn)
	if err != nil {
		return "", fmt.Errorf("committing: %w", err)
	}
	return db.position(revision), nil
}

func (db *DB) commit(ctx context.Context, txn store.Txn) (int64, error) {
	limited, cancel := context.WithTimeout(ctx, db.callTime)
	defer cancel()
	p, err := newPlan(db.space, txn)
	if err != nil {
		return 0, err
	}
	revision, lost, err := db.run(limited, p)
	switch {
	case err == nil || ctx.Err() != nil || limited.Err() == nil:
		return revision, err
	case lost > 0:
		return 0, fmt.Errorf("others wrote the same records first, %d times until the time was over: %w", lost, store.ErrUnavailable)
	}
	return 0, errNoMajority
}

// run tries until the plan is carried out or refused. It counts in lost how often another
// commit to the same records came first. It tries again without a pause: the answer to a
// lost attempt has the records as they are now, and a pause would make them old. This ends,
// because each lost attempt is another caller's commit.
//
// The first look asks one member alone, which may be behind. A check that fails by it is
// looked at again with a majority before the transaction is refused.
func (db *DB) run(ctx context.Context, p *plan) (revision int64, lost int, err error) {
	if err := db.look(ctx, p, engine.WithSerializable()); err != nil {
		return 0, 0, err
	}
	for ; ; lost++ {
		if p.refusal() != nil || len(p.txn.Ops) == 0 {
			if err := db.look(ctx, p); err != nil {
				return 0, lost, err
			}
			if err := p.refusal(); err != nil || len(p.txn.Ops) == 0 {
				return p.revision, lost, err
			}
		}
		done, err := db.try(ctx, p)
		if err != nil || done {
			return p.revision, lost, err
		}
		if err := p.refusal(); err != nil {
			return 0, lost, err
		}
	}
}

// look reads the records of the plan: with a majority, or as opts say.
func (db *DB) look(ctx context.Context, p *plan, opts ...engine.OpOption) error {
	fresh := len(opts) == 0
	if len(p.keys) == 0 && !fresh {
		return nil
	}
	if len(p.keys) == 0 {
		// An empty transaction would be answered by one member alone.
		resp, err := db.fresh(ctx, db.space.id(), engine.WithCountOnly())
		if err == nil {
			p.revision = resp.Header.Revision
		}
		return err
	}
	reads := p.reads(opts...)
	var resp *engine.TxnResponse
	err := db.call(ctx, idempotent, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		if resp, err = db.client.Txn(ctx).Then(reads...).Commit(); err != nil || !fresh {
			return nil, err
		}
		return resp.Header, nil
	})
	if err != nil {
		return err
	}
	p.revision = resp.Header.Revision
	return p.learn(db.space, resp)
}

// try sends the plan. If a record had changed since the plan read it, nothing is written,
// and the plan learns the record's new version from the same answer.
func (db *DB) try(ctx context.Context, p *plan) (done bool, err error) {
	compares, writes, reads := p.compares(), p.writes(), p.reads()
	var resp *engine.TxnResponse
	err = db.call(ctx, notIdempotent, func(ctx context.Context) (_ *pb.ResponseHeader, err error) {
		if resp, err = db.client.Txn(ctx).If(compares...).Then(writes...).Else(reads...).Commit(); err != nil {
			return nil, err
		}
		return resp.Header, nil
	})
	if err != nil {
		return false, err
	}
	p.revision = resp.Header.Revision
	if resp.Succeeded {
		if p.changed(resp) {
			raise(&db.committed, p.revision)
		}
		return true, nil
	}
	return false, p.learn(db.space, resp)
}

// changed tells from the answer to writes whether the commit had any effect.
func (p *plan) changed(resp *engine.TxnResponse) bool {
	for i, op := range p.txn.Ops {
		if !op.Delete || resp.Responses[i].GetResponseDeleteRange().GetDeleted() > 0 {
			return true
		}
	}
	return false
}

// plan is a transaction with what is known of the records that it checks and writes.
type plan struct {
	space    space
	txn      store.Txn
	leases   []engine.LeaseID   // of txn.Ops
	keys     []string           // of the records that are checked or put, each once
	known    map[string]version // of keys
	revision int64              // of the last answer
}

func newPlan(space space, txn store.Txn) (*plan, error) {
	p := &plan{space: space, txn: txn, leases: make([]engine.LeaseID, len(txn.Ops)), known: make(map[string]version, len(txn.Ops)+len(txn.Checks))}
	need := func(key string) {
		if _, ok := p.known[key]; !ok {
			p.known[key] = version{}
			p.keys = append(p.keys, key)
		}
	}
	for _, c := range txn.Checks {
		need(c.Key)
	}
	for i, op := range txn.Ops {
		if op.Delete {
			continue // deletes whatever is there
		}
		need(op.Key)
		if op.Lease == "" {
			continue
		}
		id, err := parseLease(op.Lease)
		if err != nil {
			return nil, fmt.Errorf("writing %q: %w", op.Key, err)
		}
		p.leases[i] = id
	}
	return p, nil
}

// refusal is the error of the first check that fails by what is known.
func (p *plan) refusal() error {
	for _, c := range p.txn.Checks {
		if now := p.known[c.Key].revision; now != c.Revision {
			return fmt.Errorf("%q has revision %d, not %d: %w", c.Key, now, c.Revision, store.ErrConflict)
		}
		if c.Value != nil && !bytes.Equal(p.known[c.Key].value, c.Value) {
			return fmt.Errorf("%q has another value: %w", c.Key, store.ErrConflict)
		}
	}
	return nil
}

func (p *plan) reads(opts ...engine.OpOption) []engine.Op {
	reads := make([]engine.Op, len(p.keys))
	for i, key := range p.keys {
		reads[i] = engine.OpGet(p.space.record(key), opts...)
	}
	return reads
}

// learn takes the known versions from the answer to reads.
func (p *plan) learn(space space, resp *engine.TxnResponse) error {
	if len(resp.Responses) != len(p.keys) {
		return fmt.Errorf("reading records: %w", errCorrupt)
	}
	for i, key := range p.keys {
		var kvs []*mvccpb.KeyValue
		if r := resp.Responses[i].GetResponseRange(); r != nil {
			kvs = r.Kvs
		}
		p.known[key] = version{}
		if len(kvs) == 0 {
			continue
		}
		r, err := space.decode(kvs[0])
		if err != nil {
			return err
		}
		p.known[key] = version{kvs[0].ModRevision, r.Revision, r.Value}
	}
	return nil
}

// compares hold as long as every record has the version that is known.
func (p *plan) compares() []engine.Cmp {
	compares := make([]engine.Cmp, len(p.keys))
	for i, key := range p.keys {
		compares[i] = engine.Compare(engine.ModRevision(p.space.record(key)), "=", p.known[key].mod)
	}
	return compares
}

func (p *plan) writes() []engine.Op {
	writes := make([]engine.Op, len(p.txn.Ops))
	for i, op := range p.txn.Ops {
		key := p.space.record(op.Key)
		if op.Delete {
			writes[i] = engine.OpDelete(key)
			continue
		}
		revision := op.Revision
		if revision == 0 {
			revision = p.known[op.Key].revision + 1
		}
		var opts []engine.OpOption
		switch {
		case op.Lease != "":
			opts = append(opts, engine.WithLease(p.leases[i]))
		case op.KeepLease && p.known[op.Key].mod != 0:
			opts = append(opts, engine.WithIgnoreLease())
		}
		writes[i] = engine.OpPut(key, encode(revision, op.Value), opts...)
	}
	return writes
}
