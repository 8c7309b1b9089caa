package config

import (
	"context"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// TidyInterval is how often each control plane looks for documents of its own changes
// that nothing refers to any more: they are gone within a minute.
const TidyInterval = 10 * time.Second

// sweepDocuments finds what other processes left behind when they ended.
func (s *Configuration) sweepDocuments(ctx context.Context) error {
	return s.records.SweepDocuments(ctx, s.keepDocuments)
}

// TidyDocuments deletes documents that were replaced, or whose change came to nothing.
func (s *Configuration) TidyDocuments(ctx context.Context) error {
	return s.records.TidyDocuments(ctx, s.documentsOf)
}

// ownerOf is whose documents those of an environment are. Those of a directory are named by
// its id in the same way.
func ownerOf(organization, environment string) record.Owner {
	return record.Owner{Tenant: organization, Name: environment}
}

// documentsOf names the documents of one owner that a record refers to.
func (s *Configuration) documentsOf(ctx context.Context, owner record.Owner, keep func(record.Ref)) error {
	if owner == (record.Owner{}) {
		return s.keepDocuments(ctx, keep)
	}
	routes, err := record.Optional[routesHead](ctx, s.records, keyRoutes(owner.Name))
	if err != nil {
		return err
	}
	bundle, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyBundle(owner.Name))
	if err != nil {
		return err
	}
	keys, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyAssertions(owner.Name))
	if err != nil {
		return err
	}
	part, err := record.Optional[record.StreamRecord](ctx, s.records, record.KeyEdgePart(owner.Name))
	if err != nil {
		return err
	}
	note := noting(keep)
	note(routes.Value.Document)
	note(bundle.Value.Signed)
	note(keys.Value.Signed)
	note(part.Value.Signed)
	return s.identity.LogoOf(ctx, owner.Name, note)
}

// noting is keep for documents that may be inside their records.
func noting(keep func(record.Ref)) func(record.Blob) {
	return func(b record.Blob) {
		if b.Ref != nil {
			keep(*b.Ref)
		}
	}
}

// keepDocuments names the documents that some record refers to.
func (s *Configuration) keepDocuments(ctx context.Context, keep func(record.Ref)) error {
	note := noting(keep)
	err := record.Each(ctx, s.records, prefixRoutes, func(f record.Record[routesHead]) error {
		note(f.Value.Document)
		return nil
	})
	if err == nil {
		err = s.identity.Logos(ctx, note)
	}
	if err != nil {
		return err
	}
	return record.Each(ctx, s.records, record.PrefixStream, func(f record.Record[record.StreamRecord]) error {
		note(f.Value.Signed)
		return nil
	})
}
