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
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/dashboard"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// opening is one tunnel of a run.
type opening struct {
	target  target.Target
	spec    local.Open
	site    *own.Site
	session *session.Session
	// changes is the id of a tunnel that is open and gets other settings.
	changes string
	// reached says that a request got through.
	reached bool
	// before are the requests of the tunnel before this run.
	before mezu.TunnelStats
	begun  time.Time
	// left says that it was left open in the daemon.
	left atomic.Bool
	// ended gives how following it ended.
	ended chan error
}

// opened are the tunnels of a run.
type opened struct {
	*options
	settings invocation.Settings
	login    *api.Client
	owner    *own.Owner
	lines    *show.Lines
	all      []*opening
	password string // that was made for this run
	programs map[int]string
	// shown says that a dashboard shows the tunnels, which can start what it has stopped.
	shown atomic.Bool
}

func run(ctx context.Context, o *options) (err error) {
	if err := o.targets(ctx); err != nil {
		return err
	}
	s, err := o.Settings()
	if err != nil {
		return err
	}
	if s.API == "" {
		if s, err = o.noControlPlane(ctx); errors.Is(err, errServed) {
			return nil
		} else if err != nil {
			return err
		}
	}
	client, err := o.Client(s)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	r := &opened{options: o, settings: s, login: client, owner: own.New(o.Invocation, s, client), lines: &show.Lines{Streams: o.Streams, JSON: o.JSON, Several: len(o.Targets) > 1, Now: o.Now}}
	if len(o.Command) > 0 && !o.JSON {
		r.lines.Out = o.Err // stdout is the program's
		r.lines.OutTerminal = o.ErrTerminal
	}
	if o.Serving != nil {
		o.Serving()
	}
	defer r.lines.Close()
	defer func() {
		if err != nil {
			r.lines.Fail(err)
		}
	}()
	return r.run(ctx)
}

func (r *opened) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		return err
	}
	defer r.closeAll()
	following, end := context.WithCancel(context.WithoutCancel(ctx))
	var followers sync.WaitGroup
	defer followers.Wait()
	defer end()
	if err := r.open(ctx); err != nil {
		return errors.Join(err, r.removeMade(ctx))
	}
	if r.Detach {
		return r.leave(ctx)
	}
	for _, t := range r.all {
		t.ended = make(chan error, 1)
		followers.Go(func() { t.ended <- t.session.Run(following, r.lines.Event) })
	}
	code, err := r.serve(ctx)
	if (ctx.Err() != nil || code == exit.Interrupted) && r.InTerminal && r.ErrTerminal {
		fmt.Fprintln(r.Err) // the terminal has written ^C, and no more
	}
	err = errors.Join(err, r.close(ctx), r.removeMade(ctx))
	if err == nil && code != 0 {
		err = &exit.ProgramError{Code: code}
	}
	return err
}

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

const (
	// maxHeld is how many tunnels one command holds. When it ends, each takes two of the daemon's
	// local.MaxClients, of which other commands need some.
	maxHeld = 24
	// atOnce is how many tunnels are opened at the same time, over two connections each.
	atOnce = 8
)

// each does something for tunnels, for so many at once, and gives what that came to for each.
func each(all []*opening, most int, do func(*opening) error) []error {
	errs := make([]error, len(all))
	places := make(chan struct{}, most)
	var doing sync.WaitGroup
	for i, t := range all {
		places <- struct{}{}
		doing.Go(func() {
			errs[i] = do(t)
			<-places
		})
	}
	doing.Wait()
	return errs
}

