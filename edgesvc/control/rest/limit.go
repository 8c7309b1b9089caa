package rest

import (
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/gcra"
)

// What one caller may ask of the API.
const (
	// DefaultCallRate is how many calls a second a person, a service account, an edge or
	// a Warpgate may make: far above what a program does that works for one of them,
	// and below what would keep one processor busy.
	DefaultCallRate = 100
	// burstSeconds is how many seconds' worth of calls may come at once, as when a
	// script begins.
	burstSeconds = 5
	// strangerShare divides that rate for callers without a valid credential. All of them
	// at one IPv4 address, or in the network of an IPv6 address (gcra.Client), share the result.
	strangerShare = 5
	// maxStreams is how many streams a caller may hold open: each costs a goroutine
	// and a place in the store's fan-out.
	maxStreams = 64
	// maxSpent bounds the memory of credentials that have no call left to some hundred
	// kilobytes. Beyond it callers are still refused, but only after they were looked up.
	maxSpent = 4096
)

// limits counts what callers do, in this process.
type limits struct {
	callers, strangers *gcra.Limiter

	mu      sync.Mutex
	streams map[string]int
	spent   map[credential]spent
}

// credential is a hash of what a caller presents and of the network it comes from.
type credential [sha256.Size]byte

// credentialOf reads the credential of a request. It does not check it.
func credentialOf(req *http.Request) credential {
	h := sha256.New()
	io.WriteString(h, gcra.ClientOf(addressOf(req.RemoteAddr))+"\x00")
	if header := req.Header.Get("Authorization"); header != "" {
		io.WriteString(h, header)
	} else if req.TLS != nil && len(req.TLS.PeerCertificates) > 0 {
		h.Write(req.TLS.PeerCertificates[0].Raw)
	}
	return credential(h.Sum(nil))
}

// addressOf is the host of host:port, empty if it is not that.
func addressOf(remote string) string {
	host, _, _ := net.SplitHostPort(remote)
	return host
}

// spent is a credential that has no call left: until when, and how far apart its calls have
// to be.
type spent struct {
	until    time.Time
	interval time.Duration
}

// errTooOften refuses a call beyond the limit.
var errTooOften = &mezu.Error{Code: mezu.CodeRateLimited, Detail: "too many calls in a short time", Hint: "wait as Retry-After says, and call less often; watch instead of asking again and again"}

// newLimits makes the limits for a rate of calls a second; zero is DefaultCallRate.
func newLimits(rate int) *limits {
	if rate == 0 {
		rate = DefaultCallRate
	}
	of := func(events int) *gcra.Limiter {
		return gcra.New(gcra.Rate{Events: events, Per: time.Second, Burst: events * burstSeconds})
	}
	return &limits{callers: of(rate), strangers: of(max(1, rate/strangerShare)), streams: map[string]int{}, spent: map[credential]spent{}}
}

// call counts a call, or refuses it and remembers the credential.
func (l *limits) call(c access.Caller, by credential) error {
	limiter := l.callers
	if c.Kind == access.Anonymous {
		limiter = l.strangers
	}
	now := time.Now()
	wait, ok := limiter.Allow(callerKey(c), now)
	if ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spent) >= maxSpent {
		clear(l.spent)
	}
	l.spent[by] = spent{now.Add(wait), limiter.Interval()}
	return errTooOften
}

// refuses reports whether a credential is known to have no call left, and how far apart
// its calls have to be. It counts nothing, as call does when it refuses.
func (l *limits) refuses(by credential, now time.Time) (interval time.Duration, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.spent[by]
	if known && !now.Before(s.until) {
		delete(l.spent, by)
		return 0, false
	}
	return s.interval, known
}

// Pacer is a connection that can be read more slowly when its caller calls too often. Its
// methods are safe for concurrent use.
type Pacer interface {
	// Seen is told of each call who makes it.
	Seen(credential [sha256.Size]byte)
	// Refused is told of a call beyond the limit, and how far apart calls have to be.
	Refused(interval time.Duration)
}

type pacerKey struct{}

// WithPacer gives the calls of a connection something to be slowed down by.
func WithPacer(ctx context.Context, p Pacer) context.Context {
	return context.WithValue(ctx, pacerKey{}, p)
}

// tooLoud refuses a credential that is known to have no call left, before anything is read
// or looked up: calls beyond a limit must not cost other callers time.
func (r *rest) tooLoud(req *http.Request, by credential) bool {
	pacer, _ := req.Context().Value(pacerKey{}).(Pacer)
	if pacer != nil {
		pacer.Seen(by)
	}
	interval, refused := r.limits.refuses(by, time.Now())
	if refused && pacer != nil {
		pacer.Refused(interval)
	}
	return refused
}

// visitors reports whether an operation is on behalf of an edge's visitors: the edge bounds
// what each of them causes, and many together are no reason to keep the edge waiting.
func visitors(operation string) bool {
	return operation == api.OpEdgePage.ID || operation == api.OpEdgeRefresh.ID || operation == api.OpEdgeLogout.ID
}

// open counts a stream of a caller until done is called, or refuses it.
func (l *limits) open(c access.Caller) (done func(), err error) {
	key := callerKey(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[key] >= maxStreams {
		return nil, &mezu.Error{Code: mezu.CodeRateLimited, Detail: "too many streams are open", Hint: "close one first"}
	}
	l.streams[key]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.streams[key]--; l.streams[key] == 0 {
			delete(l.streams, key)
		}
	}, nil
}
