package record

import (
	"context"
	"errors"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

// layer is a layer over the sealed store.
type layer struct {
	store.Store
	sealed sealedStore
}

// Derive implements sealedStore.
func (l layer) Derive(purpose string) []byte { return l.sealed.Derive(purpose) }

// Layered is the records with a layer over their store. Tasks have no handlers there yet.
func (s *Records) Layered(st store.Store) *Records { return s.with(layer{st, s.store}) }

func (s *Records) with(st sealedStore) *Records {
	c := *s
	c.Store, c.store, c.handlers = st, st, TaskHandlers{}
	return &c
}

// SweepDocuments deletes what other processes left behind when they ended: documents
// that keep does not name.
func (s *Records) SweepDocuments(ctx context.Context, keep func(context.Context, func(document.Ref)) error) error {
	_, err := document.SweepShared(ctx, s.store, keep)
	return errors.Join(err, s.tidier.NameAll(ctx, s.store))
}

// TidyDocuments deletes documents of this process's changes that were replaced, or whose
// change came to nothing. of names those of one owner that are kept.
func (s *Records) TidyDocuments(ctx context.Context, of func(context.Context, document.Owner, func(document.Ref)) error) error {
	return s.tidier.Tidy(ctx, s.store, of)
}

// Owner is whose a document is, and Ref names one.
type (
	Owner = document.Owner
	Ref   = document.Ref
)

// Layer is a layer over the store, such as one that fences what is written.
type Layer = store.Store
