package tunnel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/cli/tunnel/session"
	"github.com/mezusphere/mezu/cli/tunnel/show"
	"github.com/mezusphere/mezu/cli/tunnel/target"
	"github.com/mezusphere/mezu/local"
)

// named are the commands about tunnels that there are.
func named(inv *invocation.Invocation, cfg Config) []*cli.Command {
	one := newNamed(inv, cfg, "show", "Show one tunnel of this machine", showOne)
	one.Before = inv.Is(invocation.Shows | invocation.Named)
	stop := newNamed(inv, cfg, "stop", "Stop a tunnel, when its requests have ended, and keep it", stopOne)
	remove := newNamed(inv, cfg, "rm", "Stop a tunnel and forget it, with its key; its environment stays", removeOne)
	stop.Before, remove.Before = inv.Is(invocation.Silent), inv.Is(invocation.Silent)
	start := newNamed(inv, cfg, "start", "Start a tunnel that was stopped", startOne)
	open := newNamed(inv, cfg, "open", "Open the address of a tunnel in the browser", openOne)
	start.Before, open.Before = inv.Is(invocation.Named), inv.Is(invocation.Named)
	return []*cli.Command{
		newList(inv, cfg), one, start, stop, remove, open,
	}
}

// hosted is the daemon with its tunnels, for one command.
type hosted struct {
	*invocation.Invocation
	Config
	client   *local.Client
	settings invocation.Settings
	tunnels  []mezu.Tunnel
}

// host asks the daemon for its tunnels. One that doesn't run has none.
func host(ctx context.Context, inv *invocation.Invocation, cfg Config) (*hosted, error) {
	s, err := inv.Settings()
	if err != nil {
		return nil, err
	}
	h := &hosted{Invocation: inv, Config: cfg, settings: s}
	h.client, err = cfg.Running(ctx, s)
	if errors.Is(err, local.ErrNotRunning) {
		return h, nil
	}
	if err != nil {
		return nil, err
	}
	h.tunnels, err = h.client.Tunnels(ctx)
	if err != nil {
		h.Close()
	}
	return h, err
}

// wakes has a command that is repeated look again when the daemon tells of something.
func (h *hosted) wakes() {
	h.WokenBy(func(ctx context.Context, ring func()) error {
		c, err := h.Running(ctx, h.settings)
		if err != nil {
			return err
		}
		defer c.Close()
		events, err := c.Events(ctx, "")
		if err != nil {
			return err
		}
		defer events.Close()
		for {
			if _, err := events.Next(); err != nil {
				return err
			}
			ring()
		}
	})
}

// Close lets go of the daemon.
func (h *hosted) Close() {
	if h.client != nil {
		h.client.Close()
	}
}

func newList(inv *invocation.Invocation, cfg Config) *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "List the tunnels of this machine",
		Before: inv.Is(invocation.Shows | invocation.Named),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			h, err := host(c.Context, inv, cfg)
			if err != nil {
				return err
			}
			defer h.Close()
			h.wakes()
			if h.client == nil && inv.Flags.Output == terminal.Table {
				h.Sayf("no daemon is running, so no tunnel is open; mezu tunnel PORT opens one")
				return nil
			}
			if len(h.tunnels) == 0 && inv.Flags.Output == terminal.Table {
				h.Sayf("there are no tunnels here; mezu tunnel PORT opens one")
				return nil
			}
			return terminal.WriteList(inv.Streams, inv.Flags.Output, h.tunnels, columns(inv.Dir))
		},
	}
}

func columns(dir string) []terminal.Column[mezu.Tunnel] {
	return []terminal.Column[mezu.Tunnel]{
		{Head: "NAME", Rank: terminal.Name, Value: func(t mezu.Tunnel) string { return t.Name }},
		{Head: "TARGET", Value: func(t mezu.Tunnel) string { return target.Show(dir, t.Target) }},
		{Head: "STATE", Value: stateOf},
		{Head: "REQ/S", Rank: terminal.Detail, Value: func(t mezu.Tunnel) string { return fmt.Sprintf("%.1f", t.Stats.PerSecond) }},
		{Head: "ADDRESS", Value: func(t mezu.Tunnel) string { return t.URL }},
	}
}

// stateOf is a state as tables show it: "1 of 2" says how many edges hold a link.
func stateOf(t mezu.Tunnel) string {
	if t.State != mezu.TunnelPartly {
		return strings.ReplaceAll(string(t.State), "_", " ")
	}
	up := 0
	for _, l := range t.Links {
		if l.State == mezu.LinkConnected {
			up++
		}
	}
	return fmt.Sprintf("%d of %d", up, len(t.Links))
}

