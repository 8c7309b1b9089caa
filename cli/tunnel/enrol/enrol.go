// Package enrol gets tunnels of the local daemon a certificate by the login of the command that
// runs: those that have none any more, unasked.
//
// What may not live here: opening tunnels. It imports the domain, api, local, cli/invocation,
// cli/terminal and cli/tunnel/own; cli imports it.
package enrol

import (
	"cmp"
	"context"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel/own"
	"github.com/mezusphere/mezu/local"
)

// within bounds what a command does for tunnels that it is not about.
const within = 20 * time.Second

// askTime bounds the question whether there is something to do: a daemon that hangs holds no
// command up.
const askTime = time.Second

// Again enrols what needs a login among the tunnels of the profile in use. A daemon that doesn't
// run has none, and is not started. What can't be enrolled is said and fails no command.
func Again(ctx context.Context, inv *invocation.Invocation, s invocation.Settings, login *api.Client, running func(context.Context, invocation.Settings) (*local.Client, error)) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	asking, asked := context.WithTimeout(ctx, askTime)
	defer asked()
	daemon, err := running(asking, s)
	if err != nil {
		return
	}
	defer daemon.Close()
	all, err := daemon.Tunnels(asking)
	if err != nil {
		return
	}
	who := ""
	for _, t := range all {
		if !wants(&t, s) {
			continue
		}
		if who == "" {
			self, err := api.Invoke[api.Self](ctx, login, api.OpSelf, nil)
			if err != nil {
				return // the login is none, as after a logout
			}
			who = cmp.Or(self.Email, self.Name, self.ID)
		}
		inv.Signf(terminal.Waiting, "%s: %s", terminal.Clean(t.Name), terminal.Clean(cmp.Or(t.Detail, "its certificate ended")))
		if err := one(ctx, login, daemon, &t); err != nil {
			what, hint := terminal.Explain(err)
			inv.Signf(terminal.Caution, "%s could not be enrolled again: %s", terminal.Clean(t.Name), terminal.Clean(what))
			if hint != "" {
				inv.Sayf("  try: %s", terminal.Clean(hint))
			}
			continue
		}
		inv.Signf(terminal.Good, "enrolled again as %s", terminal.Clean(who))
	}
}

// wants reports whether a tunnel needs a login of these settings. One that has never served and is
// held by another command is just being opened by that.
func wants(t *mezu.Tunnel, s invocation.Settings) bool {
	if t.State != mezu.TunnelNeedsLogin || t.Warpgate == "" && t.Attached > 0 {
		return false
	}
	return invocation.SameHost(t.API, s.API) && (s.Profile == "" || t.Profile == s.Profile)
}

func one(ctx context.Context, login *api.Client, daemon *local.Client, t *mezu.Tunnel) error {
	token, err := own.Token(ctx, login, t.Organization, t.Project, t.Environment, t.PublicKeySHA256)
	if err == nil {
		_, err = daemon.Enrol(ctx, t.ID, token)
	}
	return err
}
