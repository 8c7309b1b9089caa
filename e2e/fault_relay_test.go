package e2e

import (
	"io"
	"net"
	"sync"
	"testing"
)

// faultRelay passes TCP connections on to a target until it is told to stall: then
// it goes on accepting, forwards nothing, and closes nothing, as a path does
// whose packets are dropped. What waited comes through when it flows again, unless it
// was forgotten. While it refuses, connections are cut.
type faultRelay struct {
	t     *testing.T
	at    string
	tasks sync.WaitGroup
	over  chan struct{}

	mu       sync.Mutex
	listener net.Listener // nil while it refuses
	target   string
	flows    chan struct{} // closed while it flows
	path     int           // of new connections; those of earlier ones are forgotten
	open     map[net.Conn]bool
}

// newFaultRelay listens; target may be set later, before the first connection.
func newFaultRelay(t *testing.T, target string) *faultRelay {
	t.Helper()
	r := &faultRelay{t: t, at: freeAddr(t), target: target, over: make(chan struct{}), flows: make(chan struct{}), open: map[net.Conn]bool{}}
	close(r.flows)
	r.listen()
	t.Cleanup(r.close)
	return r
}

func (r *faultRelay) addr() string { return r.at }

// listen ends a refusal.
func (r *faultRelay) listen() {
	r.t.Helper()
	l, err := net.Listen("tcp", r.at)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	r.tasks.Go(func() { r.accept(l) })
}

// refuse resets all connections, and takes no new ones.
func (r *faultRelay) refuse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		r.listener.Close()
	}
	r.listener = nil
	for c := range r.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

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

// forget stalls for good what is connected now, as when a router has lost its tables: it
// hears nothing ever again. What connects from now on is not concerned.
func (r *faultRelay) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.path++
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
	close(r.over)
	r.refuse()
	r.tasks.Wait()
}

// await returns when a path flows, and reports false at the end of the test.
func (r *faultRelay) await(path int) bool {
	r.mu.Lock()
	flows := r.flows
	r.mu.Unlock()
	select {
	case <-flows:
	case <-r.over:
		return false
	}
	if r.now() != path {
		<-r.over
		return false
	}
	return true
}

// now is the path of new connections.
func (r *faultRelay) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.path
}

func (r *faultRelay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.tasks.Go(func() { r.pass(c) })
	}
}

// pass carries one connection.
func (r *faultRelay) pass(client net.Conn) {
	defer r.track(client)()
	path := r.now()
	if !r.await(path) {
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
	both.Go(func() { r.pump(server, client, path) })
	both.Go(func() { r.pump(client, server, path) })
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
func (r *faultRelay) pump(to, from net.Conn, path int) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !r.await(path) {
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
