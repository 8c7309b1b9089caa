package trust_test

import (
	"errors"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/trust"
)

// Only a later statement replaces the one in force. The same one is known, whoever signed
// it, and another one at its position is a conflict.
func TestNext(t *testing.T) {
	a := newAuthority(t, newClock())
	anchor := a.anchor()
	list := func(revision uint64, name string) mezu.EdgeList {
		return mezu.EdgeList{Position: mezu.Position{Epoch: 2, Revision: revision}, Edges: []mezu.EdgeInfo{{ID: newEdge().ID, Name: name}}}
	}
	now := list(5, "now")
	inForce := &trust.InForce{Signed: a.sign(mezu.PurposeEdges, a.statements, now), Position: now.Position}
	resigned := inForce.Signed
	resigned.Signature = append([]byte(nil), resigned.Signature...)
	restored := list(1, "restored")
	restored.Position.Epoch = 3
	for name, c := range map[string]struct {
		statement mezu.Signed
		inForce   *trust.InForce
		known     bool
		err       error
	}{
		"first":                   {a.sign(mezu.PurposeEdges, a.statements, list(1, "a")), nil, false, nil},
		"later":                   {a.sign(mezu.PurposeEdges, a.statements, list(6, "a")), inForce, false, nil},
		"of a higher epoch":       {a.sign(mezu.PurposeEdges, a.statements, restored), inForce, false, nil},
		"the same":                {resigned, inForce, true, nil},
		"another at its position": {a.sign(mezu.PurposeEdges, a.statements, list(5, "twin")), inForce, false, trust.ErrConflict},
		"earlier":                 {a.sign(mezu.PurposeEdges, a.statements, list(4, "a")), inForce, false, trust.ErrBackwards},
	} {
		l, known, err := anchor.NextEdges(c.statement, c.inForce)
		if known != c.known || !errors.Is(err, c.err) || (l == nil) != (c.err != nil) {
			t.Errorf("%s: %v, known %t, %v", name, l, known, err)
		}
	}
	if _, _, err := anchor.NextEdges(a.sign(mezu.PurposeEdges, a.trustRoot, list(9, "forged")), inForce); err == nil {
		t.Error("what does not verify replaces the list in force")
	}
}
