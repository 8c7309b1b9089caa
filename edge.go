package mezu

import "time"

// EdgeStatus is what the control plane knows of an edge.
type EdgeStatus string

// Statuses of an edge. They are true within WarpgateStatusDelay.
const (
	// EdgeUp: it reports to the control plane.
	EdgeUp EdgeStatus = "up"
	// EdgeDown: it has not reported for a while, or never did.
	EdgeDown EdgeStatus = "down"
)

// Edge is a publicly reachable node of the data plane. Operators own edges;
// they enrol themselves with a join token.
type Edge struct {
	Meta
	// Name is unique in the installation.
	Name string `json:"name"`
	// TunnelAddress is the host:port that Warpgates dial.
	TunnelAddress string `json:"tunnel_address"`
	// PublicAddress is the host:port of public HTTPS.
	PublicAddress string `json:"public_address,omitempty"`
	// Version is that of the edge's program.
	Version string `json:"version,omitempty"`
	// Serial is the serial number of its current certificate, in hexadecimal.
	Serial string `json:"serial,omitempty"`
	// Status is whether it reports to the control plane. It is no part of the edge's record.
	Status EdgeStatus `json:"status,omitempty"`
	// LastSeenAt is when its last report came, if one did. It is no part of the edge's record.
	LastSeenAt time.Time `json:"last_seen_at,omitzero"`
}

// NoEnvironmentName is the common name of the certificate that an edge shows for names which
// no environment has. Whoever took an edge for a control plane learns by it which of the two it is.
const NoEnvironmentName = "no such environment"

// Validate checks what an edge sends when it enrols.
func (e *Edge) Validate() error {
	if err := ValidateName("name", e.Name); err != nil {
		return err
	}
	if !isHostPort(e.TunnelAddress) {
		return Invalid("tunnel_address", "is the host:port that Warpgates dial, not %q", e.TunnelAddress)
	}
	if e.PublicAddress != "" && !isHostPort(e.PublicAddress) {
		return Invalid("public_address", "is the host:port of public HTTPS, not %q", e.PublicAddress)
	}
	return validateText("version", e.Version, MaxDisplayName)
}

func isHostPort(s string) bool {
	u, err := ParseUpstream(s)
	return err == nil && u.Scheme == UpstreamHTTP && u.Address == s
}

// EdgeList is the signed statement of which edges a Warpgate may dial and under
// which identity each answers.
type EdgeList struct {
	Position Position   `json:"position"`
	Edges    []EdgeInfo `json:"edges"`
	// Gone is the position of the newest tombstone (see Bundle.Removed) that the stream
	// has dropped. An edge that was away may have missed such tombstones. It drops an
	// environment that a complete snapshot doesn't name, if its bundle is not newer than
	// Gone.
	Gone Position `json:"gone,omitzero"`
}

// EdgeInfo is what a Warpgate needs of one edge.
type EdgeInfo struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	TunnelAddress string `json:"tunnel_address"`
}
