// Package show makes of what the inspector keeps what people are shown of it: chosen by filters,
// undone of its encodings, and masked, in one place for commands, dashboard, page and exports.
//
// What lives here: how masks, encodings, forms and schemas come together. What may not: HTTP, the
// store, and the rules of masks, encodings and forms, each of which has a package. daemon/rest,
// daemon/page and daemon/inspect/export import it.
package show

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/protobuf"
	"github.com/mezusphere/mezu/daemon/mask"
	"github.com/mezusphere/mezu/local"
)

// Config is what a Show is made of.
type Config struct {
	Inspector *inspect.Inspector
	// Address is the public address of the tunnel with this id, scheme://host[:port], and the
	// file with the CA of its installation, if that has one of its own; or "".
	Address func(tunnelID string) (address, caFile string)
	// Now is the clock of filters.
	Now func() time.Time
}

// Show shows what an inspector keeps. Its methods are those of the local API, and their errors
// are for people. It is safe for concurrent use.
type Show struct {
	cfg    Config
	schema atomic.Pointer[protobuf.Schema]

	searching chan struct{} // has a value while somebody searches bodies
	searches  []search      // the last ones, the newest last; of whoever searches
}

// New makes one.
func New(cfg Config) *Show { return &Show{cfg: cfg, searching: make(chan struct{}, 1)} }

// maxRows bounds the texts in one answer of many exchanges, as long as JSON writes them at worst.
// It leaves room in local.MaxAnswer.
const maxRows = local.MaxAnswer * 3 / 4

// Requests gives one page of what is kept. The query is a valid one but for filter and token.
func (s *Show) Requests(ctx context.Context, q local.RequestsQuery) (local.Requests, error) {
	query := inspect.Query{Most: q.PageSize, ChangedAfter: q.ChangedAfter}
	if query.Most == 0 {
		query.Most = local.DefaultPage
	}
	if q.PageToken != "" {
		var err error
		if query.Before, err = strconv.ParseUint(q.PageToken, 10, 64); err != nil || query.Before == 0 {
			return local.Requests{}, mezu.Invalid(local.QueryPageToken, "is none that an answer had")
		}
	}
	records, next, state, err := s.list(ctx, q.Filter, query)
	if err != nil {
		return local.Requests{}, err
	}
	out := local.Requests{Items: make([]mezu.Exchange, 0, len(records)), InspectorState: state}
	room := maxRows
	for _, r := range records {
		x := Row(r, true)
		room -= sizeOf(&x)
		if room < 0 && len(out.Items) > 0 {
			next = out.Items[len(out.Items)-1].Sequence
			break
		}
		out.Items = append(out.Items, x)
	}
	if next > 0 {
		out.NextPageToken = strconv.FormatUint(next, 10)
	}
	return out, nil
}

// sizeOf is how long JSON of a row is at most.
func sizeOf(x *mezu.Exchange) int {
	const fixed, escaped = 1 << 10, 6
	return fixed + escaped*(len(x.Path)+len(x.Query)+len(x.Host)+len(x.Method)+len(x.Message)+len(x.User)+len(x.Route)+len(x.RequestID)+len(x.Tunnel)+len(x.Client))
}

// list gives exchanges that a filter chooses.
func (s *Show) list(ctx context.Context, filter string, q inspect.Query) (records []*inspect.Record, next uint64, state local.InspectorState, err error) {
	err = s.choose(ctx, filter, func(match func(*inspect.Record) bool) {
		q.Match = match
		records, next, state = s.cfg.Inspector.List(q)
	})
	return records, next, state, err
}

// Clear removes what a filter chooses, but nothing that is pinned or under way.
func (s *Show) Clear(ctx context.Context, text string) (local.Cleared, error) {
	n := 0
	err := s.choose(ctx, text, func(match func(*inspect.Record) bool) { n = s.cfg.Inspector.Clear(match) })
	return local.Cleared{Removed: n}, err
}

// Remove removes one exchange.
func (s *Show) Remove(id string) error { return s.cfg.Inspector.Remove(id) }

// Pin has one stay, or no longer.
func (s *Show) Pin(id string, pinned bool) (mezu.Exchange, error) {
	r, err := s.cfg.Inspector.Pin(id, pinned)
	if err != nil {
		return mezu.Exchange{}, err
	}
	return Row(r, true), nil
}

// Row gives an exchange as lists show it, from its id.
func (s *Show) Row(id string) (mezu.Exchange, error) {
	r, err := s.cfg.Inspector.Get(id)
	if err != nil {
		return mezu.Exchange{}, err
	}
	return Row(r, true), nil
}

// SetSchema has messages of gRPC shown by the names in a set of descriptors.
func (s *Show) SetSchema(set []byte) error {
	schema, err := protobuf.ParseSchema(set)
	if err == nil {
		s.schema.Store(schema)
	}
	return err
}

// Row is the row of an exchange in lists.
func Row(r *inspect.Record, masked bool) mezu.Exchange {
	x := mezu.Exchange{
		ID: r.ID, Sequence: r.Sequence, Revision: r.Revision, RequestID: r.RequestID, Tunnel: r.Tunnel, TunnelID: r.TunnelID,
		Kind: r.Kind, Depth: r.Depth, Method: r.Method, Host: r.Host, Path: r.Path, Query: r.Query, Client: r.Client,
		Status: r.Status, Code: r.Code, Cause: r.Cause, Message: r.Message,
		StartedAt: r.StartedAt, DurationMS: float64(r.Duration.Microseconds()) / 1000, BytesIn: r.BytesIn, BytesOut: r.BytesOut, Frames: r.FrameCount(),
		Route: r.Route, User: r.User, Edge: r.Edge, Warpgate: r.Warpgate, Open: r.Open, Pinned: r.Pinned, ReplayOf: r.ReplayOf,
	}
	if status, ok := r.GRPCStatus(); ok {
		x.GRPCStatus = &status
	}
	if masked {
		x.Path, _ = mask.Text(x.Path)
		x.Query, _ = mask.Query(x.Query)
		x.Message, _ = mask.Text(x.Message)
	}
	return x
}
