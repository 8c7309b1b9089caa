package warpgate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
)

// Limits of the health listener: probes and scrapers send next to nothing.
const (
	healthTimeout   = 10 * time.Second
	maxHealthHeader = 16 << 10
)

// counters are what /metrics counts.
type counters struct {
	registrations, renewals, rejected, connects, panics atomic.Uint64

	failures map[mezu.Cause]*atomic.Uint64 // one of each cause, made once
}

func newCounters() *counters {
	c := &counters{failures: map[mezu.Cause]*atomic.Uint64{}}
	for _, cause := range mezu.Causes() {
		c.failures[cause] = new(atomic.Uint64)
	}
	return c
}

// failed counts a request that did not end whole.
func (c *counters) failed(cause mezu.Cause) { c.failures[cause].Add(1) }

// failureSeries writes one line a cause.
func (c *counters) failureSeries(w io.Writer) {
	const name = "mezu_warpgate_request_failures_total"
	fmt.Fprintf(w, "# HELP %s Requests that did not end whole, by cause.\n# TYPE %s counter\n", name, name)
	for _, cause := range mezu.Causes() {
		fmt.Fprintf(w, "%s{cause=%q} %d\n", name, cause, c.failures[cause].Load())
	}
}

// serveHealth serves /livez, /readyz and /metrics until ctx ends.
func (g *Warpgate) serveHealth(ctx context.Context) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", g.readyz)
	mux.HandleFunc("GET /metrics", g.metrics)
	srv := admission.Serve(&http.Server{Handler: mux, ReadTimeout: healthTimeout, WriteTimeout: healthTimeout, MaxHeaderBytes: maxHealthHeader,
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug)})
	few := admission.New(admission.Config{Name: "health", Places: admission.AdminPlaces, Log: g.log})
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(admission.Listener{Listener: g.health, Table: few}); !errors.Is(err, http.ErrServerClosed) {
		g.log.Error("serving health", "error", err)
	}
}

// Ready reports whether requests can arrive: a tunnel is registered, a bundle is
// in force, and no drain has begun. If not, why says what is missing.
func (g *Warpgate) Ready() (ready bool, why string) {
	s := g.session.Load()
	switch {
	case s == nil:
		return false, "not registered with the control plane"
	case s.isClosed():
		return false, "draining"
	case g.state.Table() == nil:
		return false, "no configuration received"
	case s.registered() == 0:
		return false, "no edge holds a tunnel"
	}
	return true, ""
}

// readyz answers 200 when Ready, else 503 with what is missing.
func (g *Warpgate) readyz(w http.ResponseWriter, _ *http.Request) {
	if ready, why := g.Ready(); !ready {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}

// metrics writes the Prometheus text format (0.0.4). It is written by hand,
// because the client library would be a third of the program.
func (g *Warpgate) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	ready, _ := g.Ready()
	applied := g.state.Applied()
	_, notAfter := g.state.Lifetime()
	gauge := func(name, help string, v any) { series(w, name, "gauge", help, "", v) }
	count := func(name, help string, v *atomic.Uint64) { series(w, name, "counter", help, "", v.Load()) }
	series(w, "mezu_warpgate_info", "gauge", "Which Warpgate this is.", fmt.Sprintf("{id=%q,version=%q}", g.state.Identity().ID, g.cfg.Version), 1)
	gauge("mezu_warpgate_ready", "Whether requests can arrive.", number(ready))
	gauge("mezu_warpgate_bundle_epoch", "Epoch of the configuration in force.", applied.Epoch)
	gauge("mezu_warpgate_bundle_revision", "Revision of the configuration in force.", applied.Revision)
	if limit := g.room.Limit(); limit > 0 {
		gauge("mezu_warpgate_data_connections_max", "How many requests there may be at once, from all edges together.", limit)
		gauge("mezu_warpgate_data_connections", "Data connections that are open or on their way.", g.room.Taken())
	}
	if !notAfter.IsZero() {
		gauge("mezu_warpgate_certificate_not_after_seconds", "When the certificate ends, in Unix time.", notAfter.Unix())
	}
	count("mezu_warpgate_registrations_total", "Registrations tried.", &g.counters.registrations)
	count("mezu_warpgate_renewals_total", "Renewals tried.", &g.counters.renewals)
	count("mezu_warpgate_statements_refused_total", "Signed statements that were refused.", &g.counters.rejected)
	count("mezu_warpgate_tunnel_connects_total", "Tunnels registered at an edge.", &g.counters.connects)
	count("mezu_warpgate_panics_total", "Requests that ended in a panic.", &g.counters.panics)
	g.counters.failureSeries(w)
	if g.cfg.LinesLost != nil {
		series(w, "mezu_warpgate_lines_dropped_total", "counter", "Lines of the log and events that were dropped because nobody read them.", "", g.cfg.LinesLost())
	}
	gauge("go_goroutines", "Number of goroutines that currently exist.", runtime.NumGoroutine())
	if s := g.session.Load(); s != nil {
		s.tunnelSeries(w)
	}
}

// tunnelSeries writes one line an edge.
func (s *session) tunnelSeries(w io.Writer) {
	const name = "mezu_warpgate_tunnel_up"
	fmt.Fprintf(w, "# HELP %s Whether the edge holds a tunnel.\n# TYPE %s gauge\n", name, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, l := range s.links {
		fmt.Fprintf(w, "%s{edge=%q} %d\n", name, id, number(l.registered))
	}
}

// series writes one metric with one value.
func series(w io.Writer, name, kind, help, labels string, v any) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s%s %v\n", name, help, name, kind, name, labels, v)
}

// number is 1 for true.
func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
