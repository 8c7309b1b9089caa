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
	ErrBackwards = errors.New("statement is older than the one in force")
	// ErrConflict: two different statements claim one position.
	ErrConflict = errors.New("statement differs from the one in force at the same position")
)

// BackwardsError is an ErrBackwards with the position of the statement, and of the one in
// force.
type BackwardsError struct {
	At, InForce mezu.Position
	// Text says it in the words of whoever rejects the statement; if empty, Error has its own.
	Text string
}

// Error says which is where.
func (e *BackwardsError) Error() string {
	if e.Text != "" {
		return e.Text
	}
	return fmt.Sprintf("%v: at %s, in force %s", ErrBackwards, e.At, e.InForce)
}

// Is makes it an ErrBackwards.
func (e *BackwardsError) Is(target error) bool { return target == ErrBackwards }

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
	if known, err = inForce(b.Environment).precedes(s, b.Position); err != nil {
		return nil, false, fmt.Errorf("judging the bundle of %s: %w", b.Environment, err)
	}
	return b, known, nil
}

// NextEdges opens a list of edges, as OpenEdges does, that is to replace the one in
// force. inForce is nil if there is none. The errors and known are those of NextBundle.
func (a *Anchor) NextEdges(s mezu.Signed, inForce *InForce) (l *mezu.EdgeList, known bool, err error) {
	if l, err = a.OpenEdges(s); err != nil {
		return nil, false, err
	}
	if known, err = inForce.precedes(s, l.Position); err != nil {
		return nil, false, err
	}
	return l, known, nil
}

// precedes judges whether a statement at a position may replace c, which may be nil.
// known is true if it is c, whoever signed it.
func (c *InForce) precedes(s mezu.Signed, at mezu.Position) (known bool, err error) {
	if c == nil {
		return false, nil
	}
	switch order := at.Compare(c.Position); {
	case order < 0:
		return false, &BackwardsError{At: at, InForce: c.Position}
	case order > 0:
		return false, nil
	case !bytes.Equal(s.Payload, c.Signed.Payload):
		return false, fmt.Errorf("%w: %s", ErrConflict, at)
	}
	return true, nil
}
