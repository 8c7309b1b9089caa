// Package format is the version of what lies in the control plane's store: which
// one this program writes, and how a store of an older one is brought to it, once and
// forward only.
//
// What lives here: the version's record, the migrations in their order, and opening a
// store through both. What may not: an operation on the records. Only control imports
// it.
//
// A migration may be interrupted at any point and is repeated then; the version's
// record changes when it is done. Each is tested on a store as the old program wrote it.
package format

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// Current is the version that this program writes.
const Current = 4

// Restoring is the key of a record that is there while a restore is under way.
const Restoring = "meta/restoring"

// Records about the store itself. They are not sealed: they are read before the key
// is.
const (
	prefixMeta = "meta/"
	keyFormat  = prefixMeta + "format"
)

// record is the version's.
type record struct {
	Version int `json:"version"`
	// Program wrote it, for the message of an older one.
	Program string `json:"program"`
}

// Options of Open.
type Options struct {
	// Wrapper holds the key that is kept outside the store.
	Wrapper seal.Wrapper
	// Program is this program's version, for messages.
	Program string
	Now     func() time.Time
	// Log is told of migrations; if nil, nobody is.
	Log *slog.Logger
}

// Plain reports whether a record lies in the clear: the version, the ring of the keys,
// and the installation's epoch and counter, none of which says anything of a tenant.
func Plain(key string) bool { return strings.HasPrefix(key, prefixMeta) }

// migration brings a store from the version before to its own.
type migration struct {
	to   int
	what string
	run  func(context.Context, *sealed.Store, Options) error
}

// migrations are all of them, in order. A store of the first version has no record of
// its version, and only the CA's record in it is sealed.
func migrations() []migration {
	return []migration{
		{2, "sealing all records", sealAll},
		{3, "indexing people", addIndexes},
		{4, "keeping accounts", keepAccounts},
	}
}

// Open opens a store. A new one gets its keys and the current version, an older one is
// migrated. A store that a newer program wrote, or that a restore left half done, is
// refused. Closing the sealed store closes inner.
func Open(ctx context.Context, inner store.Store, opts Options) (*sealed.Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := checkRestored(ctx, inner); err != nil {
		return nil, err
	}
	version, revision, err := find(ctx, inner, opts)
	if err != nil {
		return nil, err
	}
	if err := haveKey(opts.Wrapper, version == 0); err != nil {
		return nil, err
	}
	s, err := sealed.Open(ctx, inner, sealed.Options{Wrapper: opts.Wrapper, Plain: Plain, Now: opts.Now})
	if errors.Is(err, seal.ErrOtherKey) {
		return nil, otherKey(err)
	}
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return s, write(ctx, inner, Current, 0, opts.Program)
	}
	for _, m := range migrations() {
		if m.to <= version {
			continue
		}
		opts.Log.Info("migrating the store", "from", m.to-1, "to", m.to, "what", m.what)
		if err := m.run(ctx, s, opts); err != nil {
			return nil, fmt.Errorf("migrating the store to format %d: %w", m.to, err)
		}
		if err := write(ctx, inner, m.to, revision, opts.Program); err != nil {
			return nil, err
		}
		revision++
	}
	return s, nil
}

// find reads the version; 0 is that of a new store.
func find(ctx context.Context, inner store.Store, opts Options) (version int, revision uint64, err error) {
	rec, err := inner.Get(ctx, keyFormat)
	if errors.Is(err, store.ErrNotFound) {
		empty, err := isEmpty(ctx, inner)
		if err != nil || empty {
			return 0, 0, err
		}
		return 1, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the store's format: %w", err)
	}
	var r record
	if err := json.Unmarshal(rec.Value, &r); err != nil || r.Version < 1 {
		return 0, 0, fmt.Errorf("reading the store's format: its record is damaged: %q", rec.Value)
	}
	if r.Version > Current {
		return 0, 0, &mezu.Error{
			Code:   mezu.CodeConflict,
			Detail: fmt.Sprintf("the store has format %d, written by mezusphere %s; this is mezusphere %s, which knows formats up to %d", r.Version, r.Program, opts.Program, Current),
			Hint:   "run that version or a newer one; to go back, restore a backup that this version made",
		}
	}
	return r.Version, rec.Revision, nil
}

