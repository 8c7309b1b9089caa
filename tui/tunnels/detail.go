package tunnels

import (
	"fmt"
	"math"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/tui/look"
	"github.com/mezusphere/mezu/tui/screen"
)

// middle are the panels about the selected tunnel, side by side.
func (s *Screen) middle(c *screen.Context, w int) []string {
	const h = detailRows + 2
	theme := c.Theme
	is, ok := s.selected()
	if !ok {
		return look.Panel{Title: s.title()}.Draw(theme, nil, w, h)
	}
	if c.Layout != screen.Beside {
		left := s.details(c, w-linksWidth)
		links := look.Panel{Title: "Links", Flush: true}.Draw(theme, s.links(c, is, linksWidth-3, detailRows, false), linksWidth, h)
		return look.Beside(left, links)
	}
	const each = 22
	left := s.details(c, w-linksWidth-2*each)
	links := look.Panel{Title: "Links", Flush: true}.Draw(theme, s.links(c, is, linksWidth-3, detailRows, true), linksWidth, h)
	statuses := look.Panel{Title: "Statuses"}.Draw(theme, s.statuses(c, is, each-4), each, h)
	targets := look.Panel{Title: "Targets"}.Draw(theme, s.targets(c, is, each-4), each, h)
	return look.Beside(left, links, statuses, targets)
}

// seconds is how long sparklines are.
func seconds(c *screen.Context) int {
	if c.Layout == screen.Triple {
		return maxSamples - 1
	}
	return 60
}

// details is the panel of the selected tunnel.
func (s *Screen) details(c *screen.Context, w int) []string {
	t := c.Theme
	p := look.Panel{Title: s.title(), Right: fmt.Sprintf("%d s", seconds(c))}
	is, ok := s.selected()
	if !ok {
		return p.Draw(t, nil, w, detailRows+2)
	}
	inner := w - 4
	url := look.Head(is.URL, inner)
	if is.URL == "" {
		url = t.Paint(look.Quiet, "no address yet")
	}
	lines := []string{url, s.way(c, is)}
	if trouble := s.trouble(c, is); len(trouble) > 0 {
		lines = append(lines, trouble...) // what to do then stands in the place of the last figures
	} else {
		lines = append(lines, s.about(c, is))
	}
	h := s.history[is.ID]
	const label, value = 7, 7
	cells := max(0, inner-label-value-4)
	spark := func(name string, most bool, of func(sample) float64, now string) string {
		line := t.Sparkline(h.series(seconds(c), cells, most, of), cells)
		return t.Fit(name, label) + t.Paint(look.Accent, line) + t.FitRight(now, value-1)
	}
	p99 := t.Dash
	if is.Stats.P99MS > 0 {
		p99 = fmt.Sprint(int(math.Round(is.Stats.P99MS)))
	}
	lines = append(lines, spark("req/s", false, rateOf, fmt.Sprint(int(math.Round(is.Stats.PerSecond)))), spark("p99 ms", true, p99Of, p99))
	in, out := h.traffic()
	down, upward := "↓", "↑"
	if t.ASCII {
		down, upward = "in", "out"
	}
	lines = append(lines, fmt.Sprintf("%s %s/s  %s %s/s   in flight %d   sockets %d", down, look.Bytes(int64(in)), upward, look.Bytes(int64(out)), is.Stats.InFlight, is.Stats.Sockets))
	return p.Draw(t, lines, w, detailRows+2)
}

// way says where a tunnel leads, and whether something answers there.
func (s *Screen) way(c *screen.Context, is *mezu.Tunnel) string {
	t := c.Theme
	out := t.Arrow + " " + s.target(is)
	if program := called(is.Workload.Program); program != "" {
		out += "  " + program
	}
	if is.Target == mezu.TargetCapture {
		return out
	}
	switch w := is.Workload; {
	case w.Up == nil:
	case *w.Up:
		out += "  " + t.Paint(look.Good, "up")
	default:
		out += "  " + t.Paint(look.Bad, "down")
	}
	if host := hostOf(is); host != "" {
		out += "   Host: " + host
	}
	return out
}

