package rest

import (
	"net/netip"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/service"
	"github.com/mezusphere/mezu/edgesvc/gcra"
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
	// strangerShare is the part of that for everybody without a credential at one
	// address, or of one network of strangerBits, wrong credentials included.
	strangerShare = 5
	// strangerBits is how much of an IPv6 address tells strangers apart: whoever has
	// one has all of its /64, which is the size of a network (RFC 4291, 2.5.4).
	strangerBits = 64
	// maxStreams is how many streams a caller may hold open: each costs a goroutine
	// and a place in the store's fan-out.
	maxStreams = 64
)

// limits counts what callers do, in this process.
type limits struct {
	callers, strangers *gcra.Limiter

	mu      sync.Mutex
	streams map[string]int
}

// newLimits makes the limits for a rate of calls a second; zero is DefaultCallRate.
func newLimits(rate int) *limits {
	if rate == 0 {
		rate = DefaultCallRate
	}
	of := func(events int) *gcra.Limiter {
		return gcra.New(gcra.Rate{Events: events, Per: time.Second, Burst: events * burstSeconds})
	}
	return &limits{callers: of(rate), strangers: of(max(1, rate/strangerShare)), streams: map[string]int{}}
}

// call counts a call or refuses it.
func (l *limits) call(c service.Caller) error {
	limiter, key := l.callers, string(c.Kind)+" "+c.ID
	if c.Kind == service.Anonymous {
		limiter, key = l.strangers, networkOf(c.Address)
	}
	if _, ok := limiter.Allow(key, time.Now()); ok {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "too many calls in a short time", Hint: "wait as Retry-After says, and call less often; watch instead of asking again and again"}
}

// networkOf is what strangers who share it are one by: an IPv4 address, in whatever
// form it comes, or the network of an IPv6 one.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, strangerBits).Masked().String()
}

// open counts a stream of a caller until done is called, or refuses it.
func (l *limits) open(c service.Caller) (done func(), err error) {
	key := string(c.Kind) + " " + c.ID
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
