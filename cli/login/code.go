package login

import (
	"context"
	"net/url"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// code reads the code of a link that somebody was sent: from the argument, which is the link or
// the code alone, or from standard input. A link names the control plane, too.
func code(ctx context.Context, inv *invocation.Invocation, given string) (string, error) {
	if given == "" {
		if inv.InTerminal {
			inv.Sayf("paste the link, and then Enter and Ctrl-D")
		}
		text, err := inv.ReadAll(ctx, maxTyped)
		if err != nil {
			return "", err
		}
		given = string(text)
	}
	given, err := mezu.ParseSecret(given)
	if err != nil {
		return "", mezu.Below("code", err)
	}
	if given == "" {
		return "", exit.Usagef("the link or its code is needed, as an argument or on standard input")
	}
	link, err := url.Parse(given)
	if err != nil || link.Scheme == "" {
		return given, nil
	}
	if link.Scheme != "https" || link.Host == "" || link.Fragment == "" {
		return "", exit.Usagef("the link is not whole: it begins with https://, and a code stands behind its #")
	}
	site := "https://" + link.Host
	if inv.Flags.API == "" {
		inv.Flags.API = site
	} else if !oneOf(inv.Flags.API, site) {
		return "", exit.Usagef("the link is of %s, and --api names %s", terminal.Clean(site), terminal.Clean(inv.Flags.API))
	}
	return strings.TrimPrefix(link.Fragment, "code="), nil
}

// oneOf reports whether a site is one of the addresses of a control plane.
func oneOf(addresses, site string) bool {
	for one := range strings.SplitSeq(addresses, ",") {
		if invocation.SameHost(strings.TrimSpace(one), site) {
			return true
		}
	}
	return false
}

// optional gives the argument of a command that may have none.
func optional(c *cli.Context, name string) (string, error) {
	if c.NArg() == 0 {
		return "", nil
	}
	args, err := invocation.Arguments(c, name)
	if err != nil {
		return "", err
	}
	return args[0], nil
}
