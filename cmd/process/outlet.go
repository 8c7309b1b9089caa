package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// maxWaitingLines and maxWaitingBytes bound the queue for a reader that is slow or has
	// stopped: the log of a busy minute. Further lines are dropped.
	maxWaitingLines = 8192
	maxWaitingBytes = 1 << 20
	// maxGathered bounds what is written at once: as much as a pipe holds.
	maxGathered = 64 << 10
	// lastLines is how long the end of a program, or another that it starts, waits for
	// somebody to read its last lines.
	lastLines = time.Second
)

// Outlets are stdout and stderr of a program. Until Serve they are written directly. From
// then on a writer never waits for the reader: lines go through a bounded queue. Those
// for which it has no room, or that can't be written, are dropped and counted.
type Outlets struct {
	queues   []*queue
	writers  sync.WaitGroup
	pipe     chan os.Signal
	lost     atomic.Uint64
	finished chan struct{} // when nothing waits any more

	mu              sync.Mutex
	serving, closed bool
	ends            []func() // what is still to be written is, at the end
}

// NewOutlets replaces the streams by outlets. Both use one queue if both lead to the same
// terminal, pipe or file, so that their lines stay in order.
func NewOutlets(s *terminal.Streams) *Outlets {
	o := &Outlets{finished: make(chan struct{})}
	out, err := &outlet{of: o, to: s.Out, notice: plainNotice}, &outlet{of: o, to: s.Err, notice: plainNotice}
	out.queue = &queue{wake: make(chan struct{}, 1)}
	err.queue, o.queues = out.queue, []*queue{out.queue}
	if !sameFile(s.Out, s.Err) {
		err.queue = &queue{wake: make(chan struct{}, 1)}
		o.queues = append(o.queues, err.queue)
	}
	s.Out, s.Err = out, err
	return o
}

// sameFile reports whether two streams lead to one terminal, pipe or file.
func sameFile(a, b io.Writer) bool {
	f, ok := a.(*os.File)
	g, also := b.(*os.File)
	if !ok || !also {
		return false
	}
	is, err := f.Stat()
	if err != nil {
		return false
	}
	as, err := g.Stat()
	return err == nil && os.SameFile(is, as)
}

// Serve says that from now on the program serves. Then a reader that goes away doesn't end
// it: otherwise SIGPIPE would, at the next write.
func (o *Outlets) Serve() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.serving {
		return
	}
	o.serving = true
	// It is caught and not ignored: programs that this one starts would inherit that.
	o.pipe = make(chan os.Signal, 1)
	signal.Notify(o.pipe, syscall.SIGPIPE)
	for _, q := range o.queues {
		q.serve()
		o.writers.Go(q.write)
	}
}

// Lost is how many lines were dropped so far.
func (o *Outlets) Lost() uint64 { return o.lost.Load() }

// atEnd has something called before the outlets are closed.
func (o *Outlets) atEnd(end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, end)
}

// Close writes what still waits, as far as somebody reads it within a second.
func (o *Outlets) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, end := range o.ends {
		end()
	}
	o.ends = nil
	if !o.serving || o.closed {
		return
	}
	o.closed = true
	for _, q := range o.queues {
		q.close()
	}
	go func() {
		o.writers.Wait()
		close(o.finished)
	}()
	timer := time.NewTimer(lastLines)
	defer timer.Stop()
	select {
	case <-o.finished:
	case <-timer.C: // a write that nobody reads ends with the process
	}
	signal.Stop(o.pipe)
}

// Flush waits until what was written so far has been, as far as somebody reads it within a
// second. A program that is started then writes after it.
func (o *Outlets) Flush() {
	timer := time.NewTimer(lastLines)
	defer timer.Stop()
	for _, q := range o.queues {
		select {
		case <-q.flush():
		case <-timer.C:
			return
		}
	}
}

// outlet is one stream.
type outlet struct {
	of     *Outlets
	to     io.Writer
	queue  *queue
	notice func(lost uint64) []byte // guarded by the queue
	lost   uint64                   // dropped and not yet said; only the writer uses it
}

// Write implements io.Writer. While the program serves it never waits and never fails.
func (o *outlet) Write(p []byte) (int, error) {
	if !o.queue.put(o, p) {
		return o.to.Write(p)
	}
	return len(p), nil
}

// plainNotice is a line for people about what was dropped.
func plainNotice(lost uint64) []byte {
	return fmt.Appendf(nil, "warning: %s\n", droppedWords(lost))
}

func droppedWords(lost uint64) string {
	return fmt.Sprintf("%d lines were dropped here, because they were not read in time", lost)
}

