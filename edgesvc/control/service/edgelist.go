package service

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// stateEdges adds the list of edges to a change: those stored, less without, more
// with, both by name.
func (s *Fleet) stateEdges(ctx context.Context, ch *change, with *mezu.Edge, without string) error {
	statement, err := s.edgesStatement(ctx, ch, with, without)
	if err == nil {
		ch.state(statement)
	}
	return err
}

func (s *Fleet) edgesStatement(ctx context.Context, ch *change, with *mezu.Edge, without string) (statement, error) {
	l := mezu.EdgeList{Edges: []mezu.EdgeInfo{}}
	gone, swept, err := planned[mezu.Position](ch, keyGone)
	if err != nil {
		return statement{}, err
	}
	if l.Gone = gone; !swept {
		was, err := optional[mezu.Position](ctx, s.records, keyGone)
		if err != nil {
			return statement{}, err
		}
		l.Gone = was.Value
		ch.require(was.Key, was.Revision)
	}
	add := func(e mezu.Edge) {
		l.Edges = append(l.Edges, mezu.EdgeInfo{ID: e.ID, Name: e.Name, TunnelAddress: e.TunnelAddress})
	}
	err = each(ctx, s.records, prefixEdge, func(f found[edge]) error {
		if f.Value.Name != without && (with == nil || f.Value.Name != with.Name) {
			add(f.Value.Edge)
		}
		return nil
	})
	if with != nil {
		add(*with)
	}
	return statement{
		key: func(mezu.Position) string { return keyEdges }, kind: api.StreamEdges, purpose: mezu.PurposeEdges,
		make: func(p mezu.Position) any {
			l.Position = p
			return l
		},
	}, err
}
