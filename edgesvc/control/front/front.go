// Package front is the control plane's side towards its callers: the listeners of the API
// and of health and metrics, the API's certificate, and which handler gets which path.
//
// What lives here: connections and how they are served. What may not: an operation
// (package service) or a body (package rest). Only control imports it.
package front

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/ca"
)

// DefaultAPIAddr is where the API listens when nothing else is said.
const DefaultAPIAddr = "127.0.0.1:7443"

// Limits of the listeners.
const (
	// DefaultConnections of the API are for systems without a limit on descriptors: a
	// stream of each edge, and calls of some thousand persons and Warpgates.
	DefaultConnections = 16_384
	// maxHeader bounds a request's head: a token, a few conditions and what
	// proxies add.
	maxHeader = 32 << 10
	// headerTime bounds how long a head may take to come.
	headerTime = 10 * time.Second
	// idleTime is how long an idle connection is kept.
	idleTime = 2 * time.Minute
)

// Config is where and how callers are served.
type Config struct {
	// APIAddr is the host:port of the API; port 0 takes a free one. AdminAddr is that of
	// health and metrics; if empty, there is no such listener.
	APIAddr, AdminAddr string
	// TLSCert and TLSKey are the files of the API's certificate; if empty, the
	// internal CA issues one for APIHosts and this machine's own names.
	TLSCert, TLSKey string
	// APIHosts are names and addresses by which clients know the API.
	APIHosts []string
	// Connections is how many the API may have open at once; if zero,
	// DefaultConnections.
	Connections int
	// LinesLost is how many lines of the log were dropped.
	LinesLost func() uint64
	Now       func() time.Time
	Log       *slog.Logger
}

// Front is both listeners. New assembles it, Bind takes the addresses, Open makes what
// needs the authority, Serve serves.
type Front struct {
	cfg         Config
	places      *admission.Table // of the API's connections
	api, admin  net.Listener
	certificate *serverCertificate
	metrics     *metrics
	servers     []*http.Server
	serving     sync.WaitGroup
}

// New opens nothing.
func New(cfg Config) *Front {
	places := admission.New(admission.Config{Name: "API", Places: cmp.Or(cfg.Connections, DefaultConnections), Log: cfg.Log})
	return &Front{cfg: cfg, places: places}
}

// Bind takes the addresses.
func (f *Front) Bind() (err error) {
	if f.api, err = net.Listen("tcp", f.cfg.APIAddr); err != nil {
		return mezu.CannotListen("api-addr", f.cfg.APIAddr, err)
	}
	if f.cfg.AdminAddr != "" {
		if f.admin, err = net.Listen("tcp", f.cfg.AdminAddr); err != nil {
			return mezu.CannotListen("admin-addr", f.cfg.AdminAddr, err)
		}
	}
	return nil
}

// Open gets the API's certificate and begins to count calls. more is shown with the metrics.
func (f *Front) Open(authority *ca.Authority, more ...prometheus.Collector) (err error) {
	if f.certificate, err = newServerCertificate(f.cfg, authority); err != nil {
		return err
	}
	f.metrics = newMetrics(authority, f.places, f.cfg.LinesLost)
	f.metrics.registry.MustRegister(more...)
	return nil
}

// RenewCertificate renews the API's certificate if it is old.
func (f *Front) RenewCertificate() error { return f.certificate.renew(f.cfg.Now()) }

// OwnCertificate reports whether the API's certificate is of the internal CA.
func (f *Front) OwnCertificate() bool { return f.cfg.TLSCert == "" }

// CertificateEnd is when the API's certificate ends that somebody else renews; zero for one of the
// internal CA.
func (f *Front) CertificateEnd() time.Time {
	if f.OwnCertificate() {
		return time.Time{}
	}
	return f.certificate.current.Load().Leaf.NotAfter
}

// Addr is the API's host:port, once Bind has returned.
func (f *Front) Addr() string { return f.api.Addr().String() }

// AdminAddr is the admin listener's host:port, empty if there is none.
func (f *Front) AdminAddr() string {
	if f.admin == nil {
		return ""
	}
	return f.admin.Addr().String()
}

// Site is where callers reach the API, as far as this process knows.
func (f *Front) Site() string {
	if len(f.cfg.APIHosts) == 0 {
		return "https://" + mezu.Dialable(f.Addr(), "localhost")
	}
	host := f.cfg.APIHosts[0]
	if _, port, err := net.SplitHostPort(f.Addr()); err == nil && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	return "https://" + host
}

// Serve serves until Shutdown. A listener that fails says so on the channel. ready is the
// check behind /readyz.
func (f *Front) Serve(api http.Handler, ready func(context.Context) error) <-chan error {
	f.servers = []*http.Server{f.apiServer(api)}
	listeners := []net.Listener{tls.NewListener(pacedListener{admission.Listener{Listener: f.api, Table: f.places}}, f.tlsConfig())}
	if f.admin != nil {
		few := admission.New(admission.Config{Name: "admin", Places: admission.AdminPlaces, Log: f.cfg.Log})
		f.servers = append(f.servers, f.adminServer(ready))
		listeners = append(listeners, admission.Listener{Listener: f.admin, Table: few})
	}
	failed := make(chan error, len(f.servers))
	for i, server := range f.servers {
		f.serving.Go(func() { serve(server, listeners[i], failed) })
	}
	return failed
}

func serve(server *http.Server, listener net.Listener, failed chan<- error) {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		failed <- fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
}

func (f *Front) apiServer(handler http.Handler) *http.Server {
	return admission.Serve(&http.Server{
		Handler: handler, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(f.cfg.Log.Handler(), slog.LevelDebug), ConnContext: withConn,
	})
}

// Shutdown lets calls in progress end until ctx does, and cuts them then. Streams have to
// be ended before.
func (f *Front) Shutdown(ctx context.Context) (err error) {
	for _, server := range f.servers {
		if server.Shutdown(ctx) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	f.serving.Wait()
	return err
}

// Close gives the addresses back.
func (f *Front) Close() (err error) {
	for _, l := range []net.Listener{f.api, f.admin} {
		if l == nil {
			continue
		}
		if closeErr := l.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
	}
	return err
}
