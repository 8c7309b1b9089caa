package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// replayTime is how long a member may take to send the next part of the history. Then
// another is asked.
const replayTime = 10 * time.Second

// Watch delivers the commits after from that touch the prefix.
func (db *DB) Watch(ctx context.Context, prefix string, from store.Position) (store.Watcher, error) {
	if err := db.enter(ctx); err != nil {
		return nil, err
	}
	defer db.leave()
	if err := db.catchUp(ctx); err != nil {
		return nil, err
	}
	id, ok := parsePosition(from)
	if !ok || id.cluster != db.cluster || id.store != db.id || id.revision < db.history.floor() {
		return nil, fmt.Errorf("watching %q: %w", prefix, store.ErrCompacted)
	}
	if id.revision > db.seen.Load() {
		// Another control plane's commit, or a position that the cluster has lost.
		if _, err := db.fresh(ctx, db.space.id(), engine.WithCountOnly()); err != nil {
			return nil, fmt.Errorf("watching %q: %w", prefix, err)
		}
		if id.revision > db.seen.Load() {
			return nil, fmt.Errorf("watching %q: %w", prefix, store.ErrCompacted)
		}
	}
	w := &watcher{db: db, prefix: prefix, cursor: id.revision, events: make(chan store.Event), done: make(chan struct{})}
	db.wg.Go(func() { w.run(ctx) })
	return w, nil
}

// catchUp waits until the history has every commit that this process made before the call.
// Watch needs them to judge whether a position is still in the history. Commits made during
// the call don't count, or a busy process would wait for ever. If the feed stands still,
// catchUp gives up after db.callTime, and Watch goes by what the history has.
func (db *DB) catchUp(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, db.callTime)
	defer cancel()
	target := db.committed.Load()
	for {
		through, wake := db.history.through()
		if through >= target {
			return nil
		}
		select {
		case <-wake:
		case <-limited.Done():
			return ctx.Err()
		}
	}
}

// watcher is one watch; its goroutine reads the history at its own pace.
type watcher struct {
	db     *DB
	prefix string
	cursor int64 // the revision up to which everything was delivered
	events chan store.Event
	done   chan struct{} // closed just before events
	err    error         // set before done is closed
}

// Events implements store.Watcher.
func (w *watcher) Events() <-chan store.Event { return w.events }

// Err implements store.Watcher.
func (w *watcher) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// run delivers until the watch ends.
func (w *watcher) run(ctx context.Context) {
	defer close(w.events)
	defer close(w.done)
	for {
		commits, through, behind, wake, err := w.db.history.after(w.cursor)
		if behind {
			if commits, err = w.db.replay(ctx, w.cursor); err == nil {
				through = commits[len(commits)-1].revision
			}
		}
		switch {
		case errors.Is(err, store.ErrCompacted):
			w.err = fmt.Errorf("watching %q: %w", w.prefix, err)
			return
		case err != nil:
			w.db.log.Debug("store watch reads its history again", "error", err)
			if !w.sleep(ctx, backoff.Jitter(feedPause)) {
				return
			}
			continue
		case wake != nil:
			select {
			case <-wake:
			case <-ctx.Done():
				return
			case <-w.db.ctx.Done():
				w.err = w.db.ended()
				return
			}
			continue
		}
		if !w.deliver(ctx, commits) {
			return
		}
		w.cursor = through
	}
}

// sleep waits; it reports false when the watch ends meanwhile.
func (w *watcher) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-w.db.ctx.Done():
		w.err = w.db.ended()
	}
	return false
}

// deliver sends the changes under the prefix to the reader. It reports false when the watch
// ended.
func (w *watcher) deliver(ctx context.Context, commits []*commit) bool {
	for _, c := range commits {
		event := c.event(w.prefix, w.db.position(c.revision))
		if len(event.Changes) == 0 {
			continue
		}
		select {
		case w.events <- event:
		case <-ctx.Done():
			return false
		case <-w.db.ctx.Done():
			w.err = w.db.ended()
			return false
		}
	}
	return ctx.Err() == nil
}

// replayCache has the part of the older history that was read from the cluster last. One
// watcher reads at a time and the others use what it read. Otherwise hundreds of watchers
// that fell behind together would have the cluster send each of them the same commits,
// which would overload it and this process.
type replayCache struct {
	turn    chan struct{} // holds one token; whoever has it may use the other fields
	after   int64
	commits []*commit // commits that follow after, in order and without a gap; may be empty
}

func (p *replayCache) init() { p.turn = make(chan struct{}, 1); p.turn <- struct{}{} }

// replay gives at least one of the commits that follow a revision which memory no longer
// holds. There is one, or memory would still hold the revision.
func (db *DB) replay(ctx context.Context, after int64) ([]*commit, error) {
	p := &db.replays
	select {
	case <-p.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-db.ctx.Done():
		return nil, db.ended()
	}
	defer func() { p.turn <- struct{}{} }()
	if n := len(p.commits); n > 0 && p.after <= after && after < p.commits[n-1].revision {
		return following(p.commits, after), nil
	}
	commits, err := db.read(ctx, after)
	if err != nil {
		return nil, err
	}
	p.after, p.commits = after, commits
	size := 0
	for _, c := range commits {
		size += c.size
	}
	if size > tailBytes {
		p.commits = nil // too large to be kept for others
	}
	return commits, nil
}

// read reads at least one of the commits after a revision from the cluster. One member is
// enough for it, so that it works without a majority too.
func (db *DB) read(ctx context.Context, after int64) ([]*commit, error) {
	ctx, cancel := context.WithTimeout(ctx, replayTime)
	defer cancel()
	stop := context.AfterFunc(db.ctx, cancel)
	defer stop()
	for resp := range db.records(ctx, after) {
		commits, err := db.commits(resp, after)
		if err != nil {
			return nil, err
		}
		if len(commits) > 0 {
			return commits, nil
		}
	}
	return nil, fmt.Errorf("reading history: %w", store.ErrUnavailable)
}