// say sets how a stream says what it dropped, if it is an outlet.
func say(w io.Writer, notice func(lost uint64) []byte) {
	if o, ok := w.(*outlet); ok {
		o.queue.mu.Lock()
		o.notice = notice
		o.queue.mu.Unlock()
	}
}

// logNotice is a record of the log about what was dropped.
func logNotice(handler func(io.Writer) slog.Handler) func(uint64) []byte {
	return func(lost uint64) []byte {
		var b bytes.Buffer
		slog.New(handler(&b)).Warn("lines of the log were dropped, because they were not read in time", "lines", lost)
		return b.Bytes()
	}
}

// eventNotice is an event about what was dropped.
func eventNotice(now func() time.Time) func(uint64) []byte {
	return func(lost uint64) []byte {
		line, err := json.Marshal(mezu.Event{Event: mezu.EventError, Time: now(), Code: mezu.CodeOverloaded, Message: droppedWords(lost)})
		if err != nil {
			return nil
		}
		return append(line, '\n')
	}
}

// queue holds lines on their way to one or two outlets.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	serving bool
	closed  bool
	waiting []line
	size    int // in bytes
	dropped map[*outlet]uint64
	// flushes are closed when nothing waits any more.
	flushes []chan struct{}
}

// line is what one call of Write wrote.
type line struct {
	to   *outlet
	text []byte
	lost uint64 // of its outlet, right before it
}

func (q *queue) serve() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.serving = true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	close(q.wake)
}

// put queues a line, or drops it. It returns false when nobody writes the queue.
func (q *queue) put(o *outlet, p []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.serving:
		return false
	case q.closed, len(q.waiting) >= maxWaitingLines, q.size+len(p) > maxWaitingBytes:
		if q.dropped == nil {
			q.dropped = map[*outlet]uint64{}
		}
		q.dropped[o] += lines(p)
		o.of.lost.Add(lines(p))
		return true
	}
	q.waiting = append(q.waiting, line{o, bytes.Clone(p), q.dropped[o]})
	delete(q.dropped, o)
	q.size += len(p)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return true
}

// flush gives what is closed when all that waits now is written.
func (q *queue) flush() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	done := make(chan struct{})
	if !q.serving || q.closed {
		close(done)
		return done
	}
	q.flushes = append(q.flushes, done)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return done
}

func lines(p []byte) uint64 { return uint64(max(1, bytes.Count(p, []byte{'\n'}))) }

// write writes lines until the queue is closed and empty.
func (q *queue) write() {
	for {
		_, open := <-q.wake
		for {
			all, dropped := q.take()
			if len(all) == 0 && len(dropped) == 0 {
				break
			}
			for len(all) > 0 {
				all = all[gather(all).write():]
			}
			for o, lost := range dropped {
				o.tell(lost)
			}
		}
		if !open {
			return
		}
	}
}

// take takes all lines that wait, and the numbers of those dropped after them.
func (q *queue) take() ([]line, map[*outlet]uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all, dropped := q.waiting, q.dropped
	q.waiting, q.size, q.dropped = nil, 0, nil
	if len(all) == 0 && len(dropped) == 0 {
		for _, done := range q.flushes {
			close(done)
		}
		q.flushes = nil
	}
	return all, dropped
}

// gathered are lines of one outlet that are written at once.
type gathered []line

// gather finds how many of the first lines can be written at once.
func gather(all []line) gathered {
	size := len(all[0].text)
	for i, l := range all[1:] {
		if size += len(l.text); l.to != all[0].to || l.lost > 0 || size > maxGathered {
			return all[:i+1]
		}
	}
	return all
}

// write writes them, after a notice of what was dropped before them. It returns how many
// they are.
func (g gathered) write() int {
	o := g[0].to
	if o.tell(g[0].lost) {
		var text []byte
		for _, l := range g {
			text = append(text, l.text...)
		}
		if _, err := o.to.Write(text); err == nil {
			return len(g)
		}
	}
	for _, l := range g {
		o.lost += lines(l.text)
		o.of.lost.Add(lines(l.text))
	}
	return len(g)
}

// tell writes a notice of lines that are missing here, if any are. It reports whether it
// could.
func (o *outlet) tell(lost uint64) bool {
	if o.lost += lost; o.lost == 0 {
		return true
	}
	o.queue.mu.Lock()
	notice := o.notice
	o.queue.mu.Unlock()
	if _, err := o.to.Write(notice(o.lost)); err != nil {
		return false
	}
	o.lost = 0
	return true
}
