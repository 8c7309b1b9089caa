package admission

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// States of a connection.
const (
	silent  int32 = iota // no request has come yet
	idle                 // it waits for its next request
	busy                 // a request is under way
	closing              // it gave its place up
)

// Conn is a connection that has a place until it is closed. Whoever serves it says when
// requests begin and end: while one is under way nobody takes the place.
type Conn struct {
	net.Conn
	from      netip.Prefix
	state     atomic.Int32
	since     atomic.Int64 // when it came, or its last request (sinceStart)
	closed    atomic.Bool
	entrusted atomic.Bool
	table     atomic.Pointer[Table]
	turns     int // of net/http's server, which notes them in one goroutine

	streaming sync.Mutex
	streams   int // under way; guarded by streaming

	// All below is guarded by the table.
	address, owner *holder // nil without a place
	ownerName      string
	listed         *list.Element // among the silent ones
}

// start is where sinceStart counts from.
var start = time.Now()

// sinceStart is a time as a number that no change of the clock moves.
func sinceStart(at time.Time) int64 { return int64(at.Sub(start)) }

// Of finds the Conn below what wraps it, or nil.
func Of(c net.Conn) *Conn {
	for {
		if own, ok := c.(*Conn); ok {
			return own
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = outer.NetConn()
	}
}

// Address is where the connection comes from, the zero one if that is no address.
func (c *Conn) Address() netip.Addr { return addressOf(c.RemoteAddr()) }

// OfAddress is how many connections its address has in its table, this one included; zero if
// it has no place.
func (c *Conn) OfAddress() int {
	t := c.table.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.table.Load() != t || c.address == nil {
		return 0
	}
	return c.address.places
}

// Prefix is what counts as one address, of IPv6 a network.
func (c *Conn) Prefix() netip.Prefix { return c.from }

// NetConn is the connection that has the place.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	c.closed.Store(true)
	c.table.Load().leave(c)
	return c.Conn.Close()
}

// CloseWrite shuts down the writing side, if the connection can.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Begin makes the connection busy: a request has come. It is false when the place went
// to another before.
func (c *Conn) Begin() bool {
	if c.state.CompareAndSwap(idle, busy) {
		return true
	}
	if c.state.CompareAndSwap(silent, busy) {
		t := c.table.Load()
		t.mu.Lock()
		if c.table.Load() == t {
			t.spoke(c)
		}
		t.mu.Unlock()
		return true
	}
	return c.state.Load() == busy
}

// Rest ends what Begin began: the connection waits, and has waited since its last request came.
func (c *Conn) Rest(since time.Time) {
	c.since.Store(sinceStart(since))
	c.state.CompareAndSwap(busy, idle)
}

// BeginStream is Begin for a connection that carries several requests at once: one more has
// come, at the given time. Each one that did begin ends with EndStream, in any order and by
// any goroutine.
func (c *Conn) BeginStream(at time.Time) bool {
	c.streaming.Lock()
	defer c.streaming.Unlock()
	if c.streams == 0 && !c.Begin() {
		return false
	}
	c.streams++
	c.since.Store(sinceStart(at))
	return true
}

// EndStream ends what BeginStream began. The connection waits when none is left, and has
// waited since its last request came.
func (c *Conn) EndStream() {
	c.streaming.Lock()
	defer c.streaming.Unlock()
	if c.streams--; c.streams == 0 {
		c.state.CompareAndSwap(busy, idle)
	}
}

// Silent reports whether no request has come yet.
func (c *Conn) Silent() bool { return c.state.Load() == silent }

// Busy reports whether a request is under way.
func (c *Conn) Busy() bool { return c.state.Load() == busy }

// retire makes sure that no request begins any more, unless one has.
func (c *Conn) retire() bool {
	return c.state.CompareAndSwap(idle, closing) || c.state.CompareAndSwap(silent, closing)
}

// Retire closes the connection unless a request is under way.
func (c *Conn) Retire() bool {
	if !c.retire() {
		return false
	}
	c.Close()
	return true
}

// Entrust notes that the server of the connection closes it by itself when it ends.
func (c *Conn) Entrust() { c.entrusted.Store(true) }

// Entrusted reports whether Entrust was called.
func (c *Conn) Entrusted() bool { return c.entrusted.Load() }

// Among reports whether t is the table in which the connection has its place, or had its
// last one.
func (c *Conn) Among(t *Table) bool { return c.table.Load() == t }

// Move takes the connection from its table to another, where it belongs to an owner, and
// reports whether it got a place there. If not, it has none, and is to be closed.
func (c *Conn) Move(to *Table, owner string) bool {
	c.table.Load().leave(c)
	return to.enter(c, owner)
}
