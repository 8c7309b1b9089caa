package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/cli/status"
	"github.com/mezusphere/mezu/cli/terminal"
)

func checkLogin(ctx context.Context, e *examination) []Result {
	s, err := e.plane(ctx)
	if err != nil {
		return nil
	}
	who, err := e.self.wait(ctx)
	if err != nil {
		return e.notLoggedIn(ctx, s, err)
	}
	says := cmp.Or(who.Email, who.ID)
	switch {
	case !who.LoginEndsAt.IsZero():
		says += " until " + who.LoginEndsAt.Format(time.DateOnly)
	case !who.ExpiresAt.IsZero():
		says += " until " + who.ExpiresAt.Format(time.DateOnly)
		if left := who.ExpiresAt.Sub(e.inv.Clock()); left < 24*time.Hour {
			return one(Warn, says, "it ends in "+terminal.Span(left), invocation.LoginHint(s))
		}
	}
	if e.inv.Getenv("MEZU_TOKEN") != "" {
		says += ", MEZU_TOKEN"
	} else if p, err := e.inv.Profiles.Load(s.Profile); err == nil {
		says += ", " + strings.TrimPrefix(e.inv.Profiles.CredentialPlace(s.Profile, *p), "the ")
	}
	return one(OK, says, "", "")
}

// notLoggedIn says why it is not known who is logged in.
func (e *examination) notLoggedIn(ctx context.Context, s invocation.Settings, err error) []Result {
	mine, unread := e.secrets.wait(ctx)
	switch {
	case ctx.Err() != nil && unread == ctx.Err():
		return one(Fail, "the token of profile "+s.Profile+" can't be read: the keyring does not answer", "", "unlock the keyring, or MEZU_NO_KEYRING=1 "+invocation.LoginHint(s))
	case unread != nil:
		return failed("", unread, invocation.LoginHint(s))
	case mezu.CodeOf(err) != mezu.CodeUnauthenticated:
		if e.answers(ctx) {
			return []Result{unseen("who is logged in", err)}
		}
		return nil // the API says what is wrong
	case mine.token == "":
		return one(Fail, "nobody is logged in at "+s.API, "", invocation.LoginHint(s))
	}
	return one(Fail, "your access at "+s.API+" ended", "", invocation.LoginHint(s))
}

// certificateLife is that of a Warpgate's certificate. One is renewed from a day of age.
const (
	certificateLife = 7 * 24 * time.Hour
	renewedBy       = certificateLife - 3*24*time.Hour
)

func checkCertificates(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	if err != nil {
		return nil
	}
	now := e.inv.Clock()
	var out []Result
	var least time.Duration
	fine := 0
	for _, t := range f.tunnels {
		left := t.CertificateEnds.Sub(now)
		r := Result{Subject: subject(t.Name, len(f.tunnels))}
		switch {
		case t.CertificateEnds.IsZero():
			continue // the Warpgate says why there is none
		case left <= 0:
			r.State, r.Detail, r.Cause, r.Hint = Fail, "ended "+terminal.Span(left)+" ago", cmp.Or(t.Detail, "it could not be renewed in time"), cmp.Or(t.Hint, "mezu tunnel start "+t.Name)
		case left < renewedBy:
			r.State, r.Detail, r.Cause, r.Hint = Warn, terminal.Span(left)+" left", "it should have been renewed by now", "mezu daemon logs"
			if !t.ControlAway.IsZero() {
				r.Cause = "the control plane could not be reached for " + terminal.Span(now.Sub(t.ControlAway))
			}
		default:
			if fine++; least == 0 || left < least {
				least = left
			}
			continue
		}
		out = append(out, r)
	}
	if fine > 0 {
		says := terminal.Span(least) + " left"
		if fine > 1 {
			says = fmt.Sprintf("%s left at least, of %d", terminal.Span(least), fine)
		}
		out = append(one(OK, says, "", ""), out...)
	}
	return out
}

// subject names one of several.
func subject(name string, of int) string {
	if of < 2 {
		return ""
	}
	return name
}

// askPlaces asks the control plane about each place. If it can't be asked, login and API say why.
func (e *examination) askPlaces(ctx context.Context, ask func(*api.Client, site) Result) []Result {
	self, err := e.self.wait(ctx)
	if err != nil {
		return nil
	}
	places, more := e.places(ctx)
	return append(each(places, func(p site) []Result {
		r := ask(self.client, p)
		if r.Detail == "" {
			return nil
		}
		r.Subject = p.subject(places)
		return []Result{r}
	}), unlooked(more, "tunnel")...)
}

