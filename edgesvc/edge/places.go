package edge

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/admission"
	"github.com/mezusphere/mezu/edgesvc/edge/shed"
)

// How the connections that an edge may have open are divided. Half of them are for tunnels,
// because each request under way has a data connection. An eighth are for connections whose
// handshake isn't done, and the rest for the public. No kind takes from another, so that
// neither those who say nothing nor the public can keep Warpgates out.
const (
	tunnelPart   = 2
	arrivingPart = 8
	// controlPart is the part of the tunnels' places that is for control connections. A
	// Warpgate has one of them, and two data connections at least.
	controlPart = 8
	// MaxConnections bounds the public connections of one edge, as Envoy advises for an edge.
	// So many idle ones take 1.5 GB.
	MaxConnections = 50_000
	// DefaultConnections is for systems without a limit on descriptors.
	DefaultConnections = 131_072
	// minConnections leaves room for each kind.
	minConnections = 64
	// DefaultEnvironmentShare is how many of a hundred connections one environment may hold
	// while connections are scarce.
	DefaultEnvironmentShare = 25
	percent                 = 100
)

// places are the tables of an edge's connections by kind.
type places struct {
	arriving       *admission.Table // at the public listener, before the handshake says who it is
	tunnelArriving *admission.Table // the same at the listener for Warpgates, if there is one
	public         *admission.Table
	controls, data *admission.Table
	admin          *admission.Table
}

// newPlaces divides the connections that there may be. Those of one address are bounded
// while it is not known yet that they are a Warpgate's, and those of the public.
func newPlaces(cfg Config, guard *shed.Guard) *places {
	table := func(name string, n, share int) *admission.Table {
		return admission.New(admission.Config{Name: name, Places: n, OwnerShare: (n*share + percent - 1) / percent, Log: cfg.Log})
	}
	strangers := func(name string, n int, beside ...*admission.Table) *admission.Table {
		return admission.New(admission.Config{Name: name, Places: n, Log: cfg.Log,
			MostOfAddress: cfg.Allowances.Connections, Beside: beside, Unlimited: guard.Unlimited, Allow: guard.Handshake, TooMany: guard.TooMany})
	}
	tunnels, arriving := cfg.Connections/tunnelPart, cfg.Connections/arrivingPart
	public := cfg.Connections - tunnels - arriving
	if cfg.TunnelAddr != "" {
		arriving /= 2
	}
	visitors := table("public", min(public, MaxConnections), cfg.EnvironmentShare)
	return &places{
		arriving:       strangers("arriving", arriving, visitors),
		tunnelArriving: strangers("arriving at the listener for Warpgates", arriving),
		public:         visitors,
		controls:       table("tunnels", tunnels/controlPart, cfg.EnvironmentShare),
		data:           table("data connections of tunnels", DataPlaces(cfg.Connections), cfg.EnvironmentShare),
		admin:          table("admin", admission.AdminPlaces, 0),
	}
}

// DataPlaces is how many of the connections that an edge may have open are for data
// connections.
func DataPlaces(connections int) int {
	tunnels := connections / tunnelPart
	return tunnels - tunnels/controlPart
}

// all are the tables, by the names that metrics give them.
func (p *places) all() map[string]*admission.Table {
	return map[string]*admission.Table{
		"arriving": p.arriving, "arriving_tunnel": p.tunnelArriving, "public": p.public, "control": p.controls, "data": p.data, "admin": p.admin,
	}
}

// judgePlaces fills in defaults of the settings about connections, and checks them.
func (c *Config) judgePlaces() error {
	if c.Connections == 0 {
		c.Connections = DefaultConnections
	}
	if c.EnvironmentShare == 0 {
		c.EnvironmentShare = DefaultEnvironmentShare
	}
	if c.Connections < minConnections {
		return mezu.Invalid("connections", "an edge needs %d at least, not %d", minConnections, c.Connections)
	}
	if c.EnvironmentShare < 1 || c.EnvironmentShare > percent {
		return mezu.Invalid("environment_share", "is between 1 and 100, not %d", c.EnvironmentShare)
	}
	return nil
}
