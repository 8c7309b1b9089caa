package edge

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/edgesvc/edge/web"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics has the edge's series in a registry of its own. Those that each request touches
// are looked up once, here.
type metrics struct {
	registry        *prometheus.Registry
	acceptErrors    prometheus.Counter
	handshakeErrors prometheus.Counter
	conns           map[web.Version]prometheus.Gauge
	classes         [6]prometheus.Counter // by status class
	refusals        *prometheus.CounterVec
	filtered        *prometheus.CounterVec
	aborted         prometheus.Counter
	failures        map[mezu.Cause]prometheus.Counter // one of each cause, made once
	seconds         prometheus.Histogram
	bytesIn         prometheus.Counter
	bytesOut        prometheus.Counter
	panics          prometheus.Counter
	wafSeconds      prometheus.Histogram
	wafMatches      map[bool]prometheus.Counter // by whether attacks are only detected
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "mezu_edge_" + name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	m.acceptErrors = counter("accept_errors_total", "Connections that could not be accepted.")
	m.handshakeErrors = counter("handshake_errors_total", "TLS handshakes that failed.")
	m.aborted = counter("requests_aborted_total", "Requests whose client left or whose response was cut short.")
	m.bytesIn = counter("request_body_bytes_total", "Bytes of request bodies sent to Warpgates.")
	m.bytesOut = counter("response_body_bytes_total", "Bytes of response bodies sent to clients.")
	m.panics = counter("panics_total", "Requests that ended in a panic.")
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezu_edge_requests_total", Help: "Answered requests by class of status."}, []string{"class"})
	for i, class := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		m.classes[i] = requests.WithLabelValues(class)
	}
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezu_edge_request_failures_total", Help: "Requests that did not end whole, by cause."}, []string{"cause"})
	m.failures = map[mezu.Cause]prometheus.Counter{}
	for _, cause := range mezu.Causes() {
		m.failures[cause] = failures.WithLabelValues(string(cause))
	}
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezu_edge_refusals_total", Help: "Answers that the edge made itself, by code."}, []string{"code"})
	m.filtered = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezu_edge_filter_refusals_total", Help: "Requests that a step of the edge's policy refused, by step and code."}, []string{"step", "code"})
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "mezu_edge_request_seconds", Help: "From the request's head to the response's end.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}})
	m.wafSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "mezu_edge_waf_seconds", Help: "How long the rules of the firewall took for a request.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}})
	matches := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mezu_edge_waf_matches_total", Help: "Requests that the firewall took for an attack or could not look at as a whole, by mode."}, []string{"mode"})
	m.wafMatches = map[bool]prometheus.Counter{false: matches.WithLabelValues("block"), true: matches.WithLabelValues("detect")}
	conns := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mezu_edge_connections", Help: "Open public connections by version of HTTP."}, []string{"http"})
	m.conns = map[web.Version]prometheus.Gauge{}
	for _, v := range []web.Version{web.HTTP1, web.HTTP2} {
		m.conns[v] = conns.WithLabelValues(string(v))
	}
	m.registry.MustRegister(requests, failures, m.refusals, m.filtered, m.seconds, conns,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// AcceptFailed counts a connection that could not be accepted.
func (m *metrics) AcceptFailed() { m.acceptErrors.Inc() }

// HandshakeFailed counts a TLS handshake that failed.
func (m *metrics) HandshakeFailed() { m.handshakeErrors.Inc() }

// Opened counts a public connection.
func (m *metrics) Opened(v web.Version) { m.conns[v].Inc() }

// Closed counts that one has ended.
func (m *metrics) Closed(v web.Version) { m.conns[v].Dec() }

// Panicked counts a request that ended in a panic.
func (m *metrics) Panicked() { m.panics.Inc() }

// inspected counts a request that the firewall has judged.
func (m *metrics) inspected(i *waf.Inspection) {
	if i.Took > 0 {
		m.wafSeconds.Observe(i.Took.Seconds())
	}
	if i.Result != waf.Passes {
		m.wafMatches[i.Detect].Inc()
	}
}

// Ended counts a request.
func (m *metrics) Ended(o web.Outcome) {
	if o.Cause != "" {
		m.failures[o.Cause].Inc()
		if o.Refusal == "" {
			m.aborted.Inc()
		} else {
			m.refusals.WithLabelValues(string(o.Refusal)).Inc()
			if o.Step != 0 {
				m.filtered.WithLabelValues(o.Step.String(), string(o.Refusal)).Inc()
			}
		}
	}
	m.classes[min(max(o.Status/100, 0), 5)].Inc()
	m.seconds.Observe(o.Took.Seconds())
	if o.BytesIn > 0 {
		m.bytesIn.Add(float64(o.BytesIn))
	}
	if o.BytesOut > 0 {
		m.bytesOut.Add(float64(o.BytesOut))
	}
}

// watch adds the series whose values are read when somebody asks for them.
func (m *metrics) watch(e *Edge) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mezu_edge_" + name, Help: help}, read))
	}
	gauge("warpgates", "Warpgates with a live tunnel.", func() float64 { return float64(len(e.hub.Presence())) })
	gauge("requests_queued", "Requests that wait for a data connection.", func() float64 { return float64(e.hub.Waiting()) })
	gauge("data_connections_max", "How many data connections one Warpgate may have.", func() float64 { return float64(e.hub.MaxConns()) })
	gauge("kept_body_bytes", "Memory of request bodies that filters look at before they are sent on.", func() float64 { return float64(e.web.KeptBytes()) })
	gauge("waf_slots_busy", "Requests that the firewall looks at.", func() float64 { return float64(e.firewall.Busy()) })
	gauge("held_body_bytes", "Memory of request bodies that are not whole yet and hold no data connection.", func() float64 { return float64(e.web.HeldBytes()) })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_places_reclaimed_total",
		Help: "Exchanges ended because their client's address held more than its share while others waited."}, func() float64 { return float64(e.hub.Reclaimed()) }))
	count := func(name, help string, read func() int64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_" + name, Help: help}, func() float64 { return float64(read()) }))
	}
	count("shared_exchanges_total", "Exchanges that shared a connection to their Warpgate with others.", func() int64 { n, _ := e.hub.Shared(); return n })
	count("moved_responses_total", "Responses of those that moved to a connection of their own.", func() int64 { _, n := e.hub.Shared(); return n })
	gauge("environments", "Environments whose bundle is loaded.", func() float64 { return float64(e.member.Metrics().Environments) })
	gauge("control_up", "Whether the stream from the control plane is up.", func() float64 { return boolean(e.member.Metrics().Connected) })
	gauge("documents_rejected", "Documents that did not verify, compile or move forward since the start.", func() float64 { return float64(e.member.Metrics().Rejected) })
	gauge("unwritten_files", "Files of what is in force that could not be written to the state directory yet.", func() float64 { return float64(e.member.Metrics().Unwritten) })
	gauge("revocations", "Revocations in the log of the state directory.", func() float64 { return float64(e.member.Metrics().Revocations) })
	gauge("compared", "Whether what is in force was compared with what the control plane says since the start.", func() float64 { return boolean(e.member.Metrics().Compared) })
	gauge("statements_lost", "Kinds of statements of which something is missing from the state directory and was not fetched yet.", func() float64 { return float64(e.member.Metrics().Lost) })
	gauge("statements_differ", "Whether something else is in force than the control plane says, after all of it has come.", func() float64 { return boolean(e.member.Metrics().Differs) })
	gauge("applied_revision", "Revision up to which the stream is applied.", func() float64 { return float64(e.member.Head().Revision) })
	gauge("certificate_seconds", "Seconds until the edge's own certificate ends.", func() float64 {
		return e.member.Metrics().CertificateNotAfter.Sub(e.cfg.Now()).Seconds()
	})
	gauge("limit_keys", "Clients of routes' limits, and those with sessions that are none, that the edge counts apart.", func() float64 { return float64(e.limits.Keys()) })
	m.watchSessions(e)
	m.watchPlaces(e.places)
	gauge("shed_level", "What is given up for want of memory: 0 nothing, 1 idle connections, 2 new ones, 3 requests.", func() float64 { return float64(e.guard.Level()) })
	for _, l := range shed.Limits() {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_connections_limited_total", Help: "Connections closed or not taken, and requests refused, by the limit that was met.",
			ConstLabels: prometheus.Labels{"limit": l.String()}}, func() float64 { return float64(e.guard.Limited(l)) }))
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "mezu_edge_log_lines_dropped_total", Help: "Lines of the log that were dropped because nobody read them.",
	}, func() float64 { return float64(e.cfg.LinesLost()) }))
	gauge("draining", "Whether the edge is draining.", func() float64 { return boolean(e.front.Draining()) })
}

