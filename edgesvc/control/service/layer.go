package service

import "github.com/mezusphere/mezu/edgesvc/store"

// layer is a layer over the sealed store.
type layer struct {
	store.Store
	sealed sealedStore
}

// Derive implements sealedStore.
func (l layer) Derive(purpose string) []byte { return l.sealed.Derive(purpose) }

// over is the records on a layer over their store. Tasks have no handlers there yet.
func (s *Records) over(st store.Store) *Records { return s.with(layer{st, s.store}) }

func (s *Records) with(st sealedStore) *Records {
	c := *s
	c.store, c.handlers = st, taskHandlers{}
	return &c
}