// isEmpty reports whether a store was never used. The ring of keys doesn't count: a first
// start that was interrupted leaves it.
func isEmpty(ctx context.Context, inner store.Store) (bool, error) {
	page, err := inner.List(ctx, "", "", 2)
	if err != nil {
		return false, fmt.Errorf("looking into the store: %w", err)
	}
	for _, r := range page.Records {
		if r.Key != sealed.RingKey {
			return false, nil
		}
	}
	return true, nil
}

// write writes the version if its record still has this revision. A conflict is no error:
// another process wrote the same.
func write(ctx context.Context, inner store.Store, version int, revision uint64, program string) error {
	value, err := json.Marshal(record{version, program})
	if err != nil {
		return fmt.Errorf("encoding the store's format: %w", err)
	}
	_, err = inner.Commit(ctx, store.Txn{
		Checks: []store.Check{{Key: keyFormat, Revision: revision}},
		Ops:    []store.Op{{Key: keyFormat, Value: value}},
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("writing the store's format: %w", err)
	}
	return nil
}

// haveKey makes the key file of a new store. Of a store that is in use the file must be
// there: a new key would open nothing.
func haveKey(w seal.Wrapper, isNew bool) error {
	file, ok := w.(*seal.File)
	if !ok {
		return nil
	}
	if isNew {
		return file.Create()
	}
	there, err := file.Exists()
	if err != nil {
		return fmt.Errorf("looking for the seal key: %w", err)
	}
	if !there {
		return &mezu.Error{
			Code: mezu.CodeInvalid, Field: "seal_key_file",
			Detail: fmt.Sprintf("the store was sealed under a key that is not in %s", file.Path),
			Hint:   "copy it from a control plane that uses this store (seal.key in its state directory), put it back from a copy, or name it with --seal-key-file; without it the store can't be opened",
		}
	}
	return nil
}

func otherKey(cause error) error {
	return &mezu.Error{
		Code: mezu.CodeInvalid, Field: "seal_key_file", Detail: "the store was sealed under another key: " + cause.Error(),
		Hint: "use the key file that belongs to this store, and of several control planes the same one", Cause: cause,
	}
}

// sealAll is the migration to version 2.
func sealAll(ctx context.Context, s *sealed.Store, opts Options) error {
	n, err := s.Adopt(ctx, func(r store.Record) ([]byte, error) {
		if !strings.HasPrefix(r.Key, "ca/") {
			return r.Value, nil
		}
		// The first version sealed under the key in the file itself, without a data key.
		plain, err := opts.Wrapper.Unwrap(ctx, r.Key, r.Value)
		if errors.Is(err, seal.ErrOtherKey) {
			return nil, otherKey(err)
		}
		return plain, err
	})
	opts.Log.Info("sealed records", "records", n)
	return err
}

// keepAccounts is the migration to version 4, which has records of credentials, sessions and
// logins: programs that know none of them would suspend a user and leave the sessions. Now that
// people log in, bundles say whose directory asks for a second factor, so those of the
// environments that name such a directory are due to be published again.
func keepAccounts(ctx context.Context, s *sealed.Store, _ Options) error {
	return records(ctx, s, "dir/", func(r store.Record, f fields) error {
		var id, mfa string
		if err := read(r.Key, f, map[string]*string{"id": &id, "mfa": &mfa}); err != nil || mfa != string(mezu.MFARequired) {
			return err
		}
		owner, _, _ := strings.Cut(strings.TrimPrefix(r.Key, "dir/"), "/")
		task := map[string]string{"kind": "directory", "id": id, "organization": owner}
		if mezu.ValidateID("", mezu.PrefixProject, owner) == nil {
			at, err := s.Get(ctx, "id/"+owner)
			if errors.Is(err, store.ErrNotFound) {
				return nil // the directory's project is gone, and so are its environments
			}
			if err != nil {
				return err
			}
			var key string // prj/ORGANIZATION/NAME
			if err := json.Unmarshal(at.Value, &key); err != nil {
				return fmt.Errorf("decoding record %q: %w", at.Key, err)
			}
			organization, _, _ := strings.Cut(strings.TrimPrefix(key, "prj/"), "/")
			task["organization"], task["project"] = organization, owner
		}
		return put(ctx, s, r, "pending/directory/"+id, task)
	})
}

// checkRestored refuses a store that a restore did not finish.
func checkRestored(ctx context.Context, inner store.Store) error {
	_, err := inner.Get(ctx, Restoring)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("looking into the store: %w", err)
	}
	return &mezu.Error{
		Code: mezu.CodeConflict, Detail: "the store holds a part of a backup: a restore did not finish",
		Hint: "run `mezusphere restore` again; it begins anew",
	}
}
