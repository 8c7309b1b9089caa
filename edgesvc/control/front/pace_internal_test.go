package front

import (
	"crypto/sha256"
	"io"
	"net"
	"testing"
	"time"
)

// paced is a connection with a byte to be read at once.
func paced(t *testing.T) *pacedConn {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { there.Close() })
	go io.WriteString(there, "x")
	c := &pacedConn{Conn: here, closed: make(chan struct{})}
	t.Cleanup(func() { c.Close() })
	return c
}

// A8: the connection of a caller who is refused is read slowly; one that several
// share is not.
func TestA8_LoudConnectionIsReadSlowly(t *testing.T) {
	const interval = 20 * time.Millisecond
	loud, other := sha256.Sum256([]byte("loud")), sha256.Sum256([]byte("other"))
	read := func(c *pacedConn) time.Duration {
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	alone := paced(t)
	alone.Seen(loud)
	alone.Seen(loud)
	alone.Refused(interval)
	alone.Refused(interval)
	if took := read(alone); took < 2*interval-time.Millisecond {
		t.Errorf("after two refusals the connection was read after %v", took)
	}
	shared := paced(t)
	shared.Seen(loud)
	shared.Refused(time.Hour)
	shared.Seen(other)
	shared.Refused(time.Hour)
	if left := shared.pause(); left > 0 {
		t.Errorf("a shared connection is not read for %v", left)
	}
	read(shared)
	capped := paced(t)
	capped.Seen(loud)
	capped.Refused(time.Hour)
	if left := capped.pause(); left > maxPause {
		t.Errorf("a pause of %v", left)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := capped.Read(make([]byte, 1))
		ended <- err
	}()
	capped.Close()
	if err := <-ended; err == nil {
		t.Error("a closed connection was read")
	}
}
