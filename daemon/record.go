package daemon

import (
	"cmp"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

// look has the Host tell how the tunnel is now. It may be called with locks held.
func (t *tunnel) look() {
	if !t.changed.Swap(true) {
		select {
		case t.h.changes <- struct{}{}:
		default:
		}
	}
}

// tell publishes what has changed since the last call. Of a tunnel that was removed nothing is
// told any more.
func (t *tunnel) tell() {
	t.telling.Lock()
	defer t.telling.Unlock()
	if t.at() == removed {
		return
	}
	was, is := t.told, t.record()
	t.told = is
	for i := range is.Links {
		l := &is.Links[i]
		if before := slices.IndexFunc(was.Links, func(o mezu.Link) bool { return o.Edge == l.Edge }); before < 0 || !sameLink(&was.Links[before], l) {
			t.publish(local.Event{Event: mezu.Event{Event: local.EventLink}, Link: l})
		}
	}
	if !sameTunnel(&was, &is) {
		t.publish(local.Event{Event: mezu.Event{Event: local.EventTunnel}, Record: &is})
	}
}

// sameLink reports whether there is nothing to tell of a link. Its figures change all the
// time.
func sameLink(a, b *mezu.Link) bool {
	return a.Name == b.Name && a.Address == b.Address && a.State == b.State && a.Error == b.Error
}

// sameTunnel reports whether there is nothing to tell of a tunnel but its figures, which have
// events of their own.
func sameTunnel(a, b *mezu.Tunnel) bool {
	return a.Name == b.Name && a.State == b.State && a.Code == b.Code && a.Detail == b.Detail && a.Hint == b.Hint && a.URL == b.URL &&
		a.Warpgate == b.Warpgate && a.PublicKeySHA256 == b.PublicKeySHA256 && a.CertificateEnds.Equal(b.CertificateEnds) && a.Bundle == b.Bundle &&
		a.ControlAway.Equal(b.ControlAway) && a.Attached == b.Attached && a.Detached == b.Detached && a.Uninspected == b.Uninspected && sameTarget(&a.TunnelTarget, &b.TunnelTarget) &&
		a.Profile == b.Profile && sameWorkload(&a.Workload, &b.Workload) && slices.EqualFunc(a.Links, b.Links, func(a, b mezu.Link) bool { return a.Edge == b.Edge && sameLink(&a, &b) })
}

func sameWorkload(a, b *mezu.Workload) bool {
	return (a.Up == nil) == (b.Up == nil) && (a.Up == nil || *a.Up == *b.Up) && a.Code == b.Code && a.Detail == b.Detail && a.Hint == b.Hint && a.Program == b.Program
}

// record is the tunnel as it is now.
func (t *tunnel) record() mezu.Tunnel {
	t.mu.Lock()
	gate := t.gate
	t.mu.Unlock()
	var snap warpgate.Snapshot
	if gate != nil {
		snap = gate.Snapshot()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if gate == nil || t.gate != gate {
		snap = t.last
	}
	out := mezu.Tunnel{ID: t.id, Name: *t.name.Load(), TunnelSpec: t.spec, URL: snap.URL, Warpgate: snap.ID, PublicKeySHA256: t.hash,
		CertificateEnds: snap.NotAfter, Bundle: snap.Applied, ControlAway: snap.Away.Since, Links: snap.Links, Stats: t.meter.Stats(),
		Attached: t.attached, CreatedAt: t.made}
	if out.Links == nil {
		out.Links = []mezu.Link{}
	}
	if w := t.workload.Load(); w != nil {
		out.Workload = *w
	}
	t.judge(&out, &snap)
	return out
}

// judge sets the state, and why it is not live. t.mu is held.
func (t *tunnel) judge(out *mezu.Tunnel, snap *warpgate.Snapshot) {
	up := 0
	for _, l := range snap.Links {
		if l.State == mezu.LinkConnected {
			up++
		}
	}
	if up > 0 {
		t.linked = true
	}
	switch t.phase {
	case stopped, removed:
		out.State = mezu.TunnelStopped
		return
	case draining:
		out.State = mezu.TunnelDraining
		return
	case refused:
		out.State = mezu.TunnelNeedsLogin
	case waiting:
		out.State, out.Detail = mezu.TunnelStarting, "waits for the command that held it"
		return
	case running:
		switch {
		case up > 0 && up == len(snap.Links) && snap.Ready:
			out.State, t.trouble = mezu.TunnelLive, nil
			return
		case up > 0 && snap.Ready:
			out.State = mezu.TunnelPartly
		case t.linked || t.gate == nil && t.trouble != nil:
			out.State = mezu.TunnelDown
		default:
			out.State = mezu.TunnelStarting
		}
	}
	if e := t.trouble; e != nil {
		out.Code, out.Detail, out.Hint = e.Code, e.Detail, e.Hint
		return
	}
	out.Detail = cmp.Or(linkError(snap.Links), snap.Why)
}

// linkError is why the first of the links that are down is, empty if none is.
func linkError(links []mezu.Link) string {
	for _, l := range links {
		if l.State != mezu.LinkConnected && l.Error != "" {
			return "edge " + l.Name + ": " + l.Error
		}
	}
	return ""
}
