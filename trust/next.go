package trust

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mezusphere/mezu"
)

// Why a statement that verifies may not replace the one in force.
var (
	// ErrBackwards: the statement is older than the one in force.
	ErrBackwards = errors.New("statement is older than the one in use")
	// ErrConflict: two different statements claim one position.
	ErrConflict = errors.New("statement differs from the one in force at the same position")
)

// InForce is a statement in force and its position.
type InForce struct {
	Signed   mezu.Signed
	Position mezu.Position
}

// NextBundle opens a bundle, as OpenBundle does, that is to replace the one in force.
// inForce finds that by its environment and returns nil where there is none. An older
// bundle is ErrBackwards; another one at the same position is ErrConflict. known says
// that the same bundle is in force already, perhaps under another signature.
func (a *Anchor) NextBundle(s mezu.Signed, inForce func(environment string) *InForce) (b *mezu.Bundle, known bool, err error) {
	if b, err = a.OpenBundle(s); err != nil {
		return nil, false, err
	}
	if known, err = inForce(b.Environment).precedes(s, "bundle of "+b.Environment, b.Position); err != nil {
		return nil, false, err
	}
	return b, known, nil
}

// NextEdges opens a list of edges, as OpenEdges does, that is to replace the one in
// force. inForce is nil if there is none. The errors and known are those of NextBundle.
func (a *Anchor) NextEdges(s mezu.Signed, inForce *InForce) (l *mezu.EdgeList, known bool, err error) {
	if l, err = a.OpenEdges(s); err != nil {
		return nil, false, err
	}
	if known, err = inForce.precedes(s, "list of edges", l.Position); err != nil {
		return nil, false, err
	}
	return l, known, nil
}

// NextAssertions opens the keys of an environment's Warpgates, as OpenAssertions does, that are
// to replace those in force. inForce, errors and known are those of NextBundle.
func (a *Anchor) NextAssertions(s mezu.Signed, inForce func(environment string) *InForce) (k *mezu.AssertionKeys, known bool, err error) {
	if k, err = a.OpenAssertions(s); err != nil {
		return nil, false, err
	}
	if known, err = inForce(k.Environment).precedes(s, "keys of Warpgates of "+k.Environment, k.Position); err != nil {
		return nil, false, err
	}
	return k, known, nil
}

// NextEdgePart opens what edges alone get of an environment, as OpenEdgePart does, that is to
// replace what is in force. inForce, errors and known are those of NextBundle.
func (a *Anchor) NextEdgePart(s mezu.Signed, inForce func(environment string) *InForce) (p *mezu.EdgePart, known bool, err error) {
	if p, err = a.OpenEdgePart(s); err != nil {
		return nil, false, err
	}
	if known, err = inForce(p.Environment).precedes(s, "edge's part of "+p.Environment, p.Position); err != nil {
		return nil, false, err
	}
	return p, known, nil
}

// precedes judges whether a statement at a position may replace c, which may be nil. known
// is true if it is c, whoever signed it. Errors call the statement by what it is.
func (c *InForce) precedes(s mezu.Signed, what string, at mezu.Position) (known bool, err error) {
	if c == nil {
		return false, nil
	}
	switch order := at.Compare(c.Position); {
	case order < 0:
		return false, fmt.Errorf("%w: %s at %s, in use %s", ErrBackwards, what, at, c.Position)
	case order > 0:
		return false, nil
	case !bytes.Equal(s.Payload, c.Signed.Payload):
		return false, fmt.Errorf("%w: %s at %s", ErrConflict, what, at)
	}
	return true, nil
}
