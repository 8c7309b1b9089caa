package gcra

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// MaxTable bounds the keys of a Table. It takes 32 MiB when it is full.
	MaxTable = shards * maxKeys
	// ownerPart is the part of a table that one owner takes at most, one in so many: eight
	// owners at least fill it.
	ownerPart = 8
)

// Key tells what is counted apart from everything else.
type Key [16]byte

// Rule is something that is counted, and how much of it each client may have.
type Rule struct {
	// ID is the rule's own. Two rules with the same one count together.
	ID Key
	// Owner is whose part of the table its keys take.
	Owner Key
	// Interval is the time between two events of a client that has used up its burst, and
	// Tolerance is how much earlier than that events of a burst may come.
	Interval, Tolerance time.Duration
}

// maxTolerance keeps sums of instants from overflowing. It is some 70 years.
const maxTolerance = time.Duration(1) << 61

// Set sets what each client may have. All numbers of the rate must be positive.
func (r *Rule) Set(rate Rate) {
	r.Interval = max(rate.Per/time.Duration(rate.Events), 1)
	further := time.Duration(rate.Burst - 1)
	if further > maxTolerance/r.Interval {
		r.Tolerance = maxTolerance
	} else {
		r.Tolerance = r.Interval * further
	}
}

// State is what a client has left.
type State struct {
	// Refused says that the client may have no event now. It was not counted.
	Refused bool
	// Left is how many more events may come at once.
	Left int
	// Wait is the time until the next one may come, if none is left, and until all that may come
	// at once are there again, if some are.
	Wait time.Duration
}

// Table limits the events of many rules, each with clients of its own, in one bounded piece of
// memory. What a client has had is known by the values of rule and client alone, so it stays known
// as long as they do.
//
// A key that has used up its burst is never forgotten. When the table is full, or a rule's owner has
// its part of it, the clients of the rule that are not in it yet share one allowance.
//
// Instants are those of Now, which no change of the system's clock moves. A Table is safe for
// concurrent use.
type Table struct {
	now    func() time.Duration
	seeds  [2]maphash.Seed
	shards [shards]tableShard
	// crowds has the allowances that newcomers of a rule share.
	crowds tableShard
}

// NewTable makes an empty table. Its clock gives the time since some instant, and is never set back;
// if nil, the system's counts, by which Go measures spans.
func NewTable(now func() time.Duration) *Table {
	if began := time.Now(); now == nil {
		now = func() time.Duration { return time.Since(began) }
	}
	return &Table{now: now, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

// Now is the present instant.
func (t *Table) Now() time.Duration { return t.now() }

// Text is the key of a client, a rule or an owner that has a name.
func (t *Table) Text(name string) (k Key) {
	for i, seed := range t.seeds {
		putUint64(k[8*i:], maphash.String(seed, name))
	}
	return k
}

// Bytes is as Text.
func (t *Table) Bytes(name []byte) (k Key) {
	for i, seed := range t.seeds {
		putUint64(k[8*i:], maphash.Bytes(seed, name))
	}
	return k
}

func putUint64(b []byte, v uint64) {
	for i := range 8 {
		b[i] = byte(v >> (8 * i))
	}
}

// Address is the key of a client that is known by its address (Client).
func Address(a netip.Addr) Key { return Client(a).Addr().As16() }

// tableKey is a client of a rule.
type tableKey [2 * len(Key{})]byte

// counted is what a table has of a key: when its next event is due, and whose part it takes.
type counted struct {
	due   time.Duration
	owner Key
}

// tableShard is a part of a table with its own lock.
type tableShard struct {
	mu     sync.Mutex
	keys   map[tableKey]counted
	owners map[Key]int
	// tidied is when room was last made, zero if it never was.
	tidied time.Duration
}

func (t *Table) find(r *Rule, client Key) (*tableShard, tableKey) {
	var k tableKey
	copy(k[:], r.ID[:])
	copy(k[len(r.ID):], client[:])
	return &t.shards[maphash.Bytes(t.seeds[0], k[:])%shards], k
}

// Take counts an event of a client of a rule, unless it comes too early: then nothing is counted, so
// that whoever goes on asking doesn't wait longer for it.
func (t *Table) Take(r *Rule, client Key, now time.Duration) State {
	s, k := t.find(r, client)
	s.mu.Lock()
	if has, known := s.keys[k]; known || s.room(r.Owner, now) {
		state := s.take(r, k, has.due, known, now)
		s.mu.Unlock()
		return state
	}
	s.mu.Unlock()
	return t.takeOfCrowd(r, now)
}

// takeOfCrowd takes of what the newcomers of a rule share.
func (t *Table) takeOfCrowd(r *Rule, now time.Duration) State {
	s := &t.crowds
	var k tableKey
	copy(k[:], r.ID[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	has, known := s.keys[k]
	if !known && !s.room(r.Owner, now) {
		return State{Refused: true, Wait: tidyPause}
	}
	return s.take(r, k, has.due, known, now)
}

func (s *tableShard) take(r *Rule, k tableKey, due time.Duration, known bool, now time.Duration) State {
	due = max(due, now)
	if early := due - now - r.Tolerance; early > 0 {
		return State{Refused: true, Wait: early}
	}
	due += r.Interval
	s.keys[k] = counted{due, r.Owner}
	if !known {
		s.owners[r.Owner]++
	}
	room := r.Tolerance - (due - now)
	if room < 0 {
		return State{Wait: -room}
	}
	return State{Left: int(room/r.Interval) + 1, Wait: due - now}
}

// Spent gives the wait of a client that may have no event of a rule now, zero if it may. It counts
// none.
func (t *Table) Spent(r *Rule, client Key, now time.Duration) time.Duration {
	s, k := t.find(r, client)
	s.mu.Lock()
	has, known := s.keys[k]
	full := !known && (len(s.keys) >= maxKeys || s.owners[r.Owner] >= maxKeys/ownerPart)
	s.mu.Unlock()
	if full {
		k = tableKey{}
		copy(k[:], r.ID[:])
		t.crowds.mu.Lock()
		has = t.crowds.keys[k]
		t.crowds.mu.Unlock()
	}
	return max(has.due-now-r.Tolerance, 0)
}

// room reports whether there is room for one more key of an owner. If there is none it removes the
// keys whose time has passed, because a key that is missing means the same.
func (s *tableShard) room(owner Key, now time.Duration) bool {
	if s.keys == nil {
		s.keys, s.owners = map[tableKey]counted{}, map[Key]int{}
	}
	if s.fits(owner) {
		return true
	}
	if s.tidied != 0 && now-s.tidied < tidyPause {
		return false
	}
	s.tidy(now)
	return s.fits(owner)
}

func (s *tableShard) fits(owner Key) bool {
	return len(s.keys) < maxKeys && s.owners[owner] < maxKeys/ownerPart
}

func (s *tableShard) tidy(now time.Duration) {
	s.tidied = max(now, 1)
	for k, c := range s.keys {
		if c.due > now {
			continue
		}
		delete(s.keys, k)
		if s.owners[c.owner]--; s.owners[c.owner] == 0 {
			delete(s.owners, c.owner)
		}
	}
}

// Keys is how many keys are in use: those whose time has passed are removed before.
func (t *Table) Keys() (n int) {
	now := t.Now()
	for i := range len(t.shards) + 1 {
		s := &t.crowds
		if i < len(t.shards) {
			s = &t.shards[i]
		}
		s.mu.Lock()
		s.tidy(now)
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}
