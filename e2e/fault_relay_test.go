package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// faultRelay passes TCP connections on to a target until it is told to stall: then
// it goes on accepting, forwards nothing, and closes nothing, as a path does
// whose packets are dropped. What waited comes through when it flows again.
type faultRelay struct {
	listener net.Listener
	tasks    sync.WaitGroup
	over     chan struct{}

	mu     sync.Mutex
	target string
	flows  chan struct{} // closed while it flows
	open   map[net.Conn]bool
}

// newFaultRelay listens; target may be set later, before the first connection.
func newFaultRelay(t *testing.T, target string) *faultRelay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &faultRelay{listener: l, target: target, over: make(chan struct{}), flows: make(chan struct{}), open: map[net.Conn]bool{}}
	close(r.flows)
	r.tasks.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *faultRelay) addr() string { return r.listener.Addr().String() }

// to sets the target.
func (r *faultRelay) to(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// stall stops the flow.
func (r *faultRelay) stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flows = make(chan struct{})
}

// flow ends a stall.
func (r *faultRelay) flow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.flows:
	default:
		close(r.flows)
	}
}

func (r *faultRelay) close() {
	r.listener.Close()
	close(r.over)
	r.mu.Lock()
	for c := range r.open {
		c.Close()
	}
	r.mu.Unlock()
	r.tasks.Wait()
}

// await returns when it flows, and reports false at the end of the test.
func (r *faultRelay) await() bool {
	r.mu.Lock()
	flows := r.flows
	r.mu.Unlock()
	select {
	case <-flows:
		return true
	case <-r.over:
		return false
	}
}

func (r *faultRelay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.tasks.Go(func() { r.pass(c) })
	}
}

// pass carries one connection.
func (r *faultRelay) pass(client net.Conn) {
	defer r.track(client)()
	if !r.await() {
		return
	}
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer r.track(server)()
	var both sync.WaitGroup
	both.Go(func() { r.pump(server, client) })
	both.Go(func() { r.pump(client, server) })
	both.Wait()
}

// track closes c at the end of the test, or when the function it gives is called.
func (r *faultRelay) track(c net.Conn) func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, c)
		c.Close()
	}
}

// pump carries one direction and passes its end on, a reset as a reset.
func (r *faultRelay) pump(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !r.await() {
			return
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				from.Close()
				return
			}
		}
		switch {
		case err == io.EOF:
			to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			to.(*net.TCPConn).SetLinger(0)
			to.Close()
			return
		}
	}
}
