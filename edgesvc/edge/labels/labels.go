// Package labels finds what belongs to an endpoint by its label under the edge domain,
// for every request and every handshake.
//
// What lives here: the table. What may not: what is kept in it. The edge's packages
// import it.
package labels

import (
	"hash/maphash"
	"maps"
	"sync/atomic"
)

// shards spreads the labels so that adding one copies a small map only: at 100,000
// endpoints a shard has about a hundred.
const shards = 1024

// Table finds a V by its label. Reading takes no lock and makes no garbage; writers must
// keep one another out.
type Table[V any] struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[string]*V]
}

// New makes an empty table.
func New[V any]() *Table[V] { return &Table[V]{seed: maphash.MakeSeed()} }

func (t *Table[V]) shard(label string) *atomic.Pointer[map[string]*V] {
	return &t.shards[maphash.String(t.seed, label)%shards]
}

// Get is the hot path: one hash, one atomic load, one look-up. It is nil if there is
// none.
func (t *Table[V]) Get(label string) *V {
	if m := t.shard(label).Load(); m != nil {
		return (*m)[label]
	}
	return nil
}

// Put adds a value under its label.
func (t *Table[V]) Put(label string, v *V) {
	t.change(label, func(m map[string]*V) { m[label] = v })
}

// Drop takes a label off.
func (t *Table[V]) Drop(label string) {
	t.change(label, func(m map[string]*V) { delete(m, label) })
}

// change replaces one shard by an altered copy.
func (t *Table[V]) change(label string, alter func(map[string]*V)) {
	p := t.shard(label)
	next := map[string]*V{}
	if old := p.Load(); old != nil {
		next = maps.Clone(*old)
	}
	alter(next)
	p.Store(&next)
}

// All yields every value; those added meanwhile may be missed.
func (t *Table[V]) All(yield func(*V) bool) {
	for i := range t.shards {
		m := t.shards[i].Load()
		if m == nil {
			continue
		}
		for _, v := range *m {
			if !yield(v) {
				return
			}
		}
	}
}
