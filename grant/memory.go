package grant

import (
	"container/heap"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// maxMemory bounds what is remembered of verified grants, of all environments
	// together: 100,000 sessions, with what a Warpgate keeps beside each. What is
	// forgotten is verified again when it comes.
	maxMemory = 192 << 20
	// entryMemory is what one entry takes beside its texts: the grant, the entry, its
	// place in a map.
	entryMemory = 1100
	// maxTries is how many entries in use are passed over for one that is not. A
	// bound, because requests wait meanwhile.
	maxTries = 256
	// sweepTries is how many of the oldest entries go with each new one if they are of no
	// use any more: more than one, so that they never pile up.
	sweepTries = 2
)

// digest is SHA-256 of a grant's compact form.
type digest = [sha256.Size]byte

// memory holds verified grants by environment. When it is full, the environment that takes
// most gives way, so that the visitors of one never push out those of another that has less.
type memory struct {
	room int

	mu      sync.RWMutex
	keyset  *mezu.Keyset // what all entries were verified by
	shelves map[string]*shelf
	order   bySize // the largest first
	size    int
}

// shelf holds the grants of one environment. One that is to go is found as SIEVE does
// (Zhang et al., NSDI 2024): in the order in which they came, but for those in use since
// they were passed over last. So a look-up only sets a mark.
type shelf struct {
	environment      string
	entries          map[digest]*entry
	newest, oldest   *entry
	hand             *entry // where the search goes on; nil is at the oldest
	size, indexInAll int
}

// entry is a grant on a shelf.
type entry struct {
	grant        *Verified
	digest       digest
	size         int
	used         atomic.Bool
	newer, older *entry
}

// find gives what is remembered, nil if nothing is. Grants verified by another keyset than
// the one in force don't count.
func (m *memory) find(environment string, of *digest, keyset *mezu.Keyset) *Verified {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.keyset != keyset {
		return nil
	}
	s := m.shelves[environment]
	if s == nil {
		return nil
	}
	e := s.entries[*of]
	if e == nil {
		return nil
	}
	if !e.used.Load() { // a write would take the line from other cores
		e.used.Store(true)
	}
	return e.grant
}

// keep remembers a grant, and gives what is remembered: another goroutine may have verified
// it, too.
func (m *memory) keep(environment string, of digest, keyset *mezu.Keyset, g *Verified, now time.Time) *Verified {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keyset != keyset {
		m.keyset, m.shelves, m.order, m.size = keyset, map[string]*shelf{}, nil, 0
	}
	s := m.shelves[environment]
	if s == nil {
		s = &shelf{environment: environment, entries: map[digest]*entry{}}
		m.shelves[environment] = s
		heap.Push(&m.order, s)
	}
	if e := s.entries[of]; e != nil {
		return e.grant
	}
	e := &entry{grant: g, digest: of, size: memoryOf(g.Grant)}
	s.push(e)
	m.resized(s, e.size)
	m.sweep(s, now)
	for m.size > m.room {
		largest := m.order[0]
		victim := largest.unused()
		if victim == e { // all that is there is in use, and this one is no better
			victim = largest.oldest
		}
		m.drop(largest, victim)
	}
	return g
}

// memoryOf is what a grant takes, together with the header fields and the assertion that a
// Warpgate makes of it.
func memoryOf(g *mezu.Grant) int {
	n := len(g.Session) + len(g.User) + len(g.Directory) + len(g.Environment) + len(g.Method) + len(g.Email) + len(g.Name)
	for _, r := range g.Roles {
		n += len(r) + 16
	}
	return entryMemory + 4*n
}

// sweep drops the oldest entries of a shelf if their sessions have been idle for too long, or
// were refreshed since. While the control plane is away such a grant still passes; then it is
// in use, and stays until its end.
func (m *memory) sweep(s *shelf, now time.Time) {
	for range sweepTries {
		e := s.oldest
		if e == nil || !now.After(e.grant.IdleUntil) || e.used.Swap(false) && !now.After(e.grant.until) {
			return
		}
		m.drop(s, e)
	}
}

func (m *memory) drop(s *shelf, e *entry) {
	s.remove(e)
	m.resized(s, -e.size)
}

// resized counts what s takes more or less than before.
func (m *memory) resized(s *shelf, by int) {
	s.size += by
	m.size += by
	if len(s.entries) == 0 && by < 0 {
		heap.Remove(&m.order, s.indexInAll)
		delete(m.shelves, s.environment)
		return
	}
	heap.Fix(&m.order, s.indexInAll)
}

func (s *shelf) push(e *entry) {
	s.entries[e.digest] = e
	e.older = s.newest
	if e.older != nil {
		e.older.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *shelf) remove(e *entry) {
	delete(s.entries, e.digest)
	if s.hand == e {
		s.hand = e.newer
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	e.older, e.newer = nil, nil
}

// unused is the next entry that was not used since the hand passed it, or the one where the
// hand is after maxTries.
func (s *shelf) unused() *entry {
	for range maxTries {
		if s.hand == nil {
			s.hand = s.oldest
		}
		if !s.hand.used.Load() {
			break
		}
		s.hand.used.Store(false)
		s.hand = s.hand.newer
	}
	if s.hand == nil {
		s.hand = s.oldest
	}
	return s.hand
}

// bySize is a heap of shelves, the largest first.
type bySize []*shelf

func (b bySize) Len() int           { return len(b) }
func (b bySize) Less(i, j int) bool { return b[i].size > b[j].size }

func (b bySize) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].indexInAll, b[j].indexInAll = i, j
}

func (b *bySize) Push(x any) {
	s := x.(*shelf)
	s.indexInAll = len(*b)
	*b = append(*b, s)
}

func (b *bySize) Pop() any {
	old := *b
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*b = old[:len(old)-1]
	return s
}
