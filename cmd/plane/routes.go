package plane

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/routes/trial"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/manifest"
	"github.com/mezusphere/mezu/tui/routes"
	"github.com/mezusphere/mezu/tui/screen"
)

// Routes are the routes of an environment.
type Routes struct{ *Plane }

// Follow gives all routes whenever one has changed, or who runs them.
func (p Routes) Follow(ctx context.Context, scope screen.Scope, see func(routes.State)) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery) // who runs them is in no stream
	defer tick.Stop()
	err = changes(ctx, c, api.OpWatchRoutes, func(r mezu.Route) string { return r.ID }, tick.C, func() error {
		state, err := api.Invoke[api.RoutesState](ctx, c, api.OpListRoutes, nil, params...)
		if err == nil {
			see(stateOf(state))
		}
		return err
	}, params...)
	return p.explain(ctx, scope, mezu.PermRoutesRead, err)
}

// stateOf is what the screen shows of all routes: in the order in which they are tried.
func stateOf(s api.RoutesState) routes.State {
	out := routes.State{Routes: slices.Clone(s.Routes), Position: s.Position}
	rank := map[mezu.MatchMode]int{mezu.MatchExact: 0, mezu.MatchRegexp: 1, mezu.MatchPrefix: 2}
	slices.SortStableFunc(out.Routes, func(a, b mezu.Route) int {
		switch {
		case a.Mode() != b.Mode():
			return rank[a.Mode()] - rank[b.Mode()]
		case a.Mode() == mezu.MatchRegexp && a.Priority != b.Priority:
			return b.Priority - a.Priority
		case a.Mode() == mezu.MatchPrefix && len(a.Prefix) != len(b.Prefix):
			return len(b.Prefix) - len(a.Prefix)
		}
		return strings.Compare(a.Value(), b.Value())
	})
	for i, who := range api.Whose(s.Applied) {
		a := s.Applied[i]
		current := a.Position.Compare(s.Position) >= 0
		if !current && out.Late == "" {
			out.Late, out.Lag = who, a.Lag()
		}
		if strings.HasPrefix(a.ID, mezu.PrefixWarpgate) {
			out.AllWarpgates++
			if current {
				out.Warpgates++
			}
			continue
		}
		out.AllEdges++
		if current {
			out.Edges++
		}
	}
	return out
}

// Delete removes a route.
func (p Routes) Delete(ctx context.Context, scope screen.Scope, r mezu.Route) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	return c.Do(ctx, api.Call{Operation: api.OpDeleteRoute, Params: append(params, r.ID), IfMatch: r.Revision}, nil)
}

// Text is a route as mezu.yaml has it.
func (p Routes) Text(r *mezu.Route) ([]byte, error) {
	var b bytes.Buffer
	for _, line := range draftHead() {
		b.WriteString("# " + line + "\n")
	}
	one := mezu.Route{Prefix: "/new/"}
	if r != nil {
		one = r.Settings()
	}
	s := terminal.Streams{Out: &b}
	if err := s.WriteValue(terminal.YAML, one); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// draftHead stands above a route. It has as many lines as draftFrame, so that errors name the
// lines that somebody sees.
func draftHead() []string {
	return []string{"A route, as mezu.yaml has it.", "Save and close the editor: what would change is shown then,", "and nothing is changed before you say so.", ""}
}

// draftFrame makes a manifest of a route.
func draftFrame(scope screen.Scope) []string {
	return []string{"project: " + scope.Project, "environments:", "  " + scope.Environment + ":", "    routes:"}
}

// parse reads a route as somebody saved it, by the same rules as mezu.yaml.
func parse(ctx context.Context, scope screen.Scope, saved []byte) (mezu.Route, error) {
	lines := strings.Split(strings.ReplaceAll(string(saved), "\r\n", "\n"), "\n")
	frame := draftFrame(scope)
	lead := "      - "
	for i, line := range lines {
		switch {
		case i < len(frame) && (strings.HasPrefix(line, "#") || strings.TrimSpace(line) == ""):
			lines[i] = ""
		case strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
			lines[i] = ""
		default:
			lines[i] = lead + line
			lead = "        "
		}
	}
	if len(lines) < len(frame) || strings.TrimSpace(strings.Join(lines[:len(frame)], "")) != "" {
		lines = append(frame, lines...) // the head was removed
	} else {
		copy(lines, frame)
	}
	f, err := manifest.Parse(ctx, "route.yaml", []byte(strings.Join(lines, "\n")))
	if err != nil {
		return mezu.Route{}, err
	}
	all := f.Manifest.Environments[scope.Environment].Routes
	if len(all) != 1 {
		return mezu.Route{}, mezu.Invalid("route", "there is one route in the file, not %d", len(all))
	}
	return all[0], nil
}

// Compare says what applying a route that was saved would change.
func (p Routes) Compare(ctx context.Context, scope screen.Scope, before *mezu.Route, saved []byte) (routes.Proposal, error) {
	after, err := parse(ctx, scope, saved)
	if err != nil {
		return nil, err
	}
	c, params, err := p.environment(scope)
	if err != nil {
		return nil, err
	}
	out := &proposal{client: c, params: params}
	was := map[string]json.RawMessage{}
	if before != nil {
		settings := before.Settings()
		if was, err = members(settings); err != nil {
			return nil, err
		}
		out.id, out.revision = before.ID, before.Revision
	}
	is, err := members(after.Settings())
	if err != nil {
		return nil, err
	}
	out.patch = map[string]any{}
	names := maps.Clone(was)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b, had := was[name]
		a, has := is[name]
		if had && has && bytes.Equal(a, b) {
			continue
		}
		if had {
			out.lines = append(out.lines, "- "+name+": "+string(b))
			out.patch[name] = nil
		}
		if has {
			out.lines = append(out.lines, "+ "+name+": "+string(a))
			out.patch[name] = a
		}
	}
	out.route = after
	return out, nil
}

