package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store"
)

// found is a record that was read: its value and where and in which revision.
type found[T any] struct {
	Value    T
	Key      string
	Revision uint64
}

func decode[T any](r store.Record) (found[T], error) {
	f := found[T]{Key: r.Key, Revision: r.Revision}
	if err := json.Unmarshal(r.Value, &f.Value); err != nil {
		return f, fmt.Errorf("decoding record %q: %w", r.Key, err)
	}
	// A record that shows its revision shows the store's.
	if v, ok := any(&f.Value).(interface{ SetRevision(uint64) }); ok {
		v.SetRevision(r.Revision)
	}
	return f, nil
}

// get reads one record, or store.ErrNotFound.
func get[T any](ctx context.Context, s *Records, key string) (found[T], error) {
	r, err := s.store.Get(ctx, key)
	if err != nil {
		return found[T]{Key: key}, err
	}
	return decode[T](r)
}

// optional reads one record; a missing one is the zero value with revision 0.
func optional[T any](ctx context.Context, s *Records, key string) (found[T], error) {
	f, err := get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return f, nil
	}
	return f, err
}

// child finds a record under a prefix by name or id. Anything else that a client
// writes there is as absent as a name that nobody took.
func child[T any](ctx context.Context, s *Records, prefix, ref, noun, hint string) (found[T], error) {
	key := prefix + ref
	switch {
	case mezu.ValidateName("", ref) == nil:
	case isID(ref):
		target, err := get[string](ctx, s, keyID(ref))
		if errors.Is(err, store.ErrNotFound) || err == nil && !strings.HasPrefix(target.Value, prefix) {
			return found[T]{}, notFound(noun, hint)
		}
		if err != nil {
			return found[T]{}, err
		}
		key = target.Value
	default:
		return found[T]{}, notFound(noun, hint)
	}
	f, err := get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return f, notFound(noun, hint)
	}
	return f, err
}

// byID finds a record by its id alone.
func byID[T any](ctx context.Context, s *Records, id string) (found[T], error) {
	key, err := get[string](ctx, s, keyID(id))
	if err != nil {
		return found[T]{}, err
	}
	return get[T](ctx, s, key.Value)
}

func isID(ref string) bool {
	prefix, _, ok := strings.Cut(ref, "_")
	return ok && mezu.ValidateID("", prefix, ref) == nil
}

// each calls visit for every record under a prefix.
func each[T any](ctx context.Context, s *Records, prefix string, visit func(found[T]) error) error {
	for token := ""; ; {
		page, err := s.store.List(ctx, prefix, token, store.MaxPage)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			f, err := decode[T](r)
			if err != nil {
				return err
			}
			if err := visit(f); err != nil {
				return err
			}
		}
		if token = page.Next; token == "" {
			return nil
		}
	}
}

// Paging is what a caller asks of a listing.
type Paging struct {
	// Size is between 1 and api.MaxPageSize; if zero, api.DefaultPageSize.
	Size  int
	Token string
}

// errGone leaves a record out of a listing: what it refers to is not there any more.
var errGone = errors.New("gone")

func (p Paging) size() (int, error) {
	switch {
	case p.Size < 0 || p.Size > api.MaxPageSize:
		return 0, mezu.Invalid("page_size", "is between 1 and %d", api.MaxPageSize)
	case p.Size == 0:
		return api.DefaultPageSize, nil
	}
	return p.Size, nil
}

func foreignToken() error {
	return mezu.Invalid("page_token", "is not the next_page_token of this collection")
}

// lookup is a listing that can have one record, whose key is known: the engine reads
// that by its filters, while a prefix makes it look into every table that could have it.
func lookup[T, Out any](ctx context.Context, s *Records, key string, p Paging, show func(found[T]) (Out, error)) (api.List[Out], error) {
	out := api.List[Out]{Items: []Out{}}
	if _, err := p.size(); err != nil {
		return out, err
	}
	if p.Token != "" {
		return out, foreignToken()
	}
	f, err := get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	item, err := show(f)
	if errors.Is(err, errGone) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Items = append(out.Items, item)
	return out, nil
}

// list reads one page under a prefix. A page token belongs to its prefix: under
// another one it is refused.
func list[T, Out any](ctx context.Context, s *Records, prefix string, p Paging, show func(found[T]) (Out, error)) (api.List[Out], error) {
	out := api.List[Out]{Items: []Out{}}
	size, err := p.size()
	if err != nil {
		return out, err
	}
	scope := mezu.HashSecret(prefix)[:16]
	token := ""
	if p.Token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(p.Token)
		rest, ok := strings.CutPrefix(string(raw), scope)
		if err != nil || !ok {
			return out, foreignToken()
		}
		token = rest
	}
	page, err := s.store.List(ctx, prefix, token, size)
	if token != "" && errors.Is(err, store.ErrInvalid) {
		return out, foreignToken()
	}
	if err != nil {
		return out, err
	}
	for _, r := range page.Records {
		f, err := decode[T](r)
		if err != nil {
			return out, err
		}
		item, err := show(f)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, item)
	}
	if page.Next != "" {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(scope + page.Next))
	}
	return out, nil
}

func encode(v any) ([]byte, error) { return json.Marshal(v) }
