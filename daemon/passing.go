package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/daemon/workload"
	"github.com/mezusphere/mezu/local"
)

// passing takes what a Warpgate of a tunnel tells.
type passing struct {
	t *tunnel
	// also is what the owner of a given tunnel wants called with each event, one at a time;
	// or nil.
	also func(mezu.Event)
	mu   sync.Mutex
}

// pass gives an event on to the owner of a given tunnel.
func (p *passing) pass(e mezu.Event) {
	if p.also != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.also(e)
	}
}

// Begin counts a request that begins. No event of it is made, unless somebody reads it.
func (p *passing) Begin(upgrade bool, tape warpgate.Tape, made func() mezu.Event) uint8 {
	p.t.meter.Begin(upgrade)
	mark := p.t.requests.Begin()
	if mark == event.Told {
		p.t.publish(local.Event{Event: made(), Phase: local.PhaseBegin, Exchange: shown(tape)})
	}
	return uint8(mark)
}

// End counts its end.
func (p *passing) End(mark uint8, tape warpgate.Tape, o *warpgate.Outcome, made func() mezu.Event) {
	p.t.meter.End(o.Upgrade, o.Status, o.Took, o.BytesIn, o.BytesOut)
	p.t.answered(o)
	told := p.t.requests.End(event.Mark(mark))
	if !told && p.also == nil {
		return
	}
	e := made()
	if told {
		p.t.publish(local.Event{Event: e, Phase: local.PhaseEnd, Exchange: shown(tape)})
	}
	p.pass(e)
}

// event is called with each other event.
func (p *passing) event(e mezu.Event) {
	switch e.Event {
	case mezu.EventError:
		p.t.failed(e)
	case mezu.EventWorkload:
		p.t.answers(e)
	case mezu.EventConfig:
		p.t.publish(local.Event{Event: e})
		p.t.look()
	case mezu.EventWarpgate:
		p.t.look()
	}
	p.pass(e)
}

// missed tells that readers were not told of so many events.
func (t *tunnel) missed(n uint64) {
	t.publish(local.Event{Event: mezu.Event{Event: local.EventGap}, Missed: n})
}

// note is called with what is in the way of requests.
func (t *tunnel) note(f workload.Finding) {
	up := f.Code != mezu.CodeWorkloadRefused
	// It was found out beside the requests. One that has got through since knows better.
	if is := t.workload.Load(); up || is == nil || is.Up == nil || !*is.Up {
		if t.workload.CompareAndSwap(is, &mezu.Workload{Up: &up, Code: f.Code, Detail: f.Message, Hint: f.Hint()}) {
			t.look()
		}
	}
	e := mezu.Event{Event: mezu.EventError, Code: f.Code, Message: f.Message, Hint: f.Hint()}
	t.publish(local.Event{Event: e, Fixes: f.Fixes})
	if t.given != nil && t.given.Say != nil && up { // else its Events got the Warpgate's word
		e.Time = t.h.now()
		t.given.Say(e, f.Fixes)
	}
}

// failed takes an error of the Warpgate.
func (t *tunnel) failed(e mezu.Event) {
	t.mu.Lock()
	way := t.way
	refused := e.Code == mezu.CodeWorkloadRefused
	if !refused {
		t.trouble = &mezu.Error{Code: e.Code, Detail: e.Message, Hint: e.Hint}
	}
	t.mu.Unlock()
	if refused {
		t.setWorkload(&mezu.Workload{Up: new(bool), Code: e.Code, Detail: e.Message, Hint: e.Hint})
	}
	if refused && way != nil && !way.Asked.Folder() {
		way.Refuses() // says more of it
		return
	}
	t.publish(local.Event{Event: e})
	t.look()
}

// answers is told that something answers at an upstream, where nothing did.
func (t *tunnel) answers(e mezu.Event) {
	t.publish(local.Event{Event: e})
	spec := t.asked()
	if u, err := mezu.ParseUpstream(spec.Target); err == nil && u.String() == e.Upstream {
		yes := true
		t.setWorkload(&mezu.Workload{Up: &yes})
	}
}

// answered learns from a request how the workload is.
func (t *tunnel) answered(o *warpgate.Outcome) {
	is := t.workload.Load()
	up := is != nil && is.Up != nil && *is.Up
	switch {
	case o.Code == "" && o.Cause == "" && o.Status > 0 && !up:
		yes := true
		t.setWorkload(&mezu.Workload{Up: &yes})
	case o.Code == mezu.CodeWorkloadRefused && (is == nil || is.Code != o.Code):
		t.setWorkload(&mezu.Workload{Up: new(bool), Code: o.Code, Detail: o.Message})
	}
}

func (t *tunnel) setWorkload(w *mezu.Workload) {
	t.workload.Store(w)
	t.look()
}

// publish hands an event of the tunnel to the hub.
func (t *tunnel) publish(e local.Event) {
	e.TunnelID, e.Tunnel = t.id, *t.name.Load()
	t.h.cfg.Hub.Publish(e)
}

// EndStreams cuts the requests of all tunnels that have no end of their own, such as upgrades and
// streams of events, and those that come later. It is for whoever ends an edge in the same process.
func (h *Host) EndStreams() {
	for _, t := range h.all() {
		t.endStreams()
	}
}

// endStreams cuts those of one tunnel.
func (t *tunnel) endStreams() {
	t.mu.Lock()
	gate := t.gate
	t.mu.Unlock()
	if gate != nil {
		gate.EndStreams()
	}
}

// drains says what the end of the tunnel waits for, and cuts what has no end of its own after a
// while. The caller calls ended when it has.
func (t *tunnel) drains(gate *warpgate.Warpgate) (ended func()) {
	ctx, end := context.WithCancel(context.Background())
	var saying sync.WaitGroup
	saying.Go(func() {
		gate.Waits(ctx, func(what, _ string) {
			t.publish(local.Event{Event: mezu.Event{Event: local.EventStopping, Message: what}})
		})
	})
	late := time.AfterFunc(local.StreamTimeout, gate.EndStreams)
	return func() {
		late.Stop()
		end()
		saying.Wait()
	}
}