// newNamed is a command about one tunnel.
func newNamed(inv *invocation.Invocation, cfg Config, verb, usage string, act func(context.Context, *hosted, mezu.Tunnel) error) *cli.Command {
	return &cli.Command{
		Name: verb, Usage: usage, ArgsUsage: "NAME", Description: "NAME is PROJECT/ENVIRONMENT, or ENVIRONMENT alone.",
		BashComplete: invocation.CompleteLocal(func(ctx context.Context) ([]string, error) {
			h, err := host(ctx, inv, cfg)
			if err != nil {
				return nil, err
			}
			defer h.Close()
			names := make([]string, len(h.tunnels))
			for i, t := range h.tunnels {
				names[i] = t.Name
			}
			return names, nil
		}),
		Action: func(c *cli.Context) error {
			args, err := invocation.Described(c, invocation.Argument{Name: "NAME", Is: "the name of a tunnel"})
			if err != nil {
				return err
			}
			h, err := host(c.Context, inv, cfg)
			if err != nil {
				return err
			}
			defer h.Close()
			h.wakes()
			t, err := h.find(args[0])
			if err != nil {
				return err
			}
			return act(c.Context, h, t)
		},
	}
}

// find finds a tunnel by its name, its id, or its environment if that is the only one.
func (h *hosted) find(name string) (mezu.Tunnel, error) {
	var like []mezu.Tunnel
	for _, t := range h.tunnels {
		if t.Name == name || t.ID == name {
			return t, nil
		}
		if t.Environment == name || strings.HasSuffix(t.Name, "/"+name) {
			like = append(like, t)
		}
	}
	if len(like) == 1 {
		return like[0], nil
	}
	e := &mezu.Error{Code: mezu.CodeNotFound, Detail: fmt.Sprintf("there is no tunnel %s here%s", terminal.Clean(name), mezu.DidYouMean(name, namesOf(h.tunnels))), Hint: "mezu tunnel list"}
	if len(like) > 1 {
		e.Code, e.Detail = mezu.CodeConflict, fmt.Sprintf("%s may be %s or %s", terminal.Clean(name), terminal.Clean(like[0].Name), terminal.Clean(like[1].Name))
	}
	return mezu.Tunnel{}, e
}

// namesOf are what tunnels can be named by.
func namesOf(tunnels []mezu.Tunnel) (names []string) {
	for _, t := range tunnels {
		names = append(names, t.Name, t.Environment, t.Name[strings.LastIndexByte(t.Name, '/')+1:])
	}
	return names
}

func showOne(_ context.Context, h *hosted, t mezu.Tunnel) error {
	columns := slices.Concat(columns(h.Dir), []terminal.Column[mezu.Tunnel]{
		{Head: "WHY", Value: func(t mezu.Tunnel) string { return t.Detail }},
		{Head: "TRY", Value: func(t mezu.Tunnel) string { return t.Hint }},
		{Head: "WORKLOAD", Value: func(t mezu.Tunnel) string {
			if t.Target == mezu.TargetCapture {
				return "none, every request is answered " + answerOf(t.Capture)
			}
			return workloadOf(t.Workload)
		}},
		{Head: "REQUESTS", Value: func(t mezu.Tunnel) string {
			return show.Count(t.Stats.Requests) + ", " + show.Count(t.Stats.Failed) + " answered 5xx, " + fmt.Sprint(t.Stats.InFlight) + " in flight"
		}},
		{Head: "INSPECTED", Value: func(t mezu.Tunnel) string {
			if t.Uninspected {
				return "no: mezu requests has none of it"
			}
			return "mezu requests list --filter tunnel:" + t.Name
		}},
		{Head: "HOST HEADER", Value: func(t mezu.Tunnel) string { return cmp.Or(t.HostHeader, mezu.HostKeep) }},
		{Head: "PASSWORD OF", Value: func(t mezu.Tunnel) string {
			if t.BasicAuth == nil {
				return ""
			}
			return t.BasicAuth.User
		}},
		{Head: "LINKS", Value: func(t mezu.Tunnel) string { return strings.Join(linksOf(t.Links), ", ") }},
		{Head: "CERTIFICATE ENDS", At: func(t mezu.Tunnel) time.Time { return t.CertificateEnds }},
		{Head: "CONTROL PLANE", Value: func(t mezu.Tunnel) string {
			if t.ControlAway.IsZero() {
				return t.API
			}
			return t.API + ", last reached " + h.Moment(t.ControlAway)
		}},
		{Head: "PROFILE", Value: func(t mezu.Tunnel) string { return t.Profile }},
		{Head: "KEPT", Value: func(t mezu.Tunnel) string {
			if t.Detached {
				return "until it is stopped"
			}
			return "as long as a command holds it"
		}},
		{Head: "WARPGATE", Value: func(t mezu.Tunnel) string { return t.Warpgate }},
		{Head: "ID", Value: func(t mezu.Tunnel) string { return t.ID }},
	})
	return terminal.WriteRecord(h.Streams, h.Flags.Output, t, columns)
}

