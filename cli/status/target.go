package status

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/local"
)

// target is the environment that is looked at.
type target struct {
	organization, project, environment string
	url, caFile                        string
	inv                                *invocation.Invocation
	// daemon and tunnel are nil if no daemon of this machine serves the environment.
	daemon *local.Client
	tunnel *mezu.Tunnel
	// unasked is why it is not known whether the daemon serves it.
	unasked error
	// client is nil if nobody is logged in, or nobody needs to be.
	client *api.Client
}

func (t *target) close() {
	if t.daemon != nil {
		t.daemon.Close()
	}
	if t.client != nil {
		t.client.CloseIdle()
	}
}

// choose finds the environment that the person means.
func (o *options) choose(ctx context.Context) (_ *target, err error) {
	s, err := o.Settings()
	if err != nil {
		return nil, err
	}
	t := &target{inv: o.Invocation}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	// Without a daemon all is asked of the control plane.
	var tunnels []mezu.Tunnel
	if t.daemon, err = o.Running(ctx, s); err == nil {
		tunnels, err = t.daemon.Tunnels(ctx)
	}
	if err != nil && !errors.Is(err, local.ErrNotRunning) {
		t.unasked = err
	}
	if t.tunnel, err = pick(tunnels, o.Name, o.named(), s); err != nil {
		return nil, err
	}
	if t.tunnel != nil {
		t.organization, t.project, t.environment = t.tunnel.Organization, t.tunnel.Project, t.tunnel.Environment
		t.url, t.caFile = t.tunnel.URL, t.tunnel.CAFile
	}
	if t.url != "" {
		return t, nil
	}
	return t, t.ask(ctx, s, o.Name)
}

// named reports whether the command line or a variable names an environment.
func (o *options) named() bool {
	return o.Flags.Environment != "" || o.Getenv("MEZU_ENVIRONMENT") != ""
}

// pick finds the tunnel that is meant, nil if it is none of this machine. A name is the tunnel's
// own or its environment's; without one, the environment of the context, and else the only
// tunnel of the project.
func pick(tunnels []mezu.Tunnel, name string, named bool, s invocation.Settings) (*mezu.Tunnel, error) {
	var fit []mezu.Tunnel
	for _, t := range tunnels {
		ours := (s.Organization == "" || t.Organization == s.Organization) && (s.Project == "" || t.Project == s.Project)
		switch {
		case name != "" && (t.Name == name || t.ID == name):
			return &t, nil
		case name != "" && (mezu.TunnelName(t.Project, t.Environment) == name || ours && t.Environment == name),
			name == "" && named && ours && t.Environment == s.Environment,
			name == "" && !named && ours:
			fit = append(fit, t)
		}
	}
	if name == "" && !named && len(fit) > 1 {
		ofContext := slices.IndexFunc(fit, func(t mezu.Tunnel) bool { return t.Environment == s.Environment })
		switch {
		case ofContext >= 0 && s.Socket == "":
			return &fit[ofContext], nil
		case ofContext >= 0: // "mezu dev" itself, beside which somebody opened others
			fit = slices.Delete(fit, ofContext, ofContext+1)
		}
	}
	if open := slices.DeleteFunc(slices.Clone(fit), func(t mezu.Tunnel) bool { return t.State == mezu.TunnelStopped }); name == "" && len(open) > 0 {
		fit = open // one that was stopped is kept for its requests, and is not asked about
	}
	if len(fit) > 1 {
		names := make([]string, len(fit))
		for i, t := range fit {
			names[i] = t.Name
		}
		e := exit.Usagef("mezu status needs the name of a tunnel; open here: %s", strings.Join(names, ", "))
		e.Hint = "mezu status " + names[0]
		return nil, e
	}
	if len(fit) == 1 {
		return &fit[0], nil
	}
	return nil, nil
}

// ask finds the environment at the control plane.
func (t *target) ask(ctx context.Context, s invocation.Settings, name string) (err error) {
	if t.tunnel != nil {
		s.Organization, s.Project, s.Environment = t.organization, t.project, t.environment
	} else if project, environment, ok := strings.Cut(name, "/"); ok {
		s.Project, s.Environment = project, environment
	} else if name != "" {
		s.Environment = name
	}
	if t.client, err = t.inv.Client(s); err != nil {
		return err
	}
	if s.Environment == "" && t.unasked != nil {
		return t.unasked
	}
	if s.Environment == "" {
		e := exit.Usagef("no tunnel is open here, and no environment is named")
		e.Hint = "mezu tunnel PORT opens one; mezu status -e NAME looks at an environment"
		return e
	}
	for _, require := range []func() (string, error){s.RequireOrganization, s.RequireProject, s.RequireEnvironment} {
		if _, err := require(); err != nil {
			return err
		}
	}
	env, err := api.Invoke[mezu.Environment](ctx, t.client, api.OpGetEnvironment, nil, s.Organization, s.Project, s.Environment)
	if err != nil {
		return err
	}
	t.organization, t.project, t.environment = s.Organization, s.Project, s.Environment
	t.url = env.URL
	if t.caFile == "" && s.CAFile != "" {
		t.caFile = t.inv.Path(s.CAFile)
	}
	return nil
}
