package fleet

import (
	"context"
	"errors"
	"strings"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// An edge's heartbeats prolong a lease and write nothing. So once the lease has ended, no
// record tells when the last heartbeat was. Therefore the end of the lease is written down
// when it comes, with one write for each silence. It tells when the edge's Warpgates were last
// there.

// FollowEdges writes down when edges fall silent, until ctx ends or the watch does. Several
// control planes may do so; what the first one writes stays.
func (s *Fleet) FollowEdges(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	page, err := s.records.Store.List(ctx, prefixLive, "", 1)
	if err != nil {
		cancel()
		return err
	}
	live, err := s.records.Store.Watch(ctx, prefixLive, page.Position)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range live.Events() {
		}
	}()
	// First the edges that fell silent while no control plane followed.
	err = record.Each(ctx, s.records, prefixEdge, func(f record.Record[edge]) error { return s.noteSilence(ctx, f.Value.ID) })
	if err != nil {
		return err
	}
	for e := range live.Events() {
		for _, ch := range e.Changes {
			if !ch.Deleted {
				continue
			}
			if err := s.noteSilence(ctx, strings.TrimPrefix(ch.Key, prefixLive)); err != nil {
				return err
			}
		}
	}
	return live.Err()
}

// noteSilence writes down the time of an edge's last report, unless the edge is connected or
// that time is written down already.
func (s *Fleet) noteSilence(ctx context.Context, id string) error {
	exists, err := s.records.Store.Get(ctx, record.KeyID(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil // it was removed
	}
	if err != nil {
		return err
	}
	value, err := record.Encode(s.records.Stamp().Add(-api.EdgeSilence))
	if err != nil {
		return err
	}
	_, err = s.records.Housekeep(ctx, store.Txn{
		Checks: []store.Check{{Key: exists.Key, Revision: exists.Revision}, {Key: keyLive(id)}, {Key: keySilent(id)}},
		Ops:    []store.Op{{Key: keySilent(id), Value: value}},
	})
	return err
}
