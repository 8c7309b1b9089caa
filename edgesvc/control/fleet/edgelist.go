package fleet

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// AddEdgeList adds the list of edges to a change: the stored ones, without one and with
// another, if these are given.
func (s *Fleet) AddEdgeList(ctx context.Context, ch *record.Change, with *mezu.Edge, without string) error {
	statement, err := s.edgesStatement(ctx, ch, with, without)
	if err == nil {
		ch.AddStatement(statement)
	}
	return err
}

func (s *Fleet) edgesStatement(ctx context.Context, ch *record.Change, with *mezu.Edge, without string) (record.Statement, error) {
	l := mezu.EdgeList{Edges: []mezu.EdgeInfo{}}
	gone, swept, err := record.Planned[mezu.Position](ch, KeyGone)
	if err != nil {
		return record.Statement{}, err
	}
	if l.Gone = gone; !swept {
		was, err := record.Optional[mezu.Position](ctx, s.records, KeyGone)
		if err != nil {
			return record.Statement{}, err
		}
		l.Gone = was.Value
		ch.Require(was.Key, was.Revision)
	}
	add := func(e mezu.Edge) {
		l.Edges = append(l.Edges, mezu.EdgeInfo{ID: e.ID, Name: e.Name, TunnelAddress: e.TunnelAddress})
	}
	err = record.Each(ctx, s.records, prefixEdge, func(f record.Record[edge]) error {
		if f.Value.Name != without && (with == nil || f.Value.Name != with.Name) {
			add(f.Value.Edge)
		}
		return nil
	})
	if with != nil {
		add(*with)
	}
	return record.Statement{
		Key: func(mezu.Position) string { return record.KeyEdges }, Kind: api.StreamEdges, Purpose: mezu.PurposeEdges,
		Make: func(p mezu.Position) any {
			l.Position = p
			return l
		},
	}, err
}
