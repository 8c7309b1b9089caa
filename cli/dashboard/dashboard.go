// Package dashboard is "mezu" and "mezu dashboard" as they are typed: when a dashboard is shown,
// and how it is to look.
//
// What may not live here: the dashboard itself, which is package tui; cmd/mezu hands it in. It
// imports packages of cli that every command uses; cli and cli/tunnel import it.
package dashboard

import (
	"context"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
)

// Themes are the values of --theme.
const (
	ThemeAuto  = "auto"
	ThemeDark  = "dark"
	ThemeLight = "light"
	Theme16    = "16"
	ThemeNone  = "none"
)

// Themes are all of them.
func Themes() []string { return []string{ThemeAuto, ThemeDark, ThemeLight, Theme16, ThemeNone} }

// Options are those of one dashboard.
type Options struct {
	// Theme is one of Themes, NoMouse leaves the mouse to the terminal.
	Theme   string
	NoMouse bool
	// Organization, Project and Environment are where it looks at first; if empty, the context
	// says it.
	Organization, Project, Environment string
	// Own are the ids of tunnels that end with the dashboard, and Leave leaves one open.
	Own   []string
	Leave func(ctx context.Context, id string) error
	// Dialog says that the dialog that opens a tunnel is shown first.
	Dialog bool
}

// Runner shows a dashboard until somebody quits.
type Runner func(ctx context.Context, inv *invocation.Invocation, o Options) error

// Flags are those of every command that shows a dashboard.
func Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "theme", Category: "The dashboard", Usage: "show the dashboard in the `COLOURS` " + strings.Join(Themes(), ", "), Value: ThemeAuto},
		&cli.BoolFlag{Name: "no-mouse", Category: "The dashboard", Usage: "leave the mouse to the terminal", DisableDefaultText: true},
	}
}

// Parse reads Flags.
func Parse(c *cli.Context) (Options, error) {
	o := Options{Theme: c.String("theme"), NoMouse: c.Bool("no-mouse")}
	if !slices.Contains(Themes(), o.Theme) {
		return o, exit.Usagef("--theme is one of %s, not %q", strings.Join(Themes(), ", "), o.Theme)
	}
	return o, nil
}

// Shows reports whether a dashboard can be shown here. Where it can't be, or somebody reads lines
// aloud, commands write lines.
func Shows(inv *invocation.Invocation) bool {
	return inv.InTerminal && inv.OutTerminal && inv.Getenv("TERM") != "dumb" && !Accessible(inv)
}

// Accessible reports whether somebody wants lines that are appended, and nothing that is redrawn.
func Accessible(inv *invocation.Invocation) bool {
	return !slices.Contains([]string{"", "0", "false"}, inv.Getenv("ACCESSIBLE"))
}

// Command is "mezu dashboard". If run is nil, there is none.
func Command(inv *invocation.Invocation, run Runner) *cli.Command {
	return &cli.Command{
		Name: "dashboard", Usage: "Show tunnels, requests, routes and users on the whole terminal", Category: "development",
		Description: "mezu alone does the same on a terminal. Keys are in its last line; ? has all of them.\n" +
			"Without a dashboard: mezu tunnel list, mezu requests list -f, mezu status.",
		Flags:  Flags(),
		Before: inv.Is(invocation.Text),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o, err := Parse(c)
			if err != nil {
				return err
			}
			if !Shows(inv) || run == nil {
				return &mezu.Error{Code: mezu.CodeInvalid, Detail: "a dashboard needs a terminal, and lines were asked for",
					Hint: "mezu tunnel list, mezu requests list -f, or mezu status"}
			}
			return run(c.Context, inv, o)
		},
	}
}
