// Package admission decides which connections a listener keeps when more come than it
// has places for.
//
// What lives here: places, who holds them, and who gives one up. What may not: TLS, and
// what a connection is for. It imports the standard library only; services and the
// Warpgate import it.
package admission

import (
	"cmp"
	"container/heap"
	"container/list"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// AdminPlaces is for the listeners of health and metrics: a few probes and
	// scrapers. They come out of what a process keeps for itself, so that they are
	// there when everything else is taken.
	AdminPlaces = 32

	// ownersKept is the part of the places that is kept for owners below their share:
	// a quarter. addressesKept is the part for addresses below theirs: an eighth. That is
	// less, because a proxy's address stands for everybody behind it.
	ownersKept, addressesKept = 4, 8
	// addressShare is the part of the places that one address may hold while they are
	// scarce: four addresses at least are needed to take them all.
	addressShare = 4
	// crowdKept is a part of the places. When no more than that are left before owners are
	// held to their share, an owner's further places are for those of its addresses that
	// hold less than addressShare of what it has. Without it one address could take all
	// that an owner may have, and nobody else would reach the owner.
	crowdKept = 16
	// sweepPart is the part of the places that one search for idle connections frees. A
	// search looks at all connections. Because it frees several places, not every new
	// connection costs a search.
	sweepPart = 64
	// barrenPause is how long there is no other search where few were idle.
	barrenPause = 100 * time.Millisecond
	// tellInterval is the least time between two lines in the log. Each says how many were
	// turned away since the one before.
	tellInterval = time.Minute

	// subscriber6 is how many bits of an address of IPv6 count as one address, and site6 how
	// many as one network: a provider gives a customer no more than a /48 (RFC 6177).
	subscriber6, site6 = 64, 48
	// NetworkFactor is how many times as much a network of IPv6 may have as one address.
	// Whoever has a /48 has 65,536 addresses of the kind that counts.
	NetworkFactor = 8

	// crowdedAt is the part of the places, of a hundred, from which a listener takes nobody
	// whom it would have to refuse, and easedAt the part below which it does again.
	crowdedAt, easedAt, hundred = 90, 80, 100
	// freshFor is how long a connection does not wait that has come or asked just now: such as
	// were let in last must not go for those that come next.
	freshFor = time.Second
)

// Config is what a Table is made of.
type Config struct {
	// Name says in the log which connections these are.
	Name string
	// Places is how many there may be at once.
	Places int
	// OwnerShare is how many of them one owner may hold while places are scarce; if
	// zero, owners have no share of their own.
	OwnerShare int
	// MostOfAddress is how many connections one address may have, and NetworkFactor times as
	// many a network of IPv6, whether places are scarce or not. Those in Beside count, too. If
	// zero, places alone bound it. Unlimited says which addresses it is not for.
	MostOfAddress int
	Beside        []*Table
	Unlimited     func(netip.Addr) bool
	// Allow is asked before a new connection gets a place; if nil, all may come.
	Allow func(netip.Addr) bool
	// TooMany is told of each that MostOfAddress turns away; if nil, nobody is.
	TooMany func(netip.Addr)
	// Log gets a line when somebody is turned away, once in a while; if nil, nobody.
	Log *slog.Logger
}

// Table is the places of one kind of connection. It is safe for concurrent use.
//
// When no place is free, a new connection gets the place of one that waits:
//
//   - first, of one that never sent anything: the oldest of the address that has most such;
//   - then, of one that waits for its next request: the one that has waited longest among those
//     whose address or owner has its share or more, or if there is none, among all.
//
// If none waits, the new connection is refused. So one address may hold all places while
// nobody else wants one, which is what a proxy needs.
type Table struct {
	cfg     Config
	refused atomic.Uint64
	evicted atomic.Uint64

	mu        sync.Mutex
	closed    bool
	open      map[*Conn]struct{}
	addresses map[netip.Prefix]*holder
	networks  map[netip.Prefix]int // places of networks of IPv6
	owners    map[string]*holder
	silent    heaviest // addresses with silent connections
	everybody holder
	crowded   bool   // Crowded, the last time
	stale     holder // all that may go while it is crowded
	told      time.Time
	toldOf    Counts // up to where the log has told
}

// holder is an address or an owner.
type holder struct {
	places int
	share  int       // what it may hold while places are scarce
	scarce int       // how many must be taken for that
	silent list.List // an address's connections that never said anything, oldest first
	at     int       // in the heap; no meaning without silent ones
	barren time.Time // until when nothing of it is idle
	// by counts an owner's places by address.
	by map[netip.Prefix]int
}

