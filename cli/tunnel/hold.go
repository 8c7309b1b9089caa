package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// Access is what is asked of visitors.
type Access = own.Access

// Wish is a tunnel that is asked for without a command line.
type Wish struct {
	// Target is as somebody typed it.
	Target string
	// Name is that of the tunnel; if empty, its environment is the caller's own.
	Name       string
	Access     Access
	User       string // of the password, if Access asks for one
	HostHeader string
}

// Held is a tunnel that was opened as "mezu tunnel" does, without a word to a terminal. It lives
// as long as its holder.
type Held struct {
	run *opened
	one *opening
}

// silent is an invocation that neither writes nor asks.
func silent(inv *invocation.Invocation) *invocation.Invocation {
	quiet := *inv
	quiet.Out, quiet.Err, quiet.Quiet, quiet.PromptOff = io.Discard, io.Discard, true, true
	quiet.InTerminal, quiet.OutTerminal, quiet.ErrTerminal = false, false, false
	return &quiet
}

// Hold opens a tunnel. It registers; that requests get through is not waited for.
func Hold(ctx context.Context, inv *invocation.Invocation, cfg Config, w Wish) (*Held, error) {
	o := &options{Invocation: silent(inv), Config: cfg, Name: w.Name, HostHeader: w.HostHeader, Access: w.Access, User: w.User}
	o.Access.Password = w.User != ""
	if err := o.check(); err != nil {
		return nil, err
	}
	t, err := target.Parse(o.Dir, w.Target)
	if err != nil {
		return nil, err
	}
	o.Targets = []target.Target{t}
	if err := o.targets(ctx); err != nil {
		return nil, err
	}
	r, err := o.quiet()
	if err != nil {
		return nil, err
	}
	r.shown.Store(true)
	if err = r.prepare(ctx); err == nil {
		err = r.open(ctx)
	}
	if err != nil {
		r.closeAll()
		return nil, err
	}
	return &Held{run: r, one: r.all[0]}, nil
}

// quiet is a run that says nothing.
func (o *options) quiet() (*opened, error) {
	s, err := o.Settings()
	if err != nil {
		return nil, err
	}
	if s.API == "" {
		return nil, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "no control plane is named", Hint: "mezu dev 8080, for all of it on this machine, or mezu login --api URL"}
	}
	client, err := o.Client(s)
	if err != nil {
		return nil, err
	}
	lines := &show.Lines{Streams: o.Streams, Now: o.Now}
	return &opened{options: o, settings: s, login: client, owner: own.New(o.Invocation, s, client), lines: lines}, nil
}

// Tunnel is how it is, as far as it is known.
func (h *Held) Tunnel() mezu.Tunnel { return h.one.session.Tunnel() }

// Password is one that was made for the tunnel, or empty.
func (h *Held) Password() string { return h.run.password }

// Notes say what is special about the tunnel, a sentence each.
func (h *Held) Notes() []string {
	var out []string
	if news := news(h.one.site); news != "" {
		out = append(out, h.one.site.Text()+" was "+news)
	}
	return append(out, h.one.site.Kept...)
}

// Run holds the tunnel, until ctx ends or the tunnel does.
func (h *Held) Run(ctx context.Context) error {
	err := h.one.session.Run(ctx, func(local.Event) {})
	if errors.Is(err, session.ErrClosed) {
		return nil
	}
	return err
}

// Leave leaves it open in the daemon.
func (h *Held) Leave(ctx context.Context) error {
	yes := true
	if err := h.one.session.Change(ctx, local.TunnelPatch{Detached: &yes}); err != nil {
		return err
	}
	h.one.left.Store(true)
	return nil
}

// Close drains the tunnel, unless it was left open or somebody else holds it, and lets go of the
// daemon. Run has ended before.
func (h *Held) Close(ctx context.Context) error {
	defer h.run.login.CloseIdle()
	defer h.run.closeAll()
	if h.one.left.Load() {
		return nil
	}
	if is, err := h.one.session.Refresh(ctx); err != nil || is.State == mezu.TunnelStopped || !h.one.session.Held() {
		return nil // it is gone, or another's
	}
	return h.run.stop(ctx, h.one)
}

// Control works at the control plane for a tunnel that the daemon has.
type Control struct {
	run    *opened
	tunnel mezu.Tunnel
}