// unseenAt is the result of a look at a place that failed. That the place is not there is told as
// one of the environment.
func unseenAt(what string, err error) Result {
	if mezu.CodeOf(err) == mezu.CodeNotFound {
		return Result{}
	}
	return unseen(what, err)
}

func checkEnvironments(ctx context.Context, e *examination) []Result {
	return e.askPlaces(ctx, func(c *api.Client, p site) Result {
		env, err := api.Invoke[mezu.Environment](ctx, c, api.OpGetEnvironment, nil, p.organization, p.project, p.environment)
		switch {
		case mezu.CodeOf(err) == mezu.CodeNotFound:
			return Result{State: Fail, Detail: p.String() + " is not there", Cause: "it was deleted, or you may not see it", Hint: "mezu environments list --project " + p.project}
		case err != nil:
			return failed("", err, "")[0]
		case !env.IsEnabled():
			return Result{State: Fail, Detail: p.String() + " is switched off", Cause: "every request is answered 503", Hint: "mezu environments enable " + p.environment + " --project " + p.project}
		}
		return Result{State: OK, Detail: p.String() + " is on, at " + env.URL}
	})
}

func checkRoutes(ctx context.Context, e *examination) []Result {
	return e.askPlaces(ctx, func(c *api.Client, p site) Result {
		state, err := api.Invoke[api.RoutesState](ctx, c, api.OpListRoutes, nil, p.organization, p.project, p.environment)
		if err != nil {
			return unseenAt("the routes", err)
		}
		at := " --project " + p.project + " -e " + p.environment
		if len(state.Routes) == 0 {
			return Result{State: Fail, Detail: "none", Cause: "every request is answered 404", Hint: "mezu routes create --prefix /" + at}
		}
		behind, late := 0, ""
		for i, who := range api.Whose(state.Applied) {
			if a := state.Applied[i]; a.Position.Compare(state.Position) < 0 {
				if behind++; late == "" {
					late = who + " is " + a.Lag().Text(time.Now())
				}
			}
		}
		for _, r := range state.Routes {
			if fields := r.Unenforced(); len(fields) > 0 {
				return Result{State: Warn, Detail: r.Label() + " has settings that nothing enforces yet: " + strings.Join(fields, ", "), Cause: "it is closed: its requests are answered 503", Hint: "mezu routes list" + at}
			}
		}
		if behind > 0 {
			return Result{State: Warn, Detail: fmt.Sprintf("%s; %d of %d edges and Warpgates do not run the newest: %s", count(len(state.Routes), "route"), behind, len(state.Applied), late), Cause: "they get them when they are reached again", Hint: "mezu routes list" + at}
		}
		return Result{State: OK, Detail: count(len(state.Routes), "route")}
	})
}

// publicEdges asks the edge behind the public address, where no tunnel of this machine knows any.
func (e *examination) publicEdges(ctx context.Context) []Result {
	s, err := e.plane(ctx)
	if err != nil {
		return nil
	}
	return e.askPlaces(ctx, func(c *api.Client, p site) Result {
		env, err := api.Invoke[mezu.Environment](ctx, c, api.OpGetEnvironment, nil, p.organization, p.project, p.environment)
		if err != nil {
			return unseenAt("the address", err)
		}
		if env.URL == "" {
			return Result{}
		}
		roots, err := probe.Roots(s.CAFile)
		if err != nil {
			return Result{} // that is the private CA's
		}
		prober, err := probe.New(env.URL, roots, e.inv.Now)
		if err != nil {
			return failed("", err, "mezu environments show "+p.environment+" --project "+p.project)[0]
		}
		defer prober.Close()
		seen, err := prober.Edge(ctx)
		if err != nil {
			cause, _ := terminal.Explain(err)
			return Result{State: Fail, Detail: env.URL + ": " + probe.Stage(err), Cause: cause, Hint: "curl -v " + env.URL + "/.mezu/probe?hop=edge"}
		}
		return Result{State: OK, Detail: fmt.Sprintf("%s answers (%s)", env.URL, status.Millis(millis(seen.You+seen.Edge)))}
	})
}

