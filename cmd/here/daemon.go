package here

import (
	"context"
	"errors"
	"slices"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/tunnel"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/tui/newtunnel"
	"github.com/mezusphere/mezu/tui/tunnels"
)

// daemon is the local daemon with its tunnels.
type daemon struct{ *Here }

// Tunnels are all.
func (d daemon) Tunnels(ctx context.Context) ([]mezu.Tunnel, error) {
	return ask(ctx, d.Here, func(c *local.Client) ([]mezu.Tunnel, error) { return c.Tunnels(ctx) })
}

// Follow follows the events of all tunnels.
func (d daemon) Follow(ctx context.Context, open func(), see func(local.Event)) error {
	_, err := ask(ctx, d.Here, func(c *local.Client) (struct{}, error) {
		stream, err := c.Events(ctx, "")
		if err != nil {
			return struct{}{}, err
		}
		defer stream.Close()
		defer context.AfterFunc(ctx, stream.Close)()
		open()
		for {
			e, err := stream.Next()
			if err != nil {
				return struct{}{}, err
			}
			see(e)
		}
	})
	return err
}

// Start starts a tunnel that was stopped, and enrols it if it has to be.
func (d daemon) Start(ctx context.Context, t mezu.Tunnel) error {
	is, err := ask(ctx, d.Here, func(c *local.Client) (mezu.Tunnel, error) { return c.Start(ctx, t.ID) })
	if err != nil {
		return err
	}
	if !session.Unenrolled(&is) {
		return nil
	}
	p, err := tunnel.At(d.cfg.Invocation, d.opener, is)
	if err != nil {
		return err
	}
	defer p.Close()
	token, err := p.Token(ctx)
	if err != nil {
		return err
	}
	_, err = ask(ctx, d.Here, func(c *local.Client) (mezu.Tunnel, error) { return c.Enrol(ctx, t.ID, token) })
	return err
}

// Stop stops a tunnel when its requests have ended.
func (d daemon) Stop(ctx context.Context, t mezu.Tunnel) error {
	_, err := ask(ctx, d.Here, func(c *local.Client) (mezu.Tunnel, error) { return c.Stop(ctx, t.ID, local.Drain{}) })
	return err
}

// Remove removes a tunnel here, and then what the control plane has of it. What it couldn't remove
// there it says.
func (d daemon) Remove(ctx context.Context, t mezu.Tunnel) (stays string, err error) {
	p, away := tunnel.At(d.cfg.Invocation, d.opener, t)
	if away == nil {
		defer p.Close()
	}
	_, err = ask(ctx, d.Here, func(c *local.Client) (struct{}, error) { return struct{}{}, c.Remove(ctx, t.ID) })
	if err != nil && mezu.CodeOf(err) != mezu.CodeNotFound {
		return "", err
	}
	if away == nil {
		stays, away = p.Forget(ctx)
	}
	if away != nil {
		var e *mezu.Error
		why := away.Error()
		if errors.As(away, &e) && e.Detail != "" {
			why = e.Detail
		}
		return "its address and Warpgate stay: " + why, nil
	}
	return stays, nil
}

// change changes the target of a tunnel as it is now.
func (d daemon) change(ctx context.Context, id string, set func(*mezu.TunnelTarget)) error {
	_, err := ask(ctx, d.Here, func(c *local.Client) (mezu.Tunnel, error) {
		is, err := c.Tunnel(ctx, id)
		if err != nil {
			return is, err
		}
		target := is.TunnelTarget
		set(&target)
		if err := target.Validate(); err != nil {
			return is, err
		}
		return c.Change(ctx, id, local.TunnelPatch{Target: &target})
	})
	return err
}

// Host sets the Host header.
func (d daemon) Host(ctx context.Context, t mezu.Tunnel, host string) error {
	if host == mezu.HostKeep {
		host = ""
	}
	return d.change(ctx, t.ID, func(target *mezu.TunnelTarget) { target.HostHeader = host })
}

// Protect says who may enter. A login or ranges are asked for by the routes of the environment, a
// password by this machine.
func (d daemon) Protect(ctx context.Context, t mezu.Tunnel, a newtunnel.Access) (made string, err error) {
	if a.User != "" {
		hashed, made, err := tunnel.NewPassword(d.cfg.Invocation, a.User)
		if err != nil {
			return "", err
		}
		return made, d.change(ctx, t.ID, func(target *mezu.TunnelTarget) { target.BasicAuth = hashed })
	}
	p, err := tunnel.At(d.cfg.Invocation, d.opener, t)
	if err != nil {
		return "", err
	}
	defer p.Close()
	if _, err := p.Admit(ctx, accessOf(a)); err != nil {
		return "", err
	}
	if a.Public && t.BasicAuth != nil {
		return "", d.change(ctx, t.ID, func(target *mezu.TunnelTarget) { target.BasicAuth = nil })
	}
	return "", nil
}

func accessOf(a newtunnel.Access) tunnel.Access {
	return tunnel.Access{Directory: a.Directory, CIDRs: a.CIDRs, Password: a.User != "", Public: a.Public}
}

// Leave leaves a tunnel running when the dashboard ends.
func (d daemon) Leave(ctx context.Context, t mezu.Tunnel) error {
	if one := d.holds(t.ID); one != nil {
		return one.Leave(ctx)
	}
	if slices.Contains(d.cfg.Own, t.ID) && d.cfg.Leave != nil {
		return d.cfg.Leave(ctx, t.ID)
	}
	yes := true
	_, err := ask(ctx, d.Here, func(c *local.Client) (mezu.Tunnel, error) {
		return c.Change(ctx, t.ID, local.TunnelPatch{Detached: &yes})
	})
	return err
}

// Probe has the daemon connect to the workload.
func (d daemon) Probe(ctx context.Context, t mezu.Tunnel) (local.Probe, error) {
	return ask(ctx, d.Here, func(c *local.Client) (local.Probe, error) { return c.Probe(ctx, t.ID) })
}

// Guard says who may enter, and which configuration is the newest.
func (d daemon) Guard(ctx context.Context, t mezu.Tunnel) (tunnels.Guard, error) {
	p, err := tunnel.At(d.cfg.Invocation, d.opener, t)
	if err != nil {
		return tunnels.Guard{}, err
	}
	defer p.Close()
	open, newest, err := p.OpenTo(ctx)
	return tunnels.Guard{Open: open, Newest: newest}, err
}

// Shutdown ends the daemon.
func (d daemon) Shutdown(ctx context.Context) error {
	_, err := ask(ctx, d.Here, func(c *local.Client) (struct{}, error) { return struct{}{}, c.Shutdown(ctx, local.Shutdown{}) })
	return err
}
