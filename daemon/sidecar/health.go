package sidecar

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/mezusphere/mezu/admission"
)

// Limits of the health listener: probes and scrapers send next to nothing.
const (
	healthTimeout   = 10 * time.Second
	maxHealthHeader = 16 << 10
)

// serveHealth serves /livez, /readyz and /metrics until ctx ends.
func (p *Process) serveHealth(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", p.readyz)
	mux.HandleFunc("GET /metrics", p.metrics)
	srv := admission.Serve(&http.Server{Handler: mux, ReadTimeout: healthTimeout, WriteTimeout: healthTimeout, MaxHeaderBytes: maxHealthHeader,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)})
	few := admission.New(admission.Config{Name: "health", Places: admission.AdminPlaces, Log: p.log})
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(admission.Listener{Listener: p.health, Table: few}); !errors.Is(err, http.ErrServerClosed) {
		p.log.Error("serving health", "error", err)
	}
}

// readyz answers 200 when every Warpgate is ready, else 503 with what is missing.
// Where there are several, each that is not ready has a line.
func (p *Process) readyz(w http.ResponseWriter, _ *http.Request) {
	var missing []string
	for _, m := range p.members {
		ready, why := m.gate.Ready()
		switch {
		case ready:
		case len(p.members) == 1:
			missing = append(missing, why)
		case m.ended.Load():
			missing = append(missing, m.name()+": ended")
		default:
			missing = append(missing, m.name()+": "+why)
		}
	}
	if missing != nil {
		http.Error(w, strings.Join(missing, "\n"), http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}
