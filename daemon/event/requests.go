package event

import "sync/atomic"

// maxTold is of how many requests of one tunnel readers are told each second, and of how many frames: more than anybody
// reads, so that to look on does not slow down a tunnel under load. Their begins and ends are
// fewer than the events that are kept of a tunnel.
const maxTold = 200

// Mark says what readers heard of the begin of a request.
type Mark uint8

// Marks.
const (
	// Unread: nobody read.
	Unread Mark = iota
	// Told: an event was to be published.
	Told
	// Over: there were too many.
	Over
)

// Requests decides of which requests of one tunnel readers are told. A request whose begin was
// told has an end, and one whose begin was one too many has none; both count as missed. Of one
// that began when nobody read, the end is told. What nobody reads costs two loads. It is safe
// for concurrent use, but Tick, which one goroutine calls.
type Requests struct {
	all, own *atomic.Bool // somebody reads
	left     atomic.Int64 // may be told before the next Tick
	frames   atomic.Int64 // as many of these
	missed   atomic.Uint64
}

// Requests makes them, of a tunnel.
func (h *Hub) Requests(tunnelID string) *Requests {
	r := &Requests{all: &h.all.read, own: &h.ringOf(tunnelID, true).read}
	r.left.Store(maxTold)
	r.frames.Store(maxTold)
	return r
}

// Reads reports whether somebody reads.
func (r *Requests) Reads() bool { return r.own.Load() || r.all.Load() }

// Begin says whether the begin of a request is told: if it is Told.
func (r *Requests) Begin() Mark {
	switch {
	case !r.Reads():
		return Unread
	case r.take(&r.left):
		return Told
	}
	return Over
}

// End says whether the end of a request is told, of whose begin Begin has said that.
func (r *Requests) End(begin Mark) bool {
	switch begin {
	case Told:
		return true
	case Over:
		r.missed.Add(1)
		return false
	}
	return r.Reads() && r.take(&r.left)
}

// Frame says whether a frame of a request is told.
func (r *Requests) Frame() bool { return r.Reads() && r.take(&r.frames) }

// take takes the right to tell of something, and counts an event that is not told.
func (r *Requests) take(left *atomic.Int64) bool {
	if left.Add(-1) >= 0 {
		return true
	}
	r.missed.Add(1)
	return false
}

// Tick begins another second. gap is called before, if readers have missed events, with their
// number.
func (r *Requests) Tick(gap func(missed uint64)) {
	if n := r.missed.Swap(0); n > 0 {
		gap(n)
	}
	r.left.Store(maxTold)
	r.frames.Store(maxTold)
}
