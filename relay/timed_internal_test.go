package relay

import (
	"net"
	"testing"
	"time"
)

// movedConn counts how often its write deadline is moved, and takes all writes.
type movedConn struct {
	net.Conn
	moves int
}

func (c *movedConn) SetWriteDeadline(time.Time) error { c.moves++; return nil }
func (c *movedConn) Write(p []byte) (int, error)      { return len(p), nil }

func TestTimed_WriteDeadlineIsKeptForTheNextHolder(t *testing.T) {
	conn := &movedConn{}
	var at time.Time
	write := func(bound time.Duration) {
		t.Helper()
		var holder Timed
		holder.wrap(conn, &at, time.Minute, bound)
		for range 2 {
			if _, err := holder.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, c := range []struct {
		bound time.Duration
		moves int // in all
	}{{time.Minute, 1}, {time.Minute, 1}, {time.Second, 2}, {time.Minute, 3}} {
		write(c.bound)
		if conn.moves != c.moves {
			t.Fatalf("the deadline was moved %d times after holder %d, want %d", conn.moves, i+1, c.moves)
		}
	}
	if d := time.Until(at); d < 59*time.Second*15/16 || d > time.Minute {
		t.Fatalf("the deadline is %v ahead, want a minute", d)
	}
	at = time.Time{} // somebody moved it without a note
	if write(time.Minute); conn.moves != 4 {
		t.Fatal("an unknown deadline was left where it was")
	}
}
