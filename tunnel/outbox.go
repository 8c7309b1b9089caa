package tunnel

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// maxSmall bounds the small frames that wait to be sent: 20,000 CANCELs,
	// more than the connections that there can be.
	maxSmall = 256 << 10
	// maxStatements and maxStatementBytes bound the statements that wait. They lie
	// in memory once, however many sessions send them.
	maxStatements     = 1024
	maxStatementBytes = 64 << 20
	// window is how many revocations may be under way to a Warpgate that says how many it
	// took. All that it is told later waits behind them. To verify the signatures of so many
	// takes it some 50 ms.
	window = 1024
	// revocationBatch is how many revocations are written at once: some 64 KiB.
	revocationBatch = 128
	// writeStep is how much of a statement must leave within the patience of the
	// outbox: with 12 s of it, a peer below 5 KiB/s is too slow.
	writeStep = 64 << 10
)

// outbox is what one end still has to send on a control connection. Adding to it never
// blocks: a goroutine writes, which exists only while there is something to write. Small
// frames are sent before statements.
type outbox struct {
	conn net.Conn
	// patience is the deadline of each write.
	patience time.Duration
	// broken is told once that the peer doesn't take what is sent. It is called
	// on the outbox's goroutine and must not wait for the outbox.
	broken func(error)

	mu      sync.Mutex
	held    bool // nothing is written before start
	writing bool
	closed  bool
	slow    bool // over a bound: the session is to end
	beat    bool // a heartbeat waits already
	missed  int64
	small   []byte
	docs    []mezu.Signed
	bytes   int  // of the payloads of docs
	feed    Feed // nil without revocations
	due     bool // the feed may have some
	credit  int  // how many of them may be sent
	counted bool // the peer says how many it took
	current mezu.Told
	idle    []net.Conn // connections that are to be closed politely
	final   []byte
	writer  sync.WaitGroup
	ended   chan struct{} // closed by finish
}

// newOutbox makes an outbox. A held one writes nothing before start.
func newOutbox(conn net.Conn, patience time.Duration, held bool, broken func(error)) *outbox {
	return &outbox{conn: conn, patience: patience, held: held, broken: broken, ended: make(chan struct{})}
}

// start has first written, then docs, then whatever was and will be added. When nothing else
// is left, revocations are taken from feed: they wait where the feed keeps them, and take no
// memory here however many they are. If counted, the peer tells how many it took. A statement
// of docs is left out if its successor waits already.
func (o *outbox) start(first []byte, docs []mezu.Signed, feed Feed, counted bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	later := o.docs
	o.held, o.small, o.docs, o.bytes = false, slices.Concat(first, o.small), nil, 0
	o.feed, o.due, o.credit, o.counted = feed, feed != nil, window, counted
	for _, doc := range slices.Concat(docs, later) {
		o.append(doc)
	}
	o.wake()
}

// look has the feed looked into.
func (o *outbox) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.feed == nil {
		return
	}
	o.due = true
	o.wake()
}

// took notes that the peer took n revocations; ok is false if it wasn't sent as many.
func (o *outbox) took(n uint32) (ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	if !o.counted || int64(n) > int64(window-o.credit) {
		return false
	}
	o.credit += int(n)
	o.wake()
	return true
}

// send adds small frames.
func (o *outbox) send(frames []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if len(o.small)+len(frames) > maxSmall {
		o.overrun()
		return
	}
	o.small = append(o.small, frames...)
	o.wake()
}

// heartbeat adds a heartbeat unless one waits already.
func (o *outbox) heartbeat() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.beat {
		return
	}
	o.beat = true
	o.small = appendEmpty(o.small, frameHeartbeat)
	o.wake()
}

// miss adds n to the next MISSED: one frame answers any number of WANTs.
func (o *outbox) miss(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.missed = min(o.missed+n, math.MaxUint32)
	o.wake()
}

// polite closes idle connections with TLS's farewell, off the caller's goroutine.
func (o *outbox) polite(idle ...net.Conn) {
	if len(idle) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		for _, c := range idle {
			abort(c)
		}
		return
	}
	o.idle = append(o.idle, idle...)
	o.wake()
}

// push adds a statement.
func (o *outbox) push(doc mezu.Signed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.append(doc)
	o.due = o.feed != nil // a bundle may name another directory
	o.wake()
}

// append queues doc. A later bundle, list of edges or list of keys replaces a waiting one;
// keysets stay, since what comes after them may need each, and so do revocations.
func (o *outbox) append(doc mezu.Signed) {
	switch doc.Purpose {
	case mezu.PurposeBundle, mezu.PurposeEdges, mezu.PurposeAssertions:
		o.docs = slices.DeleteFunc(o.docs, func(d mezu.Signed) bool {
			if d.Purpose == doc.Purpose {
				o.bytes -= len(d.Payload)
				return true
			}
			return false
		})
	}
	if len(o.docs) >= maxStatements || o.bytes+len(doc.Payload) > maxStatementBytes {
		o.overrun()
		return
	}
	o.docs = append(o.docs, doc)
	o.bytes += len(doc.Payload)
}

// overrun makes the writer give up on the peer. The lock is held.
func (o *outbox) overrun() {
	o.slow = true
	o.conn.SetWriteDeadline(time.Unix(1, 0))
	o.wake()
}

