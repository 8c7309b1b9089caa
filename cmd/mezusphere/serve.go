package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/edge"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/tunnel"
)

// serve runs the services of a role until a signal or a failure ends them.
func (p *program) serve(ctx context.Context, role string, args []string) (int, error) {
	file, flags, rest, err := p.flags(role, args)
	if err == nil && len(rest) > 0 {
		err = wrong("mezusphere %s takes no argument, not %q", role, rest[0])
	}
	if err != nil {
		return exit.Of(err), err
	}
	c, err := load(ctx, role, file, flags, p.getenv)
	if err != nil {
		return exit.Of(err), err
	}
	log, err := process.Logger(p.Err, c.LogFormat, c.LogLevel)
	if err != nil {
		return exit.Of(err), err
	}
	least := uint64(process.MinServer)
	if role == roleControl {
		least = process.MinWarpgate
	}
	if err := process.CheckDescriptors(least); err != nil {
		return exit.Of(err), err
	}
	process.LimitMemory()
	if err := process.MakeTemporaryIn(c.stateOf(role, roleEdge)); err != nil {
		return exit.Of(err), err
	}
	p.outlets.Serve()
	drain, cut, stop := process.Signals(ctx)
	defer stop()
	err = p.runRole(drain, cut, role, c, log)
	code := process.Finish(drain, cut, err)
	if code == exit.Done {
		err = nil
	}
	return code, err
}

// runRole assembles the services of a role, binds their listeners and runs them. Before it
// returns, it releases everything, after an error too.
func (p *program) runRole(drain, cut context.Context, role string, c *config, log *slog.Logger) error {
	var parts []process.Part
	var ctl *control.Control
	var e *edge.Edge
	if role != roleEdge {
		st, err := c.openStore(drain, log)
		if err != nil {
			return err
		}
		if st != nil {
			defer closeStore(st, log) // after the control plane
		}
		if ctl, err = p.newControl(role, c, st, log); err != nil {
			return err
		}
		if err := ctl.Listen(); err != nil {
			return runsAlready(drain, c.stateOf(role, roleControl), err)
		}
		defer closeControl(ctl, log)
		defer openDesk(ctl, c.stateOf(role, roleControl), log).close()
		log.Info("control plane listens", "api", ctl.Addr(), "admin", ctl.AdminAddr(), "ca_file", ctl.CAFile())
	}
	if role != roleControl {
		var err error
		if e, err = edge.New(p.edgeConfig(drain, role, c, ctl, log)); err != nil {
			return err
		}
		if err := e.Listen(); err != nil {
			return ownFlag(role, c, err)
		}
		defer e.Close()
		log.Info("edge listens", "https", e.HTTPSAddr(), "tunnel", e.TunnelAddr(), "told", e.TunnelAddress(), "admin", e.AdminAddr())
		conns, because := c.dataConns(role)
		log.Info("data connections of one Warpgate", "most", conns, "because_of", because)
		parts = append(parts, process.Part{Name: roleEdge, Run: e.Run, Close: e.Close})
	}
	if ctl != nil {
		parts = append(parts, process.Part{Name: roleControl, Run: ctl.Run, Close: func() { closeControl(ctl, log) }})
	}
	if ctl != nil && e != nil {
		warnOfOtherPort(log, int(c.PublicPort), e.HTTPSAddr())
	}
	look, looked := context.WithCancel(drain)
	var looking sync.WaitGroup
	looking.Go(func() { warnOfUnusable(look, log, c.told(ctl, e)) })
	defer looking.Wait()
	defer looked()
	return process.RunParts(drain, cut, parts...)
}

// ownFlag names the flag of the edge's admin listener, which is another one beside a control plane.
func ownFlag(role string, c *config, err error) error {
	if e, ok := errors.AsType[*mezu.Error](err); ok && role == roleAll && e.Field == "admin-addr" {
		return mezu.CannotListen("edge-admin-addr", c.EdgeAdminAddr, e.Cause)
	}
	return err
}

func closeControl(c *control.Control, log *slog.Logger) {
	if err := c.Close(); err != nil {
		log.Error("closing the control plane", "error", err)
	}
}

