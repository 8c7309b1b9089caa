package fleet

import (
	"context"
	"crypto/sha256"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// inventory counts what an edge must have after a snapshot, while the snapshot is listed.
type inventory struct {
	state api.StreamState
	wide  covers
	// earlier are revocations in the form of an earlier version, which may have several of
	// one subject.
	earlier map[subject]mezu.Revocation
}

// subject is what a revocation is about.
type subject struct {
	kind mezu.RevocationKind
	id   string
}

// newInventory begins an inventory. It counts only revocations that have not ended by the
// edge's clock either.
func newInventory(now time.Time) *inventory {
	return &inventory{state: api.StreamState{At: now.Add(mezu.LeafBackdate)}, wide: covers{}, earlier: map[subject]mezu.Revocation{}}
}

// record is what was counted of an entry that changed since.
func (e entry) record() record.StreamHead {
	return record.StreamHead{Kind: e.kind, Position: e.position, Until: e.until, NotBefore: e.notBefore}
}

// count adds a record with n = 1, or takes it out with n = -1. Records come in the order of
// their keys: first revocations in the form of an earlier version, and those of directories
// before those of their users.
func (i *inventory) count(ctx context.Context, s *Fleet, key string, rec record.StreamHead, n int) error {
	switch rec.Kind {
	case api.StreamKeyset:
		if n < 0 {
			return nil // the newer one is counted instead
		}
		signed, err := s.records.Statement(ctx, key)
		i.state.Keyset = sha256.Sum256(signed.Payload)
		return err
	case api.StreamEdges:
		i.state.Edges = rec.Position
	case api.StreamBundle:
		if rec.Until.IsZero() { // else it is a tombstone
			i.state.Bundles.CountBundle(key[len(record.PrefixBundle):], rec.Position, n)
		}
	case api.StreamRevocation:
		if !rec.Until.After(i.state.At) {
			return nil
		}
		return i.countRevocation(ctx, s, key, rec, n)
	}
	return nil
}

func (i *inventory) countRevocation(ctx context.Context, s *Fleet, key string, rec record.StreamHead, n int) error {
	legacy := !strings.Contains(key[len(record.PrefixRevocation):], "/")
	if legacy && n < 0 {
		return nil // it ends soon, and the edge goes by its own clock
	}
	r, err := s.revocationOf(ctx, key, rec)
	if err != nil {
		return err
	}
	i.wide.note(r)
	if i.wide.covered(key, r) {
		return nil
	}
	of := subject{r.Kind, r.Subject}
	if was, known := i.earlier[of]; known {
		i.state.Revocations.CountRevocation(was, -1)
		r = record.MergeRevocations(r, was)
		delete(i.earlier, of)
	}
	if legacy {
		i.earlier[of] = r
	}
	i.state.Revocations.CountRevocation(r, n)
	return nil
}
