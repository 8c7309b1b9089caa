package sidecar

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// metrics writes the Prometheus text format (0.0.4). It is written by hand,
// because the client library would be a third of the program.
func (p *Process) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	all := p.figures()
	// each writes one metric of every Warpgate.
	each := func(name, kind, help string, value func(*figures) any) {
		head(w, name, kind, help)
		for _, f := range all {
			sample(w, name, f.labels(""), value(f))
		}
	}
	gauge := func(name, help string, value func(*figures) any) { each(name, "gauge", help, value) }
	count := func(name, help string, value func(*figures) any) { each(name, "counter", help, value) }

	head(w, "mezu_warpgate_info", "gauge", "Which Warpgate this is.")
	for _, f := range all {
		sample(w, "mezu_warpgate_info", f.labels(fmt.Sprintf("id=%q,version=%q", f.ID, f.Version)), 1)
	}
	gauge("mezu_warpgate_ready", "Whether requests can arrive.", func(f *figures) any { return number(f.Ready) })
	gauge("mezu_warpgate_bundle_epoch", "Epoch of the configuration in force.", func(f *figures) any { return f.Applied.Epoch })
	gauge("mezu_warpgate_bundle_revision", "Revision of the configuration in force.", func(f *figures) any { return f.Applied.Revision })
	if limit := p.room.Limit(); limit > 0 {
		single(w, "mezu_warpgate_data_connections_max", "gauge", "How many requests there may be at once, from all edges together.", limit)
		single(w, "mezu_warpgate_data_connections", "gauge", "Data connections that are open or on their way.", p.room.Taken())
	}
	certificates(w, all)
	count("mezu_warpgate_registrations_total", "Registrations tried.", func(f *figures) any { return f.Registrations })
	count("mezu_warpgate_renewals_total", "Renewals tried.", func(f *figures) any { return f.Renewals })
	count("mezu_warpgate_statements_refused_total", "Signed statements that were refused.", func(f *figures) any { return f.Refused })
	count("mezu_warpgate_tunnel_connects_total", "Tunnels registered at an edge.", func(f *figures) any { return f.Connects })
	count("mezu_warpgate_panics_total", "Requests that ended in a panic.", func(f *figures) any { return f.Panics })
	failures(w, all)
	if p.cfg.LinesLost != nil {
		single(w, "mezu_warpgate_lines_dropped_total", "counter", "Lines of the log and events that were dropped because nobody read them.", p.cfg.LinesLost())
	}
	single(w, "go_goroutines", "gauge", "Number of goroutines that currently exist.", runtime.NumGoroutine())
	tunnels(w, all)
}

// figures are those of one Warpgate, with the name that tells it from the others.
type figures struct {
	warpgate.Figures
	name string // empty if there are no others
}

// figures are those of all Warpgates.
func (p *Process) figures() []*figures {
	out := make([]*figures, len(p.members))
	for i, m := range p.members {
		out[i] = &figures{Figures: m.gate.Figures()}
		if len(p.members) > 1 {
			out[i].name = m.name()
		}
	}
	return out
}

// labels are the labels of a sample: these, after the Warpgate's name where there
// are several.
func (f *figures) labels(these string) string {
	switch {
	case f.name == "" && these == "":
		return ""
	case f.name == "":
		return "{" + these + "}"
	case these == "":
		return fmt.Sprintf("{warpgate=%q}", f.name)
	}
	return fmt.Sprintf("{warpgate=%q,%s}", f.name, these)
}

// certificates writes when the certificates end, of those Warpgates that have one.
func certificates(w io.Writer, all []*figures) {
	const name = "mezu_warpgate_certificate_not_after_seconds"
	all = slices.DeleteFunc(slices.Clone(all), func(f *figures) bool { return f.NotAfter.IsZero() })
	if len(all) == 0 {
		return
	}
	head(w, name, "gauge", "When the certificate ends, in Unix time.")
	for _, f := range all {
		sample(w, name, f.labels(""), f.NotAfter.Unix())
	}
}

// failures writes one line a cause.
func failures(w io.Writer, all []*figures) {
	const name = "mezu_warpgate_request_failures_total"
	head(w, name, "counter", "Requests that did not end whole, by cause.")
	for _, f := range all {
		for _, cause := range mezu.Causes() {
			sample(w, name, f.labels(fmt.Sprintf("cause=%q", cause)), f.Failures[cause])
		}
	}
}

// tunnels writes one line an edge, of those Warpgates that serve.
func tunnels(w io.Writer, all []*figures) {
	const name = "mezu_warpgate_tunnel_up"
	all = slices.DeleteFunc(slices.Clone(all), func(f *figures) bool { return f.Tunnels == nil })
	if len(all) == 0 {
		return
	}
	head(w, name, "gauge", "Whether the edge holds a tunnel.")
	for _, f := range all {
		for _, edge := range slices.Sorted(maps.Keys(f.Tunnels)) {
			sample(w, name, f.labels(fmt.Sprintf("edge=%q", edge)), number(f.Tunnels[edge]))
		}
	}
}

// single writes a metric of the process, with its one value.
func single(w io.Writer, name, kind, help string, value any) {
	head(w, name, kind, help)
	sample(w, name, "", value)
}

// head begins a metric.
func head(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes one value of a metric.
func sample(w io.Writer, name, labels string, value any) {
	fmt.Fprintf(w, "%s%s %v\n", name, labels, value)
}

// number is 1 for true.
func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