// open opens all tunnels.
func (r *opened) open(ctx context.Context) error {
	return cmp.Or(each(r.all, atOnce, func(t *opening) (err error) {
		t.begun = time.Now()
		if err := r.change(ctx, t); err != nil {
			return err
		}
		cfg := session.Config{
			Fresh:    t.site.Fresh,
			Stays:    r.shown.Load,
			Connect:  func(ctx context.Context) (*local.Client, error) { return r.Connect(ctx, r.settings) },
			Spec:     t.spec,
			Token:    func(ctx context.Context, hash string) (string, error) { return r.owner.Token(ctx, t.site, hash) },
			Enrolled: func(mezu.Tunnel) { r.lines.Again(r.who(ctx)) },
		}
		if r.settings.Socket == "" { // "mezu dev" is started by no command
			cfg.Stopped = r.Stopped
			cfg.Running = func(ctx context.Context) (*local.Client, error) { return r.Running(ctx, r.settings) }
		}
		if t.session, err = session.Open(ctx, cfg); err != nil {
			return err
		}
		return r.adapt(ctx, t)
	})...)
}

// adapt brings a tunnel that was there to what this run asks for.
func (r *opened) adapt(ctx context.Context, t *opening) error {
	is := t.session.Tunnel()
	t.before = is.Stats
	if id := is.Warpgate; id != "" {
		if err := r.owner.Served(ctx, t.site, id); err != nil {
			r.Warnf("%s", terminal.Clean(err.Error()))
		}
	}
	if !r.Detach || is.Detached {
		return nil
	}
	return t.session.Change(ctx, local.TunnelPatch{Detached: &r.Detach})
}

// change gives a tunnel that nobody holds the settings of this run.
func (r *opened) change(ctx context.Context, t *opening) error {
	if t.changes == "" {
		return nil
	}
	client, err := r.Connect(ctx, r.settings)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.Change(ctx, t.changes, local.TunnelPatch{Target: &t.spec.TunnelTarget})
	return err
}

// sameSettings reports whether a tunnel goes to its target in the same way.
func sameSettings(a, b mezu.TunnelTarget) bool {
	password := a.BasicAuth == b.BasicAuth || a.BasicAuth != nil && b.BasicAuth != nil && a.BasicAuth.User == b.BasicAuth.User && bytes.Equal(a.BasicAuth.Hash, b.BasicAuth.Hash)
	return password && slices.Equal(a.AllowTargets, b.AllowTargets) && cmp.Or(a.HostHeader, mezu.HostKeep) == cmp.Or(b.HostHeader, mezu.HostKeep) &&
		a.Listing == b.Listing && a.SPA == b.SPA && a.UpstreamCA == b.UpstreamCA && a.Insecure == b.Insecure && reflect.DeepEqual(a.Capture, b.Capture)
}

// who is whoever enrols.
func (r *opened) who(ctx context.Context) string {
	self, err := r.owner.Self(ctx)
	if err != nil {
		return "you"
	}
	return cmp.Or(self.Email, self.Name, self.ID)
}

// within is how long to wait for the first request to get through.
func (r *opened) within() time.Duration { return cmp.Or(r.Flags.Timeout, waitFor) }

// await waits until a tunnel can be reached, and says so.
func (r *opened) await(ctx context.Context, t *opening, within time.Duration) error {
	err := t.session.Await(ctx, within)
	if late, ok := errors.AsType[*session.LateError](err); ok {
		return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: fmt.Sprintf("%s does not answer yet: %s (%s)", cmp.Or(late.URL, t.site.URL, t.site.Text()), late.Stage, show.Limit(r.within())), Hint: "mezu doctor"}
	}
	if err != nil {
		return err
	}
	t.reached = true
	r.ready(ctx, t)
	return nil
}

// ready says that a tunnel can be reached.
func (r *opened) ready(ctx context.Context, t *opening) {
	is := t.session.Tunnel()
	said := show.Ready{Tunnel: is, To: target.Show(r.Dir, is.Target), Program: cmp.Or(t.target.Program(r.programs), target.Called(is.Workload.Program)), OpenTo: t.site.OpenTo(t.spec.BasicAuth != nil), Environment: t.site.Text(),
		News: news(t.site), User: r.User, Password: r.password, Detached: r.Detach}
	if r.Untrusted != nil && !r.JSON && t == r.all[0] { // the others have the same
		said.Trust = r.Untrusted(ctx, r.settings, is.URL)
	}
	r.kept(t)
	r.lines.Ready(said)
	if err := r.share(is); err != nil {
		what, hint := terminal.Explain(err)
		r.lines.Caution(is.Name, what, hint)
	}
}