// answerOf is the answer of a tunnel without a workload.
func answerOf(c *mezu.TunnelCapture) string {
	if c == nil {
		c = &mezu.TunnelCapture{}
	}
	text := fmt.Sprint(cmp.Or(c.Status, http.StatusOK))
	if len(c.Body) > 0 {
		text += fmt.Sprintf(", %s of %s", show.Size(int64(len(c.Body))), cmp.Or(c.MediaType, "no media type"))
	}
	return text
}

func workloadOf(w mezu.Workload) string {
	switch {
	case w.Up == nil:
		return ""
	case *w.Up:
		return strings.TrimSpace("answers " + w.Program)
	}
	return cmp.Or(w.Detail, "does not answer")
}

func linksOf(links []mezu.Link) []string {
	var out []string
	for _, l := range links {
		text := l.Name + " " + string(l.State)
		if l.RoundTripMS > 0 {
			text += fmt.Sprintf(" %.0f ms", l.RoundTripMS)
		}
		if l.Error != "" {
			text += " (" + l.Error + ")"
		}
		out = append(out, text)
	}
	return out
}

// startOne starts a tunnel, and enrols it if it has to be.
func startOne(ctx context.Context, h *hosted, t mezu.Tunnel) error {
	t, err := h.client.Start(ctx, t.ID)
	if err != nil {
		return err
	}
	if session.Unenrolled(&t) {
		client, err := h.Client(h.settings)
		if err != nil {
			return err
		}
		defer client.CloseIdle()
		token, err := own.Token(ctx, client, t.Organization, t.Project, t.Environment, t.PublicKeySHA256)
		if err != nil {
			return err
		}
		if t, err = h.client.Enrol(ctx, t.ID, token); err != nil {
			return err
		}
	}
	h.Signf(terminal.Good, "started %s", terminal.Clean(t.Name))
	return h.address(t)
}

// address writes where a tunnel is reached, or all of it for scripts.
func (h *hosted) address(t mezu.Tunnel) error {
	if h.Flags.Output != terminal.Table {
		return h.WriteValue(h.Flags.Output, t)
	}
	return h.Printf("%s\n", terminal.Clean(t.URL))
}

func stopOne(ctx context.Context, h *hosted, t mezu.Tunnel) error {
	err := h.draining(ctx, t.ID, func(ctx context.Context) (err error) {
		t, err = h.client.Stop(ctx, t.ID, local.Drain{})
		return err
	})
	if err != nil {
		return err
	}
	h.Signf(terminal.Good, "stopped %s: %s requests, %s answered 5xx", terminal.Clean(t.Name), show.Count(t.Stats.Requests), show.Count(t.Stats.Failed))
	return ctx.Err()
}

func removeOne(ctx context.Context, h *hosted, t mezu.Tunnel) error {
	if err := h.draining(ctx, t.ID, func(ctx context.Context) error { return h.client.Remove(ctx, t.ID) }); err != nil {
		return err
	}
	h.Signf(terminal.Good, "removed %s; its environment and address stay (mezu environments delete %s)", terminal.Clean(t.Name), terminal.Clean(t.Environment))
	return ctx.Err()
}

// draining ends a tunnel by a call, and says what that waits for. It is cut when ctx ends.
func (h *hosted) draining(ctx context.Context, id string, call func(context.Context) error) error {
	going, end := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer end()
	if events, err := h.client.Events(going, ""); err == nil { // else nothing is said
		beside.Go(func() { h.says(events, id) })
	}
	beside.Go(func() {
		select {
		case <-ctx.Done():
			_, _ = h.client.Stop(going, id, local.DrainFor(0)) // its error is that of the call
		case <-going.Done():
		}
	})
	return call(going)
}

// says shows what the end of a tunnel waits for.
func (h *hosted) says(events *local.Stream, id string) {
	defer events.Close()
	lines := show.Lines{Streams: h.Streams, CutsAtOnce: true}
	for {
		e, err := events.Next()
		if err != nil {
			return
		}
		if e.Event.Event == local.EventStopping && e.TunnelID == id {
			lines.Event(e)
		}
	}
}

func openOne(_ context.Context, h *hosted, t mezu.Tunnel) error {
	if t.URL == "" {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: terminal.Clean(t.Name) + " has no address yet", Hint: "mezu tunnel show " + terminal.Clean(t.Name)}
	}
	if err := h.address(t); err != nil {
		return err
	}
	return browse(h.Config, t.URL)
}
