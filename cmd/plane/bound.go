package plane

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"strconv"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// What a control plane says is bounded here, for one that lies may go on without end.
const (
	// maxPages bounds the questions for one collection: some pages may be short or empty.
	maxPages = 32
	// maxDirectories bounds the directories that f goes through.
	maxDirectories = 1000
	// maxWatched bounds the records of a collection that is watched: routes are the most.
	maxWatched = 2 * mezu.MaxRoutes
	// maxHeld bounds the bytes of the records of one collection, as JSON.
	maxHeld = 16 << 20
)

// held counts what is kept of a collection.
type held struct{ bytes, records int }

// has reports whether there is room for one record more, and counts it.
func (h *held) has(record any) bool {
	text, err := json.Marshal(record)
	h.bytes, h.records = h.bytes+len(text), h.records+1
	return err == nil && h.bytes <= maxHeld
}

// swap counts one that came in the place of another.
func (h *held) swap(was, is held) {
	h.bytes, h.records = h.bytes-was.bytes+is.bytes, h.records-was.records+is.records
}

// errEndless is why a collection is not followed to its end.
var errEndless = errors.New("more records than are held")

// endless is the error about a collection that is larger than can be shown.
func endless(op api.Operation) error {
	return &mezu.Error{Code: mezu.CodeInternal, Detail: "the answer to " + op.ID + " has more than can be shown here", Cause: errEndless}
}

// collect gives at most so many records of a collection, and whether there are more.
func collect[T any](ctx context.Context, c *api.Client, op api.Operation, query url.Values, most int, params ...string) (all []T, more bool, err error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	query.Set("page_size", strconv.Itoa(api.MaxPageSize))
	var is held
	for range maxPages {
		var page api.List[T]
		if err := c.Do(ctx, api.Call{Operation: op, Params: params, Query: query}, &page); err != nil {
			return nil, false, err
		}
		for _, one := range page.Items {
			if len(all) == most || !is.has(one) {
				return all, true, nil
			}
			all = append(all, one)
		}
		if page.NextPageToken == "" {
			return all, false, nil
		}
		query.Set("page_token", page.NextPageToken)
	}
	return all, true, nil
}