// kept says what stays of what kept visitors out.
func (r *opened) kept(t *opening) {
	for _, what := range t.site.Kept {
		r.lines.Caution(t.session.Tunnel().Name, what, "")
	}
}

// news says what is new about an environment.
func news(p *own.Site) string {
	switch {
	case p.MadeProject:
		return "made now, and its project; this address stays yours"
	case p.Made:
		return "made now; this address stays yours"
	}
	return ""
}

// serve waits until all tunnels can be reached, and then for the end: of ctx, of --exec's
// program, or of the tunnels.
func (r *opened) serve(ctx context.Context) (code int, err error) {
	serving, end := context.WithCancel(ctx)
	defer end()
	awaited := each(r.all, len(r.all), func(t *opening) error { return r.await(serving, t, r.within()) })
	if err := cmp.Or(awaited...); err != nil {
		return 0, err
	}
	if err := r.writeEnv(); err != nil {
		return 0, err
	}
	if len(r.Command) > 0 {
		return r.exec(ctx)
	}
	if r.shows() {
		return 0, r.dashboard(ctx)
	}
	return 0, cmp.Or(each(r.all, len(r.all), func(t *opening) error {
		select {
		case <-serving.Done():
			return nil
		case err := <-t.ended:
			t.ended <- err
			if errors.Is(err, session.ErrClosed) {
				return nil
			}
			end() // what can't be followed any more ends the run
			return err
		}
	})...)
}

// shows reports whether the run is shown on the whole terminal.
func (r *opened) shows() bool {
	return r.Dashboard != nil && !r.Plain && !r.JSON && !r.Quiet && dashboard.Shows(r.Invocation)
}

// dashboard shows the tunnels of the run until somebody quits. What lines would say is on it.
func (r *opened) dashboard(ctx context.Context) error {
	r.lines.Hush(true)
	defer r.lines.Hush(false)
	r.shown.Store(true)
	defer r.shown.Store(false)
	look := r.Look
	first := r.all[0].session.Tunnel()
	look.Organization, look.Project, look.Environment = first.Organization, first.Project, first.Environment
	for _, t := range r.all {
		look.Own = append(look.Own, t.session.Tunnel().ID)
	}
	look.Leave = func(ctx context.Context, id string) error {
		for _, t := range r.all {
			if t.session.Tunnel().ID == id {
				yes := true
				if err := t.session.Change(ctx, local.TunnelPatch{Detached: &yes}); err != nil {
					return err
				}
				t.left.Store(true)
			}
		}
		return nil
	}
	return r.Dashboard(ctx, r.Invocation, look)
}

// close drains all tunnels that nobody else holds. The end of Cut cuts what is in flight.
func (r *opened) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	flying := 0
	var held []*opening
	for _, t := range r.all {
		if t.left.Load() {
			name := terminal.Clean(t.session.Tunnel().Name)
			r.Sayf("%s stays open; mezu tunnel stop %s closes it", name, name)
			continue
		}
		if ended(t) {
			r.closed(t)
			continue
		}
		is, err := t.session.Refresh(ctx)
		if err == nil && is.State == mezu.TunnelStopped { // by the dashboard
			r.closed(t)
			continue
		}
		if err == nil && !t.session.Held() {
			name := terminal.Clean(is.Name)
			r.Sayf("%s stays open; mezu tunnel stop %s closes it", name, name)
			continue
		}
		flying += is.Stats.InFlight
		held = append(held, t)
	}
	r.lines.Closing(flying, local.DrainTimeout)
	errs := each(held, len(held), func(t *opening) error { return r.stop(ctx, t) })
	for _, t := range held {
		r.closed(t)
	}
	return errors.Join(errs...)
}

func ended(t *opening) bool {
	select {
	case err := <-t.ended:
		t.ended <- err
		return errors.Is(err, session.ErrClosed)
	default:
		return false
	}
}