// At is the control plane of a tunnel, with the login of its profile.
func At(inv *invocation.Invocation, cfg Config, t mezu.Tunnel) (*Control, error) {
	o := &options{Invocation: silent(inv), Config: cfg}
	o.Flags.Profile, o.Flags.Organization, o.Flags.Project, o.Flags.Environment = t.Profile, t.Organization, t.Project, t.Environment
	r, err := o.quiet()
	if mezu.CodeOf(err) == mezu.CodeInvalid || mezu.CodeOf(err) == mezu.CodeNotFound { // a profile that was made for CI, or is gone
		o.Flags.Profile = ""
		r, err = o.quiet()
	}
	if err != nil {
		return nil, err
	}
	if !invocation.SameHost(r.settings.API, t.API) {
		r.login.CloseIdle()
		return nil, &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: fmt.Sprintf("%s is of the control plane %s, and the login is of %s", t.Name, t.API, r.settings.API), Hint: "mezu login --api " + t.API}
	}
	return &Control{run: r, tunnel: t}, nil
}

// Close gives up idle connections.
func (p *Control) Close() { p.run.login.CloseIdle() }

func (p *Control) site(ctx context.Context) (*own.Site, error) {
	return p.run.owner.Find(ctx, own.Wish{Environment: p.tunnel.Environment})
}

// OpenTo says in a few words who may enter, as the routes of the environment ask, and which
// configuration of it is the newest.
func (p *Control) OpenTo(ctx context.Context) (said string, newest mezu.Position, err error) {
	site, err := p.site(ctx)
	if err != nil {
		return "", mezu.Position{}, err
	}
	said = site.OpenTo(false)
	if strings.HasPrefix(said, "everyone") {
		return "public", site.Position(), nil
	}
	said, _, _ = strings.Cut(said, " (")
	return said, site.Position(), nil
}

// Admit brings the routes of the environment to what is asked of visitors. It says what stays.
func (p *Control) Admit(ctx context.Context, a Access) (kept []string, err error) {
	site, err := p.site(ctx)
	if err != nil {
		return nil, err
	}
	err = p.run.owner.Admit(ctx, site, a)
	return site.Kept, err
}

// Token lets the tunnel register once.
func (p *Control) Token(ctx context.Context) (string, error) {
	t := &p.tunnel
	return own.Token(ctx, p.run.login, t.Organization, t.Project, t.Environment, t.PublicKeySHA256)
}

// Forget removes what the control plane has of the tunnel: its environment, if that is the
// caller's own, or else its Warpgate. It says what stays.
func (p *Control) Forget(ctx context.Context) (stays string, err error) {
	site, err := p.site(ctx)
	if err != nil {
		return "", err
	}
	if site.Mine && len(without(site.Others, []mezu.Tunnel{p.tunnel})) == 0 {
		return "", p.run.owner.Remove(ctx, site)
	}
	stays = "its environment stays, which others have a part in"
	if p.tunnel.Warpgate == "" {
		return stays, nil
	}
	err = p.run.login.Do(ctx, api.Call{Operation: api.OpDeleteWarpgate, Params: []string{site.Organization, site.Project, site.Name, p.tunnel.Warpgate}}, nil)
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		err = nil
	}
	return stays, err
}

// NewPassword makes a password for a user: MEZU_BASIC_AUTH, or a new one, which it gives.
func NewPassword(inv *invocation.Invocation, user string) (p *mezu.TunnelPassword, made string, err error) {
	return password(user, inv.Getenv("MEZU_BASIC_AUTH"))
}

// Proposal is where a new tunnel would be reached.
type Proposal struct {
	Environment string
	// URL is the address, if the environment is there.
	URL string
	// Directories are those of its project.
	Directories []string
}

// Propose says where a tunnel of this name would be reached. It makes nothing.
func Propose(ctx context.Context, inv *invocation.Invocation, cfg Config, name string) (Proposal, error) {
	o := &options{Invocation: silent(inv), Config: cfg}
	r, err := o.quiet()
	if err != nil {
		return Proposal{}, err
	}
	defer r.login.CloseIdle()
	org, prj, err := r.owner.Locate(ctx)
	if err != nil {
		return Proposal{}, err
	}
	var out Proposal
	if out.Environment = o.named(name); out.Environment == "" {
		if out.Environment, err = r.owner.Base(ctx); err != nil {
			return Proposal{}, err
		}
		if name != "" {
			out.Environment += "-" + name
		}
	}
	// What can't be read is not proposed: the tunnel is opened all the same.
	var asking sync.WaitGroup
	asking.Go(func() {
		if e, err := api.Invoke[mezu.Environment](ctx, r.login, api.OpGetEnvironment, nil, org, prj, out.Environment); err == nil {
			out.URL = e.URL
		}
	})
	asking.Go(func() {
		for d, err := range api.All[mezu.Directory](ctx, r.login, api.OpListDirectories, org, prj) {
			if err != nil || len(out.Directories) == maxProposed {
				return
			}
			out.Directories = append(out.Directories, d.Name)
		}
	})
	asking.Wait()
	return out, nil
}

// maxProposed is how many directories are proposed: others can be typed.
const maxProposed = 50
