package web

import (
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// visit is what a connection is for: one host, and what is in force for it. Streams of one
// connection use it beside one another.
type visit struct {
	hosts Hosts
	host  string // in its canonical form; empty if the name in the handshake has none
	site  atomic.Pointer[policy.Site]
}

// visitTo begins a visit to the server that a handshake named.
func (s *Server) visitTo(serverName string) *visit {
	v := &visit{hosts: s.cfg.Hosts}
	v.host, _ = mezu.CanonicalHost(serverName)
	return v
}

// table is what is in force for the host, nil if nothing is.
func (v *visit) table() *policy.Table {
	if s := v.site.Load(); s != nil {
		if t := s.Table(); t != nil {
			return t
		}
	}
	if s := v.find(); s != nil {
		return s.Table()
	}
	return nil
}

// choose finds the route of a request for the host. The table is nil if nothing is in force for it.
func (v *visit) choose(ask *policy.Request) (*policy.Table, policy.Decision) {
	if s := v.site.Load(); s != nil {
		if t, d := s.Choose(ask); t != nil {
			return t, d
		}
	}
	if s := v.find(); s != nil {
		return s.Choose(ask)
	}
	return nil, policy.Decision{}
}

// find looks for the host: once, as long as an environment has it.
func (v *visit) find() *policy.Site {
	s := v.hosts.Site(v.host)
	v.site.Store(s)
	return s
}
