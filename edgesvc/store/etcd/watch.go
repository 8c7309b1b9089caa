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

// replayTime is how long a member may take to bring the next part of the history; then
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
	p, ok := parsePosition(from)
	if !ok || p.cluster != db.cluster || p.id != db.id || p.revision < db.history.floor() {
		return nil, fmt.Errorf("watching %q: %w", prefix, store.ErrCompacted)
	}
	if p.revision > db.seen.Load() {
		// Another control plane's, or none of this cluster's.
		if _, err := db.fresh(ctx, db.space.id(), engine.WithCountOnly()); err != nil {
			return nil, fmt.Errorf("watching %q: %w", prefix, err)
		}
		if p.revision > db.seen.Load() {
			return nil, fmt.Errorf("watching %q: %w", prefix, store.ErrCompacted)
		}
	}
	w := &watcher{db: db, prefix: prefix, cursor: p.revision, events: make(chan store.Event), done: make(chan struct{})}
	db.wg.Go(func() { w.run(ctx) })
	return w, nil
}

// catchUp waits until the history has what this process had committed when it was
// called, so that it judges positions as of then: what is committed meanwhile must not
// hold it up for ever. Where the feed stands still, it is judged by what is
// there.
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
	cursor int64 // everything up to here was looked at
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

// deliver hands out what the commits have under the prefix. It reports false when the
// watch ended.
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

// past is what was read last of the history that memory no longer holds. One watcher
// reads at a time: hundreds that fell behind together would otherwise have the cluster
// send each of them the same, and drown it and this process.
type past struct {
	turn    chan struct{} // holds one token; whoever has it may use the rest
	after   int64
	commits []*commit // those that follow after, some at least, or none
}

func (p *past) init() { p.turn = make(chan struct{}, 1); p.turn <- struct{}{} }

// replay gives commits after a revision that memory no longer holds, some at least:
// there are some, or memory would not have dropped them.
func (db *DB) replay(ctx context.Context, after int64) ([]*commit, error) {
	p := &db.past
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

// read reads commits after a revision from the cluster, some at least. One member
// alone does it, so that it works without a majority too.
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
