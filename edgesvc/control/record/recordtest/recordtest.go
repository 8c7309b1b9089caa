// Package recordtest opens records for tests of what lies above them: on a store in
// memory, with an authority of their own.
//
// What may not live here: an operation. Only tests import it.
package recordtest

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/store/sealed/sealedtest"
)

// vault is one in memory.
type vault map[string][]byte

// Load implements ca.Vault.
func (v vault) Load(_ context.Context, name string) ([]byte, error) {
	if data, ok := v[name]; ok {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

// Save implements ca.Vault.
func (v vault) Save(_ context.Context, name string, data []byte) error {
	v[name] = data
	return nil
}

// Authority makes a certificate authority.
func Authority(t testing.TB, now func() time.Time) *ca.Authority {
	t.Helper()
	v := vault{}
	if err := ca.Create(t.Context(), v, filepath.Join(t.TempDir(), "offline"), now); err != nil {
		t.Fatal(err)
	}
	authority, err := ca.Open(t.Context(), v, now)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// Open opens records on an empty store.
func Open(t testing.TB, now func() time.Time, quotas record.Quotas, with ...func(*record.Config)) *record.Records {
	t.Helper()
	cfg := record.Config{Store: sealedtest.Open(t), Authority: Authority(t, now), Quotas: quotas, Log: slog.New(slog.DiscardHandler), Now: now}
	for _, set := range with {
		set(&cfg)
	}
	r, err := record.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
