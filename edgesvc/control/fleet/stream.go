package fleet

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

// Sink takes the events of one stream. Its methods return an error when the other
// end is gone, and bound their own time.
type Sink interface {
	Send(api.StreamEvent) error
	// KeepAlive says that the stream lives.
	KeepAlive() error
	record.Ender
}

// entry is a stream record to be sent in a snapshot.
type entry struct {
	key      string
	kind     api.StreamKind
	position mezu.Position
	// until and notBefore are as they were counted.
	until, notBefore time.Time
}

// rank orders a snapshot: first keys, because nothing else verifies without them, then
// revocations, then the rest by position.
func (e entry) rank() int {
	switch e.kind {
	case api.StreamKeyset:
		return 0
	case api.StreamRevocation:
		return 1
	}
	return 2
}

// StreamEdge sends an edge everything after from that is current, then changes as
// they are committed, until ctx ends, the sink fails, the edge is removed or the
// stream falls too far behind. The edge resumes from the last position it got.
func (s *Fleet) StreamEdge(ctx context.Context, c access.Caller, from mezu.Position, sink Sink) error {
	if _, err := access.Admit(api.OpEdgeStream, c); err != nil {
		return err
	}
	still := func(ctx context.Context) error { return s.stillEdge(ctx, c) }
	return record.Guarded(ctx, sink, still, func(ctx context.Context) error { return s.streamEdge(ctx, c, from, sink) })
}

func (s *Fleet) streamEdge(ctx context.Context, c access.Caller, from mezu.Position, sink Sink) error {
	var head mezu.Position
	var entries []entry
	var position store.Position
	var has *inventory
	reader := s
	err := s.tolerant(ctx, func(r *Fleet) (err error) {
		// The head is read before the listing, so that everything up to it is in the
		// listing, as it was or newer.
		if head, err = r.records.Head(ctx); err != nil {
			return err
		}
		if !from.IsZero() && from.Epoch != head.Epoch {
			return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "the installation was restored from a backup since", Hint: "ask for everything"}
		}
		if from.Compare(head) > 0 && r == s {
			s.records.Log.Warn("edge is ahead of the installation; sending everything", "edge", c.ID, "edge_position", from, "head", head)
			from = mezu.Position{}
		}
		reader = r
		if entries, has, position, err = r.snapshot(ctx, from); err != nil {
			return err
		}
		// This is read after the listing, because what was swept before is not in it.
		gone, err := record.Optional[mezu.Position](ctx, r.records, KeyGone)
		if err == nil && !from.IsZero() && from.Compare(gone.Value) < 0 {
			err = errSwept()
		}
		return err
	})
	if err != nil {
		return err
	}
	watcher, err := s.records.Store.Watch(ctx, record.PrefixStream, position)
	if err != nil {
		return err
	}
	resume := from
	for _, e := range entries {
		rec, err := record.Get[record.StreamRecord](ctx, reader.records, e.key)
		if errors.Is(err, store.ErrNotFound) && e.kind == api.StreamBundle && !from.IsZero() {
			return errSwept()
		}
		if errors.Is(err, store.ErrNotFound) {
			err = has.count(ctx, reader, e.key, e.record(), -1)
			if err != nil {
				return err
			}
			continue // swept meanwhile
		}
		if err != nil {
			return err
		}
		if rec.Value.Position != e.position { // a newer statement replaced it meanwhile
			err = errors.Join(has.count(ctx, reader, e.key, e.record(), -1), has.count(ctx, reader, e.key, rec.Value.StreamHead, 1))
			if err != nil {
				return err
			}
		}
		// A statement that is sent early must not move the position past others that are
		// not sent yet, and none may move it past the head.
		if e.rank() == 2 && e.position.Compare(head) <= 0 {
			resume = e.position
		}
		if err := reader.send(ctx, sink, rec.Value, resume); err != nil {
			return err
		}
	}
	if head.Compare(resume) > 0 {
		resume = head
	}
	if err := sink.Send(api.StreamEvent{Kind: api.StreamSynced, Position: resume, State: &has.state}); err != nil {
		return err
	}
	return s.follow(ctx, c, watcher, sink)
}

// errSwept refuses to resume from a position after which something was swept.
func errSwept() error {
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "environments were removed since that the stream says nothing of any more", Hint: "ask for everything"}
}

