package manifest

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/mezusphere/mezu"
)

// Tunnel is what the file says of a tunnel of "mezu tunnel", under the tunnel's name. It stays
// on this machine: no request to a control plane has it.
type Tunnel struct {
	// To is the target, as somebody would type it. A folder is relative to the file's.
	To         Text   `json:"to"`
	HostHeader string `json:"host_header,omitempty"`
	// Environment is the one to serve; if empty, the caller's own, with the tunnel's name.
	Environment string `json:"environment,omitempty"`
	// Listing and SPA are for folders, UpstreamCA and Insecure for https.
	Listing    bool   `json:"listing,omitempty"`
	SPA        bool   `json:"spa,omitempty"`
	UpstreamCA string `json:"upstream_ca,omitempty"`
	Insecure   bool   `json:"insecure_upstream,omitempty"`
}

// Text is text that may be written as a number: a port is one.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] >= '0' && data[0] <= '9' {
		*t = Text(data)
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// document is all that a file may say.
type document struct {
	mezu.Manifest
	Tunnels map[string]Tunnel `json:"tunnels,omitempty"`
}

// MaxItems bounds what a document has.
func (d document) MaxItems(field string) int {
	if field == "tunnels" {
		return mezu.MaxTunnels
	}
	return d.Manifest.MaxItems(field)
}

// checkTunnels checks names. What a target is depends on the machine, and whoever opens it
// looks there.
func checkTunnels(tunnels map[string]Tunnel) (wrong []error) {
	for _, name := range slices.Sorted(maps.Keys(tunnels)) {
		field := "tunnels." + name
		if err := mezu.ValidateName(field, name); err != nil {
			wrong = append(wrong, err)
		}
		if tunnels[name].To == "" {
			wrong = append(wrong, mezu.Invalid(field+".to", "a target is required, such as 3000"))
		}
		if e := tunnels[name].Environment; e != "" {
			if err := mezu.ValidateName(field+".environment", e); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	return wrong
}

// ExplainTunnel adds line and column to an error about one of the tunnels.
func (f *File) ExplainTunnel(name, field string, err error) error {
	return f.locate(mezu.Below("tunnels."+name+"."+field, err))
}