// watchSessions adds such series for sessions and hosted pages.
func (m *metrics) watchSessions(e *Edge) {
	for outcome := range e.sessions.Counts() {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_sessions_refreshed_total", Help: "Refreshes of sessions by outcome.",
			ConstLabels: prometheus.Labels{"outcome": outcome}}, func() float64 { return float64(e.sessions.Counts()[outcome]) }))
	}
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mezu_edge_" + name, Help: help}, read))
	}
	gauge("session_requests", "Requests and streams that go on because of a session.", func() float64 { return float64(e.sessions.UnderWay()) })
	gauge("logouts_untold", "Sessions that ended here while the control plane could not be told.", func() float64 { return float64(e.logouts.Untold()) })
	gauge("pages_in_flight", "Requests for hosted pages that wait for the control plane.", func() float64 { return float64(e.pages.InFlight()) })
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_pages_refused_total",
		Help: "Requests for hosted pages refused because there were too many."}, func() float64 { return float64(e.pages.Refused()) }))
}

// watchPlaces adds such series for each kind of connection.
func (m *metrics) watchPlaces(p *places) {
	for kind, t := range p.all() {
		labels := prometheus.Labels{"kind": kind}
		gauge := func(name, help string, read func() float64) {
			m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "mezu_edge_" + name, Help: help, ConstLabels: labels}, read))
		}
		counter := func(name, help string, read func() float64) {
			m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mezu_edge_" + name, Help: help, ConstLabels: labels}, read))
		}
		gauge("places", "How many connections of a kind there may be.", func() float64 { return float64(t.Places()) })
		gauge("places_taken", "How many connections of a kind there are.", func() float64 { return float64(t.Len()) })
		counter("connections_refused_total", "Connections closed because there was no place for them.", func() float64 { return float64(t.Counts().Refused) })
		counter("connections_evicted_total", "Waiting connections closed because others wanted their places.", func() float64 { return float64(t.Counts().Evicted) })
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
