package login

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type whoamiOptions struct{ *invocation.Invocation }

func newWhoami(inv *invocation.Invocation, run func(context.Context, *whoamiOptions) error) *cli.Command {
	return &cli.Command{
		Name: "whoami", Usage: "Show who is logged in, where, and with which rights", Category: category,
		Before: inv.Is(invocation.Shows),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &whoamiOptions{inv})
		},
	}
}

// identity is who calls, from where it is known.
type identity struct {
	api.Self
	API string `json:"api"`
	// Profile is empty if the token is none of a profile's.
	Profile string `json:"profile,omitempty"`
	// Renews says that the login renews itself.
	Renews bool `json:"renews,omitempty"`
	// Kept is where the token is: "the keyring", a file, or MEZU_TOKEN.
	Kept string `json:"kept_in"`
}

func runWhoami(ctx context.Context, o *whoamiOptions) error {
	s, err := o.Settings()
	if err != nil {
		return err
	}
	if s.Credential, err = o.Credential(s); err != nil {
		return err
	}
	client, err := o.Client(s)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	self, err := api.Invoke[api.Self](ctx, client, api.OpSelf, nil)
	if err != nil {
		return err
	}
	who := identity{Self: self, API: s.API, Profile: s.Profile, Renews: s.Credential.Refresh != ""}
	if o.Getenv("MEZU_TOKEN") != "" {
		who.Profile, who.Kept = "", "MEZU_TOKEN"
	} else if p, err := o.Profiles.Load(s.Profile); err == nil {
		who.Kept = o.Profiles.CredentialPlace(s.Profile, *p)
	}
	if o.Flags.Output != terminal.Table {
		return o.WriteValue(o.Flags.Output, who)
	}
	return o.Printf("%s", who.lines(o.Invocation, s.Organization))
}

// besideNames is where the values of an identity begin.
const besideNames = 15

// lines are an identity for people. organization is the one that commands work in.
func (w identity) lines(inv *invocation.Invocation, organization string) string {
	line := func(head, text string) string { return inv.Beside("  "+head, besideNames, text) }
	from := cmp.Or(w.Profile, "none (MEZU_TOKEN)")
	text := inv.Beside("", 0, terminal.Clean(called(w.Self)+w.part(organization))) + line("profile", terminal.Clean(from+", "+w.API))
	if w.Profile != "" && w.Kept != "the keyring" {
		text += line("token", "in "+terminal.Clean(w.Kept))
	}
	until := "it is revoked"
	var also []string
	if end := endOf(w.Self); !end.IsZero() {
		until = inv.Moment(end)
		if inv.OutTerminal {
			until, also = end.Local().Format("2006-01-02 15:04"), []string{until}
		}
	}
	if w.Renews {
		also = append(also, "renews itself")
	}
	if len(also) > 0 {
		until += " (" + strings.Join(also, ", ") + ")"
	}
	text += line("until", until)
	if rights := w.rights(organization); rights != "" {
		text += line("rights", rights)
	}
	return text
}

// part says what somebody is, and where.
func (w identity) part(organization string) string {
	kind := strings.ReplaceAll(w.Kind, "_", " ")
	if w.Email == "" {
		kind = "   " + kind // the id comes first already
	} else {
		kind = "   " + kind + " " + w.ID
	}
	if w.Organization != "" {
		return kind + " of " + projectOf(w.Self)
	}
	rest := len(w.Organizations)
	if m := memberIn(w.Self, organization); m != nil {
		kind += ", " + string(m.Role) + " of " + m.Organization
		rest--
		if rest > 0 {
			kind += fmt.Sprintf(", and of %d more", rest)
		}
		return kind
	}
	if rest > 0 {
		kind += ", of " + strings.Join(organizationsOf(w.Self), ", ")
	}
	return kind
}

// shownRights is how many rights a line has room for.
const shownRights = 3

// rights are some of what somebody may do, first of all what changes something.
func (w identity) rights(organization string) string {
	all := slices.Clone(w.Permissions)
	if m := memberIn(w.Self, organization); m != nil {
		all = slices.Clone(m.Permissions)
	}
	if len(all) == 0 {
		return ""
	}
	slices.SortStableFunc(all, func(a, b mezu.Permission) int { return cmp.Compare(weight(a), weight(b)) })
	names := make([]string, 0, shownRights)
	for _, p := range all[:min(len(all), shownRights)] {
		names = append(names, terminal.Clean(string(p)))
	}
	line := strings.Join(names, ", ")
	if len(all) > shownRights {
		line += ", … (-o json has all)"
	}
	return line
}

// weight sorts rights: who puts up a tunnel looks for these first, and reading goes without
// saying.
func weight(p mezu.Permission) int {
	if i := slices.Index([]mezu.Permission{mezu.PermEnvironmentsWrite, mezu.PermRoutesWrite, mezu.PermWarpgateRegister}, p); i >= 0 {
		return i - shownRights
	}
	if strings.HasSuffix(string(p), ".read") {
		return 1
	}
	return 0
}
