// Package leak looks for secrets where a control plane keeps its data. Tests alone import
// it.
package leak

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
)

// Scan looks for every secret that was given out in all files and the log, and, since
// the engine compresses its files, in every record and every commit of the history as the
// driver reads them.
func Scan(in *controltest.Installation) {
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
	lookAtFiles(in, look)
	driver := in.Driver
	if driver == nil {
		var err error
		if driver, err = badger.Open(badger.Options{Dir: filepath.Join(in.Dir, "store"), Ballast: -1}); err != nil {
			in.T.Fatal(err)
		}
	}
	lookAtRecords(in, driver, look)
	if err := driver.Close(); err != nil {
		in.T.Error(err)
	}
	lookAtFiles(in, look) // what closing moved
}

func lookAtFiles(in *controltest.Installation, look func(string, []byte)) {
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

func lookAtRecords(in *controltest.Installation, db store.Store, look func(string, []byte)) {
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
