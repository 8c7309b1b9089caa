package main

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/daemon"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/daemon/page"
	"github.com/mezusphere/mezu/daemon/rest"
	"github.com/mezusphere/mezu/local"
)

// hosting is a host of tunnels, and the socket on which commands reach it.
type hosting struct {
	*daemon.Host
	server *rest.Server
	page   *page.Page
	socket net.Listener
	kept   *inspect.Inspector // nil if nothing is kept
	// asked is what it was told when it was told to end, nil if nobody did.
	asked atomic.Pointer[local.Shutdown]
}

// newHosting assembles a host. keeps is how much its inspector keeps, as local.ParseInspect reads
// it. logTail reads the end of its log; it may be nil.
func newHosting(cfg daemon.Config, keeps string, logTail func(most int) ([]byte, error)) (*hosting, error) {
	h := &hosting{}
	cfg.Hub = event.NewHub(time.Now)
	much, err := local.ParseInspect(keeps)
	if err != nil {
		return nil, err
	}
	if !much.Off {
		h.kept = inspect.New(inspect.Config{Inspect: much})
		cfg.Inspector = h.kept
		cfg.Show = show.New(show.Config{Inspector: cfg.Inspector, Address: h.address, Now: time.Now})
	}
	if h.Host, err = daemon.New(cfg); err != nil {
		return nil, err
	}
	h.server = rest.New(rest.Config{Host: h, Events: cfg.Hub, Show: cfg.Show, Replayer: h, Page: h.openPage, Version: cfg.Version, LogTail: logTail, Log: cfg.Log, Now: time.Now})
	h.page = page.New(page.Config{Reads: h.server.Reads(), Hold: h.Hold, Log: cfg.Log, Now: time.Now})
	return h, nil
}

// openPage serves the inspector's page, and gives its address.
func (h *hosting) openPage() (string, error) { return h.page.Open() }

// address is the public address of a tunnel, empty if it has none, and the file with the CA of its
// installation.
func (h *hosting) address(id string) (address, caFile string) {
	t, err := h.Get(id)
	if err != nil {
		return "", ""
	}
	return t.URL, t.CAFile
}

// listen takes the folder with the tunnels, and then the socket at path.
func (h *hosting) listen(path string) (err error) {
	if err := h.Host.Listen(); err != nil {
		return err
	}
	if h.socket, err = local.Listen(path); err != nil {
		h.close()
	}
	return err
}

// parts are what runs, in the order in which it stops: commands are answered until the last
// tunnel has ended. run runs the host.
func (h *hosting) parts(run func(context.Context) error) []process.Part {
	all := []process.Part{{Name: "tunnels", Run: run, Close: h.Host.Close}}
	if h.socket != nil {
		all = append(all, process.Part{Name: "local API", Run: func(ctx context.Context) error { return h.server.Serve(ctx, h.socket) }}, process.Part{Name: "inspector page", Run: h.page.Run})
	}
	if h.kept != nil {
		all = append(all, process.Part{Name: "memory", Run: func(ctx context.Context) error {
			return keepSmall(ctx, func() int64 { return h.kept.State().Bytes })
		}})
	}
	return all
}

// close gives back what listen took, if it did not come to run.
func (h *hosting) close() {
	h.Host.Close()
	if h.socket != nil {
		h.socket.Close()
	}
}

// Shutdown notes what was asked for.
func (h *hosting) Shutdown(s local.Shutdown) error {
	h.asked.Store(&s)
	return h.Host.Shutdown(s)
}

// stopped reports whether somebody has ended this host, and wants no other one in its place.
func (h *hosting) stopped(ctx context.Context) bool {
	s := h.asked.Load()
	return s == nil && ctx.Err() != nil || s != nil && !s.Restart
}

// leavesTunnels reports whether this host was told to make way for a newer one when nobody
// needed it, and has tunnels that live without a command. Nobody else would start the newer one
// for those.
func (h *hosting) leavesTunnels() bool {
	s := h.asked.Load()
	return s != nil && s.Idle && s.Restart && slices.ContainsFunc(h.List(), func(t mezu.Tunnel) bool { return t.Detached && !t.Stopped })
}
