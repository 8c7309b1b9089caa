package record

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

// Record is a record that was read: its value and where and in which revision.
type Record[T any] struct {
	Value    T
	Key      string
	Revision uint64
}

// Decode reads a record as the store keeps it.
func Decode[T any](r store.Record) (Record[T], error) {
	f := Record[T]{Key: r.Key, Revision: r.Revision}
	if err := json.Unmarshal(r.Value, &f.Value); err != nil {
		return f, fmt.Errorf("decoding record %q: %w", r.Key, err)
	}
	// A record that shows its revision shows the store's.
	if v, ok := any(&f.Value).(interface{ SetRevision(uint64) }); ok {
		v.SetRevision(r.Revision)
	}
	return f, nil
}

// Get reads one record, or store.ErrNotFound.
func Get[T any](ctx context.Context, s *Records, key string) (Record[T], error) {
	r, err := s.store.Get(ctx, key)
	if err != nil {
		return Record[T]{Key: key}, err
	}
	return Decode[T](r)
}

// Optional reads one record; a missing one is the zero value with revision 0.
func Optional[T any](ctx context.Context, s *Records, key string) (Record[T], error) {
	f, err := Get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return f, nil
	}
	return f, err
}

// Child finds a record under a prefix by name or id. Anything else that a client
// writes there is as absent as a name that nobody took.
func Child[T any](ctx context.Context, s *Records, prefix, ref, noun, hint string) (Record[T], error) {
	key := prefix + ref
	switch {
	case mezu.ValidateName("", ref) == nil:
	case IsID(ref):
		target, err := Get[string](ctx, s, KeyID(ref))
		if errors.Is(err, store.ErrNotFound) || err == nil && !strings.HasPrefix(target.Value, prefix) {
			return Record[T]{}, NotFound(noun, hint)
		}
		if err != nil {
			return Record[T]{}, err
		}
		key = target.Value
	default:
		return Record[T]{}, NotFound(noun, hint)
	}
	f, err := Get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return f, NotFound(noun, hint)
	}
	return f, err
}

// ByID finds a record by its id alone.
func ByID[T any](ctx context.Context, s *Records, id string) (Record[T], error) {
	key, err := Get[string](ctx, s, KeyID(id))
	if err != nil {
		return Record[T]{}, err
	}
	return Get[T](ctx, s, key.Value)
}

// IsID reports whether a reference has the form of an id, of whatever noun. Otherwise it is a
// name.
func IsID(ref string) bool {
	prefix, _, ok := strings.Cut(ref, "_")
	return ok && mezu.ValidateID("", prefix, ref) == nil
}

// Each calls visit for every record under a prefix.
func Each[T any](ctx context.Context, s *Records, prefix string, visit func(Record[T]) error) error {
	for token := ""; ; {
		page, err := s.store.List(ctx, prefix, token, store.MaxPage)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			f, err := Decode[T](r)
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

// ErrGone leaves a record out of a listing: what it refers to is not there any more.
var ErrGone = errors.New("gone")

// Limit is how many records a page has. Another Size than Paging allows is invalid.
func (p Paging) Limit() (int, error) {
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

// Lookup is a listing that can have one record, whose key is known: the engine reads
// that by its filters, while a prefix makes it look into every table that could have it.
func Lookup[T, Out any](ctx context.Context, s *Records, key string, p Paging, show func(Record[T]) (Out, error)) (api.List[Out], error) {
	out := api.List[Out]{Items: []Out{}}
	if _, err := p.Limit(); err != nil {
		return out, err
	}
	if p.Token != "" {
		return out, foreignToken()
	}
	f, err := Get[T](ctx, s, key)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	item, err := show(f)
	if errors.Is(err, ErrGone) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Items = append(out.Items, item)
	return out, nil
}

// List reads one page under a prefix. A page token belongs to its prefix: under
// another one it is refused.
func List[T, Out any](ctx context.Context, s *Records, prefix string, p Paging, show func(Record[T]) (Out, error)) (api.List[Out], error) {
	out := api.List[Out]{Items: []Out{}}
	size, err := p.Limit()
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
		f, err := Decode[T](r)
		if err != nil {
			return out, err
		}
		item, err := show(f)
		if errors.Is(err, ErrGone) {
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

// Encode is a value as the store keeps it.
func Encode(v any) ([]byte, error) { return json.Marshal(v) }
