package installation

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// changeVault is the authority's records as one change sees and writes them.
type changeVault struct {
	s        *Installation
	ch       *record.Change
	revision uint64
}

// Load implements ca.Vault.
func (v *changeVault) Load(ctx context.Context, name string) ([]byte, error) {
	rec, err := record.Optional[json.RawMessage](ctx, v.s.records, record.PrefixAuthority+name)
	if err == nil && rec.Revision == 0 {
		return nil, fs.ErrNotExist
	}
	v.revision = rec.Revision
	return rec.Value, err
}

// Save implements ca.Vault. What it plans is durable with the change.
func (v *changeVault) Save(_ context.Context, name string, data []byte) error {
	v.ch.Update(record.PrefixAuthority+name, v.revision, json.RawMessage(data))
	return nil
}

// keysAudited is what an audit record tells of the keys.
type keysAudited struct {
	What    api.Rotation `json:"what,omitempty"`
	Keyset  uint64       `json:"keyset_version,omitempty"`
	SealKey string       `json:"seal_key,omitempty"`
}

// FollowKeys takes over keys that another process put in force, if there are any.
func (s *Installation) FollowKeys(ctx context.Context) error {
	if err := s.records.Authority.Reload(ctx); err != nil {
		return err
	}
	changed, err := s.fleet.Anchor.AcceptKeyset(s.records.Authority.Keyset())
	if err != nil || !changed {
		return err
	}
	return s.OpenStream(ctx)
}

// TakeOverKeys reads the authority anew and publishes what follows from it. Each control
// plane does, because each signs.
func (s *Installation) TakeOverKeys(ctx context.Context) error {
	if err := s.records.Authority.Reload(ctx); err != nil {
		return err
	}
	if _, err := s.fleet.Anchor.AcceptKeyset(s.records.Authority.Keyset()); err != nil {
		return err
	}
	return s.OpenStream(ctx)
}

// ShowKeys tells which keys sign and seal.
func (s *Installation) ShowKeys(_ context.Context, c access.Caller) (api.KeyStatus, error) {
	if _, err := access.Admit(api.OpShowKeys, c); err != nil {
		return api.KeyStatus{}, err
	}
	return s.keyStatus(), nil
}

func (s *Installation) keyStatus() api.KeyStatus {
	seal := s.cfg.Store.Status()
	out := api.KeyStatus{NotAfter: s.records.Authority.NotAfter().UTC().Truncate(time.Second), ActiveAt: s.records.Authority.ActiveAt().UTC(), Seal: api.SealStatus{
		Key: seal.Active, Since: seal.Since, OldKeys: seal.Old, WrappedBy: seal.WrappedBy,
	}}
	if out.ActiveAt.Before(s.records.Now()) {
		out.ActiveAt = time.Time{}
	}
	if _, keyset := s.fleet.Anchor.Keyset(); keyset != nil {
		out.KeysetVersion, out.Roots = keyset.Version, len(keyset.CARoots)
	}
	return out
}

// ProposeKeys makes the keys of a rotation. They are used when the offline roots have
// endorsed them.
func (s *Installation) ProposeKeys(ctx context.Context, c access.Caller, in api.RotationRequest) (api.KeyProposal, error) {
	var out api.KeyProposal
	if _, err := access.Admit(api.OpProposeKeys, c); err != nil {
		return out, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpProposeKeys.ID), func(ch *record.Change) (err error) {
		if out, err = ca.Propose(ctx, &changeVault{s: s, ch: ch}, in.What, s.records.Epoch, s.records.Now); err != nil {
			return err
		}
		ch.Audit(record.About(record.KindKeys, "proposal", string(in.What)), nil, keysAudited{What: in.What, Keyset: out.Keyset.Version})
		return nil
	})
	return out, err
}

// InstallKeys puts endorsed keys in force and publishes them.
func (s *Installation) InstallKeys(ctx context.Context, c access.Caller, in api.KeyEndorsement) (api.KeyStatus, error) {
	if _, err := access.Admit(api.OpInstallKeys, c); err != nil {
		return api.KeyStatus{}, err
	}
	before := s.keyStatus()
	_, err := s.records.Commit(ctx, access.By(c, api.OpInstallKeys.ID), func(ch *record.Change) error {
		if err := ca.Install(ctx, &changeVault{s: s, ch: ch}, in, s.records.Now); err != nil {
			return err
		}
		next, err := mezu.OpenKeyset(in.Keyset, s.records.Authority.TrustRoot(), s.records.Now())
		if err != nil {
			return err
		}
		ch.Audit(record.About(record.KindKeys, "keyset", ""), keysAudited{Keyset: before.KeysetVersion}, keysAudited{Keyset: next.Version})
		return nil
	})
	if err != nil {
		return api.KeyStatus{}, err
	}
	if err := s.TakeOverKeys(ctx); err != nil {
		return api.KeyStatus{}, fmt.Errorf("publishing the new keys: %w", err)
	}
	return s.keyStatus(), nil
}

// RotateSealKeys makes a new data key. Maintain of the store does the rest.
func (s *Installation) RotateSealKeys(ctx context.Context, c access.Caller) (api.KeyStatus, error) {
	if _, err := access.Admit(api.OpRotateSealKeys, c); err != nil {
		return api.KeyStatus{}, err
	}
	_, err := s.records.Commit(ctx, access.By(c, api.OpRotateSealKeys.ID), func(ch *record.Change) error {
		txn, err := s.cfg.Store.PlanRotation(ctx)
		if err != nil {
			return err
		}
		ch.Add(txn)
		ch.Audit(record.About(record.KindKeys, "seal", ""), keysAudited{SealKey: s.cfg.Store.Status().Active}, nil)
		return nil
	})
	if err == nil {
		err = s.cfg.Store.Follow(ctx)
	}
	if err != nil {
		return api.KeyStatus{}, err
	}
	if s.cfg.SealRotated != nil {
		s.cfg.SealRotated()
	}
	return s.keyStatus(), nil
}
