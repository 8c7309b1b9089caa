package relay

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

// forever is the bound on a read or write that something else ends: a
// pipe.Silence, or whoever waits for it. It is longer than a program runs.
const forever = 10 * 365 * 24 * time.Hour

// Timed is a connection on which every read and write has a bound. Moving a deadline costs a
// timer, so a deadline that is nearly far enough away is left where it is. A bound may
// therefore be up to a sixteenth shorter than asked for, and is never longer. One read and
// one write may run at the same time. The reader alone changes the bound on reads, the writer
// alone that on writes.
type Timed struct {
	net.Conn
	read, write time.Duration
	readAt      time.Time // the deadline in force; zero = unknown
	writeAt     *time.Time
	own         time.Time // what writeAt points to, unless it was given
	fixed       bool      // the read deadline stays where FixRead put it
	expired     atomic.Bool
	cut         atomic.Bool
}

// Wrap takes a connection over with its bounds. The deadlines in force are
// taken for unknown.
func (t *Timed) Wrap(conn net.Conn, read, write time.Duration) {
	t.own = time.Time{}
	t.wrap(conn, &t.own, read, write)
}

// wrap is Wrap with the place where the write deadline in force is kept, for who
// takes the connection over next.
func (t *Timed) wrap(conn net.Conn, writeAt *time.Time, read, write time.Duration) {
	t.Conn, t.read, t.write = conn, read, write
	t.readAt, t.writeAt, t.fixed = time.Time{}, writeAt, false
	t.expired.Store(false)
	t.cut.Store(false)
}

// SetRead bounds each read from now on; zero stands for no bound.
func (t *Timed) SetRead(d time.Duration) { t.read, t.fixed = orForever(d), false }

// SetWrite bounds each write from now on; zero stands for no bound.
func (t *Timed) SetWrite(d time.Duration) { t.write = orForever(d) }

func orForever(d time.Duration) time.Duration {
	if d <= 0 {
		return forever
	}
	return d
}

// Cut makes the read and the write under way, and all later ones, end at once. It
// may be called beside them.
func (t *Timed) Cut() {
	t.cut.Store(true)
	t.expired.Store(true)
	t.Conn.SetDeadline(time.Unix(1, 0))
}

// FixRead bounds all reads together, until SetRead is called.
func (t *Timed) FixRead(d time.Duration) error {
	t.readAt, t.fixed = time.Now().Add(d), true
	return t.Conn.SetReadDeadline(t.readAt)
}

// expire makes the read under way, and any later one until Rearm, end at once.
// It may be called beside a read.
func (t *Timed) expire() {
	t.expired.Store(true)
	t.Conn.SetReadDeadline(time.Unix(1, 0))
}

// Rearm takes expire back, once no read is under way.
func (t *Timed) Rearm() {
	t.readAt, t.fixed = time.Time{}, false
	t.expired.Store(t.cut.Load())
}

// ForgetWrite says that somebody else moves the deadline of writes.
func (t *Timed) ForgetWrite() { *t.writeAt = time.Time{} }

// Read reads within its bound.
func (t *Timed) Read(p []byte) (int, error) {
	if !t.fixed {
		if err := extend(&t.readAt, t.read, t.Conn.SetReadDeadline); err != nil {
			return 0, err
		}
	}
	if t.expired.Load() { // expire may have come before the deadline was moved
		return 0, os.ErrDeadlineExceeded
	}
	return t.Conn.Read(p)
}

// Write writes within its bound.
func (t *Timed) Write(p []byte) (int, error) {
	if err := extend(t.writeAt, t.write, t.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	if t.cut.Load() { // Cut may have come before the deadline was moved
		return 0, os.ErrDeadlineExceeded
	}
	return t.Conn.Write(p)
}

func extend(at *time.Time, d time.Duration, set func(time.Time) error) error {
	want := time.Now().Add(d)
	if ahead := want.Sub(*at); ahead >= 0 && ahead <= d/16 {
		return nil
	}
	*at = want
	return set(want)
}
