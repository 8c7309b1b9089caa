package replica

import (
	"crypto/tls"
	"hash/maphash"
	"maps"
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// hostShards spreads the endpoints so that adding one copies a small map only:
// at 100,000 environments a shard has about a hundred.
const hostShards = 1024

// hostTable finds an endpoint by its label. Reading takes no lock and makes no
// garbage; writers are kept apart by the replica's lock.
type hostTable struct {
	seed   maphash.Seed
	shards [hostShards]atomic.Pointer[map[string]*endpoint]
}

// endpoint is one label under the edge domain. It stays the same for as long as
// the label is served, while what it points to changes.
type endpoint struct {
	label       string
	environment string        // written under the replica's lock
	position    mezu.Position // written under the replica's lock
	table       atomic.Pointer[policy.Table]
	// public is the server certificate for the host, nil while there is none.
	public atomic.Pointer[tls.Certificate]
	// order is the state of getting that certificate, under issuer.mu.
	order order
}

func newHostTable() *hostTable { return &hostTable{seed: maphash.MakeSeed()} }

func (t *hostTable) shard(label string) *atomic.Pointer[map[string]*endpoint] {
	return &t.shards[maphash.String(t.seed, label)%hostShards]
}

// get is the hot path: one hash, one atomic load, one look-up.
func (t *hostTable) get(label string) *endpoint {
	if m := t.shard(label).Load(); m != nil {
		return (*m)[label]
	}
	return nil
}

// put adds an endpoint under its label.
func (t *hostTable) put(e *endpoint) {
	t.change(e.label, func(m map[string]*endpoint) { m[e.label] = e })
}

// drop takes a label off.
func (t *hostTable) drop(label string) {
	t.change(label, func(m map[string]*endpoint) { delete(m, label) })
}

// change replaces one shard by an altered copy.
func (t *hostTable) change(label string, alter func(map[string]*endpoint)) {
	p := t.shard(label)
	next := map[string]*endpoint{}
	if old := p.Load(); old != nil {
		next = maps.Clone(*old)
	}
	alter(next)
	p.Store(&next)
}

// all yields every endpoint; those added meanwhile may be missed.
func (t *hostTable) all(yield func(*endpoint) bool) {
	for i := range t.shards {
		m := t.shards[i].Load()
		if m == nil {
			continue
		}
		for _, e := range *m {
			if !yield(e) {
				return
			}
		}
	}
}
