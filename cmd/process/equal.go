package process

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Equal lines of a log are one, and one more that says how many came after it. What is tried
// again and again is said at once, and then in ever longer spans.
const (
	// firstSpan is how long equal lines are counted before their number is said; each span
	// after it is twice as long, up to lastSpan.
	firstSpan = 10 * time.Second
	lastSpan  = 10 * time.Minute
	// maxEqual bounds how many different lines are counted, and maxEqualBytes how much one of
	// them says. Others are written as they come.
	maxEqual      = 256
	maxEqualBytes = 4 << 10
	// singleAttr is the id of a request: a line with one is like no other, and somebody may
	// look for it. It takes no place of those that are counted.
	singleAttr = "request_id"
	// repeatedAttr is the number of lines that one stands for, since the one before.
	repeatedAttr = "repeated"
)

// equalLines are the lines of one log that were written not long ago.
type equalLines struct {
	mu     sync.Mutex
	lines  map[string]*equalLine
	closed bool
}

// equalLine is a line that was written, and how often it came since.
type equalLine struct {
	to    slog.Handler
	last  slog.Record
	count int
	span  time.Duration
	timer *time.Timer
}

// countingHandler is a handler of a log that counts equal lines.
type countingHandler struct {
	to   slog.Handler
	seen *equalLines
	with string // what WithAttrs and WithGroup added
}

// countEqual makes a handler that counts what to would write again.
func countEqual(to slog.Handler) *countingHandler {
	return &countingHandler{to: to, seen: &equalLines{lines: map[string]*equalLine{}}}
}

// Enabled implements slog.Handler.
func (h *countingHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

// Handle implements slog.Handler. Whoever reads lines of debugging wants all of them.
func (h *countingHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		if key := h.key(r); key != "" && h.seen.again(key, h.to, r) {
			return nil
		}
	}
	return h.to.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *countingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var with strings.Builder
	with.WriteString(h.with)
	for _, a := range attrs {
		with.WriteString(alike(a))
	}
	return &countingHandler{to: h.to.WithAttrs(attrs), seen: h.seen, with: with.String()}
}

// WithGroup implements slog.Handler.
func (h *countingHandler) WithGroup(name string) slog.Handler {
	return &countingHandler{to: h.to.WithGroup(name), seen: h.seen, with: h.with + strconv.Quote(name)}
}

// key is the same for lines that say the same, and empty for one that is not counted.
func (h *countingHandler) key(r slog.Record) string {
	var b strings.Builder
	b.WriteString(h.with)
	b.WriteString(r.Level.String())
	b.WriteString(strconv.Quote(r.Message))
	counted := true
	r.Attrs(func(a slog.Attr) bool {
		if counted = a.Key != singleAttr; counted {
			b.WriteString(alike(a))
			counted = b.Len() <= maxEqualBytes
		}
		return counted
	})
	if !counted {
		return ""
	}
	return b.String()
}

// ownPort is the port of this end in the text of an error, which is another one at each try.
var ownPort = regexp.MustCompile(`:[0-9]+->`)

// alike is an attribute without what differs from one try to the next.
func alike(a slog.Attr) string {
	value := a.Value.Resolve().String()
	switch a.Key {
	case "retry_in":
		value = ""
	case "peer":
		if host, _, err := net.SplitHostPort(value); err == nil {
			value = host
		}
	case "error":
		value = ownPort.ReplaceAllString(value, "->")
	}
	return a.Key + strconv.Quote(value)
}

// again counts a line that came before, or notes it and says that it is a new one.
func (s *equalLines) again(key string, to slog.Handler, r slog.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if l := s.lines[key]; l != nil {
		l.to, l.last = to, r.Clone()
		l.count++
		return true
	}
	if len(s.lines) >= maxEqual {
		return false
	}
	l := &equalLine{span: firstSpan}
	s.lines[key] = l
	l.timer = time.AfterFunc(l.span, func() { s.spanEnded(key, l) })
	return false
}

// spanEnded says at the end of a span how often a line came, or forgets it.
func (s *equalLines) spanEnded(key string, l *equalLine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if l.count == 0 {
		delete(s.lines, key)
		return
	}
	l.say()
	l.span = min(2*l.span, lastSpan)
	l.timer.Reset(l.span)
}

// say writes the line as it came last, with the number.
func (l *equalLine) say() {
	r := l.last.Clone()
	r.AddAttrs(slog.Int(repeatedAttr, l.count))
	l.count = 0
	_ = l.to.Handle(context.Background(), r) // a log that can't be written is nobody's to know
}

// close says what was counted and not said yet, and counts no more.
func (s *equalLines) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var left []*equalLine
	for _, l := range s.lines {
		l.timer.Stop()
		if l.count > 0 {
			left = append(left, l)
		}
	}
	slices.SortFunc(left, func(a, b *equalLine) int {
		return cmp.Or(a.last.Time.Compare(b.last.Time), strings.Compare(a.last.Message, b.last.Message))
	})
	for _, l := range left {
		l.say()
	}
	s.lines = nil
}
