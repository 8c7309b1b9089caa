// Package workload makes of what was asked for of a tunnel the way to what answers there, and
// tries that way.
//
// What lives here: targets of tunnels, and a look at what is at their end. What may not: what
// a tunnel is, requests of visitors. Package daemon imports it.
package workload

import (
	"crypto/x509"
	"reflect"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/forward/guard"
	"github.com/mezusphere/mezu/trust"
)

// Way is the way to a workload.
type Way struct {
	Asked   mezu.TunnelTarget
	Targets forward.Targets
}

// New makes a way, and reads the files that it names. before is the way that it replaces, or nil:
// whoever has given the same password before goes on.
func New(t mezu.TunnelTarget, before *Way) (*Way, error) {
	w := &Way{Asked: t, Targets: forward.Targets{HostHeader: t.HostHeader, Insecure: t.Insecure}}
	switch {
	case t.BasicAuth == nil:
	case before != nil && reflect.DeepEqual(before.Asked.BasicAuth, t.BasicAuth):
		w.Targets.Guard = before.Targets.Guard
	default:
		w.Targets.Guard = guard.New(*t.BasicAuth, nil)
	}
	var err error
	if w.Targets.Upstream, err = mezu.ParseUpstream(t.Target); err != nil {
		return nil, mezu.Below("target", err)
	}
	for _, a := range t.AllowTargets {
		u, err := mezu.ParseUpstream(a)
		if err != nil {
			return nil, mezu.Below("allow_targets", err)
		}
		w.Targets.Allow = append(w.Targets.Allow, u)
	}
	if w.Targets.WorkloadCA, err = roots(t.UpstreamCA); err != nil {
		return nil, err
	}
	return w, nil
}

// roots reads the CA of a workload, nil if none is named.
func roots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pool, err := trust.LoadRoots(path)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "upstream_ca", Detail: err.Error(), Hint: "name a PEM file with the CA of the workload", Cause: err}
	}
	return pool, nil
}
