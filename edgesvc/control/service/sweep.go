package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/election"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

// SweepInterval is how often what has ended is removed. Nothing depends on it but
// room: every reader checks the time itself.
const SweepInterval = 10 * time.Minute

// TidyInterval is how often each control plane looks for documents of its own changes
// that nothing refers to any more: they are gone within a minute.
const TidyInterval = 10 * time.Second

// sweepLease is held by the control plane that sweeps: one of those that share a store.
const sweepLease = "sweep"

// Sweep removes what has ended, if it is time for it; it says election.ErrHeld when another
// control plane is at it, or was and died. holder names this one. What it writes is fenced: once
// another sweeps, nothing is written any more.
func (s *Service) Sweep(ctx context.Context, holder string) error {
	lease := election.Lease{Store: s.store, Name: sweepLease, Holder: holder, Every: SweepInterval, Now: s.now}
	_, err := lease.Run(ctx, func(ctx context.Context, fenced *election.Fenced) error {
		return s.over(layer{fenced, s.store}).sweepAll(ctx)
	})
	return err
}

// layer is a layer over the sealed store.
type layer struct {
	store.Store
	sealed records
}

// Derive implements records.
func (l layer) Derive(purpose string) []byte { return l.sealed.Derive(purpose) }

// over is the service on a layer over its store.
func (s *Service) over(r records) *Service {
	c := *s
	c.store = r
	return &c
}

// sweepAll does every part; one's error does not keep the others from running.
func (s *Service) sweepAll(ctx context.Context) error {
	steps := []struct {
		name string
		run  func(context.Context) error
	}{
		{"sweeping tokens", s.sweepTokens},
		{"sweeping invitations", s.sweepInvitations},
		{"sweeping rotated keys", s.sweepKeys},
		{"sweeping idempotency records", s.sweepOnce},
		{"sweeping revocations", s.sweepRevocations},
		{"sweeping removed environments", s.sweepLastWords},
		{"sweeping endpoints", s.sweepEndpoints},
		{"sweeping Warpgates", s.sweepWarpgates},
		{"sweeping documents", s.sweepDocuments},
		{"archiving the audit log", s.audit.Archive},
	}
	var all error
	for _, step := range steps {
		if err := step.run(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", step.name, err))
		}
	}
	return all
}

// TakeOverKeys reads the authority anew and publishes what follows from it. Each control
// plane does, because each signs.
func (s *Service) TakeOverKeys(ctx context.Context) error {
	if err := s.authority.Reload(ctx); err != nil {
		return err
	}
	if _, err := s.anchor.AcceptKeyset(s.authority.Keyset()); err != nil {
		return err
	}
	return s.openStream(ctx)
}

// sweep removes the records under a prefix that are over. A record that changed
// meanwhile stays.
func sweep[T any](ctx context.Context, s *Service, prefix string, over func(T) bool) error {
	return each(ctx, s, prefix, func(f found[T]) error {
		if !over(f.Value) {
			return nil
		}
		_, err := s.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Delete: true}}})
		return err
	})
}

func (s *Service) sweepEndpoints(ctx context.Context) error {
	return sweep(ctx, s, prefixEndpoint, func(e endpoint) bool { return e.Environment == "" && s.now().After(e.HeldUntil) })
}

// sweepOnce removes old records, and sealed answers from those that stay.
func (s *Service) sweepOnce(ctx context.Context) error {
	err := sweep(ctx, s, prefixIdempotency, func(r onceRecord) bool { return s.now().After(r.ExpiresAt) })
	if err != nil {
		return err
	}
	return each(ctx, s, prefixIdempotency, func(f found[onceRecord]) error {
		if f.Value.SealedEnd.IsZero() || len(f.Value.Answer) == 0 || s.now().Before(f.Value.SealedEnd) {
			return nil
		}
		f.Value.Answer = nil
		value, err := encode(f.Value)
		if err != nil {
			return err
		}
		_, err = s.housekeep(ctx, store.Txn{Checks: []store.Check{{Key: f.Key, Revision: f.Revision}}, Ops: []store.Op{{Key: f.Key, Value: value}}})
		return err
	})
}

// sweepWarpgates removes those that can't come back by themselves: no certificate
// of theirs is alive and no edge holds them.
func (s *Service) sweepWarpgates(ctx context.Context) error {
	live, err := s.liveEdges(ctx)
	if err != nil {
		return err
	}
	return each(ctx, s, prefixWarpgate, func(f found[warpgate]) error {
		for _, c := range f.Value.Certificates {
			if s.now().Before(c.NotAfter) {
				return nil
			}
		}
		if s.now().Before(f.Value.RevokedUntil) {
			return nil // it is refused, and shown, until then
		}
		w, err := s.shownWarpgate(ctx, f.Value.Warpgate, live)
		if err != nil || w.Status == mezu.WarpgateConnected {
			return err
		}
		return s.removeWarpgate(ctx, internal, f.Value.Environment, f.Value.ID, 0)
	})
}

// sweepDocuments finds what other processes left behind when they ended.
func (s *Service) sweepDocuments(ctx context.Context) error {
	_, err := document.SweepShared(ctx, s.store, s.keepDocuments)
	return errors.Join(err, s.tidier.NameAll(ctx, s.store))
}

// TidyDocuments deletes documents that were replaced, or whose change came to nothing.
func (s *Service) TidyDocuments(ctx context.Context) error {
	return s.tidier.Tidy(ctx, s.store, s.documentsOf)
}

// ownerOf is whose documents those of an environment are.
func ownerOf(organization, environment string) document.Owner {
	return document.Owner{Tenant: organization, Name: environment}
}

// documentsOf names the documents of one owner that a record refers to.
func (s *Service) documentsOf(ctx context.Context, owner document.Owner, keep func(document.Ref)) error {
	if owner == (document.Owner{}) {
		return s.keepDocuments(ctx, keep)
	}
	routes, err := optional[routesHead](ctx, s, keyRoutes(owner.Name))
	if err != nil {
		return err
	}
	bundle, err := optional[streamRecord](ctx, s, keyBundle(owner.Name))
	if err != nil {
		return err
	}
	for _, b := range []blob{routes.Value.Document, bundle.Value.Signed} {
		if b.Ref != nil {
			keep(*b.Ref)
		}
	}
	return nil
}

// keepDocuments names the documents that some record refers to.
func (s *Service) keepDocuments(ctx context.Context, keep func(document.Ref)) error {
	note := func(b blob) {
		if b.Ref != nil {
			keep(*b.Ref)
		}
	}
	err := each(ctx, s, prefixRoutes, func(f found[routesHead]) error {
		note(f.Value.Document)
		return nil
	})
	if err != nil {
		return err
	}
	return each(ctx, s, prefixStream, func(f found[streamRecord]) error {
		note(f.Value.Signed)
		return nil
	})
}
