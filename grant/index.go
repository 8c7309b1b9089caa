package grant

import (
	"context"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

// Index finds what is under way by the session, the user and the directory of the grant that
// let it in, so that it can be cut when these are ended. What it holds is bounded by the
// connections of the process. It is safe for concurrent use.
type Index struct {
	revoked func(*mezu.Grant) bool

	mu sync.Mutex
	by [kinds]map[string]*Use // the first of each list
}

// The kinds of subjects by which a use is found.
const (
	bySession = iota
	byUser
	byDirectory
	kinds
)

// Use is a request or stream that is under way because of a grant. Whoever carries it owns
// it, and may use it for the next one after End.
type Use struct {
	// Cut ends it. It is called from another goroutine while the index is locked, at most
	// once after each Begin and never after End. So it must neither wait nor call the
	// index.
	Cut func()

	grant *mezu.Grant // nil when not under way
	cut   bool
	list  [kinds]struct{ next, previous *Use }
}

// NewIndex makes an empty index. revoked says whether a grant is revoked already:
// trust.Anchor.GrantRevoked.
func NewIndex(revoked func(*mezu.Grant) bool) *Index {
	x := &Index{revoked: revoked}
	for kind := range x.by {
		x.by[kind] = map[string]*Use{}
	}
	return x
}

// Begin adds a use of a grant that was just verified, unless it was revoked since: then it
// reports false, and there is nothing to End.
func (x *Index) Begin(u *Use, g *mezu.Grant) bool {
	x.mu.Lock()
	u.grant, u.cut = g, false
	for kind := range x.by {
		id := subject(g, kind)
		next := x.by[kind][id]
		u.list[kind].next, u.list[kind].previous = next, nil
		if next != nil {
			next.list[kind].previous = u
		}
		x.by[kind][id] = u
	}
	x.mu.Unlock()
	// A revocation that came before Begin found nothing to cut, but is in force by now.
	if x.revoked(g) {
		x.End(u)
		return false
	}
	return true
}

// End takes a use out. It does nothing if there was no Begin.
func (x *Index) End(u *Use) {
	if u.grant == nil { // only Begin and End change it, which one goroutine calls
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for kind := range x.by {
		next, previous := u.list[kind].next, u.list[kind].previous
		if next != nil {
			next.list[kind].previous = previous
		}
		switch id := subject(u.grant, kind); {
		case previous != nil:
			previous.list[kind].next = next
		case next != nil:
			x.by[kind][id] = next
		default:
			delete(x.by[kind], id)
		}
		u.list[kind].next, u.list[kind].previous = nil, nil
	}
	u.grant = nil
}

// subject is what a grant is found by.
func subject(g *mezu.Grant, kind int) string {
	switch kind {
	case bySession:
		return g.Session
	case byUser:
		return g.User
	}
	return g.Directory
}

// Ended cuts what a revocation ends. The revocation must be in force already. It reports how
// many were cut.
func (x *Index) Ended(r *mezu.Revocation) (cut int) {
	var kind int
	switch r.Kind {
	case mezu.RevokeSession:
		kind = bySession
	case mezu.RevokeUser:
		kind = byUser
	case mezu.RevokeDirectory:
		kind = byDirectory
	default:
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for u := x.by[kind][r.Subject]; u != nil; u = u.list[kind].next {
		if kind == bySession || u.grant.IssuedAt.Before(r.NotBefore) {
			cut += u.end()
		}
	}
	return cut
}

// Sweep cuts what has outlived its session or its epoch. It looks at everything that is
// under way: Run does so every SweepEvery.
func (x *Index) Sweep(now time.Time, epoch uint64) (cut int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, u := range x.by[byDirectory] {
		for ; u != nil; u = u.list[byDirectory].next {
			if now.After(u.grant.NotAfter) || u.grant.Epoch < epoch {
				cut += u.end()
			}
		}
	}
	return cut
}

// SweepEvery is the time between two calls of Sweep. A stream outlives its session by less
// than a minute.
const SweepEvery = 30 * time.Second

// Run sweeps until ctx ends, by the clock and the epoch that it is given.
func (x *Index) Run(ctx context.Context, now func() time.Time, epoch func() uint64) {
	ticker := time.NewTicker(SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			x.Sweep(now(), epoch())
		}
	}
}

func (u *Use) end() int {
	if u.cut {
		return 0
	}
	u.cut = true
	u.Cut()
	return 1
}

// Len is how many uses are under way.
func (x *Index) Len() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, u := range x.by[byDirectory] {
		for ; u != nil; u = u.list[byDirectory].next {
			n++
		}
	}
	return n
}