// Counts are what happened so far.
type Counts struct{ Refused, Evicted uint64 }

// New makes a Table.
func New(c Config) *Table {
	return &Table{cfg: c, open: map[*Conn]struct{}{}, addresses: map[netip.Prefix]*holder{}, networks: map[netip.Prefix]int{}, owners: map[string]*holder{}}
}

// Places is how many there are.
func (t *Table) Places() int { return t.cfg.Places }

// Counts gives what happened so far.
func (t *Table) Counts() Counts { return Counts{t.refused.Load(), t.evicted.Load()} }

// Len is how many places are taken.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// All are the connections that have a place now.
func (t *Table) All() []*Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*Conn, 0, len(t.open))
	for c := range t.open {
		all = append(all, c)
	}
	return all
}

// Close closes all connections and takes no more.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	for _, c := range t.All() {
		c.Close()
	}
}

// Crowded reports whether a listener is to take nobody for now: nine tenths of the places are
// taken, and none of them has waited for a second. It stays so until a fifth of them is free.
// What has waited is closed, and not only when the last place is taken.
func (t *Table) Crowded() bool {
	t.mu.Lock()
	limit := crowdedAt
	if t.crowded {
		limit = easedAt
	}
	t.crowded = len(t.open)*hundred >= t.cfg.Places*limit
	var victims []*Conn
	if t.crowded {
		old := sinceStart(time.Now().Add(-freshFor))
		its := func(c *Conn) bool { return c.since.Load() < old }
		victims = t.sweep(&t.stale, its, its)
		t.crowded = len(victims) == 0
		t.evicted.Add(uint64(len(victims)))
	}
	crowded, told := t.crowded, t.news(len(victims) > 0)
	t.mu.Unlock()
	told.tell(t.cfg)
	for _, v := range victims {
		v.Close()
	}
	return crowded
}

// Idle closes the connections that wait for their next request, and whose last one came
// before that time, and says how many they were.
func (t *Table) Idle(before time.Time) (n int) {
	at := sinceStart(before)
	for _, c := range t.All() {
		if c.since.Load() < at && c.state.CompareAndSwap(idle, closing) {
			c.Close()
			n++
		}
	}
	return n
}

// Admit gives a new connection a place, or returns nil. Whose place it took is closed.
func (t *Table) Admit(raw net.Conn) *Conn {
	address := addressOf(raw.RemoteAddr())
	c := &Conn{Conn: raw, from: origin(address)}
	c.since.Store(sinceStart(time.Now()))
	if t.cfg.Allow != nil && !t.cfg.Allow(address) {
		return nil
	}
	if t.fills(address) {
		if t.cfg.TooMany != nil {
			t.cfg.TooMany(address)
		}
		return nil
	}
	if !t.enter(c, "") {
		return nil
	}
	return c
}

// fills reports whether an address has as many connections as it may, or its network has.
func (t *Table) fills(address netip.Addr) bool {
	if t.cfg.MostOfAddress == 0 || t.cfg.Unlimited != nil && t.cfg.Unlimited(address) {
		return false
	}
	from, around := origin(address), network(address)
	its, theirs := t.held(from, around)
	for _, b := range t.cfg.Beside {
		i, n := b.held(from, around)
		its, theirs = its+i, theirs+n
	}
	return its >= t.cfg.MostOfAddress || theirs >= NetworkFactor*t.cfg.MostOfAddress
}

// held is how many places an address has, and its network.
func (t *Table) held(from, around netip.Prefix) (its, theirs int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.addresses[from]; h != nil {
		its = h.places
	}
	return its, t.networks[around]
}

// addressOf is the address of a peer, the zero one if it has none.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// origin is the address whose share a connection counts against: of IPv6 the network
// that one customer has, and so can take any address of.
func origin(address netip.Addr) netip.Prefix {
	bits := subscriber6
	if address.Is4() {
		bits = address.BitLen()
	}
	p, _ := address.Prefix(bits) // the zero one, if there is no address
	return p
}

// network is what may belong to one attacker with many addresses; the zero Prefix where that
// is the address alone.
func network(address netip.Addr) netip.Prefix {
	if !address.Is6() {
		return netip.Prefix{}
	}
	p, _ := address.Prefix(site6)
	return p
}

