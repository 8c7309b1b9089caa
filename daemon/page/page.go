// Package page serves the inspector's page to browsers of this machine, over a listener of its
// own on the loopback address that is there while somebody looks.
//
// What lives here: the listener and its life, who may see the page, and the page itself. What may
// not: what the inspector keeps, shows and masks, which it is handed as a handler that only
// reads; any operation that acts. It imports the domain only; cmd puts it beside the local API,
// one of whose operations opens it.
//
// The page can only be read. A token of the run comes in the fragment of its address, which no
// server and no log gets to see, and is good for one exchange: for a cookie that scripts don't
// get, and a key that the page keeps in the storage of its origin. Cookies belong to all ports of
// a host, so that another server of this machine is sent it by the browser; the key is what such
// a one does not have. A request of the page has both.
package page

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

// Times and limits of the page.
const (
	// IdleEnd is how long it is served after the last request of somebody who may see it.
	IdleEnd = 10 * time.Minute
	// tokenLife is how long an address that was handed out can be opened.
	tokenLife = 5 * time.Minute
	// maxTokens and maxSessions are how many addresses and open pages there are at once. The
	// oldest make way: nobody looks at as many.
	maxTokens   = 16
	maxSessions = 32
	// maxConns is how many connections are served. Each browser makes six.
	maxConns = 48
	// maxHead bounds the head of a request, to which net/http adds 4 KiB.
	maxHead = 16 << 10
	// headTime, answerTime and quietTime bound a request, an answer and the pause between two.
	// All happens on this machine.
	headTime   = 5 * time.Second
	answerTime = time.Minute
	quietTime  = time.Minute
	// endTime is what answers get when the page ends.
	endTime = time.Second
	// lookEvery is how often it is looked whether somebody still looks.
	lookEvery = time.Second
)

// Config is what a Page is made of.
type Config struct {
	// Reads answers the operations of the inspector that only read, for requests that are
	// judged. It masks what is secret.
	Reads http.Handler
	// Hold says that somebody looks, until release is called.
	Hold func() (release func())
	// Log gets what went wrong here; it may be nil.
	Log *slog.Logger
	// Now is the clock of all that ends by itself.
	Now func() time.Time
}

// Page is the inspector's page.
type Page struct {
	cfg Config
	// look is lookEvery; tests have no such patience.
	look   time.Duration
	opened chan *run

	mu      sync.Mutex
	current *run // nil if it is not served
	ended   bool
}

// New makes the page. Nothing listens before Open.
func New(cfg Config) *Page {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Page{cfg: cfg, look: lookEvery, opened: make(chan *run, 1)}
}

// Open has the page served, if it is not yet, and gives an address of it that can be opened once.
func (p *Page) Open() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return "", mezu.Errorf(mezu.CodeUnavailable, "the daemon is ending")
	}
	if p.current == nil {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", fmt.Errorf("listening for the page: %w", err)
		}
		p.current = newRun(p, l)
		p.opened <- p.current // there is room: the one before is gone
	}
	p.current.last = p.cfg.Now()
	return "http://" + p.current.address + "/#" + p.current.newToken(), nil
}

// Run serves the page whenever it is opened, until ctx ends.
func (p *Page) Run(ctx context.Context) error {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		if p.current != nil {
			p.current.end()
			p.current = nil
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-p.opened:
			p.serve(ctx, r)
		}
	}
}

// serve serves a run of the page until nobody looks any more, or ctx ends.
func (p *Page) serve(ctx context.Context, r *run) {
	server := &http.Server{
		Handler: r, ReadHeaderTimeout: headTime, ReadTimeout: headTime, WriteTimeout: answerTime, IdleTimeout: quietTime, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(p.cfg.Log.Handler(), slog.LevelDebug), DisableGeneralOptionsHandler: true,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(r.listener) }()
	each := time.NewTicker(p.look)
	defer each.Stop()
	for p.isLookedAt(r) {
		select {
		case <-each.C:
			continue
		case err := <-ended:
			ended <- err
			p.cfg.Log.Error("serving the inspector's page", "error", err)
			p.drop(r)
		case <-ctx.Done():
			p.drop(r)
		}
	}
	closing, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	// What has not answered by then is cut.
	_ = server.Shutdown(closing)
	server.Close()
	<-ended
	p.mu.Lock()
	r.closed = true
	p.mu.Unlock()
	r.requests.Wait()
	r.end()
}

// isLookedAt reports whether a run goes on, and ends one at which nobody looks.
func (p *Page) isLookedAt(r *run) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != r {
		return false
	}
	if p.cfg.Now().Sub(r.last) < IdleEnd {
		return true
	}
	p.current = nil
	return false
}

// drop ends a run: nobody is let in any more.
func (p *Page) drop(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == r {
		p.current = nil
	}
}

// run is the page from when somebody opens it until nobody looks.
type run struct {
	page     *Page
	listener net.Listener
	address  string // host:port
	port     string
	release  func()
	ending   sync.Once
	requests sync.WaitGroup

	// The page's lock holds these.
	closed   bool // no request begins any more
	last     time.Time
	tokens   []token
	sessions []session
}

func newRun(p *Page, l net.Listener) *run {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	r := &run{page: p, address: "127.0.0.1:" + port, port: port, release: p.cfg.Hold()}
	r.listener = &bounded{Listener: l, places: make(chan struct{}, maxConns), closed: make(chan struct{})}
	return r
}

// enter counts a request that begins, and reports whether it may.
func (r *run) enter() bool {
	r.page.mu.Lock()
	defer r.page.mu.Unlock()
	if !r.closed {
		r.requests.Add(1)
	}
	return !r.closed
}

// end gives back what it holds. It may be called twice.
func (r *run) end() {
	r.ending.Do(func() {
		r.listener.Close()
		r.release()
	})
}

// bounded is a listener that gives out so many connections at once. The others wait.
type bounded struct {
	net.Listener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a place, and for a connection.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

// Close ends it, and whoever waits for a place.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	err := b.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	leave func()
}

// Close closes it and gives its place back.
func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func secret() string { return rand.Text() }
