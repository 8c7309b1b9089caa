package folder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

// Limits of a connection to the server. Only the Warpgate of the same process makes any.
const (
	headTimeout = 10 * time.Second
	// idleTimeout is longer than the Warpgate keeps a connection, so that it is the one to
	// close it.
	idleTimeout = 2 * time.Minute
	// maxHead is more than an edge lets through.
	maxHead = 64 << 10
)

// maxSocketPath is the room in sockaddr_un on macOS, the least of all, less the final NUL.
const maxSocketPath = 103

// socketName is the socket's in its folder.
const socketName = "folder.sock"

// Server is a folder as a Warpgate reaches it.
type Server struct {
	folder   *Folder
	listener net.Listener
	upstream mezu.Upstream
	remove   string // a folder of its own
	conns    sync.WaitGroup
	close    func() error
}

// Listen opens a folder and a private way to it: a unix socket in a folder of its own, which
// only this user can reach. A Windows without such sockets has a port on a loopback address
// instead.
func Listen(cfg Config) (*Server, error) {
	f, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{folder: f}
	s.close = sync.OnceValue(s.giveBack)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// listen takes an address.
func (s *Server) listen() error {
	var err error
	if s.remove, err = os.MkdirTemp(temporary(), "mezu-"); err != nil {
		return fmt.Errorf("making a folder for a socket: %w", err)
	}
	socket := filepath.Join(s.remove, socketName)
	if s.listener, err = net.Listen("unix", socket); err == nil {
		s.upstream = mezu.Upstream{Scheme: mezu.UpstreamUnix, Address: socket}
		return os.Chmod(socket, 0o600)
	}
	if runtime.GOOS != "windows" { // a port would be everybody's on this machine
		return err
	}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	s.upstream = mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: s.listener.Addr().String()}
	return nil
}

// temporary is where folders of sockets are made: where the system has such things, unless its
// path is too long for a socket.
func temporary() string {
	const room = len("/mezu-4294967295/" + socketName)
	if dir := os.TempDir(); len(dir)+room <= maxSocketPath || runtime.GOOS == "windows" {
		return dir
	}
	return "/tmp"
}

// Upstream is where the folder answers.
func (s *Server) Upstream() mezu.Upstream { return s.upstream }

// Run serves until ctx ends. It cuts what is under way then, and returns when all of it has
// ended; the server is closed.
func (s *Server) Run(ctx context.Context) error {
	web := &http.Server{Handler: s.folder, ConnState: s.count, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	defer context.AfterFunc(ctx, func() { web.Close() })()
	err := web.Serve(s.listener)
	web.Close()
	s.conns.Wait()
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, s.Close())
}

// count counts connections, so that Run knows when all have ended.
func (s *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed:
		s.conns.Done()
	}
}

// Close gives everything back, if Run does not. It may be called twice.
func (s *Server) Close() error { return s.close() }

func (s *Server) giveBack() error {
	var err error
	if s.listener != nil {
		if err = s.listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil
		}
	}
	if s.remove != "" {
		err = errors.Join(err, os.RemoveAll(s.remove))
	}
	return errors.Join(err, s.folder.Close())
}