// enter gives c a place and reports whether there was one.
func (t *Table) enter(c *Conn, owner string) bool {
	t.mu.Lock()
	victims, ok := t.room(c.from, t.owners[owner])
	if ok {
		t.add(c, owner)
	} else {
		t.refused.Add(1)
	}
	t.evicted.Add(uint64(len(victims)))
	told := t.news(len(victims) > 0 || !ok)
	t.mu.Unlock()
	told.tell(t.cfg)
	for _, v := range victims {
		v.Close()
	}
	if ok && c.closed.Load() { // while it was on its way from another table
		t.leave(c)
		return false
	}
	return ok
}

// room finds a place for a connection of an address and an owner, who is nil as long as
// it has none. What must go for it has no place any more. The lock is held.
func (t *Table) room(from netip.Prefix, owner *holder) (victims []*Conn, ok bool) {
	if t.closed {
		return nil, false
	}
	address := t.addresses[from]
	if address != nil && owner != nil && t.crowds(from, owner) {
		its := func(c *Conn) bool { return c.address == address && c.owner == owner }
		victims = t.sweep(address, its, its)
		return victims, len(victims) > 0
	}
	for _, h := range []*holder{address, owner} {
		if h == nil || !t.exceeds(h) {
			continue
		}
		own := t.take(h)
		if len(own) == 0 {
			return victims, false
		}
		victims = append(victims, own...)
	}
	if len(t.open) < t.cfg.Places {
		return victims, true
	}
	victims = append(victims, t.takeAny()...)
	return victims, len(t.open) < t.cfg.Places
}

// exceeds reports whether a holder may have no further place. The lock is held.
func (t *Table) exceeds(h *holder) bool {
	return h.share > 0 && h.places >= h.share && len(t.open) >= h.scarce
}

// crowds reports whether an address has so much of what an owner may have that the rest
// is for its other addresses. The lock is held.
func (t *Table) crowds(from netip.Prefix, owner *holder) bool {
	kept := t.cfg.Places / crowdKept
	return owner.share > 0 && owner.share < t.cfg.Places && owner.places >= owner.share-owner.share/addressesKept &&
		len(t.open) >= owner.scarce-kept && owner.by[from] > owner.places/addressShare
}

// take frees places of an address or an owner. The lock is held.
func (t *Table) take(h *holder) []*Conn {
	if c := t.takeSilent(h); c != nil {
		return []*Conn{c}
	}
	its := func(c *Conn) bool { return c.address == h || c.owner == h }
	return t.sweep(h, its, its)
}

// takeAny frees places of whoever waits. The lock is held.
func (t *Table) takeAny() []*Conn {
	for len(t.silent) > 0 {
		if c := t.takeSilent(t.silent[0]); c != nil {
			return []*Conn{c}
		}
	}
	anybodys := func(*Conn) bool { return true }
	beyond := func(c *Conn) bool { return t.exceeds(c.address) || c.owner != nil && t.exceeds(c.owner) }
	return t.sweep(&t.everybody, anybodys, beyond)
}

// takeSilent frees the place of an address's oldest silent connection. The lock is held.
func (t *Table) takeSilent(h *holder) *Conn {
	for e := h.silent.Front(); e != nil; e = h.silent.Front() {
		c := e.Value.(*Conn)
		t.spoke(c)
		if c.state.CompareAndSwap(silent, closing) {
			t.remove(c)
			return c
		}
	}
	return nil
}

// sweep frees a part of the places. It takes them from connections that match and wait, those
// that have waited longest before others, and only from those that first accepts, if there are
// any. If it finds few that wait, there is no other search for barrenPause. The lock is held.
func (t *Table) sweep(h *holder, match, first func(*Conn) bool) (victims []*Conn) {
	now := time.Now()
	if now.Before(h.barren) {
		return nil
	}
	most := max(1, t.cfg.Places/sweepPart)
	waiting := t.waiting(match)
	if len(waiting) < most {
		h.barren = now.Add(barrenPause)
	}
	for _, rule := range []func(*Conn) bool{first, match} {
		for _, c := range waiting {
			if len(victims) < most && rule(c) && c.retire() {
				t.remove(c)
				victims = append(victims, c)
			}
		}
		if len(victims) > 0 {
			return victims
		}
	}
	return nil
}

