package tunnel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// prepare finds everything out that can be refused, before anything is opened: the daemon, the
// tunnels that it has, and the environment of each target.
func (r *opened) prepare(ctx context.Context) error {
	var there []mezu.Tunnel
	var daemon error
	var looking sync.WaitGroup
	looking.Go(func() { there, daemon = r.there(ctx) })
	looking.Go(func() { r.programs = target.Listening(ctx) })
	_, _, err := r.owner.Locate(ctx)
	if err == nil && r.ownOnly() {
		_, err = r.owner.Base(ctx)
	}
	looking.Wait()
	// A "mezu dev" that has ended has taken its control plane with it: the daemon says what to do.
	if err = cmp.Or(daemon, err); err != nil {
		return err
	}
	if r.Renew != nil && slices.ContainsFunc(there, func(t mezu.Tunnel) bool { return t.State == mezu.TunnelNeedsLogin }) {
		r.Renew(ctx, r.settings, r.login)
	}
	var hashed *mezu.TunnelPassword
	if r.User != "" || r.Access.Password {
		if hashed, r.password, err = password(r.User, r.Getenv("MEZU_BASIC_AUTH")); err != nil {
			return err
		}
	}
	for _, t := range r.Targets {
		t.BasicAuth = hashed
		one := &opening{target: t}
		r.all = append(r.all, one) // before it is made, so that it is removed whatever comes
		if err := r.locate(ctx, one, there); err != nil {
			return errors.Join(err, r.removeMade(ctx))
		}
	}
	for _, one := range r.all {
		if err := r.owner.Admit(ctx, one.site, r.Access); err != nil {
			return errors.Join(err, r.removeMade(ctx))
		}
	}
	return nil
}

// ownOnly reports whether some tunnel serves an environment of the caller's own.
func (r *opened) ownOnly() bool {
	for _, t := range r.Targets {
		if t.Environment == "" {
			return true
		}
	}
	return false
}

// there are the tunnels that the daemon has. It is started by asking.
func (r *opened) there(ctx context.Context) ([]mezu.Tunnel, error) {
	client, err := r.Connect(ctx, r.settings)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Tunnels(ctx)
}

// without leaves out the Warpgates that are of tunnels.
func without(all []mezu.Warpgate, tunnels []mezu.Tunnel) []mezu.Warpgate {
	return slices.DeleteFunc(all, func(w mezu.Warpgate) bool {
		return slices.ContainsFunc(tunnels, func(t mezu.Tunnel) bool { return t.Warpgate == w.ID })
	})
}

// locate finds the environment of a tunnel and says what is asked of the daemon.
func (r *opened) locate(ctx context.Context, one *opening, there []mezu.Tunnel) error {
	p, err := r.owner.Find(ctx, own.Wish{Name: one.target.Name, Environment: one.target.Environment, Access: r.Access})
	one.site = p
	if err != nil {
		return err
	}
	if len(r.Targets) == 1 {
		r.lines.Name = mezu.TunnelName(p.Project, p.Name)
	}
	if p.Others = without(p.Others, there); len(p.Others) > 0 {
		// Another command may have opened it since.
		if there, err = r.there(ctx); err != nil {
			return err
		}
		p.Others = without(p.Others, there)
	}
	if !p.IsEnabled() {
		return &mezu.Error{Code: mezu.CodeEnvironmentDisabled, Detail: p.Text() + " is switched off", Hint: "mezu environments enable " + p.Name}
	}
	if len(p.Others) > 0 && !r.Join {
		where := cmp.Or(p.Others[0].Address, p.Others[0].ID)
		return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%s is served from another machine (%s, connected)", p.Name, terminal.Clean(where)),
			Hint: "--name NAME for an environment of its own, or --join to share its requests"}
	}
	spec := local.Open{Profile: profileOf(r.settings), API: r.settings.API, CAFile: r.settings.CAFile, Organization: p.Organization, Project: p.Project, Environment: p.Name,
		TunnelTarget: one.target.TunnelTarget, Detached: r.Detach, Made: p.Made}
	if spec.CAFile != "" {
		if spec.CAFile, err = filepath.Abs(r.Path(spec.CAFile)); err != nil {
			return err
		}
	}
	if r.Uninspected != nil {
		spec.Uninspected = *r.Uninspected
	}
	one.spec = spec
	return r.compare(one, there)
}

// profileOf names the profile of a tunnel. Where none is in use, as in CI, it is named after the
// control plane.
func profileOf(s invocation.Settings) string {
	return cmp.Or(s.Profile, mezu.NameFrom(hostOf(s.API), "default"))
}

// compare looks whether the daemon has a tunnel to the environment already.
func (r *opened) compare(one *opening, there []mezu.Tunnel) error {
	for _, t := range there {
		if !invocation.SameHost(t.API, one.spec.API) || t.Organization != one.spec.Organization || t.Project != one.spec.Project || t.Environment != one.spec.Environment {
			continue
		}
		if t.State != mezu.TunnelStopped && t.Target != one.spec.Target {
			return &mezu.Error{Code: mezu.CodeConflict, Detail: fmt.Sprintf("%s is open here already, to %s", terminal.Clean(t.Name), terminal.Clean(target.Show(r.Dir, t.Target))),
				Hint: "mezu tunnel show " + terminal.Clean(t.Name) + ", or --name NAME"}
		}
		if r.Uninspected == nil {
			one.spec.Uninspected = t.Uninspected
		}
		if t.BasicAuth != nil && one.spec.BasicAuth == nil && !r.Access.Public {
			one.spec.BasicAuth = t.BasicAuth
			one.site.Kept = append(one.site.Kept, one.site.Text()+" asked for a password until now; it stays so (--public opens it)")
		}
		if one.spec.BasicAuth != nil && isPassword(t.BasicAuth, r.User, r.Getenv("MEZU_BASIC_AUTH")) {
			one.spec.BasicAuth = t.BasicAuth
		}
		if t.State == mezu.TunnelStopped || sameSettings(t.TunnelTarget, one.spec.TunnelTarget) {
			continue
		}
		switch name := terminal.Clean(t.Name); {
		case t.Attached == 0:
			one.changes = t.ID
		case r.Access.Password:
			return &mezu.Error{Code: mezu.CodeConflict, Detail: name + " is open here already, with another password or none", Hint: "mezu tunnel stop " + name + ", or --name NAME"}
		default:
			one.spec.TunnelTarget = t.TunnelTarget
			r.lines.Caution(t.Name, name+" is open here already, and keeps its settings", "mezu tunnel show "+name)
		}
	}
	return nil
}

// sameSettings reports whether a tunnel goes to its target in the same way.
func sameSettings(a, b mezu.TunnelTarget) bool {
	password := a.BasicAuth == b.BasicAuth || a.BasicAuth != nil && b.BasicAuth != nil && a.BasicAuth.User == b.BasicAuth.User && bytes.Equal(a.BasicAuth.Hash, b.BasicAuth.Hash)
	return password && slices.Equal(a.AllowTargets, b.AllowTargets) && cmp.Or(a.HostHeader, mezu.HostKeep) == cmp.Or(b.HostHeader, mezu.HostKeep) &&
		a.Listing == b.Listing && a.SPA == b.SPA && a.UpstreamCA == b.UpstreamCA && a.Insecure == b.Insecure && reflect.DeepEqual(a.Capture, b.Capture)
}
