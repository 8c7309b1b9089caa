package folder

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
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

// Server is a folder as a Warpgate reaches it.
type Server struct {
	folder   *Folder
	listener net.Listener
	upstream mezu.Upstream
	remove   string // a folder of its own
	conns    sync.WaitGroup
	close    func() error
}

// Listen opens a folder and a private way to it: a unix socket that only this user can reach,
// in dir, which is theirs alone, or in a folder of its own if dir is empty or its path too
// long. Where there are no such sockets it is a port on a loopback address.
func Listen(cfg Config, dir string) (*Server, error) {
	f, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{folder: f}
	s.close = sync.OnceValue(s.giveBack)
	if err := s.listen(dir); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// listen takes an address.
func (s *Server) listen(dir string) error {
	socket := filepath.Join(dir, "folder.sock")
	if dir == "" || len(socket) > maxSocketPath {
		made, err := os.MkdirTemp(os.TempDir(), "mezu-")
		if err != nil {
			return err
		}
		s.remove, socket = made, filepath.Join(made, "folder.sock")
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) { // of a process that was killed
		return err
	}
	l, err := net.Listen("unix", socket)
	if err == nil {
		if err = os.Chmod(socket, 0o600); err != nil {
			return errors.Join(err, l.Close())
		}
		s.listener, s.upstream = l, mezu.Upstream{Scheme: mezu.UpstreamUnix, Address: socket}
		return nil
	}
	if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	s.listener, s.upstream = l, mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: l.Addr().String()}
	return nil
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
