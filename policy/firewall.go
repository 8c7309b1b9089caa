package policy

import "github.com/mezusphere/mezu"

// Firewall is how an edge judges the requests of a route by their content.
type Firewall struct {
	// Detect says that attacks are only told of.
	Detect bool
	// Settings are the route's or its environment's, nil for the defaults.
	Settings *mezu.WAFSettings
}

// compileFirewall finds what counts for a route: its own mode and settings, each before its
// environment's. It is nil if the firewall is off.
func compileFirewall(b *mezu.Bundle, r *mezu.Route) *Firewall {
	mode, settings := r.WAF, r.WAFSettings
	if mode == "" {
		mode = b.WAF
	}
	if settings == nil {
		settings = b.WAFSettings
	}
	if mode == "" || mode == mezu.WAFOff {
		return nil
	}
	return &Firewall{mode == mezu.WAFDetect, settings}
}
