package event

import "sync/atomic"

const (
	// maxTold is of how many requests of one tunnel readers are told each second, and of how
	// many frames: more than anybody reads, so that to look on does not slow down a tunnel
	// under load. Their begins and ends are fewer than the events that are kept of a tunnel.
	maxTold = 200
	// maxToldBusy is that behind a second that had more than maxTold: that is a load test, of
	// which these are examples, and each costs reader and tunnel what a request does.
	maxToldBusy = 20
)

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
	requests quota
	frames   quota
	missed   atomic.Uint64
}

// Requests makes them, of a tunnel.
func (h *Hub) Requests(tunnelID string) *Requests {
	r := &Requests{all: &h.all.read, own: &h.ringOf(tunnelID, true).read}
	r.requests.begin(maxTold)
	r.frames.begin(maxTold)
	return r
}

// Reads reports whether somebody reads.
func (r *Requests) Reads() bool { return r.own.Load() || r.all.Load() }

// Begin says whether the begin of a request is told: if it is Told.
func (r *Requests) Begin() Mark {
	switch {
	case !r.Reads():
		return Unread
	case r.take(&r.requests):
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
	return r.Reads() && r.take(&r.requests)
}

// Frame says whether a frame of a request is told.
func (r *Requests) Frame() bool { return r.Reads() && r.take(&r.frames) }

// take takes the right to tell of something, and counts an event that is not told.
func (r *Requests) take(q *quota) bool {
	if q.left.Add(-1) >= 0 {
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
	r.requests.next()
	r.frames.next()
}

// quota is how many of something are told until the next Tick.
type quota struct {
	most int64 // is Tick's
	left atomic.Int64
}

func (q *quota) begin(most int64) {
	q.most = most
	q.left.Store(most)
}

// next begins another second, by how many there were in this one, told or not.
func (q *quota) next() {
	if q.most-q.left.Load() > maxTold {
		q.begin(maxToldBusy)
	} else {
		q.begin(maxTold)
	}
}
