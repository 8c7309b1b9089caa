package status

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/listening"
	"github.com/mezusphere/mezu/local"
)

// look goes the way once. The workload is asked beside it, for it may be dead as well.
func (t *target) look(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	r := Report{Organization: t.organization, Project: t.project, Environment: t.environment, URL: t.url}
	r.Hops = []Hop{{Hop: "you", State: OK}, {Hop: "edge", State: Unknown}, {Hop: "warpgate", State: Unknown}, {Hop: "workload", State: Unknown}}
	edge, gate, workload := &r.Hops[1], &r.Hops[2], &r.Hops[3]
	var asked sync.WaitGroup
	var answer local.Probe
	var unanswered error
	if t.tunnel != nil {
		r.Tunnel, r.ControlAway, workload.Name, gate.Name = t.tunnel.Name, t.tunnel.ControlAway, t.tunnel.Target, t.tunnel.Warpgate
	}
	captures := t.tunnel != nil && t.tunnel.Target == mezu.TargetCapture
	if captures { // the daemon answers itself
		workload.Name, workload.State = mezu.CaptureOnly, OK
	} else if t.tunnel != nil {
		asked.Go(func() { answer, unanswered = t.daemon.Probe(ctx, t.tunnel.ID) })
	}
	t.lookAtEdge(ctx, &r, edge, gate)
	asked.Wait()
	switch {
	case captures:
	case t.tunnel != nil:
		t.judgeWorkload(ctx, &r, workload, answer, unanswered)
	default:
		t.nameOthers(ctx, &r, gate)
		if t.unasked != nil { // the workload may be one of this machine
			t.judgeWorkload(ctx, &r, workload, answer, t.unasked)
		}
	}
	r.Flows = r.flows()
	return r
}

// lookAtEdge asks the edge, and a Warpgate through it.
func (t *target) lookAtEdge(ctx context.Context, r *Report, edge, gate *Hop) {
	roots, err := probe.Roots(t.caFile)
	var p *probe.Prober
	if err == nil {
		p, err = probe.New(t.url, roots, t.inv.Now)
	}
	if err != nil {
		edge.State, edge.Detail = Failed, "not asked"
		r.fail(mezu.CodeUnavailable, err.Error(), "mezu doctor")
		r.stageOf(err)
		return
	}
	defer p.Close()
	if t.tunnel != nil {
		for _, l := range t.tunnel.Links {
			if l.State == mezu.LinkConnected {
				p.At(l.Address)
				break
			}
		}
	}
	// The first connects, and what it took says more of the handshake than of the way.
	near, err := p.Edge(ctx)
	if err != nil && mezu.CodeOf(err) != mezu.CodeEnvironmentDisabled {
		r.stageOf(err)
		edge.State, edge.Detail = Failed, word(err)
		r.fail(codeOf(err), t.aboutEdge(err), "mezu doctor")
		return
	}
	edge.State, edge.Name, edge.MS = OK, t.edgeAt(near.Remote), millis(near.You+near.Edge)
	through, err := p.Through(ctx)
	r.stageOf(err)
	if err != nil {
		gate.State, gate.Detail = Failed, word(err)
		detail, hint := t.aboutWarpgate(ctx, err)
		r.fail(codeOf(err), detail, hint)
		return
	}
	edge.MS, gate.State, gate.MS = millis(through.You+through.Edge), OK, millis(through.Warpgate)
}

// edgeAt is the name of the edge that answered, if the tunnel knows it: that at the same
// address, or the only one.
func (t *target) edgeAt(remote netip.AddrPort) string {
	if t.tunnel == nil {
		return ""
	}
	links := t.tunnel.Links
	for _, l := range links {
		if host, _, err := net.SplitHostPort(l.Address); err == nil && host == remote.Addr().String() {
			return l.Name
		}
	}
	if len(links) == 1 {
		return links[0].Name
	}
	return ""
}

// aboutEdge says why the edge does not answer.
func (t *target) aboutEdge(err error) string {
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		switch e.Code {
		case mezu.CodeUnknownHost:
			return "the edge does not know " + t.url
		case mezu.CodeRateLimited:
			return "the edge has been asked too often from here; it answers again in a second"
		}
		return fmt.Sprintf("the edge at %s answers %s: %s", t.url, e.Code, e.Detail)
	}
	return err.Error()
}

