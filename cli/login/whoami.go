package login

import (
	"context"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

type whoamiOptions struct{ *invocation.Invocation }

func newWhoami(inv *invocation.Invocation, run func(context.Context, *whoamiOptions) error) *cli.Command {
	return &cli.Command{
		Name: "whoami", Usage: "Show who is logged in, and where", Category: category,
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
}

func runWhoami(ctx context.Context, o *whoamiOptions) error {
	s, err := o.Settings()
	if err != nil {
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
		who.Profile = ""
	}
	return terminal.WriteRecord(o.Streams, o.Flags.Output, who, []terminal.Column[identity]{
		{Head: "EMAIL", Value: func(w identity) string { return w.Email }},
		{Head: "ID", Value: func(w identity) string { return w.ID }},
		{Head: "KIND", Value: func(w identity) string { return w.Kind }},
		{Head: "ORGANIZATIONS", Value: organizations},
		{Head: "OPERATOR", Value: func(w identity) string { return yes(w.Operator) }},
		{Head: "API", Value: func(w identity) string { return w.API }},
		{Head: "PROFILE", Value: func(w identity) string { return w.Profile }},
		{Head: "GOOD UNTIL", Value: func(w identity) string { return until(w.ExpiresAt) }},
		{Head: "RENEWS ITSELF", Value: func(w identity) string { return yes(w.Renews) }},
	})
}

// organizations are those of a person with the role there, or that of a service account with
// its project.
func organizations(w identity) string {
	if w.Organization != "" {
		return w.Organization + "/" + w.Project
	}
	var out []string
	for _, m := range w.Organizations {
		out = append(out, m.Organization+" ("+string(m.Role)+")")
	}
	return strings.Join(out, ", ")
}

// until is a time as tables show it; empty if it is zero.
func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return ""
}