// finish ends the outbox. If final is empty it closes the connection, else it
// writes final and leaves reads and writes until the farewell is over. It does not
// wait.
func (o *outbox) finish(final []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.closed, o.held = true, false
	o.small, o.docs, o.feed, o.final = nil, nil, nil, final
	if len(final) == 0 {
		abort(o.conn)
	} else {
		o.conn.SetDeadline(time.Now().Add(farewell))
	}
	o.wake()
	close(o.ended)
}

// wait returns when the outbox was finished and nothing is being written any more.
func (o *outbox) wait() {
	<-o.ended
	o.writer.Wait()
}

// wake sees to it that somebody writes. The lock is held.
func (o *outbox) wake() {
	if o.writing || o.held {
		return
	}
	o.writing = true
	o.writer.Go(o.writeOut)
}

// writeOut writes until nothing is left.
func (o *outbox) writeOut() {
	for o.writeSome() {
	}
}

// writeSome writes the small frames, then one statement or some revocations, and reports
// whether there may be more.
func (o *outbox) writeSome() bool {
	o.mu.Lock()
	if o.closed {
		final, idle := o.final, o.idle
		o.final, o.idle, o.writing = nil, nil, false
		o.mu.Unlock()
		if final != nil {
			// Under the deadline that finish set. Closing now could destroy
			// it on its way; the reader does when the peer has hung up.
			o.conn.Write(final)
		}
		for _, c := range idle {
			abort(c)
		}
		return false
	}
	small, idle, slow := o.small, o.idle, o.slow
	o.small, o.idle, o.beat, o.slow = nil, nil, false, false
	if o.missed > 0 {
		small = appendCount(small, frameMissed, uint32(o.missed))
		o.missed = 0
	}
	var doc mezu.Signed
	statement := len(o.docs) > 0
	if statement {
		doc = o.docs[0]
		o.docs = slices.Delete(o.docs, 0, 1)
		o.bytes -= len(doc.Payload)
	}
	feed, room := o.feed, revocationBatch
	if o.counted {
		room = min(room, o.credit)
	}
	if statement || !o.due || room == 0 {
		feed = nil
	}
	if len(small) == 0 && len(idle) == 0 && !statement && feed == nil && !slow {
		o.docs, o.writing = nil, false
		o.mu.Unlock()
		return false
	}
	o.mu.Unlock()

	var err error
	if slow {
		err = fmt.Errorf("%w: more than %d bytes or %d documents wait", ErrSlow, maxSmall, maxStatements)
	}
	if err == nil {
		err = o.write(small)
	}
	if err == nil && statement {
		err = o.writeStatement(doc)
	}
	if err == nil && feed != nil {
		err = o.writeRevocations(feed, room)
	}
	if err != nil {
		o.broken(err)
	}
	o.closeIdle(idle)
	return true
}

// writeRevocations writes up to n of what the feed has. When that was all, the peer is
// told up to where it knows everything.
func (o *outbox) writeRevocations(feed Feed, n int) error {
	o.mu.Lock()
	o.due = false // before the look: what comes during it makes another one due
	o.mu.Unlock()
	docs := feed.Next(n)
	if len(docs) == 0 {
		return o.writeCurrent(feed)
	}
	var frames []byte
	for _, doc := range docs {
		head, err := statementHead(doc)
		if err != nil {
			return err
		}
		frames = append(append(frames, head...), doc.Payload...)
	}
	o.mu.Lock()
	o.due = true
	if o.counted {
		o.credit -= len(docs)
	}
	o.mu.Unlock()
	return o.writeLong(frames)
}

// writeCurrent tells a peer that counts up to where it was told of revocations, if that
// is news.
func (o *outbox) writeCurrent(feed Feed) error {
	told, ok := feed.Current()
	if !ok || !o.counted || told == o.current || len(told.Directory) > maxDirectory {
		return nil
	}
	o.current = told
	return o.write(appendCurrent(nil, told))
}

// awaitRead gives the next read of the connection d, unless a farewell has set the
// last deadline.
func (o *outbox) awaitRead(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.conn.SetReadDeadline(time.Now().Add(d))
	}
}

// writeStatement writes one DOCUMENT frame. A statement over the limits is an error
// of this side and reported as such.
func (o *outbox) writeStatement(doc mezu.Signed) error {
	head, err := statementHead(doc)
	if err != nil {
		return err
	}
	if err := o.write(head); err != nil {
		return err
	}
	return o.writeLong(doc.Payload)
}

// writeLong writes b in steps, each within the patience of the outbox.
func (o *outbox) writeLong(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeStep)
		if err := o.write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// write writes b within the patience of the outbox.
func (o *outbox) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	o.mu.Lock()
	if o.closed || o.slow {
		o.mu.Unlock()
		return ErrSlow
	}
	o.conn.SetWriteDeadline(time.Now().Add(o.patience)) // under the lock: finish sets the last one
	o.mu.Unlock()
	_, err := o.conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w for %v", ErrSlow, o.patience)
	}
	return err
}

// closeIdle closes idle connections politely until the outbox is finished, and the
// rest at once: TLS's farewell may block for seconds.
func (o *outbox) closeIdle(idle []net.Conn) {
	for _, c := range idle {
		select {
		case <-o.ended:
			abort(c)
		default:
			c.Close()
		}
	}
}
