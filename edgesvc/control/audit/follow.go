package audit

import (
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Times of a watch.
const (
	// Overlap is how much earlier a resumed watch begins than the record from which it
	// resumes. A record gets its id before it is committed, and the clocks of control
	// planes differ, so a record with a lower id may be committed later. A reader who
	// resumes drops, by id, the records that they have already.
	Overlap = time.Minute
	// backlogPage is how many records are read at a time.
	backlogPage = 500
)

// Follower takes the records of a watch. Its functions return an error to end it.
type Follower struct {
	Send      func(mezu.AuditRecord) error
	KeepAlive func() error
	// Allowed says whether the reader may still read. It is asked before each record or
	// batch of them. While there is no record, or the reader takes none, it is not asked:
	// whoever calls Follow has to check then.
	Allowed func(context.Context) error
}

// Follow sends records that match as they are written. If after is the id of a record, it
// sends first what was written since then. It ignores the limits and the order of q.
func (l *Log) Follow(ctx context.Context, q Query, after string, f Follower) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch
	// The position is taken before the backlog is read: whatever is committed meanwhile
	// is watched.
	page, err := l.cfg.Store.List(ctx, Prefix(q.Scope), "", 1)
	if err != nil {
		return err
	}
	watcher, err := l.cfg.Store.Watch(ctx, Prefix(q.Scope), page.Position)
	if err != nil {
		return err
	}
	if err := f.KeepAlive(); err != nil { // the head of the answer
		return err
	}
	sent, err := l.backlog(ctx, q, after, f)
	if err != nil {
		return err
	}
	return l.follow(ctx, q, watcher, sent, f)
}

// backlog sends what was written since the record after. It returns the ids of records
// that the watch may send again.
func (l *Log) backlog(ctx context.Context, q Query, after string, f Follower) (map[string]bool, error) {
	sent := map[string]bool{}
	if after == "" {
		return sent, nil
	}
	at, err := mezu.AuditIDTime(after)
	if err != nil {
		return nil, err
	}
	begun := l.cfg.Now()
	q.Oldest = true
	if since := at.Add(-Overlap); since.After(q.Since) {
		q.Since = since
	}
	for token := ""; ; {
		if err := f.Allowed(ctx); err != nil {
			return nil, err
		}
		page, err := l.Read(ctx, q, token, backlogPage)
		if err != nil {
			return nil, err
		}
		if len(page.Damaged) > 0 { // no stream is better than one with a gap
			return nil, &mezu.Error{Code: mezu.CodeUnavailable, Detail: page.Damaged[0].Error(), Hint: "begin after the damage, or without Last-Event-ID, and list what lies before"}
		}
		for _, rec := range page.Records {
			if rec.ID == after {
				continue
			}
			if err := f.Send(rec); err != nil {
				return nil, err
			}
			if rec.Time.After(begun.Add(-Overlap)) {
				sent[rec.ID] = true
			}
		}
		if token = page.Next; token == "" {
			return sent, nil
		}
	}
}

// follow sends what is committed.
func (l *Log) follow(ctx context.Context, q Query, watcher store.Watcher, sent map[string]bool, f Follower) error {
	alive := time.NewTicker(api.StreamKeepAlive)
	defer alive.Stop()
	for {
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return store.Ended(ctx, watcher)
			}
			records, err := matching(q, event, sent)
			if err != nil {
				return err
			}
			if len(records) == 0 {
				continue
			}
			if err := f.Allowed(ctx); err != nil {
				return err
			}
			for _, rec := range records {
				if err := f.Send(rec); err != nil {
					return err
				}
			}
		case <-alive.C:
			if err := f.KeepAlive(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// matching gives the records of one commit that are wanted and were not sent.
func matching(q Query, event store.Event, sent map[string]bool) ([]mezu.AuditRecord, error) {
	var out []mezu.AuditRecord
	for _, ch := range event.Changes {
		if ch.Deleted {
			continue
		}
		rec, err := decode(ch.Record)
		if err != nil {
			return nil, err
		}
		if q.Matches(&rec) && !sent[rec.ID] {
			out = append(out, rec)
		}
		delete(sent, rec.ID)
	}
	return out, nil
}
