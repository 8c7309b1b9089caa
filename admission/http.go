package admission

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Listener gives each connection that it accepts a place, and closes those that get
// none.
type Listener struct {
	net.Listener
	Table *Table
}

// Accept implements net.Listener. The connection is a *Conn.
func (l Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.Table.Admit(raw); c != nil {
			return c, nil
		}
		raw.Close()
	}
}

// Track is the ConnState of a server whose connections have places, or part of it. It
// notes when they rest, and of HTTP/2 also when requests begin: net/http calls such a
// connection active once before, when it begins.
func Track(conn net.Conn, state http.ConnState) {
	c := Of(conn)
	switch {
	case c == nil:
	case state == http.StateIdle:
		c.Rest(time.Now())
	case state == http.StateActive && overHTTP2(conn):
		if c.turns++; c.turns > 1 {
			c.Begin()
		}
	}
}

func overHTTP2(conn net.Conn) bool {
	t, ok := conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// Serve makes a server note which of its connections wait. Over HTTP/1.1 a connection counts
// as waiting until the head of a request has come in full. net/http calls it active from the
// first byte: a slow head would hold a place. The server's listener is a Listener, or wraps
// one.
func Serve(s *http.Server) *http.Server {
	s.ConnState = Track
	handler, inner := s.Handler, s.ConnContext
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if inner != nil {
			ctx = inner(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, Of(c))
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(connKey{}).(*Conn); c != nil && r.ProtoMajor == 1 && !c.Begin() {
			return // the place went to another, and the connection with it
		}
		handler.ServeHTTP(w, r)
	})
	return s
}