func (r *opened) closed(t *opening) {
	if !t.reached && !r.JSON {
		return // the error says all
	}
	is := t.session.Tunnel()
	stats := is.Stats
	if stats.Requests >= t.before.Requests { // else it is another daemon's count
		stats.Requests, stats.Failed = stats.Requests-t.before.Requests, stats.Failed-t.before.Failed
	}
	r.lines.Closed(is.Name, time.Since(t.begun), stats)
}

// stop drains one tunnel.
func (r *opened) stop(ctx context.Context, t *opening) error {
	if r.Cut != nil {
		var cutting sync.WaitGroup
		defer cutting.Wait()
		defer context.AfterFunc(r.Cut, func() {
			cutting.Go(func() { _ = t.session.Stop(ctx, 0) }) // its error is that of the other call
		})()
	}
	return t.session.Stop(ctx, local.DrainTimeout)
}

// closeAll lets go of the daemon.
func (r *opened) closeAll() {
	for _, t := range r.all {
		if t.session != nil {
			t.session.Close()
		}
	}
}

// removeTime bounds the removal of an environment at the end.
const removeTime = 15 * time.Second

// removeMade removes the environments that this run made, if it was asked to.
func (r *opened) removeMade(ctx context.Context) error {
	if !r.Remove {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
	defer cancel()
	var errs []error
	for _, t := range r.all {
		if t.site == nil {
			continue
		}
		if !t.site.Made {
			r.Sayf("%s stays: this run did not make it", t.site.Text())
			continue
		}
		if t.session != nil {
			errs = append(errs, t.session.Remove(ctx))
		}
		if err := r.owner.Remove(ctx, t.site); err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", t.site.Text(), err))
			continue
		}
		r.Sayf("removed %s", t.site.Text())
	}
	return errors.Join(errs...)
}

// leave leaves tunnels open in the daemon.
func (r *opened) leave(ctx context.Context) error {
	if r.Wait {
		return r.leaveReachable(ctx)
	}
	for _, t := range r.all {
		is := t.session.Tunnel()
		r.kept(t)
		r.lines.Left(show.Ready{Tunnel: is, To: target.Show(r.Dir, is.Target), OpenTo: t.site.OpenTo(t.spec.BasicAuth != nil), Environment: t.site.Text(), News: news(t.site), User: r.User, Password: r.password})
		if err := r.share(is); err != nil {
			return err
		}
	}
	return r.writeEnv()
}

// leaveReachable waits until requests get through and the workloads connect.
func (r *opened) leaveReachable(ctx context.Context) error {
	late := time.Now().Add(r.within())
	reached := each(r.all, atOnce, func(t *opening) error {
		following, end := context.WithCancel(ctx)
		var follower sync.WaitGroup
		defer follower.Wait()
		defer end()
		follower.Go(func() { _ = t.session.Run(following, func(local.Event) {}) }) // Await says what is wrong
		if err := r.await(ctx, t, time.Until(late)); err != nil {
			return err
		}
		if t.spec.Target == mezu.TargetCapture { // no workload has to connect
			return nil
		}
		return r.connects(ctx, t, late)
	})
	if err := cmp.Or(reached...); err != nil {
		return err
	}
	return r.writeEnv()
}

// workloadPoll is how often to look whether the workload connects.
const workloadPoll = 250 * time.Millisecond

func (r *opened) connects(ctx context.Context, t *opening, late time.Time) error {
	tick := time.NewTicker(workloadPoll)
	defer tick.Stop()
	for {
		looked, err := t.session.Probe(ctx)
		if err != nil {
			return err
		}
		w := looked.Workload
		if w.Up != nil && *w.Up {
			return nil
		}
		if time.Now().After(late) {
			is := t.session.Tunnel()
			return &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: cmp.Or(w.Detail, "nothing answers at "+target.Show(r.Dir, is.Target)) + " (" + show.Limit(r.within()) + ")", Hint: w.Hint}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
