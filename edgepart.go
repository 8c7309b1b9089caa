package mezu

import "slices"

// EdgePart is the part of a bundle that edges alone get: what they need of an environment and
// nobody else may know. It is a statement of its own beside the bundle, whose content is
// encrypted to the edges. No Warpgate gets it.
type EdgePart struct {
	Position    Position `json:"position"`
	Environment string   `json:"environment"` // id
	// Keys have the key of Sealed for each edge that may read it.
	Keys []EdgePartKey `json:"keys,omitempty"`
	// Sealed is an EdgeContent; package edgepart opens it. If empty, there is none.
	Sealed []byte `json:"sealed,omitempty"`
}

// EdgePartKey is the key of an EdgePart for one edge.
type EdgePartKey struct {
	// Edge is the id of the edge.
	Edge string `json:"edge"`
	// Sealed is the key, encrypted to the one that the edge has registered.
	Sealed []byte `json:"sealed"`
}

// EdgeContent is what an EdgePart says.
type EdgeContent struct {
	Webhooks []WebhookSecrets `json:"webhooks,omitempty"`
}

// MaxEdgePartKeys bounds the edges that one part is encrypted to: some 120 bytes each.
const MaxEdgePartKeys = 4096

// Validate checks that it is one that the control plane can have made.
func (p *EdgePart) Validate() error {
	if err := ValidateID("environment", PrefixEnvironment, p.Environment); err != nil {
		return err
	}
	switch {
	case p.Position.IsZero():
		return Invalid("position", "a part has a position")
	case len(p.Keys) > MaxEdgePartKeys:
		return Invalid("keys", "at most %d", MaxEdgePartKeys)
	}
	return nil
}

// KeyOf is the key for an edge, nil if the part is not for it.
func (p *EdgePart) KeyOf(edge string) []byte {
	if i := slices.IndexFunc(p.Keys, func(k EdgePartKey) bool { return k.Edge == edge }); i >= 0 {
		return p.Keys[i].Sealed
	}
	return nil
}
