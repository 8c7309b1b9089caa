// Package event carries the events of the local daemon's tunnels from where they happen to
// whoever reads a stream.
//
// What lives here: the hub, what it keeps for readers that are slow or come back, their
// cursors, and how many requests they are told of. What may not: HTTP, and what makes an event.
// It imports package local; package daemon publishes, and daemon/rest reads.
package event

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// What is kept of the events of all tunnels together, and of those of each.
const (
	// maxEvents is some minutes of a busy page: long enough to come back after a restart of
	// what reads.
	maxEvents = 2048
	// maxTunnelEvents is less: there may be mezu.MaxTunnels of these.
	maxTunnelEvents = 512
	// maxBytes and maxTunnelBytes bound the texts in these events, which visitors choose in
	// part.
	maxBytes       = 2 << 20
	maxTunnelBytes = 256 << 10
)

// resumeWithin is how long somebody counts as a reader who reads no more, so that a command that
// lost its connection misses no request.
const resumeWithin = 10 * time.Second

// Hub takes events and gives them to its readers. Nobody who publishes waits for a reader. It is
// safe for concurrent use.
type Hub struct {
	now func() time.Time
	all ring

	mu      sync.Mutex
	tunnels map[string]*ring
}

// NewHub makes a hub.
func NewHub(now func() time.Time) *Hub {
	h := &Hub{now: now, tunnels: map[string]*ring{}}
	h.all.begin(maxEvents, maxBytes)
	return h
}

// Publish hands an event to the readers of all tunnels, and to those of its TunnelID. It fills in
// the time if there is none. What the event points to may not be changed any more.
//
// A tunnel begins with its first local.EventTunnel, or with Requests. The one without a record is
// its last event, after which its readers end.
func (h *Hub) Publish(e local.Event) {
	if e.Time.IsZero() {
		e.Time = h.now()
	}
	size := sizeOf(&e)
	h.all.put(&e, size)
	if e.TunnelID == "" {
		return
	}
	isRecord := e.Event.Event == local.EventTunnel
	r := h.ringOf(e.TunnelID, isRecord && e.Record != nil)
	if r == nil {
		return
	}
	r.put(&e, size)
	if isRecord && e.Record == nil {
		h.mu.Lock()
		delete(h.tunnels, e.TunnelID)
		h.mu.Unlock()
		r.end()
	}
}

// Reader reads the events of a tunnel, or of all if tunnelID is empty, that come after the event
// with this cursor. If that is empty, it reads those that are published from now on. A tunnel of
// which nothing was published, or that was removed, has none.
func (h *Hub) Reader(tunnelID, after string) *Reader {
	r := &h.all
	if tunnelID != "" {
		if r = h.ringOf(tunnelID, false); r == nil {
			r = &ring{first: 1, ended: true}
		}
	}
	out := &Reader{ring: r, now: h.now}
	r.open(out, after)
	return out
}

// Tick is called each second.
func (h *Hub) Tick() {
	now := h.now()
	h.all.rest(now)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.tunnels {
		r.rest(now)
	}
}

// ringOf is the ring of one tunnel, or nil if there is none and it is not to be made.
func (h *Hub) ringOf(tunnelID string, create bool) *ring {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.tunnels[tunnelID]
	if r == nil && create {
		r = &ring{}
		r.begin(maxTunnelEvents, maxTunnelBytes)
		h.tunnels[tunnelID] = r
	}
	return r
}

// Reader is a position in the events of a hub. It is for one goroutine.
type Reader struct {
	ring    *ring
	now     func() time.Time
	next    uint64
	untold  uint64 // of the ring's, up to there
	unknown bool   // the cursor was none of this stream, and nobody knows what was missed
	closed  bool
}

// Close says that nobody reads here any more. It may be called twice.
func (r *Reader) Close() {
	if !r.closed {
		r.closed = true
		r.ring.leave(r.now())
	}
}

// Cursor is that of the last event that was read, or of the last before the reader began.
func (r *Reader) Cursor() string { return r.ring.cursor(r.next - 1) }

