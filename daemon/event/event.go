// Package event carries the events of the local daemon's tunnels from where they happen to
// whoever reads a stream.
//
// What lives here: the hub, what it keeps for readers that are slow or come back, and their
// cursors. What may not: HTTP, and what makes an event. It imports package local; package daemon
// publishes, and daemon/rest reads.
package event

import (
	"context"
	"crypto/rand"
	"io"
	"strconv"
	"strings"
	"sync"
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

// Hub takes events and gives them to its readers. Nobody who publishes waits for a reader. It is
// safe for concurrent use.
type Hub struct {
	run string // begins the cursors of this hub
	now func() time.Time
	all ring

	mu      sync.Mutex
	tunnels map[string]*ring
}

// NewHub makes a hub.
func NewHub(now func() time.Time) *Hub {
	h := &Hub{run: rand.Text()[:8], now: now, tunnels: map[string]*ring{}}
	h.all.begin(maxEvents, maxBytes)
	return h
}

// Publish hands an event to the readers of all tunnels, and to those of its TunnelID. It fills in
// the time if there is none. The event belongs to the hub from then on, with all that it points
// to.
func (h *Hub) Publish(e *local.Event) {
	if e.Time.IsZero() {
		e.Time = h.now()
	}
	size := sizeOf(e)
	if r := h.ringOf(e.TunnelID); r != nil {
		r.put(e, size)
	}
	h.all.put(e, size)
}

// Add begins to keep the events of a tunnel for readers of it alone.
func (h *Hub) Add(tunnelID string) {
	r := &ring{}
	r.begin(maxTunnelEvents, maxTunnelBytes)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tunnels[tunnelID] == nil {
		h.tunnels[tunnelID] = r
	}
}

// Remove ends the streams of a tunnel after what was published of it, and forgets that.
func (h *Hub) Remove(tunnelID string) {
	h.mu.Lock()
	r := h.tunnels[tunnelID]
	delete(h.tunnels, tunnelID)
	h.mu.Unlock()
	if r != nil {
		r.end()
	}
}

// Reader reads the events of a tunnel, or of all if tunnelID is empty, that come after the event
// with this cursor. If that is empty, it reads those that are published from now on. That of a
// tunnel which was not added, or was removed, has none.
func (h *Hub) Reader(tunnelID, after string) *Reader {
	r := &h.all
	if tunnelID != "" {
		if r = h.ringOf(tunnelID); r == nil {
			r = &ring{first: 1, ended: true}
		}
	}
	next, unknown := r.after(h.run, after)
	return &Reader{ring: r, run: h.run, next: next, unknown: unknown}
}

// ringOf is the ring of one tunnel, or nil.
func (h *Hub) ringOf(tunnelID string) *ring {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tunnels[tunnelID]
}

// Reader is a place in the events of a hub. It is for one goroutine.
type Reader struct {
	ring    *ring
	run     string
	next    uint64
	unknown bool // the cursor was none of this hub, and nobody knows what was missed
}

// Next waits until there are events, and appends at most that many to into. If some are not kept
// any more, the first is a local.EventGap. The error is io.EOF when the tunnel was removed and
// all is read, or the context's.
func (r *Reader) Next(ctx context.Context, into []local.Event, most int) ([]local.Event, error) {
	for {
		events, wait := r.take(into, most)
		if len(events) > len(into) {
			return events, nil
		}
		if wait == nil {
			return into, io.EOF
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return into, ctx.Err()
		}
	}
}

// Cursor is that of the last event that was read, or of the last before the reader began.
func (r *Reader) Cursor() string { return r.run + "-" + strconv.FormatUint(r.next-1, 10) }

func (r *Reader) take(into []local.Event, most int) (events []local.Event, wait <-chan struct{}) {
	r.ring.mu.Lock()
	defer r.ring.mu.Unlock()
	events = into
	if missed := r.ring.first - min(r.next, r.ring.first); missed > 0 || r.unknown {
		r.next, r.unknown = max(r.next, r.ring.first), false
		events = append(events, local.Event{Event: mezu.Event{Event: local.EventGap, Time: r.ring.gone}, Missed: missed, Cursor: r.Cursor()})
	}
	for ; r.next < r.ring.next() && len(events)-len(into) < most; r.next++ {
		e := *r.ring.at(r.next)
		e.Cursor = r.run + "-" + strconv.FormatUint(r.next, 10)
		events = append(events, e)
	}
	if r.ring.ended {
		return events, nil
	}
	if r.ring.wake == nil {
		r.ring.wake = make(chan struct{})
	}
	return events, r.ring.wake
}

// ring keeps the last events, each of which has a number, from 1 on.
type ring struct {
	mu    sync.Mutex
	kept  []kept // of a fixed length; the event with number n is at n modulo that
	first uint64 // the number of the oldest that is kept
	count int
	bytes int
	most  int // bytes
	gone  time.Time
	ended bool
	wake  chan struct{} // is closed at the next event; nil if nobody waits
}

type kept struct {
	event *local.Event
	size  int
}

func (r *ring) begin(events, bytes int) { r.kept, r.first, r.most = make([]kept, events), 1, bytes }

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
		r.gone = old.event.Time
		*old = kept{}
		r.first++
		r.count--
	}
	r.kept[r.next()%uint64(len(r.kept))] = kept{e, size}
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

// after is the number of the event after the one with this cursor. unknown says that it is not
// one of this hub.
func (r *ring) after(run, cursor string) (next uint64, unknown bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cursor == "" {
		return r.next(), false
	}
	number, ok := strings.CutPrefix(cursor, run+"-")
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
	n := baseSize + len(e.Path) + len(e.Host) + len(e.Method) + len(e.Route) + len(e.User) + len(e.ID) + len(e.Message) + len(e.Hint) + len(e.URL)
	for _, f := range e.Fixes {
		n += len(f)
	}
	if t := e.Record; t != nil {
		n += 2*baseSize + len(t.Target) + len(t.Detail) + len(t.Hint)
		for _, a := range t.AllowTargets {
			n += len(a)
		}
		n += len(t.Links) * baseSize / 2
	}
	return n
}
