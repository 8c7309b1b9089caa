package format

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// fields is a record by its fields. A migration knows some of them, and keeps the others.
type fields map[string]json.RawMessage

// addIndexes is the migration to version 3. It makes indexes and counters of operators,
// owners and tokens, so that later programs find and count them without reading every
// record. A membership gets the person's id and loses the address, which the record of the
// person has.
func addIndexes(ctx context.Context, s *sealed.Store, _ Options) error {
	operators := 0
	err := records(ctx, s, "person/", func(r store.Record, f fields) error {
		if string(f["operator"]) != "true" {
			return nil
		}
		operators++
		index := fields{}
		for _, name := range []string{"id", "revision", "created_at", "updated_at"} {
			if f[name] != nil {
				index[name] = f[name]
			}
		}
		return put(ctx, s, r, "operator/"+strings.TrimPrefix(r.Key, "person/"), index)
	})
	if err != nil {
		return err
	}
	if err := set(ctx, s, "children/installation", "operators", operators); err != nil {
		return err
	}
	if err := indexMembers(ctx, s); err != nil {
		return err
	}
	return records(ctx, s, "token/", func(r store.Record, f fields) error {
		var person, id string
		if err := read(r.Key, f, map[string]*string{"person": &person, "id": &id}); err != nil || person == "" {
			return err
		}
		return put(ctx, s, r, "tokens/"+person+"/"+id, r.Key)
	})
}

func indexMembers(ctx context.Context, s *sealed.Store) error {
	owners := map[string]int{}
	err := records(ctx, s, "member/", func(r store.Record, f fields) error {
		org, person, _ := strings.Cut(strings.TrimPrefix(r.Key, "member/"), "/")
		var id, role string
		if err := read(r.Key, f, map[string]*string{"id": &id, "role": &role}); err != nil {
			return err
		}
		if role == "owner" {
			owners[org]++
		}
		delete(f, "email")
		f["person"], _ = json.Marshal(person) // a string
		if err := put(ctx, s, r, "id/"+id, r.Key); err != nil {
			return err
		}
		return overwrite(ctx, s, r, f)
	})
	for org, n := range owners {
		if err == nil {
			err = set(ctx, s, "children/"+org, "owners", n)
		}
	}
	return err
}

// records reads all under a prefix.
func records(ctx context.Context, s *sealed.Store, prefix string, visit func(store.Record, fields) error) error {
	for token := ""; ; {
		page, err := s.List(ctx, prefix, token, store.MaxPage)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			var f fields
			if err := json.Unmarshal(r.Value, &f); err != nil {
				return fmt.Errorf("decoding record %q: %w", r.Key, err)
			}
			if err := visit(r, f); err != nil {
				return err
			}
		}
		if token = page.Next; token == "" {
			return nil
		}
	}
}

// read decodes fields that are texts; one that is missing is empty.
func read(key string, f fields, into map[string]*string) error {
	for name, to := range into {
		if f[name] == nil {
			continue
		}
		if err := json.Unmarshal(f[name], to); err != nil {
			return fmt.Errorf("decoding %s of record %q: %w", name, key, err)
		}
	}
	return nil
}

// put creates a record that is derived from another one.
func put(ctx context.Context, s *sealed.Store, from store.Record, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding record %q: %w", key, err)
	}
	return commit(ctx, s, store.Txn{Checks: []store.Check{{Key: from.Key, Revision: from.Revision}, {Key: key}}, Ops: []store.Op{{Key: key, Value: value}}})
}

// overwrite changes a record and keeps its revision, which clients know.
func overwrite(ctx context.Context, s *sealed.Store, r store.Record, f fields) error {
	value, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding record %q: %w", r.Key, err)
	}
	return commit(ctx, s, store.Txn{
		Checks: []store.Check{{Key: r.Key, Revision: r.Revision}},
		Ops:    []store.Op{{Key: r.Key, Value: value, Revision: max(r.Revision, 1)}},
	})
}

// commit writes. A conflict is no error: another process migrates too, and was faster.
func commit(ctx context.Context, s *sealed.Store, txn store.Txn) error {
	_, err := s.Commit(ctx, txn)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// set sets one number of a record of counters.
func set(ctx context.Context, s *sealed.Store, key, name string, n int) error {
	r, f := store.Record{Key: key}, fields{}
	err := records(ctx, s, key, func(rec store.Record, now fields) error {
		if rec.Key == key {
			r, f = rec, now
		}
		return nil
	})
	if err != nil {
		return err
	}
	f[name], _ = json.Marshal(n) // a number
	return overwrite(ctx, s, r, f)
}