// Take appends the next events to into, at most that many and a local.EventGap before them if
// some are not kept any more. It does not wait: the channel is closed when there are more. It is
// nil if there will be none, because the tunnel was removed.
func (r *Reader) Take(into []local.Event, most int) ([]local.Event, <-chan struct{}) {
	r.ring.mu.Lock()
	defer r.ring.mu.Unlock()
	if missed := r.ring.first - min(r.next, r.ring.first); missed > 0 || r.unknown {
		r.next = max(r.next, r.ring.first)
		missed += r.ring.untoldBefore(r.next) - r.untold
		if r.unknown {
			missed, r.unknown = 0, false
		}
		into = append(into, local.Event{Event: mezu.Event{Event: local.EventGap, Time: r.now()}, Missed: missed, Cursor: r.Cursor()})
	}
	for ; r.next < r.ring.next() && most > 0; most-- {
		e := *r.ring.at(r.next)
		e.Cursor = r.ring.cursor(r.next)
		into = append(into, e)
		r.next++
	}
	r.untold = r.ring.untoldBefore(r.next)
	if r.next < r.ring.next() {
		return into, closed()
	}
	if r.ring.ended {
		return into, nil
	}
	if r.ring.wake == nil {
		r.ring.wake = make(chan struct{})
	}
	return into, r.ring.wake
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// ring keeps the last events, each of which has a number, from 1 on.
type ring struct {
	run string // begins the cursors, which are good for no other ring

	mu    sync.Mutex
	kept  []kept // of a fixed length; the event with number n is at n modulo that
	first uint64 // the number of the oldest that is kept
	count int
	bytes int
	most  int // bytes
	ended bool
	wake  chan struct{} // is closed at the next event; nil if nobody waits
	// untold is how many events the gaps among all events stand for beside themselves.
	untold uint64

	read    atomic.Bool // somebody reads, or did just now
	readers int
	left    time.Time // when the last one did
}

type kept struct {
	event  *local.Event
	size   int
	untold uint64 // of the ring, before this event
}

func (r *ring) begin(events, bytes int) {
	r.run, r.kept, r.first, r.most = rand.Text()[:8], make([]kept, events), 1, bytes
}

func (r *ring) cursor(n uint64) string { return r.run + "-" + strconv.FormatUint(n, 10) }

func (r *ring) next() uint64 { return r.first + uint64(r.count) }

func (r *ring) at(n uint64) *local.Event { return r.kept[n%uint64(len(r.kept))].event }

// put adds an event, and drops the oldest as far as needed.
func (r *ring) put(e *local.Event, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	for r.count > 0 && (r.count == len(r.kept) || r.bytes+size > r.most) {
		old := &r.kept[r.first%uint64(len(r.kept))]
		r.bytes -= old.size
		*old = kept{}
		r.first++
		r.count--
	}
	r.kept[r.next()%uint64(len(r.kept))] = kept{e, size, r.untold}
	if e.Event.Event == local.EventGap && e.Missed > 1 {
		r.untold += e.Missed - 1
	}
	r.count++
	r.bytes += size
	r.signal()
}

func (r *ring) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.signal()
}

func (r *ring) signal() {
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// untoldBefore is how many events the gaps before the event with number n stand for, beside
// themselves.
func (r *ring) untoldBefore(n uint64) uint64 {
	if n >= r.next() {
		return r.untold
	}
	return r.kept[n%uint64(len(r.kept))].untold
}

// open begins a reader after the event with this cursor.
func (r *ring) open(reader *Reader, cursor string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers++
	r.read.Store(true)
	reader.next, reader.unknown = r.after(cursor)
	// What the gaps among those that are gone stood for is not known any more.
	reader.untold = r.untoldBefore(max(reader.next, r.first))
}

// leave is the end of one reader.
func (r *ring) leave(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers--
	r.left = now
}

// rest says that nobody reads, if it has been so for long enough.
func (r *ring) rest(now time.Time) {
	if !r.read.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readers == 0 && now.Sub(r.left) > resumeWithin {
		r.read.Store(false)
	}
}

// after is the number of the event after the one with this cursor. unknown says that it is not
// one of this ring. The lock is held.
func (r *ring) after(cursor string) (next uint64, unknown bool) {
	if cursor == "" {
		return r.next(), false
	}
	number, ok := strings.CutPrefix(cursor, r.run+"-")
	n, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || n >= r.next() {
		return r.next(), true
	}
	return n + 1, false
}

// baseSize is about what an event takes beside its texts.
const baseSize = 512

// sizeOf is about how many bytes an event takes.
func sizeOf(e *local.Event) int {
	n := baseSize + len(e.Path) + len(e.Query) + len(e.Client) + len(e.Upgrade) + len(e.Host) + len(e.Method) + len(e.Route) + len(e.User) + len(e.ID) + len(e.Message) + len(e.Hint) + len(e.URL)
	for _, f := range e.Fixes {
		n += len(f)
	}
	if x := e.Exchange; x != nil {
		n += baseSize + len(x.Path) + len(x.Query) + len(x.Host) + len(x.Method) + len(x.Route) + len(x.User) + len(x.RequestID) + len(x.Message)
	}
	if f := e.Frame; f != nil {
		n += baseSize/4 + len(f.Name) + len(f.Text) + len(f.Problem)
	}
	if t := e.Record; t != nil {
		n += 2*baseSize + len(t.API) + len(t.CAFile) + len(t.Target) + len(t.UpstreamCA) + len(t.Detail) + len(t.Hint)
		for _, a := range t.AllowTargets {
			n += len(a)
		}
		n += len(t.Links) * baseSize / 2
	}
	return n
}
