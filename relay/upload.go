package relay

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

// upload is a request body on its way beside the wait for the response.
type upload struct {
	running  bool // a goroutine was started and not joined
	finished bool // all of the body went out

	done    chan struct{} // closed by the goroutine
	cont    chan struct{} // closed when the client may send (100 Continue)
	went    bool          // cont is closed
	length  int64         // of the body; -1 when only its end tells
	ended   atomic.Bool   // the source was read to its end
	stopped atomic.Bool   // the response made the rest pointless
	err     atomic.Pointer[error]
	verdict atomic.Pointer[mezu.Error] // the answer, if a silence ended it
	source  watchedSource              // the client's body
	since   time.Time                  // when it was started
	moved   atomic.Int64               // when it moved last, nanoseconds since then; zero: not yet
	pace    *Pace                      // of the client; nil: it may take its time
	bytes   atomic.Int64
}

func (u *upload) reset() {
	u.running, u.finished, u.went = false, false, false
	u.done, u.cont = nil, nil
	if u.moved.Load() != 0 || u.stopped.Load() || u.err.Load() != nil || u.verdict.Load() != nil {
		u.stopped.Store(false)
		u.err.Store(nil)
		u.verdict.Store(nil)
		u.moved.Store(0)
		u.ended.Store(false)
	}
	u.bytes.Store(0)
}

// start prepares a goroutine for the body of req, which holds it back until
// proceed if the client waits for 100 Continue.
func (u *upload) start(req *Request) {
	u.running, u.since = true, time.Now()
	u.done = make(chan struct{})
	u.length = -1
	if req.Framing == Length {
		u.length = req.Length
	}
	if req.Expect {
		u.cont = make(chan struct{})
	}
}

// waiting reports whether the client is kept from sending.
func (u *upload) waiting() bool { return u.cont != nil && !u.went }

// proceed lets a client send that waits for 100 Continue.
func (u *upload) proceed() {
	if u.waiting() {
		u.went = true
		close(u.cont)
	}
}

// join takes note of a goroutine that has ended, and reports whether none runs.
func (u *upload) join() bool {
	if !u.running {
		return true
	}
	select {
	case <-u.done:
		u.running = false
		u.finished = u.err.Load() == nil
		return true
	default:
		return false
	}
}

// letEnd gives the goroutine a moment to end if it has read its body to the end and is
// writing the last of it. A response may well come before that is done.
func (u *upload) letEnd() {
	if u.join() || !u.ended.Load() {
		return
	}
	u.linger()
}

// linger gives a goroutine a moment to end.
func (u *upload) linger() {
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-u.done:
		u.join()
	case <-timer.C:
	}
}

// spent reports whether the client's body has been read to its end, as far as
// known now.
func (u *upload) spent() bool { return u.join() && u.finished || u.ended.Load() }

// fault is the answer to what went wrong with the client's body, or nil.
func (u *upload) fault() error {
	if v := u.verdict.Load(); v != nil {
		return v
	}
	if p := u.err.Load(); p != nil && !u.stopped.Load() {
		var src *SourceError
		if errors.As(*p, &src) {
			return sourceFault(*p)
		}
	}
	return nil
}

// move notes that a piece came, or has gone out.
func (u *upload) move() { u.moved.Store(int64(time.Since(u.since))) }

// lastMove is when the body moved last, or since.
func (u *upload) lastMove(since time.Time) time.Time {
	if n := u.moved.Load(); n > 0 {
		return u.since.Add(time.Duration(n))
	}
	return since
}

// BodyFault turns what went wrong with a client's body, before anything of it was sent on, into the
// answer to it.
func BodyFault(err error) error { return sourceFault(&SourceError{Err: err, Unsent: true}) }

// sourceFault turns a fault of the client's body into the answer to it.
func sourceFault(err error) error {
	if _, ok := errors.AsType[*SourceError](err); !ok {
		return err
	}
	refusal, refused := errors.AsType[*mezu.Error](err)
	switch {
	case errors.Is(err, ErrOverrun):
		return ErrOverrun
	case errors.Is(err, ErrSlowBody):
		return ErrSlowBody
	case errors.Is(err, ErrBody):
		return &mezu.Error{Code: mezu.CodeNotCanonical, Detail: "the request body is malformed", Cause: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrSlowBody
	case refused:
		return refusal // of who looks at it on its way
	}
	return ErrClientGone
}

// movingSource notes when pieces come and have gone out.
type movingSource struct {
	*watchedSource
	u *upload
}

func (s movingSource) Next() ([]byte, error) {
	s.u.move()
	p, err := s.u.pace.Next(s.watchedSource)
	s.u.move()
	if n := s.u.bytes.Add(int64(len(p))); err == io.EOF || err == nil && n == s.u.length {
		s.u.ended.Store(true)
	}
	return p, err
}

// runUpload copies the body. If the client's body can't be read to its end, it breaks the
// upstream connection, so that the workload does not take what it has for all of it.
func (x *Exchange) runUpload(d Downstream) {
	u := &x.upload
	defer close(u.done)
	if u.cont != nil {
		<-u.cont
	}
	err := error(&SourceError{Err: errors.New("upload not begun")})
	if !u.stopped.Load() {
		u.source.reset(d.Source(), &x.silence)
		x.silence.Begin(Uploading, x.call.Idle, x.ends[0])
		d.ReadWithin(0)
		x.up.WriteWithin(0)
		_, err = x.up.SendBody(movingSource{&u.source, u})
		x.silence.End(Uploading)
	}
	if err == nil {
		return
	}
	u.err.Store(&err)
	var src *SourceError
	if errors.As(err, &src) && !u.stopped.Load() && u.verdict.Load() == nil {
		if errors.Is(sourceFault(err), ErrClientGone) {
			x.gone.Store(true)
		}
		x.up.Abort()
	}
}
