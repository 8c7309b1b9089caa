package shed

import (
	"log/slog"
	"math"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// Levels of memory, and what is given up from each on.
const (
	closesIdle int32 = iota + 1
	takesNone
	answersNone
)

const (
	// lookEvery is how often memory is looked at. What is in use is known at each
	// collection of garbage, of which there are several a second when memory is short.
	lookEvery = 250 * time.Millisecond
	// closesIdleAt, takesNoneAt and answersNoneAt are the parts of the memory, of a hundred,
	// at which levels are reached. Garbage nears the limit by design, and so it is memory in
	// use that counts: what no collection frees.
	closesIdleAt, takesNoneAt, answersNoneAt = 92, 95, 98
	// backBy is how much less must be in use before a level is left. Without it an edge at
	// the limit would begin and end to refuse many times a second.
	backBy = 5
	// collectAfter is the time after which garbage is collected while something is given up,
	// if nothing else has caused it: an edge that refuses all makes little garbage, and would
	// not learn that it may go on.
	collectAfter = time.Second
)

// memory is how much of its memory the process has in use.
type memory struct {
	read      func() (used, limit uint64)
	closeIdle func()
	log       *slog.Logger
	level     atomic.Int32

	// Of the watcher alone.
	cycles    uint64 // collections so far
	collected time.Time
	samples   []metrics.Sample
}

func (m *memory) init(cfg Config) {
	m.read, m.closeIdle, m.log = cfg.Memory, cfg.CloseIdle, cfg.Log
	if m.read == nil {
		m.samples = []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/gomemlimit:bytes"}}
		m.read = m.ask
	}
}

// ask asks the runtime.
func (m *memory) ask() (used, limit uint64) {
	metrics.Read(m.samples)
	if limit = m.samples[3].Value.Uint64(); limit == math.MaxInt64 {
		limit = 0
	}
	return m.samples[0].Value.Uint64() + m.samples[1].Value.Uint64(), limit
}

// look finds the level, and does what it asks for.
func (m *memory) look(now time.Time) {
	used, limit := m.read()
	if limit == 0 {
		return
	}
	before := m.level.Load()
	level := next(before, used, limit)
	m.level.Store(level)
	if level != before {
		m.tell(before, level, used, limit)
	}
	if level >= closesIdle {
		m.closeIdle()
	}
	m.refresh(level, now)
}

// refresh has garbage collected if something is given up and nothing else has for a while.
func (m *memory) refresh(level int32, now time.Time) {
	if m.samples == nil {
		return
	}
	cycles := m.samples[2].Value.Uint64()
	switch {
	case level == 0 || cycles != m.cycles:
		m.cycles, m.collected = cycles, now
	case now.Sub(m.collected) >= collectAfter:
		runtime.GC()
	}
}

// next is the level that follows one.
func next(level int32, used, limit uint64) int32 {
	const hundred = 100
	at := [...]uint64{closesIdleAt, takesNoneAt, answersNoneAt}
	part := float64(used) / float64(limit) * hundred
	for level < answersNone && part >= float64(at[level]) {
		level++
	}
	for level > 0 && part < float64(at[level-1]-backBy) {
		level--
	}
	return level
}

func (m *memory) tell(before, level int32, used, limit uint64) {
	does := [...]string{"nothing is given up any more", "idle connections are closed", "no public connections are taken", "requests are answered with 503"}
	log, said := m.log.Warn, "memory is short"
	if level < before {
		log, said = m.log.Info, "memory is less short"
	}
	log(said, "level", level, "does", does[level], "in_use", used, "limit", limit)
}
