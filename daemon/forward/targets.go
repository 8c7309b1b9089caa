package forward

import (
	"crypto/tls"
	"crypto/x509"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/daemon/forward/hint"
	"github.com/mezusphere/mezu/policy"
)

// Targets are where requests may go, and how they are sent there. A Forwarder takes others
// while it serves, by Retarget.
type Targets struct {
	// Upstream is the target of routes that name none; if zero, there is none.
	Upstream mezu.Upstream
	// Allow are the further targets that routes may name.
	Allow []mezu.Upstream
	// MayForward reports whether routes may name a target now that is none of these. It
	// is asked for each request; if nil, they may not.
	MayForward func(mezu.Upstream) bool
	// HostHeader is the Host that workloads see: mezu.HostKeep (or empty), mezu.HostTarget,
	// or a host. A route's own comes first.
	HostHeader string
	// WorkloadCA verifies https upstreams; if nil, the system's roots do, and the
	// certificate of a workload on a loopback address is not checked: what listens there is
	// this machine.
	WorkloadCA *x509.CertPool
	// Insecure says that no workload's certificate is checked.
	Insecure bool
	// TryTLS says that a plain target which has never answered, and breaks the connection, is
	// tried with TLS, to say so if it speaks that.
	TryTLS bool
	// Capture answers every request in the place of a workload; if nil, workloads do.
	Capture *mezu.TunnelCapture
	// Guard asks visitors for a password; if nil, nobody is asked.
	Guard *guard.Guard
	// Hints recognises in what Upstream answers, or does not, what is in a developer's way;
	// if nil, nobody looks.
	Hints *hint.Watcher
}

// targets are Targets in use, with the connections to them.
type targets struct {
	Targets
	may     *policy.Targets
	pools   sync.Map   // mezu.Upstream → *pool
	clients sync.Map   // mezu.Upstream → *lanes
	secure  sync.Map   // mezu.Upstream → *tlsLook
	making  sync.Mutex // held while one of these is made
	ended   bool       // others have come in their place; guarded by making
}

func newTargets(t Targets) *targets {
	return &targets{Targets: t, may: policy.NewTargets(t.Upstream, t.Allow)}
}

// Say is what the Warpgate may tell of them. What answers in the place of a workload goes nowhere.
func (t *Targets) Say() mezu.WarpgateTargets {
	return mezu.SayTargets(t.Upstream, t.Allow, t.MayForward != nil || t.Capture != nil)
}

// Retarget has requests that begin from now on go to other targets. Those under way end
// where they began. Connections to what is a target no more, or is spoken to in another way,
// are closed when nobody uses them. It may be called at any time.
func (f *Forwarder) Retarget(to Targets) {
	f.retargets.Lock()
	defer f.retargets.Unlock()
	next, old := newTargets(to), f.targets.Load()
	old.making.Lock()
	old.pools.Range(func(u, p any) bool {
		if next.continues(old, u.(mezu.Upstream)) {
			next.pools.Store(u, p)
		}
		return true
	})
	old.clients.Range(func(u, l any) bool {
		if next.continues(old, u.(mezu.Upstream)) {
			next.clients.Store(u, l)
		}
		return true
	})
	old.ended = true
	old.making.Unlock()
	f.targets.Store(next)
	old.close(next)
}

// continues reports whether connections of old to u serve these, too.
func (t *targets) continues(old *targets, u mezu.Upstream) bool {
	alike := u.Scheme != mezu.UpstreamHTTPS || t.WorkloadCA == old.WorkloadCA && t.Insecure == old.Insecure
	return alike && t.may.Allow(u, t.MayForward)
}

// close closes the connections that are not next's, too. Those in use are closed after it.
func (t *targets) close(next *targets) {
	t.pools.Range(func(u, p any) bool {
		if kept, _ := next.pools.Load(u); kept != p {
			p.(*pool).close()
		}
		return true
	})
	t.clients.Range(func(u, l any) bool {
		if kept, _ := next.clients.Load(u); kept != l {
			l.(*lanes).close()
		}
		return true
	})
}

// pool gives the connections to u that carry one exchange at a time.
func (t *targets) pool(u mezu.Upstream) *pool {
	if p, ok := t.pools.Load(u); ok {
		return p.(*pool)
	}
	t.making.Lock()
	defer t.making.Unlock()
	p, loaded := t.pools.LoadOrStore(u, &pool{dial: t.dialer(u, protocolOne), life: idleLife})
	if t.ended && !loaded { // for a request that began before
		p.(*pool).close()
	}
	return p.(*pool)
}

// lanes gives the connections to u that exchanges share.
func (t *targets) lanes(f *Forwarder, u mezu.Upstream) *lanes {
	if l, ok := t.clients.Load(u); ok {
		return l.(*lanes)
	}
	p := t.pool(u)
	t.making.Lock()
	defer t.making.Unlock()
	l, loaded := t.clients.LoadOrStore(u, &lanes{f: f, two: u.Scheme == mezu.UpstreamH2C, dial: t.dialer(u, protocolTwo, protocolOne), pool: p, life: idleLife})
	if t.ended && !loaded {
		l.(*lanes).close()
	}
	return l.(*lanes)
}

// TLS is how the certificate of u is checked.
func (t *Targets) TLS(u mezu.Upstream) *tls.Config {
	return &tls.Config{RootCAs: t.WorkloadCA, InsecureSkipVerify: t.Insecure || t.WorkloadCA == nil && u.Loopback()}
}
