package service

import "github.com/mezusphere/mezu/edgesvc/store"

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
