// Package workload makes of what was asked for of a tunnel the way to what answers there, and
// says what is in that way.
//
// What lives here: the targets of a tunnel, with the folder that it serves and the password
// that it asks for; a look at what answers; who else listens when nobody does. What may not:
// what a tunnel is, requests of visitors. Package daemon imports it.
package workload

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/folder"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/daemon/forward/hint"
	"github.com/mezusphere/mezu/listening"
	"github.com/mezusphere/mezu/trust"
)

// Config says what the ways of one tunnel have in common.
type Config struct {
	// Contained says that this process runs in a container of its own.
	Contained bool
	// Say is called with what is in the way, once for each kind, by a goroutine of its own.
	Say func(Finding)
}

// Finding is what is in the way.
type Finding struct {
	Code    mezu.Code
	Message string
	// Fixes are what helps, each alone.
	Fixes []string
}

// Hint is the first of what helps, empty if nothing does.
func (f *Finding) Hint() string {
	if len(f.Fixes) == 0 {
		return ""
	}
	return f.Fixes[0]
}

// Way is the way to a workload.
type Way struct {
	Asked   mezu.TunnelTarget
	Targets forward.Targets

	cfg    Config
	life   context.Context
	end    context.CancelFunc
	tasks  sync.WaitGroup
	mu     sync.Mutex
	closed bool
}

// Open makes a way, and opens the files that it names. before is the way that it replaces, or
// nil: whoever has given the same password before goes on. The caller closes it.
func Open(cfg Config, t mezu.TunnelTarget, before *Way) (*Way, error) {
	w := &Way{Asked: t, cfg: cfg, Targets: forward.Targets{HostHeader: t.HostHeader, Insecure: t.Insecure, TryTLS: true}}
	switch {
	case t.BasicAuth == nil:
	case before != nil && reflect.DeepEqual(before.Asked.BasicAuth, t.BasicAuth):
		w.Targets.Guard = before.Targets.Guard
	default:
		w.Targets.Guard = guard.New(*t.BasicAuth, nil)
	}
	for _, a := range t.AllowTargets {
		u, err := mezu.ParseUpstream(a)
		if err != nil {
			return nil, mezu.Below("allow_targets", err)
		}
		w.Targets.Allow = append(w.Targets.Allow, u)
	}
	var err error
	if w.Targets.WorkloadCA, err = roots(t.UpstreamCA); err != nil {
		return nil, err
	}
	w.life, w.end = context.WithCancel(context.Background())
	if t.Folder() {
		err = w.serve()
	} else if t.Target == mezu.TargetCapture {
		w.Targets.Capture = cmp.Or(t.Capture, &mezu.TunnelCapture{})
	} else if w.Targets.Upstream, err = mezu.ParseUpstream(t.Target); err != nil {
		err = mezu.Below("target", err)
	} else {
		w.Targets.Hints = w.watcher(w.say)
	}
	if err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// serve serves a folder.
func (w *Way) serve() error {
	s, err := folder.Listen(folder.Config{Path: w.Asked.Target, Listing: w.Asked.Listing, SPA: w.Asked.SPA})
	if err != nil {
		return err
	}
	w.Targets.Upstream = s.Upstream()
	w.spawn(func() { s.Run(w.life) }) // it ends with the way alone
	return nil
}

// spawn runs f, unless the way was closed. Close waits for it.
func (w *Way) spawn(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.tasks.Go(f)
	}
}

// Close ends what the way needs, such as the folder that it serves. It is idempotent.
func (w *Way) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.end()
	w.tasks.Wait()
}

// roots reads the CA of a workload, nil if none is named.
func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pool, err := trust.LoadRoots(path)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "upstream_ca", Detail: err.Error(), Hint: "name a PEM file with the CA of the workload", Cause: err}
	}
	return pool, nil
}

// Refuses says that nothing answers at the target, unless a request has said so.
func (w *Way) Refuses() {
	if w.Targets.Hints != nil {
		w.Targets.Hints.Refuses()
	}
}

// watcher recognises what is in the way for one look.
func (w *Way) watcher(say func(hint.Hint)) *hint.Watcher {
	return hint.New(hint.Config{Target: w.Targets.Upstream, HostHeader: w.Asked.HostHeader, Contained: w.cfg.Contained, Say: say})
}

// say hands on what is in the way.
func (w *Way) say(h hint.Hint) {
	w.spawn(func() { w.cfg.Say(w.finding(w.life, h)) })
}

// finding is a hint with what this machine knows beyond it.
func (w *Way) finding(ctx context.Context, h hint.Hint) Finding {
	f := Finding{Code: mezu.CodeWorkloadBadResponse, Message: h.Message, Fixes: h.Fixes}
	switch h.Kind {
	case hint.Container:
		f.Code = mezu.CodeWorkloadRefused
		w.addMoved(ctx, &f) // it may be in here after all
	case hint.Refused, hint.Gone:
		f.Code = mezu.CodeWorkloadRefused
		w.addOthers(ctx, &f)
	}
	return f
}

// mostNamed is how many of the others are named: as many as fit on a line.
const mostNamed = 3

// addOthers says who else listens here, because a server that is restarted may have taken
// another port.
func (w *Way) addOthers(ctx context.Context, f *Finding) {
	all := w.addMoved(ctx, f)
	if len(f.Fixes) > 0 {
		return
	}
	f.Fixes = []string{"start it, or " + w.check()}
	var names []string
	for _, l := range all {
		if l.Local() && len(names) < mostNamed {
			names = append(names, l.String())
		}
	}
	if names != nil {
		f.Message += "; listening here: " + strings.Join(names, ", ")
	}
}

// check is what to do about a target that may be another than was meant.
func (w *Way) check() string {
	if w.Targets.Upstream.Network() != "tcp" {
		return "check the path"
	}
	return "check the port"
}

// addMoved says who most likely answers instead, which helps before all else. It gives all that
// listen if it finds none.
func (w *Way) addMoved(ctx context.Context, f *Finding) []listening.Listener {
	port := w.Targets.Upstream.LocalPort()
	if port == 0 {
		return nil
	}
	all, err := listening.List(ctx)
	if err != nil {
		return nil
	}
	l, ok := listening.Instead(all, port)
	if !ok {
		return all
	}
	f.Message += fmt.Sprintf("; %s listens on %d now", l.Name(), l.Port)
	f.Fixes = append([]string{"mezu tunnel " + strconv.Itoa(l.Port)}, f.Fixes...)
	return nil
}

// program is what listens at the target, empty if that can't be seen.
func (w *Way) program(ctx context.Context) string {
	port := w.Targets.Upstream.LocalPort()
	if port == 0 {
		return ""
	}
	all, err := listening.List(ctx)
	if err != nil {
		return ""
	}
	for _, l := range all {
		if l.Port == port && l.Local() {
			return l.Name()
		}
	}
	return ""
}
