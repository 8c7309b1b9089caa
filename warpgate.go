package mezu

import (
	"strings"
	"time"
)

// WarpgateStatus is what the control plane knows of a Warpgate's tunnels.
type WarpgateStatus string

// Statuses of a Warpgate. They are true within WarpgateStatusDelay.
const (
	// WarpgateConnected: at least one live edge holds a tunnel of it.
	WarpgateConnected WarpgateStatus = "connected"
	// WarpgateDisconnected: every edge that could hold one says it has none.
	WarpgateDisconnected WarpgateStatus = "disconnected"
	// WarpgateUnknown: the edge that held it is silent.
	WarpgateUnknown WarpgateStatus = "unknown"
	// WarpgateRevoked: it was removed, but the installation was then restored from a
	// backup that still has it. It stays refused.
	WarpgateRevoked WarpgateStatus = "revoked"
)

// WarpgateStatusDelay bounds how long a shown status may lag behind the truth.
const WarpgateStatusDelay = 15 * time.Second

// Warpgate is the outbound connector beside a workload. It registers itself and
// is never created by hand.
type Warpgate struct {
	Meta
	// Name is that of the machine that it runs on, as it says itself. Several may have one name.
	Name string `json:"name,omitempty"`
	// Environment is the id of the one that it serves.
	Environment string `json:"environment,omitempty"`
	// Status is what the edges say of its tunnels.
	Status WarpgateStatus `json:"status,omitempty"`
	// Address is the IP address from which it dials.
	Address string `json:"address,omitempty"`
	// Version is that of its program.
	Version string `json:"version,omitempty"`
	// Draining says that edges send it no new requests until it is undrained, also when it
	// reconnects.
	Draining bool `json:"draining,omitempty"`
	// Edges are the ids of the edges that hold a tunnel of it now.
	Edges []string `json:"edges,omitempty"`
	// Bundle is the position of the bundle that it last acknowledged.
	Bundle Position `json:"bundle,omitzero"`
	// Targets are where it says that it sends requests; nil if its build doesn't say so, or it
	// has not yet.
	Targets *WarpgateTargets `json:"targets,omitempty"`
	// LastSeenAt is when an edge last told of it.
	LastSeenAt time.Time `json:"last_seen_at,omitzero"`
	// RegisteredBy is the id of the service account or member that let it in.
	RegisteredBy string `json:"registered_by,omitempty"`
	// Serial is the serial number of its current certificate, in hexadecimal.
	Serial string `json:"serial,omitempty"`
}

// MaxWarpgateName bounds the name that a Warpgate says, in bytes: that of a label of a host.
const MaxWarpgateName = 63

// WarpgateName is the name of a machine as a Warpgate may say it: its first label, of letters,
// digits, dots, hyphens and underscores alone. It is empty if nothing is left.
func WarpgateName(host string) string {
	host, _, _ = strings.Cut(host, ".")
	name := strings.Map(func(r rune) rune {
		if isNameByte(r) {
			return r
		}
		return -1
	}, host)
	return name[:min(len(name), MaxWarpgateName)]
}

// ValidateWarpgateName checks the name that a Warpgate says.
func ValidateWarpgateName(name string) error {
	if len(name) > MaxWarpgateName || strings.ContainsFunc(name, func(r rune) bool { return !isNameByte(r) }) {
		return Invalid("name", "has at most %d letters, digits, dots, hyphens and underscores", MaxWarpgateName)
	}
	return nil
}

func isNameByte(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// MaxDraining is how many Warpgates of one environment can be draining at a time, because
// their ids are in its bundle. To stop more, one disables the environment.
const MaxDraining = 1000

// StatusOf derives a Warpgate's status from the edges that report it: live edges that hold
// its tunnel, and silent ones that held one in their last report.
func StatusOf(holding, silent int) WarpgateStatus {
	switch {
	case holding > 0:
		return WarpgateConnected
	case silent > 0:
		return WarpgateUnknown
	}
	return WarpgateDisconnected
}

// Presence is what one edge says of one Warpgate's tunnel to it.
type Presence struct {
	// Warpgate is its id.
	Warpgate string `json:"warpgate"`
	// Environment is the id of the one that it serves.
	Environment string `json:"environment"`
	// Connected says whether it holds a tunnel to this edge.
	Connected bool `json:"connected"`
	// Address is the IP address from which it dials.
	Address string `json:"address,omitempty"`
	// Version is that of its program.
	Version string `json:"version,omitempty"`
	// Bundle is the position of the bundle that it last acknowledged.
	Bundle Position `json:"bundle,omitzero"`
	// Since is when it connected or, if it isn't connected, when it last was.
	Since time.Time `json:"since,omitzero"`
}
