package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/warpgate"
	"github.com/mezusphere/mezu/local"
)

const (
	// maxReplaying is how many replays are under way at once, each of which sends one request
	// after another: a person starts few.
	maxReplaying = 16
	// maxReplayed is how long one of their requests may take. Nobody reads its answer, which may
	// be a stream that never ends.
	maxReplayed = 5 * time.Minute
)

// Replay sends a recorded request again, and gives the ids of the exchanges that it has made. If it
// is not to wait, these are the first one's, and others come later.
func (h *Host) Replay(ctx context.Context, id string, how local.Replay) ([]string, error) {
	if h.cfg.Inspector == nil {
		return nil, mezu.Errorf(mezu.CodeNotFound, "this daemon keeps no requests")
	}
	of, err := h.cfg.Inspector.Get(id)
	if err != nil {
		return nil, err
	}
	t, err := h.replayTo(of, how.To)
	if err != nil {
		return nil, err
	}
	host := ""
	if t.id != of.TunnelID {
		if host = t.host(); host == "" {
			return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: *t.name.Load() + " has no address yet", Hint: "mezu tunnel show " + *t.name.Load()}
		}
	}
	if _, err := of.Repeat(host, how); err != nil { // before anything is begun
		return nil, err
	}
	if h.replaying.Add(1) > maxReplaying {
		h.replaying.Add(-1)
		return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%d replays are under way, as many as may be at once", maxReplaying), Hint: "try again when one has ended"}
	}
	r := &replay{t: t, of: of, host: host, how: how, each: cmp.Or(h.cfg.ReplayTime, maxReplayed), first: make(chan struct{}), done: make(chan struct{})}
	going, stop := context.WithCancel(h.hard)
	if !h.spawn(func() {
		defer h.replaying.Add(-1)
		defer stop()
		r.run(going)
	}) {
		stop()
		h.replaying.Add(-1)
		return nil, ending()
	}
	return r.wait(ctx, stop)
}

// replayTo is the tunnel that a request is sent again through.
func (h *Host) replayTo(of *inspect.Record, to string) (*tunnel, error) {
	all := h.all()
	n := slices.IndexFunc(all, func(t *tunnel) bool {
		return to == "" && t.id == of.TunnelID || to != "" && (t.id == to || *t.name.Load() == to)
	})
	if n < 0 {
		return nil, &mezu.Error{Code: mezu.CodeNotFound, Field: "to", Detail: fmt.Sprintf("there is no tunnel %q", cmp.Or(to, of.Tunnel)), Hint: "mezu tunnel list, then --to NAME"}
	}
	t := all[n]
	if spec := t.asked(); spec.Uninspected {
		return nil, &mezu.Error{Code: mezu.CodeConflict, Field: "to", Detail: *t.name.Load() + " was opened with --inspect off: nobody would see what comes of it", Hint: "mezu tunnel --inspect on"}
	}
	return t, nil
}

// host is that of the tunnel's address, empty while it has none.
func (t *tunnel) host() string {
	is := t.record()
	u, err := url.Parse(is.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// replay is one that is under way.
type replay struct {
	t    *tunnel
	of   *inspect.Record
	host string
	how  local.Replay
	each time.Duration // that one request may take
	// first is closed when the first request has begun, done when all have ended.
	first, done chan struct{}

	mu   sync.Mutex
	made []string
	err  error // that ended it before its time
}

// run sends the requests one after another.
func (r *replay) run(ctx context.Context) {
	defer close(r.done)
	for n := 0; n < max(1, r.how.Times) && ctx.Err() == nil; n++ {
		if err := r.once(ctx); err != nil {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
			return
		}
	}
}

// once sends one request, and returns when it has been answered.
func (r *replay) once(ctx context.Context) error {
	text, err := r.of.Repeat(r.host, r.how) // with an id of its own
	if err != nil {
		return err
	}
	r.t.mu.Lock()
	gate := r.t.gate
	r.t.mu.Unlock()
	if gate == nil {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: *r.t.name.Load() + " is not open", Hint: "mezu tunnel start " + *r.t.name.Load()}
	}
	ctx, end := context.WithTimeout(ctx, r.each)
	defer end()
	begun := false
	tape := r.t.recorder.Replay(r.of, func(id string) {
		begun = true
		r.begin(id)
	}, end)
	if err := gate.Replay(ctx, (*warpgate.Repeat)(text), tape); err != nil {
		return err
	}
	if !begun {
		return mezu.Invalid("edited", "the request is malformed, or there is no room to record it")
	}
	return nil
}

// begin notes an exchange that has begun.
func (r *replay) begin(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.made = append(r.made, id); len(r.made) == 1 {
		close(r.first)
	}
}

// wait waits as long as was asked for. Whoever waits no longer for all of them wants no more.
func (r *replay) wait(ctx context.Context, stop func()) ([]string, error) {
	timer := time.NewTimer(local.MaxReplayWait)
	defer timer.Stop()
	first := r.first
	if r.how.Wait {
		first = nil
	}
	select {
	case <-first:
	case <-r.done:
	case <-timer.C:
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.made) == 0 && r.err == nil {
		return nil, mezu.Errorf(mezu.CodeUnavailable, "the request did not begin in time")
	}
	return slices.Clone(r.made), r.err
}
