package forward_test

import (
	"bufio"
	"context"
	"net"
	"testing"

	"github.com/mezusphere/mezu/preface"
)

// carrier is a data connection that takes the rest of one response.
type carrier struct {
	net.Conn
	number uint32
	done   chan struct{}
}

func (c *carrier) Carry(number uint32) (done func()) {
	if number != c.number {
		return nil
	}
	return func() { close(c.done) }
}

// carrying is an edge whose data connection takes the rest of the response with this number.
func carrying(w *world, number uint32) (*edge, *carrier) {
	a, b := pair(w.t)
	c := &carrier{b, number, make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{t: w.t, conn: a, r: bufio.NewReader(a), cancel: cancel, done: make(chan struct{})}
	go e.serve(ctx, w.f, c)
	w.t.Cleanup(func() { cancel(); a.Close(); <-e.done })
	return e, c
}

// A data connection carries the rest of a response that was begun elsewhere, and other
// exchanges after it.
func TestRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tcpWorkload(t).addr())
	e, c := carrying(w, 7)
	e.goesOn()
	e.write(string(preface.AppendRest(nil, 7)))
	select {
	case <-c.done:
		t.Fatal("the rest has ended before the edge said something else")
	default:
	}
	e.goesOn()
	receive(t, c.done, "end of the rest")
}

// What names no response that waits ends the connection.
func TestRest_Hostile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, tcpWorkload(t).addr())
	for name, raw := range map[string]string{
		"unknown":  string(preface.AppendRest(nil, 8)),
		"short":    "\x06\x00\x00\x03abc",
		"long":     "\x06\x00\x00\x05abcde",
		"no bytes": "\x06\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := carrying(w, 7)
			e.write(raw)
			e.ends()
		})
	}
	e := w.connect(true) // one that carries no rests
	e.write(string(preface.AppendRest(nil, 7)))
	e.ends()
}
