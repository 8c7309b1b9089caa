package service

import (
	"context"
	"strconv"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// free refuses a name that is taken.
func (s *Service) free(ctx context.Context, key, noun, name string) error {
	taken, err := optional[struct{}](ctx, s, key)
	if err == nil && taken.Revision != 0 {
		err = &mezu.Error{Code: mezu.CodeConflict, Field: "name", Detail: "there is " + article(noun) + " named " + name + " already", Hint: "choose another name"}
	}
	return err
}

func article(noun string) string {
	switch noun[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + noun
	}
	return "a " + noun
}

// fixedName refuses a change of name: endpoints, scripts and files hold it.
func fixedName(was, is string) error {
	if was != is {
		return mezu.Invalid("name", "is fixed at creation")
	}
	return nil
}

// records is the sealed store, or a layer over it.
type records interface {
	store.Store
	Derive(purpose string) []byte
}

func (s *Service) meta(prefix string) mezu.Meta {
	now := s.stamp()
	return mezu.Meta{ID: mezu.NewID(prefix, now), Revision: 1, CreatedAt: now, UpdatedAt: now}
}

// touch is the meta of a record that is about to be written over revision.
func (s *Service) touch(m mezu.Meta, revision uint64) mezu.Meta {
	m.Revision, m.UpdatedAt = revision+1, s.stamp()
	return m
}

// stamp is the current time as records show it.
func (s *Service) stamp() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// matches checks the revision that a caller insists on; zero is any.
func matches(ifMatch, revision uint64) error {
	if ifMatch == 0 || ifMatch == revision {
		return nil
	}
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "the record has revision " + strconv.FormatUint(revision, 10) + " now, not " + strconv.FormatUint(ifMatch, 10),
		Hint: "read it again and repeat the change on what it is now"}
}

func notFound(noun, hint string) error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no such " + noun, Hint: hint}
}