// aboutWarpgate says why no Warpgate answers, and what to do.
func (t *target) aboutWarpgate(ctx context.Context, err error) (detail, hint string) {
	e, ok := errors.AsType[*mezu.Error](err)
	name := t.project + "/" + t.environment
	switch {
	case !ok:
		return err.Error(), "mezu doctor"
	case e.Code == mezu.CodeEnvironmentDisabled:
		return name + " is switched off", fmt.Sprintf("mezu environments enable %s --project %s", t.environment, t.project)
	case e.Code != mezu.CodeNoWarpgate:
		return e.Detail, "mezu doctor"
	case probe.AllDrain(e):
		return "all Warpgates of " + name + " are draining", fmt.Sprintf("mezu warpgates list -p %s -e %s, then mezu warpgates undrain NAME", t.project, t.environment)
	case t.tunnel == nil:
		return "no Warpgate of " + name + " is connected", "mezu tunnel PORT -e " + t.environment + ", or start warpgate beside the workload"
	}
	now := t.now(ctx)
	switch now.State {
	case mezu.TunnelStopped:
		return now.Name + " is stopped", "mezu tunnel start " + now.Name
	case mezu.TunnelNeedsLogin:
		if hint = now.Hint; hint == "" {
			hint = "mezu login --profile " + now.Profile
		}
		return now.Name + " has to be enrolled again: " + or(now.Detail, "it has no certificate that is good"), hint
	}
	for _, l := range now.Links {
		if l.Error != "" {
			return fmt.Sprintf("%s has no link to edge %s: %s", now.Name, l.Name, l.Error), "mezu doctor"
		}
	}
	return now.Name + " has no link to an edge yet", or(now.Hint, "mezu doctor")
}

// now is the tunnel as it is now: its state may have changed since the command began.
func (t *target) now(ctx context.Context) mezu.Tunnel {
	tunnels, err := t.daemon.Tunnels(ctx)
	if err == nil {
		for _, n := range tunnels {
			if n.ID == t.tunnel.ID {
				return n
			}
		}
	}
	return *t.tunnel
}

// judgeWorkload says what the connection to the workload came to.
func (t *target) judgeWorkload(ctx context.Context, r *Report, hop *Hop, answer local.Probe, err error) {
	switch w := answer.Workload; {
	case err != nil:
		hop.Detail = "not asked"
		r.fail(codeOf(err), "the local daemon does not say how the workload is: "+err.Error(), "mezu doctor")
	case w.Up == nil:
		hop.Detail = "not tried"
		r.fail(mezu.CodeUnavailable, "the local daemon does not say how the workload is", "mezu doctor")
	case *w.Up && w.Code == "":
		hop.State, hop.MS = OK, answer.ConnectMS
	default: // one that connects may speak no HTTP
		hop.State, hop.Detail = Failed, workloadWord(w)
		detail, hint := Instead(ctx, t.tunnel.Target, w)
		r.fail(w.Code, detail, hint)
	}
}

// workloadWord is one word on a workload that is not there.
func workloadWord(w mezu.Workload) string {
	switch w.Code {
	case mezu.CodeWorkloadRefused:
		return "refused"
	case mezu.CodeWorkloadTimeout:
		return "silent"
	}
	return or(string(w.Code), "down")
}

// Instead says of a workload that is not there what is the matter, and what listens in its
// place: "nothing answers at localhost:5173; vite listens on 5174".
func Instead(ctx context.Context, target string, w mezu.Workload) (detail, hint string) {
	if w.Code != mezu.CodeWorkloadRefused {
		return or(w.Detail, "the workload at "+target+" can't be reached"), w.Hint
	}
	detail, hint = "nothing answers at "+target, or(w.Hint, "start it, or look at its port")
	u, err := mezu.ParseUpstream(target)
	port := u.LocalPort()
	if err != nil || port == 0 {
		return detail, hint
	}
	all, err := listening.List(ctx)
	if err != nil {
		return detail, hint // it is a guess anyway
	}
	if l, ok := listening.Instead(all, port); ok {
		return fmt.Sprintf("%s; %s listens on %d", detail, l.Name(), l.Port), fmt.Sprintf("mezu tunnel %d", l.Port)
	}
	return detail, hint
}

// nameOthers says which Warpgate of another machine serves, if the control plane tells.
func (t *target) nameOthers(ctx context.Context, r *Report, gate *Hop) {
	r.Hops[3].Detail = "not seen from here"
	if t.client == nil {
		return
	}
	list, err := api.Invoke[api.List[mezu.Warpgate]](ctx, t.client, api.OpListWarpgates, nil, t.organization, t.project, t.environment)
	if err != nil {
		return // the way itself is known without
	}
	var connected []mezu.Warpgate
	for _, w := range list.Items {
		if w.Status == mezu.WarpgateConnected {
			connected = append(connected, w)
		}
	}
	switch len(connected) {
	case 0:
	case 1:
		gate.Name = connected[0].ID
	default:
		gate.Name = fmt.Sprintf("1 of %d", len(connected))
	}
}

// word is a word on why something was not reached.
func word(err error) string {
	if e, ok := errors.AsType[*mezu.Error](err); ok {
		switch e.Code {
		case mezu.CodeNoWarpgate:
			if probe.AllDrain(e) {
				return "draining"
			}
			return "not connected"
		case mezu.CodeEnvironmentDisabled:
			return "switched off"
		case mezu.CodeUnknownHost:
			return "unknown name"
		}
		return string(e.Code)
	}
	return or(probe.Failure(err), "not reached")
}

// codeOf is the code for an error, by which the exit code is chosen.
func codeOf(err error) mezu.Code {
	if code := mezu.CodeOf(err); code != "" && code != mezu.CodeInternal {
		return code
	}
	if timedOut(err) {
		return mezu.CodeWorkloadTimeout
	}
	return mezu.CodeUnavailable
}

// timedOut reports whether an error is that of a deadline.
func timedOut(err error) bool {
	var e net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) && e.Timeout()
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
