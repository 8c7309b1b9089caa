// Package rest serves the local API of package local over HTTP, for whoever runs tunnels: the
// local daemon, and "mezu dev".
//
// What lives here: requests, answers, streams and their limits. What may not: what an operation
// does, which is its Host's business, and how the socket is made. It imports local, the events
// and the strict decoder; cmd puts it together with a Host.
package rest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
)

// Host runs tunnels. Its methods are safe for concurrent use. A *mezu.Error is told to the
// caller as it is; any other is logged, and told as an internal one. Specifications, targets and
// drain times are valid when they come here.
type Host interface {
	// Status is what the host says of itself. The server fills in Version and Clients.
	Status() local.Status
	// List gives all tunnels, by name.
	List() []mezu.Tunnel
	Get(id string) (mezu.Tunnel, error)
	Open(ctx context.Context, spec mezu.TunnelSpec) (local.Opened, error)
	Patch(ctx context.Context, id string, p local.TunnelPatch) (mezu.Tunnel, error)
	Delete(ctx context.Context, id string) error
	Enrol(ctx context.Context, id, token string) (mezu.Tunnel, error)
	Start(ctx context.Context, id string) (mezu.Tunnel, error)
	Stop(ctx context.Context, id string, drain time.Duration) (mezu.Tunnel, error)
	Probe(ctx context.Context, id string) (local.Probe, error)
	// Attach holds a tunnel open until detach is called.
	Attach(id string) (detach func(), err error)
	// Shutdown begins to end the host, and returns.
	Shutdown(s local.Shutdown) error
	// Hold says that a client is connected, until release is called.
	Hold() (release func())
}

// Config is what a Server is made of.
type Config struct {
	Host Host
	// Events are those of the host's tunnels.
	Events *event.Hub
	// Show shows what the inspector keeps; nil if there is none.
	Show *show.Show
	// Replayer sends recorded requests again, and Page serves the inspector's page and gives
	// its address; both may be nil.
	Replayer Replayer
	Page     func() (string, error)
	// Version is that of the program.
	Version string
	// LogTail is the end of the log, at most that many bytes; nil if there is no log.
	LogTail func(most int) ([]byte, error)
	// Log gets what went wrong here; it may be nil.
	Log *slog.Logger
	// Now stamps the events that the server makes itself.
	Now func() time.Time
}

// Deadlines and limits of requests.
const (
	// headerTimeout and bodyTimeout bound the time in which a request has to be there. It
	// comes from this machine.
	headerTimeout = 5 * time.Second
	bodyTimeout   = 5 * time.Second
	// answerTimeout bounds the time in which an answer that is no stream has to be read.
	answerTimeout = 10 * time.Second
	// idleTimeout closes a connection without requests, which takes one of local.MaxClients.
	idleTimeout = time.Minute
	// endTimeout is what operations get to answer when the server ends, and lastWrite what a
	// stream gets for what it is writing then.
	endTimeout = 2 * time.Second
	lastWrite  = 100 * time.Millisecond
	// maxHeader bounds the head of a request, to which net/http adds 4 KiB.
	maxHeader = 16 << 10
)

// Server answers the requests of the local API.
type Server struct {
	cfg     Config
	handler http.Handler
	clients *clients
	// header and body are headerTimeout and bodyTimeout; tests have no such patience.
	header, body time.Duration
	// streams ends when streams have to.
	streams    context.Context
	endStreams context.CancelFunc

	mu      sync.Mutex
	ended   bool // no request begins any more
	running sync.WaitGroup
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, clients: &clients{hold: cfg.Host.Hold}, header: headerTimeout, body: bodyTimeout}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	s.handler = s.routes()
	return s
}

// Serve answers what comes to the listener until ctx ends, or the listener fails. Then it ends
// the streams, lets operations answer, and closes the listener. It is called once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.header,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withClient,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		// "OPTIONS *" is judged like every other request.
		DisableGeneralOptionsHandler: true,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(&listener{Listener: l, clients: s.clients}) }()
	var err error
	select {
	case err = <-failed:
		failed <- nil
	case <-ctx.Done():
	}
	s.endStreams()
	ended, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	// What has not answered by then is cut.
	_ = server.Shutdown(ended)
	server.Close()
	<-failed
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// begin counts a request that begins, and reports whether it may.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.running.Add(1)
	}
	return !s.ended
}
