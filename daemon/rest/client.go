package rest

import (
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/mezusphere/mezu/local"
)

// maxTurnedAway is how many connections beyond local.MaxClients are told so at once. Further
// ones are closed without a word.
const maxTurnedAway = 16

// clients counts the connections.
type clients struct {
	hold func() (release func())

	mu                  sync.Mutex
	admitted, turnedOff int
}

// listener gives each connection its part of the limit.
type listener struct {
	net.Listener
	clients *clients
}

// Accept waits for a connection that is served, or at least answered.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if one := l.clients.admit(c); one != nil {
			return one, nil
		}
		c.Close()
	}
}

// client is one connection.
type client struct {
	net.Conn
	// admitted: it is one of local.MaxClients. If not, it is told that there are too many.
	admitted bool
	once     sync.Once
	leave    func()
}

// Close closes the connection and makes room for another.
func (c *client) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}

func (cs *clients) admit(conn net.Conn) *client {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	count := &cs.admitted
	one := &client{Conn: conn, admitted: cs.admitted < local.MaxClients}
	release := func() {}
	switch {
	case one.admitted:
		release = cs.hold()
	case cs.turnedOff < maxTurnedAway:
		count = &cs.turnedOff
	default:
		return nil
	}
	*count++
	one.leave = func() {
		cs.mu.Lock()
		*count--
		cs.mu.Unlock()
		release()
	}
	return one
}

func (cs *clients) count() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.admitted
}

type clientKey struct{}

func withClient(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// isAdmitted reports whether a request came over a connection that is served.
func isAdmitted(r *http.Request) bool {
	c, ok := r.Context().Value(clientKey{}).(*client)
	return ok && c.admitted
}
