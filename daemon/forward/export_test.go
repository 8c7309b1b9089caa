package forward

import (
	"context"
	"net"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// PingSooner makes dead connections be noticed sooner, for tests. It is called before
// the first request.
func (f *Forwarder) PingSooner(after, timeout time.Duration) {
	f.pingAfter, f.pingTimeout = after, timeout
}

// KnownGrant gives what a grant that came before adds to a request: whose it is, what is in
// the way of its end, the fields for the workload, the cookies taken out.
func (f *Forwarder) KnownGrant(t *policy.Table, grant []byte, fields []relay.Field) func() bool {
	w := &worker{f: f, ctx: context.Background()}
	w.visitor.use.Cut = func() {}
	w.info.Grant = grant
	return func() bool {
		w.visitor.forget()
		w.req.Fields = append(w.req.Fields[:0], fields...)
		w.takeCookies()
		ok := w.session(t) != nil && len(w.identity()) > 0
		f.cfg.Uses.End(&w.visitor.use)
		return ok
	}
}

// Redial dials a workload again and again.
func Redial(u mezu.Upstream, within time.Duration) func(context.Context, Dialer) (net.Conn, error) {
	w := newWay(u)
	return func(ctx context.Context, d Dialer) (net.Conn, error) { return w.dial(ctx, d, within) }
}

// LocalOrigin is the origin that a browser on this machine would use for u.
func LocalOrigin(u mezu.Upstream) string {
	scheme, host := localOrigin(u)
	return scheme + "://" + host
}

// MaskQuery is for tests.
func MaskQuery(query string) string { return maskQuery(query) }

// Upstream is the target of routes that name none.
func (f *Forwarder) Upstream() mezu.Upstream { return f.targets.Load().Upstream }
