package forward

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/mezusphere/mezu/pipe"
	"github.com/mezusphere/mezu/relay"
)

// maxHeld is how much of a request's body is held until the response comes, so that the
// request can be sent again if the workload refuses its stream. It is more than a client may
// send before it gets an answer of the workload.
const maxHeld = 64 << 10

// errNotHeld is the end of a try that the workload refused when more of the body has
// gone out than is held.
var errNotHeld = errors.New("the workload refused the stream, and the request's body is not held any more")

// tunnelBody is a request body for net/http, which may read it several times, once for each
// attempt. While it is read, the read notices if the edge goes away. From its end on it watches
// for that.
type tunnelBody struct {
	c       *relay.Client
	early   *interims
	gone    func()
	moved   func() // called when a piece came, until calm
	shrinks func() // called when all of it was read
	silence *pipe.Silence
	trailer http.Header
	tape    Tape        // nil if it isn't recorded
	waits   atomic.Bool // for the edge, not for the workload to take more
	ended   atomic.Bool // all of it was read from the edge

	reading sync.Mutex // held by a Read under way; guards the four below
	held    []byte     // the beginning of what was read
	full    bool       // more was read than is held
	piece   []byte     // what came last and was not read
	eof     bool

	mu       sync.Mutex
	current  *attempt // the only one that may read
	watching bool
	closed   bool // by net/http, which may begin anew
	finished bool // by the exchange
	calmed   bool
	fault    error // why the body could not be read to its end, if that has an answer
}

// attempt is the body for one try of the request.
type attempt struct {
	b  *tunnelBody
	at int // in what is held
}

// first gives the body for the first try.
func (b *tunnelBody) first() io.ReadCloser {
	b.current = &attempt{b: b}
	return b.current
}

// again gives the body for another try, as long as all that was read is held.
func (b *tunnelBody) again() (io.ReadCloser, error) {
	b.reading.Lock()
	full := b.full
	b.reading.Unlock()
	if full {
		return nil, errNotHeld
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return nil, relay.ErrClientGone
	}
	if b.watching {
		b.watching = false
		b.c.Unwatch()
	}
	b.closed = false
	b.current = &attempt{b: b}
	return b.current, nil
}

// Read reads what is held before it takes more from the edge.
func (a *attempt) Read(p []byte) (int, error) {
	b := a.b
	b.reading.Lock()
	defer b.reading.Unlock()
	if b.unwanted(a) {
		return 0, relay.ErrClientGone // another try may read the piece by now
	}
	b.silence.Moved() // what was read before has gone out
	if a.at < len(b.held) {
		n := copy(p, b.held[a.at:])
		a.at += n
		return n, nil
	}
	if len(b.piece) == 0 {
		b.waits.Store(true)
		err := b.next(a)
		b.waits.Store(false)
		b.silence.Moved()
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	b.hold(p[:n])
	a.at = len(b.held)
	return n, nil
}

// hold keeps what was read, while there is room.
func (b *tunnelBody) hold(p []byte) {
	if b.full = b.full || len(b.held)+len(p) > maxHeld; b.full {
		b.held = nil
		return
	}
	b.held = append(b.held, p...)
}

// blame says why the body stopped: either the edge has no more of it, or the
// workload takes no more.
func (b *tunnelBody) blame() error {
	if b.waits.Load() {
		return relay.ErrSlowBody
	}
	return relay.ErrUntaken
}

// next takes the next piece from the edge.
func (b *tunnelBody) next(a *attempt) error {
	if b.eof {
		b.watch(a)
		return io.EOF
	}
	if b.early.proceed() != nil {
		b.gone()
		return relay.ErrClientGone
	}
	if !b.await(a) {
		return relay.ErrClientGone
	}
	var err error
	b.piece, err = b.c.Source().Next()
	if b.tape != nil {
		tellPiece(b.tape, In, b.c.Source(), b.piece, err)
	}
	b.progress()
	if b.c.Body.Done() && !b.ended.Swap(true) {
		b.silence.End(relay.Uploading)
		b.shrinks()
	}
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		b.eof = true
		for _, f := range b.c.Source().Trailer() {
			b.trailer.Add(string(f.Name), string(f.Value))
		}
		b.watch(a)
		return err
	case errors.Is(err, relay.ErrOverrun):
		b.mu.Lock()
		b.fault = relay.ErrOverrun
		b.mu.Unlock()
		return err
	}
	if !b.unwanted(a) {
		b.gone()
	}
	return err
}

// await waits for a piece, and takes none of it as long as there may be another try: if this
// try is closed meanwhile, nothing of the body is lost. It reports whether the piece is still
// wanted. If the edge is gone, Next will say so.
func (b *tunnelBody) await(a *attempt) bool {
	for !b.full && !b.c.Source().Ready() {
		b.c.Reader.Rewind()
		if room, err := b.c.Reader.Fill(); !room || err != nil {
			break
		}
	}
	return !b.unwanted(a)
}

// Close is called by net/http, which wants no more of the body for this try and may
// wait for a Read under way. From then on the edge is watched.
func (a *attempt) Close() error {
	a.b.close(a)
	return nil
}

// abandon closes the body whoever reads it.
func (b *tunnelBody) abandon() {
	b.mu.Lock()
	a := b.current
	b.mu.Unlock()
	if a != nil {
		b.close(a)
	}
}

func (b *tunnelBody) close(a *attempt) {
	b.mu.Lock()
	unneeded := a != b.current || b.finished || b.watching || b.closed
	if !unneeded {
		b.closed = true
		b.c.StopUpload()
	}
	b.mu.Unlock()
	if unneeded {
		return
	}
	b.reading.Lock() // a Read under way has ended
	defer b.reading.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.finished { // else the connection belongs to the exchange again
		b.c.Timed.Rearm()
		b.startWatch()
	}
}

// unwanted reports whether nobody wants the body of this try any more.
func (b *tunnelBody) unwanted(a *attempt) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.finished || b.closed || a != b.current
}

func (b *tunnelBody) progress() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.calmed {
		b.moved()
	}
}

// calm ends calls of moved, and returns what was wrong with the body so far.
func (b *tunnelBody) calm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calmed = true
	return b.fault
}

// watch begins to watch the edge, unless Close does.
func (b *tunnelBody) watch(a *attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && a == b.current {
		b.startWatch()
	}
}

func (b *tunnelBody) startWatch() {
	if !b.finished && !b.watching {
		b.watching = true
		b.c.Watch(b.gone)
	}
}

// finish ends watching and reading; after it nobody touches the connection.
func (b *tunnelBody) finish() {
	b.mu.Lock()
	b.finished = true
	watching := b.watching
	if !watching {
		b.c.StopUpload()
	}
	b.mu.Unlock()
	if watching {
		b.c.Unwatch()
		return
	}
	b.reading.Lock() // a Read under way has ended
	defer b.reading.Unlock()
	b.c.Timed.Rearm()
}