// members are the fields of a route, each in JSON.
func members(r mezu.Route) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	err = json.Unmarshal(text, &out)
	return out, err
}

// proposal is a change of a route, or a new one.
type proposal struct {
	client   *api.Client
	params   []string
	id       string // empty for a new one
	revision uint64
	route    mezu.Route
	patch    map[string]any
	lines    []string
}

// Lines are what goes and what comes.
func (p *proposal) Lines() []string { return p.lines }

// Apply makes the change, unless somebody else changed the route meanwhile.
func (p *proposal) Apply(ctx context.Context) ([]string, error) {
	call := api.Call{Operation: api.OpCreateRoute, Params: p.params, Body: p.route}
	if p.id != "" {
		call = api.Call{Operation: api.OpUpdateRoute, Params: append(slices.Clone(p.params), p.id), IfMatch: p.revision, Body: p.patch}
	}
	var out api.RouteWritten
	err := p.client.Do(ctx, call, &out)
	return out.Warnings, err
}

// Judge says what the routes make of a request.
func (p Routes) Judge(ctx context.Context, scope screen.Scope, q routes.Question) (routes.Verdict, error) {
	c, params, err := p.environment(scope)
	if err != nil {
		return routes.Verdict{}, err
	}
	u, err := url.Parse(q.Target)
	if err != nil || !strings.HasPrefix(q.Target, "/") && u.Host == "" {
		return routes.Verdict{}, mezu.Invalid("path", "is a path that starts with '/', or an address, not %q", q.Target)
	}
	if strings.HasPrefix(q.Target, "//") { // a path, not a host
		if u, err = url.Parse("http://x" + q.Target); err != nil {
			return routes.Verdict{}, mezu.Invalid("path", "is malformed")
		}
		u.Scheme, u.Host = "", ""
	}
	v, err := trial.Judge(ctx, c, params[0], params[1], params[2], trial.Question{Method: q.Method, URL: u, As: q.User, Client: netip.AddrFrom4([4]byte{192, 0, 2, 1})})
	if err != nil {
		return routes.Verdict{}, p.explain(ctx, scope, mezu.PermRoutesRead, err)
	}
	return verdictOf(q, u, v), nil
}

// verdictOf is a verdict in lines.
func verdictOf(q routes.Question, u *url.URL, v trial.Verdict) routes.Verdict {
	out := routes.Verdict{Allowed: v.Allowed, Canonical: v.Canonical}
	upstream := "the default upstream"
	if v.Route != nil && v.Route.Upstream != "" {
		upstream = v.Route.Upstream
	}
	switch {
	case v.Allowed && v.Status != 0:
		out.Says = "answered by the edge with " + strconv.Itoa(v.Status)
	case v.Forwards == trial.ForwardsUnknown:
		out.Says = "allowed: the workload at " + upstream + " answers, if its Warpgate has --allow-target for it"
	case v.Forwards == trial.ForwardsSome:
		out.Says = "allowed: the workload at " + upstream + " answers, or a Warpgate that may not forward there: " + v.Unsure()
	case v.Allowed:
		out.Says = "allowed: the workload at " + upstream + " answers"
	default:
		out.Says = "refused with " + strconv.Itoa(v.Status) + " " + string(v.Code) + ": " + v.Detail
	}
	if v.Canonical != "" {
		was := ""
		if raw := u.EscapedPath(); raw != v.Canonical && raw != "" {
			was = "   (was " + raw + ")"
		}
		out.Lines = append(out.Lines, routes.Line{Subject: "canonical", Result: v.Canonical + was})
	}
	for _, s := range v.Steps[:max(0, len(v.Steps)-1)] {
		out.Lines = append(out.Lines, routes.Line{Subject: sign(s.Route), Result: "passed over: " + s.Result})
	}
	if r := v.Route; r != nil {
		out.Lines = append(out.Lines, routes.Line{Subject: sign(r.Label()), Result: "chosen"})
		auth := r.Auth
		if auth == "" {
			auth = mezu.AuthNone
		}
		who := "nobody is logged in"
		if q.User != "" {
			who = q.User
		}
		out.Lines = append(out.Lines, routes.Line{Subject: "  auth", Result: string(auth) + "   " + who})
		if len(r.Roles) > 0 {
			out.Lines = append(out.Lines, routes.Line{Subject: "  roles", Result: strings.Join(r.Roles, " ") + "   has " + words(strings.Join(v.Roles, " "), none(v.Roles))})
		}
		if missing := v.Missing.String(); missing != "" {
			out.Lines = append(out.Lines, routes.Line{Subject: "  missing", Result: missing})
		}
	}
	if len(v.Allow) > 0 {
		out.Lines = append(out.Lines, routes.Line{Subject: "  methods", Result: strings.Join(v.Allow, " ")})
	}
	for _, note := range v.Notes {
		out.Lines = append(out.Lines, routes.Line{Subject: "  note", Result: note})
	}
	return out
}

// sign writes a route as the list does.
func sign(label string) string {
	for mode, sign := range map[mezu.MatchMode]string{mezu.MatchExact: "= ", mezu.MatchRegexp: "~ ", mezu.MatchPrefix: "^ "} {
		if rest, ok := strings.CutPrefix(label, string(mode)+" "); ok {
			return sign + rest
		}
	}
	return label
}

func none(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return ""
}