func checkWarpgates(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	if err != nil || len(f.tunnels) == 0 {
		return e.foreignWarpgates(ctx)
	}
	var out []Result
	for _, t := range f.tunnels {
		up := 0
		for _, l := range t.Links {
			if l.State == mezu.LinkConnected {
				up++
			}
		}
		r := Result{Subject: subject(t.Name, len(f.tunnels)), State: OK, Cause: t.Detail, Hint: t.Hint}
		switch t.State {
		case mezu.TunnelLive:
			r.Detail, r.Cause, r.Hint = fmt.Sprintf("%s is connected to %d of %d edges", t.Warpgate, up, len(t.Links)), "", ""
		case mezu.TunnelPartly:
			r.State, r.Detail, r.Hint = Warn, fmt.Sprintf("%s is connected to %d of %d edges", t.Warpgate, up, len(t.Links)), ""
			r.Cause = "requests come through these"
		case mezu.TunnelStopped:
			r.State, r.Detail, r.Hint = Warn, t.Name+" is stopped", "mezu tunnel start "+t.Name
		case mezu.TunnelDraining:
			r.State, r.Detail = Warn, t.Name+" is closing"
		case mezu.TunnelNeedsLogin:
			r.State, r.Detail, r.Hint = Fail, t.Name+" has to be enrolled again", cmp.Or(t.Hint, "mezu login --profile "+t.Profile)
		default:
			r.State, r.Detail, r.Hint = Fail, t.Name+" is connected to no edge", cmp.Or(t.Hint, "mezu daemon logs")
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b Result) int { return len(b.State) - len(a.State) })
	return out
}

// foreignWarpgates are those of the context, if this machine has no tunnel.
func (e *examination) foreignWarpgates(ctx context.Context) []Result {
	return e.askPlaces(ctx, func(c *api.Client, p site) Result {
		list, err := api.Invoke[api.List[mezu.Warpgate]](ctx, c, api.OpListWarpgates, nil, p.organization, p.project, p.environment)
		if err != nil {
			return unseenAt("the Warpgates", err)
		}
		connected := 0
		for _, w := range list.Items {
			if w.Status == mezu.WarpgateConnected {
				connected++
			}
		}
		if connected == 0 {
			return Result{State: Fail, Detail: "no Warpgate of " + p.String() + " is connected", Cause: "every request is answered 503", Hint: "mezu tunnel PORT -e " + p.environment + ", or start warpgate beside the workload"}
		}
		return Result{State: OK, Detail: fmt.Sprintf("%d of %d connected", connected, len(list.Items))}
	})
}

func checkWorkloads(ctx context.Context, e *examination) []Result {
	f, err := e.daemon.wait(ctx)
	if err != nil {
		return nil
	}
	var places []site
	for _, t := range f.tunnels {
		if t.State != mezu.TunnelStopped {
			places = append(places, site{t.Organization, t.Project, t.Environment, &t})
		}
	}
	places, more := most(places)
	return append(each(places, func(p site) []Result {
		r := Result{Subject: p.subject(places), State: OK}
		if p.tunnel.Target == mezu.TargetCapture {
			r.Detail = mezu.CaptureOnly + ": the daemon answers every request itself"
			return []Result{r}
		}
		answer, err := f.client.Probe(ctx, p.tunnel.ID)
		switch w := answer.Workload; {
		case err != nil:
			r.State, r.Detail = Fail, "the daemon does not say how "+p.tunnel.Target+" is"
			r.Cause, r.Hint = terminal.Explain(err)
		case w.Up == nil:
			r.State, r.Detail, r.Hint = Fail, "the daemon does not say how "+p.tunnel.Target+" is", "mezu daemon restart"
		case *w.Up && w.Code == "":
			r.Detail = p.tunnel.Target + " connects" + onlyOn(ctx, p.tunnel.Target)
		default:
			r.State = Fail
			r.Detail, r.Hint = status.Instead(ctx, p.tunnel.Target, w)
		}
		return []Result{r}
	}), unlooked(more, "workload")...)
}

// onlyOn says which of the two addresses of localhost answers, if only one does. A program that asks
// for the other one by name is refused.
func onlyOn(ctx context.Context, target string) string {
	u, err := mezu.ParseUpstream(target)
	if err != nil || len(u.Addresses()) < 2 {
		return ""
	}
	var answers []string
	for _, a := range u.Addresses() {
		if err := dial(ctx, a); err == nil {
			host, _, _ := net.SplitHostPort(a)
			answers = append(answers, host)
		}
	}
	if len(answers) != 1 {
		return ""
	}
	return " (" + answers[0] + " only)"
}