// waiting are the connections that match and wait, longest first. The lock is held.
func (t *Table) waiting(match func(*Conn) bool) []*Conn {
	type waiter struct {
		*Conn
		since int64 // as it was when sorting began
	}
	var all []waiter
	for c := range t.open {
		if s := c.state.Load(); (s == idle || s == silent) && match(c) {
			all = append(all, waiter{c, c.since.Load()})
		}
	}
	slices.SortFunc(all, func(a, b waiter) int { return cmp.Compare(a.since, b.since) })
	conns := make([]*Conn, len(all))
	for i, w := range all {
		conns[i] = w.Conn
	}
	return conns
}

// add takes c in. The lock is held.
func (t *Table) add(c *Conn, owner string) {
	c.table.Store(t)
	t.open[c] = struct{}{}
	if c.address = t.addresses[c.from]; c.address == nil {
		c.address = &holder{share: max(1, t.cfg.Places/addressShare), scarce: t.cfg.Places - t.cfg.Places/addressesKept}
		t.addresses[c.from] = c.address
	}
	c.address.places++
	if c.from.Addr().Is6() {
		t.networks[network(c.from.Addr())]++
	}
	if owner != "" {
		if c.owner = t.owners[owner]; c.owner == nil {
			c.owner = &holder{share: t.cfg.OwnerShare, scarce: t.cfg.Places - t.cfg.Places/ownersKept, by: map[netip.Prefix]int{}}
			t.owners[owner] = c.owner
		}
		c.owner.places++
		c.owner.by[c.from]++
		c.ownerName = owner
	}
	if c.state.Load() == silent {
		c.listed = c.address.silent.PushBack(c)
		t.silent.fix(c.address)
	}
}

// remove takes c out. The lock is held.
func (t *Table) remove(c *Conn) {
	if _, is := t.open[c]; !is {
		return
	}
	delete(t.open, c)
	t.spoke(c)
	if c.address.places--; c.address.places == 0 {
		delete(t.addresses, c.from)
	}
	if c.from.Addr().Is6() {
		around := network(c.from.Addr())
		if t.networks[around]--; t.networks[around] == 0 {
			delete(t.networks, around)
		}
	}
	if c.owner != nil {
		if c.owner.by[c.from]--; c.owner.by[c.from] == 0 {
			delete(c.owner.by, c.from)
		}
		if c.owner.places--; c.owner.places == 0 {
			delete(t.owners, c.ownerName)
		}
	}
	c.address, c.owner = nil, nil
}

// spoke takes c out of the list of those that never sent anything. The lock is held.
func (t *Table) spoke(c *Conn) {
	if c.listed == nil {
		return
	}
	c.address.silent.Remove(c.listed)
	c.listed = nil
	t.silent.fix(c.address)
}

// leave is remove for whoever has no lock.
func (t *Table) leave(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.table.Load() == t {
		t.remove(c)
	}
}

// news is what the log is to be told now; zero if nothing. The lock is held.
func (t *Table) news(met bool) (n news) {
	now := time.Now()
	if !met || t.cfg.Log == nil || now.Sub(t.told) < tellInterval {
		return news{}
	}
	counts := t.Counts()
	n = news{Counts{counts.Refused - t.toldOf.Refused, counts.Evicted - t.toldOf.Evicted}, len(t.open), len(t.addresses)}
	t.told, t.toldOf = now, counts
	return n
}

// news is one line of the log.
type news struct {
	Counts
	open, addresses int
}

func (n news) tell(c Config) {
	if n == (news{}) {
		return
	}
	c.Log.Warn("connections are turned away: places are short", "connections", c.Name, "limit", c.Places, "open", n.open, "addresses", n.addresses,
		"closed_while_waiting", n.Evicted, "refused", n.Refused, "hint", "the limit follows from how many files the process may open; raise that, or look who holds them")
}

// heaviest is a heap of addresses, those with most silent connections first. One without
// any is not in it.
type heaviest []*holder

func (h heaviest) Len() int           { return len(h) }
func (h heaviest) Less(i, j int) bool { return h[i].silent.Len() > h[j].silent.Len() }
func (h heaviest) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *heaviest) Push(x any) {
	a := x.(*holder)
	a.at = len(*h)
	*h = append(*h, a)
}

// Pop implements heap.Interface.
func (h *heaviest) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return a
}

// fix puts an address in its place after its number changed by one.
func (h *heaviest) fix(a *holder) {
	listed := a.at < len(*h) && (*h)[a.at] == a
	switch n := a.silent.Len(); {
	case n == 0 && listed:
		heap.Remove(h, a.at)
	case n > 0 && !listed:
		heap.Push(h, a)
	case n > 0:
		heap.Fix(h, a.at)
	}
}
