package controltest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// Records are the store's, by key; those that rise by being read are left out.
func (in *Installation) Records(prefix string) map[string]string {
	in.T.Helper()
	out := map[string]string{}
	for token := ""; ; {
		page, err := in.Store.List(in.T.Context(), prefix, token, 0)
		if err != nil {
			in.T.Fatal(err)
		}
		for _, r := range page.Records {
			if !strings.HasPrefix(r.Key, "used/") {
				out[r.Key] = string(r.Value)
			}
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

// Audited gives every audit record in the store, by key.
func (in *Installation) Audited() map[string]mezu.AuditRecord {
	in.T.Helper()
	out := map[string]mezu.AuditRecord{}
	for token := ""; ; {
		page, err := in.Store.List(in.T.Context(), "audit/", token, store.MaxPage)
		if err != nil {
			in.T.Fatal(err)
		}
		for _, r := range page.Records {
			var rec mezu.AuditRecord
			if err := json.Unmarshal(r.Value, &rec); err != nil {
				in.T.Fatal(err)
			}
			out[r.Key] = rec
		}
		if token = page.Next; token == "" {
			return out
		}
	}
}

// ScanAudit looks for every secret that was given out in what audit wrote.
func (in *Installation) ScanAudit() {
	in.T.Helper()
	if len(in.Secrets) < 4 {
		in.T.Fatalf("only %d secrets to look for", len(in.Secrets))
	}
	look := func(where string, data []byte) {
		for _, s := range in.Secrets {
			if bytes.Contains(data, []byte(s)) || bytes.Contains(data, []byte(mezu.HashSecret(s))) {
				in.T.Errorf("%s holds a secret, or its hash", where)
			}
		}
	}
	for key, rec := range in.Audited() {
		data, err := json.Marshal(rec)
		if err != nil {
			in.T.Fatal(err)
		}
		look(key, data)
	}
	paths, err := filepath.Glob(filepath.Join(in.Dir, "archive", "*", "*"))
	if err != nil {
		in.T.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			in.T.Fatal(err)
		}
		look(path, data)
	}
}

// Write puts a record into the store.
func (in *Installation) Write(key string, value any) {
	in.T.Helper()
	data, err := json.Marshal(value)
	if err == nil {
		_, err = in.Store.Commit(in.T.Context(), store.Txn{Ops: []store.Op{{Key: key, Value: data}}})
	}
	if err != nil {
		in.T.Fatal(err)
	}
}

// Keys lists what the store has under a prefix.
func (in *Installation) Keys(prefix string) []string {
	in.T.Helper()
	page, err := in.Store.List(in.T.Context(), prefix, "", 1000)
	if err != nil {
		in.T.Fatal(err)
	}
	var out []string
	for _, r := range page.Records {
		out = append(out, r.Key)
	}
	return out
}

// Between is a store in which something happens before a record is first read by its key.
type Between struct {
	store.Store
	Key  string
	Do   func()
	once sync.Once
}

// Get implements store.Reader.
func (b *Between) Get(ctx context.Context, key string) (store.Record, error) {
	if key == b.Key {
		b.once.Do(b.Do)
	}
	return b.Store.Get(ctx, key)
}
