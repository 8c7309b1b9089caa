package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/trust/store"
)

// records is the folder, beside the profiles, of what was put into stores: a file for each CA,
// named by its fingerprint. It is what --undo goes by when CA file and profile are gone.
type records struct{ dir string }

// record is one CA, and the stores that got it by this command.
type record struct {
	// Certificate is the CA in PEM.
	Certificate string `json:"certificate"`
	// Profile and CAFile are where it came from.
	Profile string   `json:"profile,omitempty"`
	CAFile  string   `json:"ca_file,omitempty"`
	Stores  []placed `json:"stores"`

	ca store.CA
}

// placed is a store that got it.
type placed struct {
	Kind     store.Kind `json:"kind"`
	Location string     `json:"location"`
}

const (
	// maxRecord bounds one file: a certificate and some dozen paths.
	maxRecord = 256 << 10
	// maxRecords is how many files are looked at. A person has a few installations.
	maxRecords = 256
)

// all are the records that can be read. One that can't, or that others could have written, is
// reported beside them.
func (r records) all() ([]record, error) {
	if r.dir == "" {
		return nil, nil
	}
	d, err := os.Open(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := atomicfile.CheckDir(r.dir); err != nil {
		return nil, err
	}
	entries, _ := d.ReadDir(maxRecords)
	var out []record
	var errs []error
	for _, e := range entries {
		sum, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		one, err := r.read(sum)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b record) int { return strings.Compare(a.ca.SHA256(), b.ca.SHA256()) })
	return out, errors.Join(errs...)
}

func (r records) path(sum string) string { return filepath.Join(r.dir, sum+".json") }

// read reads one file, whose name has to be the fingerprint of what is in it.
func (r records) read(sum string) (record, error) {
	text, err := atomicfile.ReadKey(r.path(sum), maxRecord)
	if err != nil {
		return record{}, fmt.Errorf("reading what was trusted: %w", err)
	}
	var out record
	if err := json.Unmarshal(text, &out); err != nil {
		return record{}, fmt.Errorf("reading what was trusted: %s is damaged: %w", r.path(sum), err)
	}
	cas, err := store.Parse([]byte(out.Certificate))
	if err == nil && (len(cas) != 1 || cas[0].SHA256() != sum) {
		err = errors.New("holds another certificate than its name says")
	}
	if err != nil {
		return record{}, fmt.Errorf("reading what was trusted: %s %w", r.path(sum), err)
	}
	out.ca = cas[0]
	return out, nil
}

// of is the record of a CA; a new one if there is none.
func (r records) of(ca store.CA) (record, error) {
	out, err := record{Certificate: string(ca.Text()), ca: ca}, error(nil)
	if r.dir == "" {
		return out, nil
	}
	if _, err = os.Lstat(r.path(ca.SHA256())); errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		out, err = r.read(ca.SHA256())
	}
	return out, err
}

// save writes a record, or removes the file of one without stores.
func (r records) save(one record) error {
	if r.dir == "" {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: "there is no home directory to remember in what was trusted", Hint: "set HOME, or MEZU_HOME to a directory of yours"}
	}
	path := r.path(one.ca.SHA256())
	if len(one.Stores) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.MarshalIndent(one, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.EnsureOwnDir(filepath.Dir(r.dir)); err != nil {
		return err
	}
	if err := atomicfile.EnsureOwnDir(r.dir); err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'), 0o600)
}

// has reports whether a store got the CA by this command.
func (r record) has(s store.Store) bool {
	return slices.Contains(r.Stores, placed{s.Kind, s.Location})
}

// with and without are the record with and without a store.
func (r record) with(s store.Store) record {
	if !r.has(s) {
		r.Stores = append(slices.Clone(r.Stores), placed{s.Kind, s.Location})
	}
	return r
}

func (r record) without(p placed) record {
	r.Stores = slices.DeleteFunc(slices.Clone(r.Stores), func(other placed) bool { return other == p })
	return r
}