// snapshot lists what is current after from, in the order in which to send it, with what
// an edge must have then, and the store's position from which to watch.
func (s *Fleet) snapshot(ctx context.Context, from mezu.Position) ([]entry, *inventory, store.Position, error) {
	var entries []entry
	var position store.Position
	now := s.records.Now()
	has := newInventory(now)
	for token := ""; ; {
		page, err := s.records.Store.List(ctx, record.PrefixStream, token, store.MaxPage)
		if err != nil {
			return nil, nil, "", err
		}
		if position == "" {
			position = page.Position
		}
		for _, r := range page.Records {
			f, err := decodeHead(r)
			if err != nil {
				return nil, nil, "", err
			}
			if err := has.count(ctx, s, r.Key, f.Value, 1); err != nil {
				return nil, nil, "", err
			}
			// A tombstone counts until it is swept. From then on KeyGone covers it.
			over := f.Value.Kind == api.StreamRevocation && now.After(f.Value.Until)
			if f.Value.Position.Compare(from) > 0 && !over {
				entries = append(entries, entry{r.Key, f.Value.Kind, f.Value.Position, f.Value.Until, f.Value.NotBefore})
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.position.Compare(b.position))
	})
	return entries, has, position, nil
}

// decodeHead decodes a record without its document. There may be hundreds of thousands of
// revocations, and decoding their documents would take most of the time. This version writes
// the document after all fields that are needed here.
func decodeHead(r store.Record) (record.Record[record.StreamHead], error) {
	if of, ok := strings.CutPrefix(r.Key, record.PrefixRevocation); ok && strings.Contains(of, "/") {
		if head, _, ok := bytes.Cut(r.Value, []byte(`,"signed":`)); ok {
			r.Value = append(head[:len(head):len(head)], '}')
		}
	}
	return record.Decode[record.StreamHead](r)
}

func (s *Fleet) send(ctx context.Context, sink Sink, rec record.StreamRecord, resume mezu.Position) error {
	signed, err := s.records.Signed(ctx, rec)
	if err != nil {
		return err
	}
	return sink.Send(api.StreamEvent{Kind: rec.Kind, Position: resume, Signed: signed})
}

// follow sends changes as they are committed.
func (s *Fleet) follow(ctx context.Context, c access.Caller, watcher store.Watcher, sink Sink) error {
	alive := time.NewTicker(api.StreamKeepAlive)
	defer alive.Stop()
	for {
		select {
		case event, ok := <-watcher.Events():
			if !ok {
				return store.Ended(ctx, watcher)
			}
			if err := s.pass(ctx, c, event, sink); err != nil {
				return err
			}
		case <-alive.C:
			if err := sink.KeepAlive(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass sends the statements of one commit. After a revocation it checks whether that ended
// this edge.
func (s *Fleet) pass(ctx context.Context, c access.Caller, event store.Event, sink Sink) error {
	revoked := false
	for _, ch := range event.Changes {
		if ch.Deleted {
			continue
		}
		f, err := record.Decode[record.StreamRecord](ch.Record)
		if err != nil {
			return err
		}
		var signed mezu.Signed
		err = s.tolerant(ctx, func(s *Fleet) (err error) {
			signed, err = s.records.Signed(ctx, f.Value)
			return err
		})
		if errors.Is(err, document.ErrDamaged) && s.replaced(ctx, f) {
			continue
		}
		if err != nil {
			return err
		}
		if err := sink.Send(api.StreamEvent{Kind: f.Value.Kind, Position: f.Value.Position, Signed: signed}); err != nil {
			return err
		}
		revoked = revoked || f.Value.Kind == api.StreamRevocation
	}
	if revoked {
		return s.stillEdge(ctx, c)
	}
	return nil
}

// replaced reports whether another statement has replaced this one. Then its document may be
// gone, and the other statement comes later in the stream.
func (s *Fleet) replaced(ctx context.Context, f record.Record[record.StreamRecord]) bool {
	now, err := record.Optional[record.StreamRecord](ctx, s.records, f.Key)
	return err == nil && now.Value.Position != f.Value.Position
}

// stillEdge returns an error if the edge was removed, or its certificate ended, since the
// stream began.
func (s *Fleet) stillEdge(ctx context.Context, c access.Caller) error {
	var rec record.Record[edge]
	err := s.tolerant(ctx, func(s *Fleet) (err error) {
		rec, err = s.edgeByID(ctx, c.ID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && (!alive(rec.Value.Certificates, c.Serial) || s.records.Now().After(c.ExpiresAt)) {
		return access.Unauthenticated("the certificate was revoked or has ended", "enrol again with a join token")
	}
	return err
}

// tolerant is record's tolerate with a Fleet.
func (s *Fleet) tolerant(ctx context.Context, do func(*Fleet) error) error {
	return s.records.Tolerate(ctx, func(r *record.Records) error { return do(s.on(r)) })
}

// on is the fleet with other records, for reading.
func (s *Fleet) on(r *record.Records) *Fleet {
	if r == s.records {
		return s
	}
	c := *s
	c.records = r
	return &c
}
