package h2

import (
	"cmp"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// input is the buffer of the reader. A thrifty one borrows it when something has come: below TLS a
// second read of the same record costs no system call.
type input struct {
	src  io.Reader
	buf  []byte
	home *[]byte
	r, w int
	tiny [tinyBuffer]byte // what a thrifty connection waits in
}

const (
	tinyBuffer  = 2 * frameHeader
	smallBuffer = 4 << 10
)

var smallPool = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}

func (in *input) buffered() int { return in.w - in.r }

// borrow makes sure that there is a large buffer.
func (in *input) borrow() {
	if in.home != nil {
		return
	}
	in.home = smallPool.Get().(*[]byte)
	n := copy(*in.home, in.buf[in.r:in.w])
	in.buf, in.r, in.w = *in.home, 0, n
}

// prepare makes sure that n bytes don't come a few at a time.
func (in *input) prepare(n int) {
	if n > len(in.tiny) {
		in.borrow()
	}
}

// rest gives the buffer back if nothing is in it.
func (in *input) rest() {
	if in.r != in.w {
		return
	}
	if in.home != nil {
		smallPool.Put(in.home)
		in.home = nil
	}
	in.buf, in.r, in.w = in.tiny[:], 0, 0
}

// maxNeed is the most that need waits for.
const maxNeed = smallBuffer / 2

// need waits for n bytes, maxNeed at most.
func (c *conn) need(n int) ([]byte, error) {
	c.in.prepare(n)
	for c.in.buffered() < n {
		if err := c.more(nil); err != nil {
			return nil, err
		}
	}
	p := c.in.buf[c.in.r : c.in.r+n]
	c.in.r += n
	return p, nil
}

// skip reads n bytes away.
func (c *conn) skip(n int) error {
	c.in.prepare(n)
	for n > 0 {
		if c.in.buffered() == 0 {
			if err := c.more(nil); err != nil {
				return err
			}
		}
		k := min(n, c.in.buffered())
		c.in.r += k
		n -= k
	}
	return nil
}

// full reads into all of p.
func (c *conn) full(p []byte) error {
	n := copy(p, c.in.buf[c.in.r:c.in.w])
	c.in.r += n
	for n < len(p) {
		before := c.in.w
		if err := c.more(p[n:]); err != nil {
			return err
		}
		n += c.in.w - before
		c.in.w = before
	}
	return nil
}

// more waits until something comes: behind what is buffered, or into p, if it is not nil; then
// the growth of in.w says how much.
func (c *conn) more(p []byte) error {
	in := &c.in
	c.end.pause()
	if p == nil {
		if in.r != in.w || !c.thrifty {
			in.borrow()
		}
		if in.r == in.w {
			in.r, in.w = 0, 0
		} else if in.w == len(in.buf) {
			in.w = copy(in.buf, in.buf[in.r:in.w])
			in.r = 0
		}
	}
	if p == nil && in.r != in.w && c.begun.IsZero() {
		c.begun = c.last // a part of a frame's header is here
	}
	for {
		if err := c.arm(time.Now()); err != nil {
			return err
		}
		to := p
		if to == nil {
			to = in.buf[in.w:]
		}
		n, err := in.src.Read(to)
		if n > 0 {
			in.w += n
			c.last, c.pinged = time.Now(), time.Time{}
			return nil
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := c.overdue(time.Now()); err != nil {
			return err
		}
	}
}

// arm sets the deadline of the next read. It is moved no more often than needed, since moving it
// costs a timer.
func (c *conn) arm(now time.Time) error {
	want := c.last.Add(c.pingAfter)
	switch {
	case !c.begun.IsZero():
		want = c.begun.Add(headTimeout)
	case !c.pinged.IsZero():
		want = c.pinged.Add(c.pingTimeout)
	case want.After(now):
	case c.idle > 0 && c.last.Add(c.idle).After(now):
		want = c.last.Add(c.idle)
	default:
		want = now.Add(c.pingAfter)
	}
	if early := want.Sub(c.readBy); early >= 0 && early <= c.pingAfter/16 && c.readBy.After(now) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmp.Or(c.err, c.wish); err != nil {
		return err // or the deadline that wakes the reader up for it would be undone
	}
	if c.mute != nil {
		return nil // it has a deadline of its own
	}
	c.readBy = want
	return c.nc.SetReadDeadline(want)
}

// overdue decides what to do when nothing came in time.
func (c *conn) overdue(now time.Time) error {
	c.mu.Lock()
	err := cmp.Or(c.err, c.wish, c.mute)
	c.mu.Unlock()
	switch {
	case err != nil:
		return err
	case !c.begun.IsZero() && now.Sub(c.begun) >= headTimeout:
		return connErr(EnhanceYourCalm, "a head or a frame was begun and not ended in time")
	}
	return c.end.quiet(c.last, now)
}

// asleep reports whether nothing is under way.
func (c *conn) asleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) == 0 && c.working == 0
}
