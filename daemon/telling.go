package daemon

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

// newRecorder makes what records the requests of the tunnel, nil if nothing is kept here.
func (t *tunnel) newRecorder() *inspect.Recorder {
	if t.h.cfg.Inspector == nil {
		return nil
	}
	r := t.h.cfg.Inspector.Recorder(inspect.Tunnel{ID: t.id, Name: func() string { return *t.name.Load() }, Reads: func() bool { return t.requests.Reads() }, Frame: t.framed})
	r.SetOff(t.spec.Uninspected)
	return r
}

// inspects has the recorder do as the specification says. t.mu is held, or t is not shared yet.
func (t *tunnel) inspects() {
	if t.recorder != nil {
		t.recorder.SetOff(t.spec.Uninspected)
	}
}

// shown is what the inspector has of a request, as people are shown it; nil if it has none.
func shown(tape warpgate.Tape) *mezu.Exchange {
	t, ok := tape.(*inspect.Tape)
	if !ok {
		return nil
	}
	r := t.Record()
	if r == nil {
		return nil
	}
	x := show.Row(r, true)
	return &x
}

// framed tells of a frame of an exchange under way, unless there are too many.
func (t *tunnel) framed(record func() *inspect.Record, f *inspect.Frame) {
	if !t.requests.Frame() {
		return
	}
	r := record()
	x, is := show.Row(r, true), t.h.cfg.Show.FrameRow(r, f)
	t.publish(local.Event{Event: mezu.Event{Event: local.EventFrame, Time: f.At, ID: r.RequestID}, Exchange: &x, Frame: &is})
}
