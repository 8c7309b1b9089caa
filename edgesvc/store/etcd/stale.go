package etcd

import (
	"context"
	"fmt"
	"sync/atomic"

	engine "go.etcd.io/etcd/client/v3"

	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// stale reads from one member, which doesn't ask the others. A later read may reach a
// member that is further behind. Then the read is repeated until a member answers that has
// at least what was read before.
type stale struct {
	db   *DB
	read atomic.Int64 // the highest revision that was read
}

// Get implements store.Reader.
func (s *stale) Get(ctx context.Context, key string) (store.Record, error) {
	return s.db.get(ctx, key, s.local)
}

// List implements store.Reader.
func (s *stale) List(ctx context.Context, prefix, token string, limit int) (store.Page, error) {
	return s.db.list(ctx, prefix, token, limit, s.local)
}

// local reads from one member alone.
func (s *stale) local(ctx context.Context, key string, opts ...engine.OpOption) (*engine.GetResponse, error) {
	limited, cancel := context.WithTimeout(ctx, s.db.callTime)
	defer cancel()
	floor := s.read.Load()
	var resp *engine.GetResponse
	var pause backoff.Backoff
	for {
		err := s.db.retry(limited, func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeout(ctx, s.db.attemptTime())
			defer cancel()
			resp, err = s.db.client.Get(ctx, key, append(opts, engine.WithSerializable())...)
			return err
		})
		if err != nil {
			return nil, s.db.fail(ctx, err)
		}
		if resp.Header.ClusterId != s.db.cluster {
			return nil, s.db.verify(0, resp.Header)
		}
		if resp.Header.Revision >= floor {
			break
		}
		if err := pause.Wait(limited); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("the members that answer are behind what was read before: %w", store.ErrUnavailable)
		}
	}
	raise(&s.read, resp.Header.Revision)
	s.db.saw(resp.Header.Revision)
	return resp, nil
}
