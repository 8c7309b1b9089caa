package warpgate

import (
	"context"
	"sync"

	"github.com/mezusphere/mezu/daemon/forward"
)

// Targets are where requests may go, and how they are sent there.
type Targets = forward.Targets

// targeting is where requests go now, and what sends them there.
type targeting struct {
	mu     sync.Mutex
	inUse  Targets
	server server // nil while there is none
	// replaced ends when inUse is replaced.
	replaced context.Context
	replace  context.CancelFunc
}

func newTargeting(t Targets) *targeting {
	g := &targeting{inUse: t}
	g.replaced, g.replace = context.WithCancel(context.Background())
	return g
}

// now gives what is in use, and a context that ends when it isn't any more.
func (g *targeting) now() (Targets, context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inUse, g.replaced
}

// upstream is the target of routes that name none, as mezu.ParseUpstream reads it; empty if
// there is none.
func (g *targeting) upstream() string {
	t, _ := g.now()
	if t.Upstream.Address == "" {
		return ""
	}
	return t.Upstream.String()
}

// serve makes a server for the targets in use. It gets all that come later.
func (g *targeting) serve(made func(forward.Config) server, c forward.Config) server {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.Targets = g.inUse
	g.server = made(c)
	return g.server
}

// served says that the server is about to be closed.
func (g *targeting) served() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.server = nil
}

// Retarget has requests that begin from now on go elsewhere, or be sent in another way. Those
// under way end where they began. It may be called at any time.
func (g *Warpgate) Retarget(to Targets) {
	t := g.targets
	t.mu.Lock()
	t.inUse = to
	if t.server != nil {
		t.server.Retarget(to)
	}
	replace := t.replace
	t.replaced, t.replace = context.WithCancel(context.Background())
	t.mu.Unlock()
	replace()
}
