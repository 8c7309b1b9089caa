package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/ca"
)

// readyTime bounds the check behind /readyz. Who asks waits less long than for a call.
const readyTime = 2 * time.Second

// metrics are the control plane's, in a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	took     *prometheus.HistogramVec
	logins   *prometheus.CounterVec
}

func newMetrics(authority *ca.Authority, places *admission.Table, linesLost func() uint64) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mezusphere_api_calls_total", Help: "Calls of the API by operation and status.",
		}, []string{"operation", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mezusphere_api_call_seconds", Help: "How long calls of the API took; streams by their whole life.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"operation"}),
	}
	m.logins = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mezusphere_logins_total", Help: "Logins, sign-ups, resets, logouts and refreshes of sessions, by how they ended.",
	}, []string{"what", "outcome"})
	m.registry.MustRegister(m.calls, m.took, m.logins,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "mezusphere_signing_end_timestamp_seconds", Help: "When the first of the keys that sign now ends; rotate before.",
		}, func() float64 { return float64(authority.NotAfter().Unix()) }))
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "mezusphere_log_lines_dropped_total", Help: "Lines of the log that were dropped because nobody read them.",
	}, func() float64 { return float64(linesLost()) }))
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mezusphere_api_" + name, Help: help}, read))
	}
	counter := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezusphere_api_" + name, Help: help}, read))
	}
	gauge("places", "How many connections the API may have.", func() float64 { return float64(places.Places()) })
	gauge("places_taken", "How many connections the API has.", func() float64 { return float64(places.Len()) })
	counter("connections_refused_total", "Connections closed because there was no place for them.", func() float64 { return float64(places.Counts().Refused) })
	counter("connections_evicted_total", "Waiting connections closed because others wanted their places.", func() float64 { return float64(places.Counts().Evicted) })
	return m
}

func (m *metrics) observe(operation string, status int, took time.Duration) {
	m.calls.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(operation).Observe(took.Seconds())
}

// CountLogin counts a login, or what belongs to one, by how it ended. Open comes first.
func (f *Front) CountLogin(what, outcome string) {
	f.metrics.logins.WithLabelValues(what, outcome).Inc()
}

// hashesWaiting registers how many passwords wait to be hashed.
func (m *metrics) hashesWaiting(read func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mezusphere_hashes_waiting", Help: "Passwords that wait to be hashed.",
	}, func() float64 { return float64(read()) }))
}

// adminServer serves health and metrics.
func (f *Front) adminServer(ready func(context.Context) error) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { f.ready(w, r, ready) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(f.metrics.registry, promhttp.HandlerOpts{}))
	return admission.Serve(&http.Server{
		Handler: mux, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: idleTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(f.cfg.Log.Handler(), slog.LevelDebug),
	})
}

// ready answers whether the control plane can serve, and why not: the listener is the
// operator's own.
func (f *Front) ready(w http.ResponseWriter, r *http.Request, check func(context.Context) error) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := check(ctx); err != nil {
		f.cfg.Log.Warn("not ready", "error", err)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the store does not answer within %v", readyTime)
		}
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Write([]byte("ok\n"))
}
