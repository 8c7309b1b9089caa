// Package tunnel carries exchanges between an edge and the Warpgates that dialled
// it: per Warpgate one control connection and a pool of data connections, all of
// them mutual TLS 1.3 and dialled by the Warpgate. spec.md beside this file is
// the protocol.
//
// The edge's end is a Hub of Sessions, the Warpgate's end is a Link per edge.
//
// Small exchanges share one more connection while others are under way (package mux).
//
// What lives here: connections, the frames of the control connection, the pool,
// who shares, heartbeats, fencing, waking up and drain. What may not: HTTP (a data connection is a pipe
// of bytes to this package), and decisions about trust, which are taken by the TLS
// configurations and identities handed in. It imports the domain, backoff, gather, preface and mux;
// edgesvc/edge and daemon import it.
package tunnel

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/mezusphere/mezu"
)

// Errors of both ends. They are wrapped with detail; use errors.Is.
var (
	// ErrOverloaded: the Warpgate has as many exchanges under way as it may
	// have, and no connection came free in time or too many wait already.
	ErrOverloaded = errors.New("all data connections of the Warpgate are busy")
	// ErrGone: the session ended or takes no more exchanges; another one may.
	ErrGone = errors.New("session of the Warpgate is gone")
	// ErrProtocol: the peer broke spec.md. Its connection is closed.
	ErrProtocol = errors.New("tunnel protocol error")
	// ErrFenced: a newer registration of the same Warpgate took the session's
	// place.
	ErrFenced = errors.New("fenced by a newer registration of the same Warpgate")
	// ErrSilent: nothing came from the peer for Limits.Dead.
	ErrSilent = errors.New("peer is silent")
	// ErrSlow: the peer does not take what is sent to it.
	ErrSlow = errors.New("peer does not read")
	// ErrCut: the session was ended by Hub.Cut.
	ErrCut = errors.New("cut by a revocation")
	// ErrDraining: the edge is shutting down and takes no new Warpgates.
	ErrDraining = errors.New("edge is draining")
	// ErrClosed: the Hub was closed.
	ErrClosed = errors.New("tunnel hub closed")
)

// Protocol is the highest version of spec.md that this build speaks, and also the
// lowest. The ALPN protocols carry the incompatible versions; this number the
// compatible ones.
const Protocol = 1

const (
	// MaxConns bounds what Limits.MaxConns may be configured to: one address
	// can hold about 28,000 connections to one edge.
	MaxConns = 16_384
	// DataIdle is the least time for which LinkConfig.Serve must wait for the
	// next exchange on a data connection. The edge closes every connection
	// that has been idle for WarmIdle, so that it is the edge that closes and
	// no exchange is sent into a connection that the Warpgate just gave up.
	DataIdle = 10 * time.Minute

	// maxConcurrentDials bounds the data connections that a Warpgate
	// establishes at once to one edge. Twice the handshakes, so that the next one
	// to shake hands is connected.
	maxConcurrentDials = 2 * maxConcurrentHandshakes
	// maxConcurrentHandshakes bounds those of them that shake hands. Each costs 0.7 ms
	// of CPU at either end, and whatever both do for others waits behind all that
	// are under way, several times an exchange. 16 are 320 a second on a link of 50 ms,
	// and all that a core does on one of 10 ms.
	maxConcurrentHandshakes = 16
	// connectTimeout bounds a Warpgate's dial, handshake and registration.
	connectTimeout = 15 * time.Second
	// dialTimeout bounds dial, handshake and HELLO of a data connection.
	dialTimeout = 10 * time.Second
	// farewell is how long a closing connection may take to get its last frame
	// out; past it the peer learns from the end of the connection alone.
	farewell = time.Second
	// stableAfter is how long a registration must last to count as a success
	// that resets the backoff; two processes with one identity fence one
	// another in turn and must not do it at full speed.
	stableAfter = time.Second
	// leastWaiters is how many exchanges may wait for a connection of a Warpgate that
	// has few: each is a request that is held, some 10 KiB.
	leastWaiters = 1024
	// maxVersion bounds the version text of a Warpgate.
	maxVersion = 64
)

