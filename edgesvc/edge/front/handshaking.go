package front

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/mezusphere/mezu/admission"
)

// handshaking is a connection during its handshake. From its first message on it computes
// only in turn, and waits for its peer without holding one.
type handshaking struct {
	*admission.Conn
	turns *turns
	by    time.Time // when the handshake must have ended
	cut   <-chan struct{}

	begun bool // its first message has come
	went  bool // it has had a turn
	holds bool // a turn
	ended bool

	// What certificate is to give, found before the first turn: it may have to be waited for.
	cert  *tls.Certificate
	known bool
	err   error
}

// NetConn is the connection below.
func (h *handshaking) NetConn() net.Conn { return h.Conn }

// Read waits for the peer without a turn, and goes on in turn.
func (h *handshaking) Read(p []byte) (int, error) {
	if h.ended || !h.begun {
		return h.Conn.Read(p)
	}
	h.give()
	n, err := h.Conn.Read(p)
	if err != nil {
		return n, err
	}
	return n, h.take()
}

// Write ends a turn: what is computed behind what was written is little.
func (h *handshaking) Write(p []byte) (int, error) {
	h.give()
	return h.Conn.Write(p)
}

// begin takes the first turn.
func (h *handshaking) begin() error {
	h.begun = true
	return h.take()
}

// end ends the handshake: from here on it is a connection like any other.
func (h *handshaking) end() {
	h.give()
	h.ended = true
	h.cert, h.err = nil, nil
}

func (h *handshaking) take() error {
	if h.holds {
		return nil
	}
	err := h.turns.take(h.Prefix(), h.went, h.by, h.cut)
	h.holds = err == nil
	h.went = h.went || h.holds
	return err
}

func (h *handshaking) give() {
	if h.holds {
		h.holds = false
		h.turns.give()
	}
}
