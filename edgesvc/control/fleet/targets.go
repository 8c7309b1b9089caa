package fleet

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// targetsSpacing lies between two changes of what a Warpgate says of its targets. Each is a write
// and a record of audit. A Warpgate that was restarted tries again.
const targetsSpacing = 2 * time.Second

// said is what a Warpgate says of where it sends requests. It counts only of the build that said
// it, and in the epoch of then: after a restore, and after another build that says nothing, nobody
// knows.
type said struct {
	mezu.WarpgateTargets
	Version string    `json:"version,omitempty"`
	Epoch   uint64    `json:"epoch"`
	At      time.Time `json:"at"`
}

// TakeTargets takes what a Warpgate says of its targets. It writes only what changed.
func (s *Fleet) TakeTargets(ctx context.Context, c access.Caller, in api.WarpgateTargetsRequest) error {
	if _, err := access.Admit(api.OpWarpgateTargets, c); err != nil {
		return err
	}
	if err := validateVersion(in.Version); err != nil {
		return err
	}
	if _, _, err := in.Upstreams(); err != nil {
		return err
	}
	if len(in.Allow) == 0 {
		in.Allow = nil // as the record is read again
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpWarpgateTargets.ID), func(ch *record.Change) error {
		rec, err := record.Get[Warpgate](ctx, s.records, WarpgatesOf(c.Environment)+c.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && !alive(rec.Value.Certificates, c.Serial) {
			return access.Unauthenticated("the certificate was revoked", "register again")
		}
		if err != nil {
			return err
		}
		now := s.records.Stamp()
		is := &said{WarpgateTargets: in.WarpgateTargets, Version: in.Version, Epoch: s.records.Epoch, At: now}
		var before any
		if was := rec.Value.Said; was != nil {
			is.At = was.At
			if reflect.DeepEqual(was, is) {
				return nil
			}
			if age := now.Sub(was.At); age >= 0 && age < targetsSpacing {
				return &mezu.Error{Code: mezu.CodeRateLimited, Detail: "the targets of this Warpgate changed a moment ago", Hint: "say so again in a moment"}
			}
			is.At, before = now, was.WarpgateTargets
		}
		rec.Value.Said = is
		ch.Update(rec.Key, rec.Revision, rec.Value)
		ch.Audit(rec.Value.target(), before, is.WarpgateTargets)
		return nil
	})
	return err
}

// targets is what counts of it for a Warpgate whose program has this version.
func (s *Fleet) targets(is *said, version string) *mezu.WarpgateTargets {
	if is == nil || is.Epoch != s.records.Epoch || is.Version != version {
		return nil
	}
	return &is.WarpgateTargets
}