// about says who may enter, which configuration is in force, and how long the certificate lasts.
// Who may enter is what the control plane has said last, with its age if it doesn't say now.
func (s *Screen) about(c *screen.Context, is *mezu.Tunnel) string {
	t := c.Theme
	guard, newest := "", mezu.Position{}
	if l := s.looks[is.ID]; l != nil && !l.guarded.IsZero() {
		guard, newest = look.Head(l.guard.Open, 30), l.guard.Newest
		if l.guardErr != nil {
			guard += ", " + look.Ago(c.Now.Sub(l.guarded)) + " old"
		}
	}
	if is.BasicAuth != nil {
		guard = strings.TrimPrefix(guard+", password of "+look.Head(is.BasicAuth.User, 20), ", ")
	}
	if guard == "" {
		guard = t.Dash
	}
	out := guard
	if !is.Bundle.IsZero() {
		out += "   rev " + look.Position(is.Bundle)
		if is.Bundle.Compare(newest) < 0 { // which is zero where it isn't known
			out += " " + t.Paint(look.Warn, t.Behind)
		}
	}
	if !is.CertificateEnds.IsZero() {
		out += "   certificate " + look.Left(is.CertificateEnds.Sub(c.Now))
	}
	if !is.ControlAway.IsZero() {
		out += "   " + t.Paint(look.Warn, "control plane away, "+look.Ago(c.Now.Sub(is.ControlAway)))
	}
	return out
}

// trouble says why a tunnel doesn't serve, and in a second line what to do then.
func (s *Screen) trouble(c *screen.Context, is *mezu.Tunnel) []string {
	say := func(detail, hint string) []string {
		out := []string{c.Theme.Paint(look.Bad, look.Head(detail, 200))}
		if hint != "" {
			out = append(out, "try: "+look.Head(hint, 200))
		}
		return out
	}
	switch {
	case is.State == mezu.TunnelStopped:
		return nil
	case is.Detail != "":
		return say(is.Detail, is.Hint)
	case is.Workload.Up != nil && !*is.Workload.Up && is.Workload.Detail != "":
		return say(is.Workload.Detail, is.Workload.Hint)
	}
	return nil
}

// links are the lines of the links, the probe, and if there is room and alone isn't set the
// statuses.
func (s *Screen) links(c *screen.Context, is *mezu.Tunnel, w, h int, alone bool) []string {
	t := c.Theme
	left := h - 1
	if !alone {
		left = h - 4
	}
	var out []string
	line := func(sign string, tone look.Tone, name, took, last string) string {
		const mid = 6
		end := 8
		rest := w - 2 - mid - end
		return t.Paint(tone, sign) + " " + t.Fit(name, rest) + t.FitRight(took, mid) + t.FitRight(last, end)
	}
	for i := range is.Links {
		l := &is.Links[i]
		if len(out) == left-1 && i < len(is.Links)-1 {
			out = append(out, t.Paint(look.Quiet, fmt.Sprintf("  %d edges more", len(is.Links)-i)))
			break
		}
		sign, tone, took, last := t.Down, look.Bad, t.Dash, look.Head(string(l.State), 10)
		switch l.State {
		case mezu.LinkConnected:
			sign, tone, last = t.Up, look.Good, fmt.Sprintf("%d con", l.Connections)
		case mezu.LinkConnecting:
			sign, tone = t.Waiting, look.Warn
		case mezu.LinkDraining:
			sign, tone = t.Partly, look.Warn
		}
		if l.RoundTripMS > 0 {
			took = look.Took(l.RoundTripMS)
		}
		out = append(out, line(sign, tone, look.Head(l.Name, w), took, last))
	}
	if len(is.Links) == 0 {
		out = append(out, t.Paint(look.Quiet, "no edge yet"))
	}
	out = append(out, s.probeLine(c, is, w))
	if alone {
		return out
	}
	for len(out) < h-3 {
		out = append(out, "")
	}
	return append(out, s.shares(c, is, w)...)
}

