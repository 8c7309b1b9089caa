// Package hosted answers what is asked below mezu.ReservedPath: the pages on which people
// sign up, log in and look after their accounts, and what applications ask about sessions.
// The control plane makes the pages. An edge asks it for each, checks the answer, and has a
// few answers of its own for when the control plane can't be reached.
//
// What lives here: what such a request may have, how many there may be, what an answer may
// have, and the answers of the edge's own. What may not: reading requests and writing
// answers (package web), what a cookie is worth (package session), what pages do
// (edgesvc/identity). edgesvc/edge and edgesvc/edge/web import it.
package hosted

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/gcra"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// Bounds on requests for pages.
const (
	// pageTimeout bounds the wait for the control plane. People wait no longer.
	pageTimeout = 10 * time.Second
	// maxPages is how many requests may wait for the control plane at once, and
	// maxEnvironmentPages how many of one environment: a flood on the login of one leaves
	// three quarters to the others.
	maxPages            = 256
	maxEnvironmentPages = 64
	// pagesPerSecond is how many pages one client network may ask for. A login is five or
	// six, so three people a second log in behind one address.
	pagesPerSecond = 20
	// probesPerSecond is how many probes one client address may make, so that nobody can
	// load a Warpgate with them.
	probesPerSecond = 10
	// maxSaid bounds each of the fields of a request that are passed on. Browsers stay
	// below half of it; what is longer is cut.
	maxSaid = 512
)

// MaxBody bounds the body of a request for a page.
const MaxBody = api.MaxPageBody

// Probe is the path by which anybody can try the way to a Warpgate.
const Probe = mezu.ReservedPath + "probe"

// ForPrograms reports whether programs ask for a path, about the environment itself: whether it can
// be reached, who is logged in, which keys it has.
func ForPrograms(path string) bool {
	return path == Probe || path == mezu.ReservedPath+pathSession || path == mezu.ReservedPath+pathKeys
}

// Paths below mezu.ReservedPath that the edge knows.
const (
	pathSession = "session"
	pathKeys    = "jwks.json"
	pathLogin   = "login"
	pathLogout  = "logout"
)

// Config is what Pages are made of.
type Config struct {
	// Client calls the control plane as the edge that has enrolled; nil before.
	Client func() *api.Client
	// Keys are the public keys that sign assertions for the workloads of an environment, in
	// the same slice as long as they are the same; if nil, there are none.
	Keys func(environment string) []mezu.AssertionKey
}

// Pages answers. It is safe for concurrent use.
type Pages struct {
	cfg      Config
	networks *gcra.Limiter // of pages
	probes   *gcra.Limiter
	refused  atomic.Uint64
	lists    lists

	mu     sync.Mutex
	asked  int            // requests that wait for the control plane
	askers map[string]int // by environment
}

// New makes Pages.
func New(cfg Config) *Pages {
	each := func(second int) *gcra.Limiter {
		return gcra.New(gcra.Rate{Events: second, Per: time.Second, Burst: second})
	}
	return &Pages{cfg: cfg, askers: map[string]int{}, networks: each(pagesPerSecond), probes: each(probesPerSecond)}
}

// Request is a request below mezu.ReservedPath.
type Request struct {
	*relay.Request
	// Client is the visitor's address.
	Client netip.Addr
	// Environment is the one of the request's host. Directory is the one that it names,
	// empty if there is none.
	Environment, Directory string
	// Cookies are those of ours that came, by their names.
	Cookies []api.PageField
	// Body is complete.
	Body []byte
	// Session finds who the visitor is, nil if nobody that is known.
	Session func() (*mezu.Grant, error)
	// Leave ends the session at this edge, because the control plane can't be told now.
	Leave func() error
}

// Methods are those that a path below mezu.ReservedPath takes, sorted.
func Methods(path string) []string {
	switch path {
	case Probe, mezu.ReservedPath + pathSession, mezu.ReservedPath + pathKeys:
		return []string{"GET", "HEAD"}
	}
	return []string{"GET", "HEAD", "POST"}
}

// Admit judges a request by all but its body, before that is read: whether there is such a
// page, and whether its client's network may have one now.
func (p *Pages) Admit(r *Request, now time.Time) error {
	switch path := r.path(); {
	case path == pathSession || path == pathKeys:
		return nil
	case !strings.HasPrefix(r.Path.Path, mezu.ReservedPath) || path == "":
		return &mezu.Error{Code: mezu.CodeNoRoute, Detail: "there is nothing under this reserved path"}
	case r.Directory == "":
		return &mezu.Error{Code: mezu.CodeNoRoute, Detail: "nobody can log in here: the environment has no directory"}
	}
	if _, ok := p.networks.Allow(gcra.Network(r.Client).String(), now); !ok {
		p.refused.Add(1)
		return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "this network asks for too many pages"}
	}
	return nil
}

// path is what follows mezu.ReservedPath.
func (r *Request) path() string { return strings.TrimPrefix(r.Path.Path, mezu.ReservedPath) }

// AdmitProbe counts a probe of a client, if it may make one now.
func (p *Pages) AdmitProbe(client netip.Addr, now time.Time) error {
	if _, ok := p.probes.Allow(gcra.Client(client).String(), now); !ok {
		return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "at most 10 probes a second"}
	}
	return nil
}

// Serve answers a request that Admit let pass. An error that is a *mezu.Error is told to the
// visitor.
func (p *Pages) Serve(ctx context.Context, r *Request) (*policy.Answer, error) {
	switch r.path() {
	case pathSession:
		return p.session(r)
	case pathKeys:
		return p.keys(r)
	}
	return p.page(ctx, r)
}

// begin takes room for one more request that waits for the control plane.
func (p *Pages) begin(environment string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked >= maxPages || p.askers[environment] >= maxEnvironmentPages {
		return false
	}
	p.asked++
	p.askers[environment]++
	return true
}

// end gives it back.
func (p *Pages) end(environment string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked--
	if p.askers[environment]--; p.askers[environment] == 0 {
		delete(p.askers, environment)
	}
}

// InFlight is how many requests wait for the control plane.
func (p *Pages) InFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Refused counts the requests for pages that were refused because there were too many.
func (p *Pages) Refused() uint64 { return p.refused.Load() }

// field is what all lines of a field say together (RFC 9110, 5.3), cut to maxSaid.
func (r *Request) field(lower string) string {
	var out []byte
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Is(lower) && len(out) < maxSaid {
			if out != nil {
				out = append(out, ", "...)
			}
			out = append(out, f.Value...)
		}
	}
	return string(out[:min(len(out), maxSaid)])
}

// sameOrigin reports whether a request can only come from a page of this host, or from no
// page at all.
func (r *Request) sameOrigin() bool {
	if site := r.field("sec-fetch-site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.field("origin")
	return origin == "" || origin == "https://"+r.Authority
}

// fromOwnPage reports whether a request certainly comes from a page of this host, as a form
// must that changes anything.
func (r *Request) fromOwnPage() bool {
	return r.field("origin") == "https://"+r.Authority && slices.Contains([]string{"", "same-origin"}, r.field("sec-fetch-site"))
}
