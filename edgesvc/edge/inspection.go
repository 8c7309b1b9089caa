package edge

import (
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mezusphere/mezu/edgesvc/edge/waf"
	"github.com/mezusphere/mezu/tunnel"
)

const (
	// tellEvery is how often the log is told of what the firewall finds in the requests of one
	// address. A scanner sends thousands a minute, and the first says what the others do.
	tellEvery = time.Minute
	// maxTold bounds the addresses of which is noted when the log was told. Of others it isn't told
	// while there are so many.
	maxTold = 8192
	// keptShare is the part of the memory that bodies may take which are kept until filters have
	// looked at them.
	keptShare = 8
	// keptDefault is that where no limit of memory is known.
	keptDefault = 64 << 20
)

// keptBodies is how much memory kept bodies may take, by the runtime's limit.
func keptBodies() int {
	limit := debug.SetMemoryLimit(-1) // a negative limit changes nothing
	if limit == noMemoryLimit {
		return keptDefault
	}
	return int(limit / keptShare)
}

// noMemoryLimit is what the runtime has for no limit.
const noMemoryLimit = 1<<63 - 1

// inspections tell metrics and the log what the firewall finds.
type inspections struct {
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	mu   sync.Mutex
	told map[findings]*told
}

// findings are requests of one address that are told of together.
type findings struct {
	address tunnel.Address
	detect  bool
	result  waf.Result
}

// told is when the log was told, and how many requests it was not told of since.
type told struct {
	at    time.Time
	since int
}

// inspected is told of each request that the firewall has judged.
func (i *inspections) inspected(in *waf.Inspection) {
	i.metrics.inspected(in)
	if in.Result == waf.Passes {
		return
	}
	more, tell := i.tells(findings{tunnel.AddressOf(in.Client), in.Detect, in.Result})
	if !tell {
		return
	}
	mode, attrs := "block", []any{
		"request_id", in.RequestID, "environment", in.Environment, "route", in.Route, "address", shown(in.Client), "score", in.Score, "rules", in.Rules,
	}
	if in.Detect {
		mode = "detect"
	}
	if in.Partial != "" {
		attrs = append(attrs, "partial", in.Partial)
	}
	if more > 0 {
		attrs = append(attrs, "more", more)
	}
	i.log.Warn("the firewall found something", append(attrs, "mode", mode)...)
}

func shown(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// tells reports whether the log is to be told, and of how many more requests than this one.
func (i *inspections) tells(f findings) (more int, tell bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	t := i.told[f]
	if t == nil {
		if len(i.told) >= maxTold {
			i.forget(now)
		}
		if len(i.told) >= maxTold {
			return 0, false
		}
		i.told[f] = &told{at: now}
		return 0, true
	}
	if now.Sub(t.at) < tellEvery {
		t.since++
		return 0, false
	}
	more = t.since
	*t = told{at: now}
	return more, true
}

// forget drops those of whom the log was told a while ago.
func (i *inspections) forget(now time.Time) {
	for f, t := range i.told {
		if now.Sub(t.at) >= tellEvery {
			delete(i.told, f)
		}
	}
}
