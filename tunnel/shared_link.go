package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/mezusphere/mezu/tunnel/mux"
)

// Carrier is a data connection that LinkConfig.Serve is given, if the edge may have the rest
// of a shared exchange's response go over it.
type Carrier interface {
	// Carry has the response of the shared exchange with this number go on here. done is
	// called when the edge sends something else on the connection. It is nil if no exchange
	// waits for that.
	Carry(number uint32) (done func())
}

// ownConn is a data connection at the Warpgate that carries one exchange at a time.
type ownConn struct {
	*tls.Conn
	r *registration
}

// Carry implements Carrier.
func (c *ownConn) Carry(number uint32) (done func()) {
	c.r.mu.Lock()
	shared := c.r.shared
	c.r.mu.Unlock()
	if shared == nil {
		return nil
	}
	return shared.Attach(number, restConn{c.Conn})
}

// share begins to dial the shared connection that the edge asks for, if there is none.
func (r *registration) share() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sharing || r.ended || r.leaving || r.retired || r.link.cfg.Room.take(1) == 0 {
		return // the edge asks again
	}
	r.sharing = true
	r.tasks.Go(r.serveShared)
}

// serveShared dials the shared connection and serves it to its end.
func (r *registration) serveShared() {
	defer r.link.cfg.Room.give(1)
	err := r.runShared()
	r.mu.Lock()
	r.sharing, r.shared = false, nil
	r.mu.Unlock()
	if err != nil && r.ctx.Err() == nil {
		r.link.log.Info("shared connection ended", "edge", r.link.cfg.Edge.ID, "error", err)
	}
}

// runShared is serveShared without its care for who is told.
func (r *registration) runShared() error {
	conn, err := r.dial(appendShared(nil, r.token))
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	defer abort(conn)
	room := r.link.cfg.Room
	shared, err := mux.New(mux.Config{
		Conn: conn, Stall: r.dead, Context: r.ctx, Streams: r.limit,
		Serve: func(ctx context.Context, s *mux.Stream) { r.link.cfg.Serve(ctx, s) },
		Admit: room.admit, Leave: room.leave,
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return context.Cause(r.ctx)
	}
	r.shared = shared
	r.mu.Unlock()
	err = shared.Run()
	shared.Wait()
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil // the edge needs it no more
	}
	return err
}
