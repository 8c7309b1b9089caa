// Package sealedtest makes sealed stores for tests of what lies over them.
//
// What lives here: that. What may not: a test, or anything about records. Only tests
// import it.
package sealedtest

import (
	"path/filepath"
	"testing"

	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// Open makes an empty store on a disk of its own. It is closed with the test.
func Open(t testing.TB) *sealed.Store {
	t.Helper()
	db, err := badger.Open(badger.Options{Dir: filepath.Join(t.TempDir(), "store"), Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return Wrap(t, db)
}

// Wrap makes a sealed store over another store, which is empty, under a new key.
func Wrap(t testing.TB, inner store.Store) *sealed.Store {
	t.Helper()
	key := &seal.File{Path: filepath.Join(t.TempDir(), "seal.key")}
	if err := key.Create(); err != nil {
		t.Fatal(err)
	}
	s, err := sealed.Open(t.Context(), inner, sealed.Options{Wrapper: key, Plain: func(k string) bool { return k == sealed.RingKey }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