func closeStore(s store.Store, log *slog.Logger) {
	if err := s.Close(); err != nil {
		log.Error("closing the store", "error", err)
	}
}

// ownName is how the edge calls the control plane of the same process, and so a name
// that its certificate needs.
const ownName = "localhost"

// newControl assembles the control plane on a store, or on an embedded one if st is nil.
func (p *program) newControl(role string, c *config, st store.Store, log *slog.Logger) (*control.Control, error) {
	dir, _, err := c.storeLocation()
	if err != nil {
		return nil, err
	}
	quotas, err := control.ParseQuotas(c.Quotas)
	if err != nil {
		return nil, err
	}
	hosts := c.APIHosts
	if role == roleAll {
		hosts = append(slices.Clone(hosts), ownName)
	}
	return control.New(control.Config{
		StateDir: c.stateOf(role, roleControl), Store: st, StoreDir: dir, Archive: c.Archive, APIAddr: c.APIAddr, CallRate: int(c.CallRate), Domain: c.Domain, PublicPort: int(c.PublicPort), MembersMayCreateOrganizations: c.Founders == foundersMembers, TeamSignup: mezu.SignupMode(c.TeamSignup), NoDeviceLogin: c.DeviceLogin == no,
		TLSCert: c.APITLSCert, TLSKey: c.APITLSKey, APIHosts: hosts, AdminAddr: c.AdminAddr, Notice: p.Err, SealKey: c.SealKey, Quotas: quotas, SMTP: c.smtp(),
		Log: log.With("service", roleControl), Version: version, Connections: connections(role).API, LinesLost: p.outlets.Lost,
	})
}

// connections is how many each service of a role may have open.
func connections(role string) process.Connections {
	return process.Divide(process.Services{API: role != roleEdge, Edge: role != roleControl})
}

// edgeConfig is the configuration of the edge. ctl is the control plane of the same
// process, with which the edge enrols; nil if there is none.
func (p *program) edgeConfig(ctx context.Context, role string, c *config, ctl *control.Control, log *slog.Logger) edge.Config {
	conns, _ := c.dataConns(role)
	allowances, _ := c.allowances() // which was checked as it was read
	cfg := edge.Config{
		Control: c.Control, CAFile: c.CAFile, StateDir: c.stateOf(role, roleEdge), HTTPSAddr: c.HTTPSAddr, TunnelAddr: c.TunnelAddr,
		AdminAddr: c.AdminAddr, Name: c.Name, PublicAddress: c.PublicAddress, TunnelAddress: c.TunnelAddress, MaxConns: conns, ClientShare: int(c.ClientShare),
		TLSCert: c.TLSCert, TLSKey: c.TLSKey, Log: log.With("service", roleEdge), Version: version,
		Connections: connections(role).Edge, EnvironmentShare: int(c.EnvironmentShare), Allowances: allowances, LinesLost: p.outlets.Lost,
	}
	switch {
	case ctl != nil:
		cfg.AdminAddr, cfg.Host = c.EdgeAdminAddr, c.Domain
		cfg.Control, cfg.CAFile = "https://"+mezu.Dialable(ctl.Addr(), ownName), ctl.CAFile()
		if c.APITLSCert != "" { // it is of another authority, and for another name
			_, port, _ := net.SplitHostPort(ctl.Addr())
			cfg.Control, cfg.CAFile = "https://"+net.JoinHostPort(c.APIHosts[0], port), c.CAFile
		}
		cfg.JoinToken = func() (string, error) { return ctl.JoinToken(context.Background()) }
	case c.JoinTokenFile != "":
		cfg.JoinToken = func() (string, error) { return process.SecretFile(ctx, c.JoinTokenFile, log) }
	}
	return cfg
}

// dataConns is how many data connections one Warpgate may have at the edge, and why.
func (c *config) dataConns(role string) (n int, because string) {
	return process.DataConns(int(c.MaxConns), edge.DataPlaces(connections(role).Edge), tunnel.MaxConns)
}

// stateOf is the state directory of a service. Two services in one process have one each.
func (c *config) stateOf(role, service string) string {
	if role == roleAll {
		return filepath.Join(c.State, service)
	}
	return c.State
}
