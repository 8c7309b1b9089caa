package shed

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Limit is a limit that clients meet.
type Limit int

// Limits.
const (
	LimitConnections Limit = iota
	LimitHandshakes
	LimitRequests
	LimitRefusals
	LimitMemory
	limits // how many there are
)

// String is the limit as metrics and the log name it.
func (l Limit) String() string {
	return [limits]string{"connections", "handshakes", "requests", "refusals", "memory"}[l]
}

// Limits are all of them.
func Limits() (all []Limit) {
	for l := range limits {
		all = append(all, l)
	}
	return all
}

// Limited is how often a limit was met.
func (g *Guard) Limited(l Limit) uint64 { return g.counts[l].Load() }

const (
	// tellEvery is the least time between two lines of the log about an address and a limit.
	tellEvery = time.Minute
	// maxLines bounds how many addresses and limits have lines of their own at once. Nobody
	// reads more; what comes from others is told in one line for each limit.
	maxLines = 256
)

// digest is what the log is told of clients: a line at once, and then one a minute at most
// for each address and limit, with how many there were.
type digest struct {
	log *slog.Logger

	mu    sync.Mutex
	lines map[about]*line
	next  time.Time // when something may be told again
}

// about is what a line is about. Without an address it is about all that have none of their own.
type about struct {
	limit Limit
	from  key
}

type line struct {
	count int
	next  time.Time // when it may be told
	from  netip.Addr
}

func (d *digest) init(log *slog.Logger) { d.log, d.lines = log, map[about]*line{} }

// note counts one.
func (d *digest) note(limit Limit, from netip.Addr, now time.Time) {
	d.mu.Lock()
	k := about{limit, client(from)}
	l := d.lines[k]
	if l == nil && len(d.lines) >= maxLines {
		k.from, from = key{}, netip.Addr{}
		l = d.lines[k]
	}
	if l != nil {
		l.count++
		d.mu.Unlock()
		return
	}
	d.lines[k] = &line{next: now.Add(tellEvery), from: from}
	d.mu.Unlock()
	d.say(limit, from, 1)
}

// tell writes the lines whose time has come, or all.
func (d *digest) tell(now time.Time, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines) == 0 || !all && now.Before(d.next) {
		return
	}
	d.next = now.Add(time.Second)
	for k, l := range d.lines {
		switch {
		case !all && now.Before(l.next):
		case l.count == 0:
			delete(d.lines, k)
		default:
			d.say(k.limit, l.from, l.count)
			l.count, l.next = 0, now.Add(tellEvery)
		}
	}
}

func (d *digest) say(limit Limit, from netip.Addr, count int) {
	who := "others"
	if from.IsValid() {
		who = from.String()
	}
	d.log.Info("a client is limited", "limit", limit.String(), "address", who, "count", count)
}
