package controltest

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
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

// Scan looks for every secret that was given out in all files and the log, and, since
// the engine compresses its files, in every record and every commit of the history as the
// driver reads them.
func (in *Installation) Scan() {
	in.T.Helper()
	in.Stop()
	if len(in.Secrets) == 0 {
		in.T.Fatal("no secret was given out")
	}
	look := func(where string, data []byte) {
		for _, secret := range in.Secrets {
			if bytes.Contains(data, []byte(secret)) {
				in.T.Errorf("%s has the secret %.8s…", where, secret)
			}
		}
	}
	look("the log", []byte(in.Log.String()))
	in.lookAtFiles(look)
	driver := in.Driver
	if driver == nil {
		var err error
		if driver, err = badger.Open(badger.Options{Dir: filepath.Join(in.Dir, "store"), Ballast: -1}); err != nil {
			in.T.Fatal(err)
		}
	}
	in.lookAtRecords(driver, look)
	if err := driver.Close(); err != nil {
		in.T.Error(err)
	}
	in.lookAtFiles(look) // what closing moved
}

func (in *Installation) lookAtFiles(look func(string, []byte)) {
	in.T.Helper()
	files := 0
	err := filepath.WalkDir(in.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, filepath.Join(in.Dir, "offline")) {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		look(path, data)
		return err
	})
	if err != nil || files < 4 {
		in.T.Fatalf("%d files: %v", files, err)
	}
}

func (in *Installation) lookAtRecords(db store.Store, look func(string, []byte)) {
	in.T.Helper()
	records := 0
	for token := ""; ; {
		page, err := db.List(in.T.Context(), "", token, store.MaxPage)
		if err != nil {
			in.T.Fatal(err)
		}
		for _, r := range page.Records {
			records++
			look("the key of "+r.Key, []byte(r.Key))
			look(r.Key, r.Value)
			if plain := !seal.Sealed(r.Value); plain != format.Plain(r.Key) {
				in.T.Errorf("%s lies in the clear: %v", r.Key, plain)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if records < 10 {
		in.T.Errorf("%d records only", records)
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
