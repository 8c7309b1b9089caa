package login_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// mortal is the store of a control plane that is killed at a commit of a login, before it or
// after it, or that is slow at one.
type mortal struct {
	store.Store
	mu sync.Mutex
	// left is how many commits it lives for; negative is for ever. after says that the one at
	// which it is killed still counts.
	left  int
	after bool
	dead  bool
	// hold, if not nil, stops the next commit that it is true of. held is closed when one has
	// stopped, which goes on when release is closed.
	hold          func(keys []string) bool
	held, release chan struct{}
	// holdRead does the same to the next read of a record with a prefix.
	holdRead string
}

var errKilled = errors.New("killed")

// ofLogins are the prefixes of records that flows write, and nothing that goes on beside them.
var ofLogins = []string{"credential/", "session/", "pending-login/", "mailed/", "attempt/", "failures/", "user/", "login/", "outbox/"}

func (m *mortal) Commit(ctx context.Context, txn store.Txn) (store.Position, error) {
	var keys []string
	for _, op := range txn.Ops {
		if slices.ContainsFunc(ofLogins, func(p string) bool { return strings.HasPrefix(op.Key, p) }) {
			keys = append(keys, op.Key)
		}
	}
	m.mu.Lock()
	if len(keys) > 0 && m.hold != nil && m.hold(keys) {
		m.hold = nil
		close(m.held)
		release := m.release
		m.mu.Unlock()
		<-release
		m.mu.Lock()
	}
	defer m.mu.Unlock()
	if m.dead {
		return "", errKilled
	}
	if len(keys) == 0 || m.left < 0 {
		return m.Store.Commit(ctx, txn)
	}
	if m.left--; m.left >= 0 {
		return m.Store.Commit(ctx, txn)
	}
	m.dead = true
	if m.after {
		if _, err := m.Store.Commit(ctx, txn); err != nil {
			return "", err
		}
	}
	return "", errKilled
}

func (m *mortal) Get(ctx context.Context, key string) (store.Record, error) {
	m.mu.Lock()
	if m.holdRead != "" && strings.HasPrefix(key, m.holdRead) {
		m.holdRead = ""
		close(m.held)
		release := m.release
		m.mu.Unlock()
		<-release
		m.mu.Lock()
	}
	m.mu.Unlock()
	return m.Store.Get(ctx, key)
}

// kill has it killed at a commit, counted from zero, while do runs. It reports whether there
// was such a commit.
func (m *mortal) kill(at int, after bool, do func()) bool {
	m.mu.Lock()
	m.left, m.after = at, after
	m.mu.Unlock()
	do()
	m.mu.Lock()
	defer m.mu.Unlock()
	killed := m.dead
	m.left, m.dead = -1, false
	return killed
}

// between runs one thing until a commit that writes a record with a prefix, then another one,
// and then the rest of the first.
func (m *mortal) between(prefix string, first, second func()) {
	m.stopAt(func() {
		m.hold = func(keys []string) bool {
			return slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(k, prefix) })
		}
	}, first, second)
}

// betweenReads is between for what the first reads.
func (m *mortal) betweenReads(prefix string, first, second func()) {
	m.stopAt(func() { m.holdRead = prefix }, first, second)
}

func (m *mortal) stopAt(set, first, second func()) {
	m.mu.Lock()
	m.held, m.release = make(chan struct{}), make(chan struct{})
	set()
	held, release := m.held, m.release
	m.mu.Unlock()
	var wg sync.WaitGroup
	ended := make(chan struct{})
	wg.Go(func() { defer close(ended); first() })
	select {
	case <-held:
		second()
	case <-ended:
		panic("it came to its end")
	}
	close(release)
	wg.Wait()
}

// pair is a world with two control planes over one store: what one of them knew of a flow when
// it was killed, the other does not. Visitors come to the first, whose store is mortal.
type pair struct {
	*world
	store   *mortal
	second  *api.Client // the edge's, to the other one
	theirOp *api.Client // the operator's, to the other one
	n       int
}

func newPair(t *testing.T) *pair {
	t.Helper()
	moves, dir := &controltest.Clock{}, t.TempDir()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(dir, "store"), Now: moves.Now, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := &pair{store: &mortal{Store: db, left: -1}}
	in := controltest.New(t)
	in.Dir, in.Clock, in.Driver = filepath.Join(dir, "first"), moves, p.store
	in.Start()
	t.Cleanup(func() { in.Stop() })
	p.world = newWorldIn(t, in, nil)
	other := in.Beside(filepath.Join(dir, "second"))
	other.Driver = db
	other.CopyKey(in)
	other.Start()
	t.Cleanup(func() { other.Stop() })
	identity, _ := in.Enrol(p.op, "edge-2")
	p.second, p.theirOp = other.Client("", identity.Cert), other.Client(p.token, nil)
	return p
}

// changeThere changes a user through the other control plane.
func (p *pair) changeThere(email string, body map[string]any) {
	p.t.Helper()
	w := *p.world
	w.op = p.theirOp
	w.change(email, body)
}

// there is the browser as the other control plane serves it, with cookies of its own.
func (p *pair) there(b *browser) *browser {
	c := b.clone()
	w := *b.world
	w.edge = p.second
	c.world = &w
	return c
}