// Limits of the edge's end. A zero field takes its default.
type Limits struct {
	// MaxConns caps the data connections of one Warpgate. If zero, MaxConns, as more
	// counts too: whoever starts the edge knows its memory and descriptors.
	MaxConns int
	// Share is the part of a Warpgate's data connections, in percent, that one client
	// address holds at most while others wait for one. While nobody else does it may
	// hold 90. If zero, DefaultShare; 100 is no bound.
	Share int
	// ShareFrom is from how many exchanges under way on small ones share a connection. If
	// zero, DefaultShareFrom; if negative, none do.
	ShareFrom int
	// LowWater and HighWater are the least and the most idle connections that
	// are kept warm; between them an eighth of the exchanges under way decides.
	// At rest, when no exchange has begun less than SurplusIdle after another,
	// the least is 1. If zero, 2 and 8.
	LowWater, HighWater int
	// MaxWaiters bounds the exchanges of one Warpgate that wait for a
	// connection. If zero, as many as may have one, so that all can come back at once;
	// 1,024 at least.
	MaxWaiters int
	// Wait bounds how long one waits. If zero, 10 s.
	Wait time.Duration
	// Heartbeat is the interval of heartbeats of both ends. If zero, 5 s.
	Heartbeat time.Duration
	// Dead is the silence after which a peer counts as dead. If zero, 12 s: two
	// lost heartbeats, and with the rest of the path less than 15 s.
	Dead time.Duration
	// Hello bounds the wait for the first frame of a connection. If zero, 10 s.
	Hello time.Duration
	// SurplusIdle is how long a data connection above the low water may idle,
	// and how far apart exchanges must begin to leave a Warpgate at rest. If
	// zero, 1 min.
	SurplusIdle time.Duration
	// WarmIdle is how long any data connection may idle before the edge
	// replaces it. If zero, 8 min, which is less than DataIdle.
	WarmIdle time.Duration
	// MaxSessions bounds the Warpgates of one edge. If zero, 20,000. More are
	// refused with RetryAfter.
	MaxSessions int
	// RetryAfter is when a Warpgate that was refused for MaxSessions or was
	// fenced may come back. If zero, 5 s.
	RetryAfter time.Duration
}

// orDefaults fills the zero fields.
func (l Limits) orDefaults() Limits {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&l.MaxConns, MaxConns)
	l.MaxConns = min(l.MaxConns, MaxConns)
	number(&l.Share, DefaultShare)
	if l.ShareFrom == 0 {
		l.ShareFrom = DefaultShareFrom
	}
	number(&l.LowWater, 2)
	number(&l.HighWater, 8)
	l.HighWater = max(l.HighWater, l.LowWater)
	number(&l.MaxWaiters, max(l.MaxConns, leastWaiters))
	number(&l.MaxSessions, 20_000)
	span(&l.Wait, 10*time.Second)
	span(&l.Heartbeat, 5*time.Second)
	span(&l.Dead, 12*time.Second)
	span(&l.Hello, 10*time.Second)
	span(&l.SurplusIdle, time.Minute)
	span(&l.WarmIdle, 8*time.Minute)
	span(&l.RetryAfter, 5*time.Second)
	return l
}

// RefusedError is an edge's REFUSED frame as the Warpgate sees it.
type RefusedError struct {
	Err *mezu.Error
	// RetryAfter is when the edge is willing to be asked again; zero leaves it
	// to the Warpgate.
	RetryAfter time.Duration
	// Permanent says that trying again is of no use.
	Permanent bool
}

// Error says what the edge said.
func (e *RefusedError) Error() string { return "refused by the edge: " + e.Err.Error() }

// Unwrap gives the domain's error to errors.As.
func (e *RefusedError) Unwrap() error { return e.Err }

// rawConn is the socket, below TLS and whatever else.
func rawConn(c net.Conn) net.Conn {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = outer.NetConn()
	}
}

// abort closes c without TLS's close_notify, which could block for seconds on a peer that
// reads nothing. The peer sees a connection that broke, as it should. It closes what TLS
// runs on, and not the socket itself, because that may count connections.
func abort(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	c.Close()
}

// serialOf is the serial number of the peer's certificate in lower-case
// hexadecimal, or empty where there is no TLS.
func serialOf(c net.Conn) string {
	t, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return ""
	}
	if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
		return certs[0].SerialNumber.Text(16)
	}
	return ""
}
