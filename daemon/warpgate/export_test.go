package warpgate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"net/url"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// serveFunc is a server that is one function.
type serveFunc func(ctx context.Context, conn net.Conn)

func (f serveFunc) ServeConn(ctx context.Context, conn net.Conn, _ string) { f(ctx, conn) }
func (f serveFunc) Retarget(Targets)                                       {}
func (f serveFunc) Replay(context.Context, *Repeat, Tape)                  {}
func (f serveFunc) Close()                                                 {}

// TestOnlyServe has f serve the data connections.
func (g *Warpgate) TestOnlyServe(f func(ctx context.Context, conn net.Conn)) {
	g.newServer = func(forward.Config) server { return serveFunc(f) }
}

// TestOnlyForwarding hands out the configuration of what serves data connections.
func (g *Warpgate) TestOnlyForwarding(made chan<- forward.Config) {
	was := g.newServer
	g.newServer = func(c forward.Config) server {
		made <- c
		return was(c)
	}
}

// TestOnlyRequest says that a request ended, as what serves data connections does.
func (g *Warpgate) TestOnlyRequest(e mezu.Event) {
	c := g.forwarding()
	e.WarpgateID = c.Warpgate
	c.Requests.End(0, nil, &Outcome{}, func() mezu.Event { return e })
}

// TestOnlyHurry makes everything that is looked after now and then be looked
// after at once.
func (g *Warpgate) TestOnlyHurry() {
	g.pace = pace{tick: 5 * time.Millisecond, retry: 20 * time.Millisecond, atLeast: 20 * time.Millisecond, withoutTunnel: 300 * time.Millisecond, refused: 20 * time.Millisecond}
}

// TestOnlyRetryLater makes what can wait be tried again much later.
func (g *Warpgate) TestOnlyRetryLater() {
	g.pace.tick, g.pace.retry, g.pace.withoutTunnel, g.pace.refused = time.Hour, time.Hour, time.Hour, time.Hour
}

// HintFor is the hint for an upstream in a runtime environment.
func HintFor(u mezu.Upstream, files fs.FS, env map[string]string) string {
	return workloadHint(u, runtimeEnvironment{files, func(name string) string { return env[name] }})
}

// DialThrough dials addr through a proxy whose certificate roots verify.
func DialThrough(ctx context.Context, proxy *url.URL, roots *x509.CertPool, addr string) (net.Conn, error) {
	d := &proxyDialer{proxy: func(*url.URL) (*url.URL, error) { return proxy, nil }, tls: &tls.Config{RootCAs: roots}}
	return d.DialContext(ctx, "tcp", addr)
}
