package mezu

import (
	"net/url"
	"strings"
	"time"
)

// PeerRole is what a certificate of the internal CA lets its holder be.
type PeerRole string

// Roles of peers.
const (
	PeerWarpgate PeerRole = "warpgate"
	PeerEdge     PeerRole = "edge"
	PeerControl  PeerRole = "control"
)

// Identity is who a peer is, as its certificate's one URI subject alternative
// name says.
type Identity struct {
	Role PeerRole
	ID   string
	// Organization, Project and Environment are ids, of Warpgates only.
	Organization, Project, Environment string
}

// Life of a leaf certificate. It is renewed from RenewAge on, so that edges and Warpgates
// outlive six days without a control plane.
const (
	LeafLife = 7 * 24 * time.Hour
	RenewAge = 24 * time.Hour
	// LeafBackdate makes a new certificate valid for peers with a slow clock.
	LeafBackdate = 5 * time.Minute
)

// TunnelServerName is the server name (SNI) that Warpgates ask an edge for. Name and ALPN
// protocol together tell tunnels from public connections on the same port.
const TunnelServerName = "tunnel.mezusphere.internal"

// ALPN protocols of the tunnel.
const (
	ProtocolControl = "warp-ctl/1"
	ProtocolData    = "warp-data/1"
)

// URI is the subject alternative name of the identity.
func (i Identity) URI() *url.URL {
	switch i.Role {
	case PeerWarpgate:
		return &url.URL{Scheme: "mezu", Host: i.Organization, Path: "/" + i.Project + "/" + i.Environment + "/warpgate/" + i.ID}
	default:
		return &url.URL{Scheme: "mezu", Host: string(i.Role), Path: "/" + i.ID}
	}
}

// String is the URI in text form.
func (i Identity) String() string { return i.URI().String() }

// ParseIdentity reads what URI makes, and nothing else.
func ParseIdentity(u *url.URL) (Identity, error) {
	bad := Invalid("", "%q is not the identity of a peer", u.String())
	if u.Scheme != "mezu" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" {
		return Identity{}, bad
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	var id Identity
	switch {
	case len(parts) == 1 && u.Host == string(PeerEdge):
		id = Identity{Role: PeerEdge, ID: parts[0]}
		if ValidateID("", PrefixEdge, id.ID) != nil {
			return Identity{}, bad
		}
	case len(parts) == 1 && u.Host == string(PeerControl):
		id = Identity{Role: PeerControl, ID: parts[0]}
		if ValidateID("", PrefixControl, id.ID) != nil {
			return Identity{}, bad
		}
	case len(parts) == 4 && parts[2] == string(PeerWarpgate):
		id = Identity{Role: PeerWarpgate, ID: parts[3], Organization: u.Host, Project: parts[0], Environment: parts[1]}
		if ValidateID("", PrefixOrganization, id.Organization) != nil || ValidateID("", PrefixProject, id.Project) != nil ||
			ValidateID("", PrefixEnvironment, id.Environment) != nil || ValidateID("", PrefixWarpgate, id.ID) != nil {
			return Identity{}, bad
		}
	default:
		return Identity{}, bad
	}
	if id.String() != u.String() {
		return Identity{}, bad
	}
	return id, nil
}