// probeLine says how long a connection to the workload took last.
func (s *Screen) probeLine(c *screen.Context, is *mezu.Tunnel, w int) string {
	t := c.Theme
	l := s.looks[is.ID]
	const mid, end = 6, 8
	rest := w - mid - end
	switch {
	case l == nil || l.probed.IsZero() && l.probeErr == nil:
		return t.Fit("probe", rest) + t.FitRight(t.Dash, mid)
	case l.probeErr != nil:
		return t.Paint(look.Bad, t.Cut("probe "+look.Head(l.probeErr.Error(), 512), w))
	}
	took := look.Took(l.probe.ConnectMS)
	if up := l.probe.Workload.Up; up != nil && !*up {
		took = "down"
	}
	return t.Fit("probe", rest) + t.FitRight(took, mid) + t.FitRight(look.Ago(c.Now.Sub(l.probed))+"  ", end)
}

// shares are three lines about how requests were answered.
func (s *Screen) shares(c *screen.Context, is *mezu.Tunnel, w int) []string {
	t := c.Theme
	share, ok := shares(s.history[is.ID], is.Stats)
	const label, value = 4, 6
	bar := max(1, w-label-value-1)
	one := func(name string, v float64, tone look.Tone) string {
		text := t.Dash
		if ok {
			text = fmt.Sprintf("%.0f %%", v*100)
		}
		return t.Fit(name, label) + t.Paint(tone, t.Fit(t.Meter(v, bar), bar)) + t.FitRight(text, value)
	}
	text := t.Dash
	if ok {
		text = fmt.Sprintf("%.0f %%", (share[3]+share[4])*100)
	}
	half := max(1, (w-2*label-value-2)/2)
	last := t.Fit("4xx ", label) + t.Paint(look.Warn, t.Fit(t.Meter(share[3], half), half)) + " 5xx " + t.Paint(look.Bad, t.Fit(t.Meter(share[4], half), half))
	return []string{one("2xx", share[1], look.Good), one("3xx", share[2], look.Accent), t.Fit(last, label+bar) + t.FitRight(text, value)}
}

// statuses are the lines of a panel of their own.
func (s *Screen) statuses(c *screen.Context, is *mezu.Tunnel, w int) []string {
	t := c.Theme
	share, ok := shares(s.history[is.ID], is.Stats)
	const label, value = 4, 6
	bar := max(1, w-label-value)
	var out []string
	for i, tone := range []look.Tone{look.Quiet, look.Good, look.Accent, look.Warn, look.Bad} {
		text := t.Dash
		if ok {
			text = percent(share[i])
		}
		out = append(out, t.Fit(fmt.Sprintf("%dxx", i+1), label)+t.Paint(tone, t.Fit(t.Meter(share[i], bar), bar))+t.FitRight(text, value))
	}
	return append(out, t.Fit("all", label)+t.FitRight(look.Count(int(min(is.Stats.Requests, math.MaxInt32))), w-label))
}

// targets are the lines of a panel of their own.
func (s *Screen) targets(c *screen.Context, is *mezu.Tunnel, w int) []string {
	t := c.Theme
	sign := t.Paint(look.Quiet, t.Waiting)
	if up := is.Workload.Up; up != nil && *up {
		sign = t.Paint(look.Good, t.Up)
	} else if up != nil {
		sign = t.Paint(look.Bad, t.Down)
	}
	out := []string{sign + " " + t.Cut(s.target(is), w-2)}
	for i, a := range is.AllowTargets {
		if len(out) == detailRows-1 && i < len(is.AllowTargets)-1 {
			return append(out, t.Paint(look.Quiet, fmt.Sprintf("  %d more", len(is.AllowTargets)-i)))
		}
		out = append(out, "  "+look.Head(a, w-2))
	}
	return out
}

// briefly are three lines about the selected tunnel.
func (s *Screen) briefly(c *screen.Context, w int) []string {
	t := c.Theme
	is, ok := s.selected()
	if !ok {
		return []string{"", "", ""}
	}
	url := strings.TrimPrefix(is.URL, "https://")
	if url == "" {
		url = "no address yet"
	}
	says := s.trouble(c, is)
	if len(says) == 0 {
		says = []string{s.way(c, is)}
	}
	const value = 8
	cells := max(0, min(60, w-3-value))
	line := t.Sparkline(s.history[is.ID].series(60, cells, false, rateOf), cells)
	out := []string{" " + look.Head(url, w)}
	for _, one := range says {
		out = append(out, " "+one)
	}
	return append(out, " "+t.Paint(look.Accent, line)+t.FitRight(fmt.Sprintf("%.0f/s", is.Stats.PerSecond), value))[:brief]
}
