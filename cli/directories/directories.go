// Package directories is "mezu directories": the pools of end-user accounts of a project
// or, with --shared, of an organization on the command line.
//
// What may not live here: other nouns, and what a logo is (package logo). It imports the
// domain, api, logo and the packages of cli that every command uses; cli imports it.
package directories

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu directories".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	return n.Command("List, show, create, change and delete directories of users",
		n.NewList(inv), n.NewShow(inv), n.NewCreate(inv, flags(), fromFlags), n.NewUpdate(inv, flags(), patchOf), newLogo(inv, runLogo), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.Directory] {
	columns := []terminal.Column[mezu.Directory]{
		{Head: "NAME", Rank: terminal.Name, Value: func(d mezu.Directory) string { return d.Name }},
		{Head: "SIGNUP", Value: func(d mezu.Directory) string { return string(d.Signup) }},
		{Head: "MFA", Value: func(d mezu.Directory) string { return string(d.MFA) }},
		{Head: "PASSWORD", Value: passwords},
	}
	return collection.Noun[mezu.Directory]{
		Name: "directories", One: "directory", Many: "directories",
		Operations: ofProject(), PathFlags: []cli.Flag{SharedFlag()},
		Where: func(c *cli.Context) (collection.Operations, error) {
			if c.Bool("shared") {
				return ofOrganization(), nil
			}
			return ofProject(), nil
		},
		Label: func(d mezu.Directory) string { return d.Name }, Columns: columns,
		Details: slices.Concat([]terminal.Column[mezu.Directory]{
			{Head: "ORGANIZATION", Value: func(d mezu.Directory) string { return d.Organization }},
			{Head: "PROJECT", Value: func(d mezu.Directory) string { return d.Project }},
		}, columns, settings(), collection.Meta(func(d mezu.Directory) mezu.Meta { return d.Meta })),
		Empty: "mezu directories create NAME makes one", Deletion: collection.Deletion[mezu.Directory]{Note: "if no environment names it and no user is in it", Goes: goes},
	}
}

// SharedFlag chooses the directories of the organization in place of the project's.
func SharedFlag() cli.Flag {
	return &cli.BoolFlag{Name: "shared", Usage: "of the organization, for all of its projects", DisableDefaultText: true}
}

func ofProject() collection.Operations {
	return collection.Operations{In: collection.InProject, List: api.OpListDirectories, Watch: api.OpWatchDirectories, Get: api.OpGetDirectory, Create: api.OpCreateDirectory,
		Update: api.OpUpdateDirectory, Delete: api.OpDeleteDirectory}
}

func ofOrganization() collection.Operations {
	return collection.Operations{In: collection.InOrganization, List: api.OpListOrganizationDirectories, Watch: api.OpWatchOrganizationDirectories, Get: api.OpGetOrganizationDirectory,
		Create: api.OpCreateOrganizationDirectory, Update: api.OpUpdateOrganizationDirectory, Delete: api.OpDeleteOrganizationDirectory}
}

// settings are the details that a table has no room for.
func settings() []terminal.Column[mezu.Directory] {
	return []terminal.Column[mezu.Directory]{
		{Head: "DOMAINS", Value: func(d mezu.Directory) string { return strings.Join(d.Domains, ",") }},
		{Head: "REQUIRE", Value: func(d mezu.Directory) string {
			var out []string
			for _, f := range d.Require {
				out = append(out, string(f))
			}
			return strings.Join(out, ",")
		}},
		{Head: "TERMS", Value: func(d mezu.Directory) string { return d.Terms.URL }},
		{Head: "TERMS VERSION", Value: func(d mezu.Directory) string { return d.Terms.Version }},
		{Head: "SESSION IDLE", Value: func(d mezu.Directory) string { return mezu.Duration(d.SessionIdle()).String() }},
		{Head: "SESSION ABSOLUTE", Value: func(d mezu.Directory) string { return mezu.Duration(d.SessionAbsolute()).String() }},
		{Head: "BRAND NAME", Value: func(d mezu.Directory) string { return d.Brand.Name }},
		{Head: "BRAND COLOR", Value: func(d mezu.Directory) string { return d.Brand.Color }},
		{Head: "LOGO", Value: func(d mezu.Directory) string {
			if d.Brand.Logo == "" {
				return ""
			}
			return "sha256:" + d.Brand.Logo
		}},
	}
}

func passwords(d mezu.Directory) string {
	if d.Password.MinLength == 0 {
		return ""
	}
	return "at least " + strconv.Itoa(d.Password.MinLength)
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "signup", Usage: "who may make an account: `MODE` is open, invite or closed"},
		&cli.StringSliceFlag{Name: "domain", Usage: "only addresses of `DOMAIN` may sign up (repeatable); '' lifts that"},
		&cli.StringFlag{Name: "mfa", Usage: "whether a second factor is asked for: `MODE` is off, optional or required"},
		&cli.IntFlag{Name: "min-password", Usage: "passwords have `N` characters at least", DefaultText: strconv.Itoa(mezu.MinPasswordLength)},
		&cli.StringSliceFlag{Name: "require", Usage: "users must say their `FIELD`, name or display_name (repeatable); '' lifts that"},
		&cli.StringFlag{Name: "terms", Usage: "users accept the terms of use at `URL`"},
		&cli.StringFlag{Name: "terms-version", Usage: "the terms have the version `TEXT`; with another one they are accepted anew"},
		&cli.StringFlag{Name: "session-idle", Usage: "a login ends `TIME` after the last use, such as 12h or 7d", DefaultText: mezu.DefaultSessionIdle.String()},
		&cli.StringFlag{Name: "session-absolute", Usage: "a login ends after `TIME`, however much it is used", DefaultText: mezu.DefaultSessionAbsolute.String()},
		&cli.StringFlag{Name: "brand-name", Usage: "pages and mails call the service `TEXT`", DefaultText: "the project's name"},
		&cli.StringFlag{Name: "brand-color", Usage: "pages have the `COLOR`, written #rrggbb"},
	}
}

func fromFlags(c *cli.Context, name string) (any, error) {
	idle, absolute, err := spans(c)
	if err != nil {
		return nil, err
	}
	d := mezu.Directory{
		Name: name, Signup: mezu.SignupMode(c.String("signup")), Domains: items[string](c, "domain"), MFA: mezu.MFAMode(c.String("mfa")),
		Password: mezu.PasswordPolicy{MinLength: c.Int("min-password")}, Require: items[mezu.ProfileField](c, "require"),
		Terms:   mezu.Terms{URL: c.String("terms"), Version: c.String("terms-version")},
		Session: mezu.SessionPolicy{Idle: idle, Absolute: absolute}, Brand: mezu.Brand{Name: c.String("brand-name"), Color: c.String("brand-color")},
	}
	return d, d.Validate()
}

// items are the values of a repeatable flag, of which an empty one stands for none.
func items[T ~string](c *cli.Context, flag string) []T {
	var out []T
	for _, v := range c.StringSlice(flag) {
		if v != "" {
			out = append(out, T(v))
		}
	}
	return out
}

// spans are those of sessions; zero is the default.
func spans(c *cli.Context) (idle, absolute mezu.Duration, err error) {
	if idle, err = invocation.OptionalSpan(c, "session-idle"); err == nil {
		absolute, err = invocation.OptionalSpan(c, "session-absolute")
	}
	return idle, absolute, err
}

// patchOf makes the merge patch that the flags ask for. Lists are replaced, not added to, and
// an empty text takes a setting away.
func patchOf(c *cli.Context) (map[string]any, error) {
	idle, absolute, err := spans(c)
	if err != nil {
		return nil, err
	}
	patch := map[string]any{}
	set := func(flag, outer, inner string, value any) {
		if !c.IsSet(flag) {
			return
		}
		if c.String(flag) == "" {
			value = nil
		}
		if inner == "" {
			patch[outer] = value
			return
		}
		into, ok := patch[outer].(map[string]any)
		if !ok {
			into = map[string]any{}
			patch[outer] = into
		}
		into[inner] = value
	}
	set("signup", "signup", "", c.String("signup"))
	set("domain", "domains", "", items[string](c, "domain"))
	set("mfa", "mfa", "", c.String("mfa"))
	set("min-password", "password", "min_length", c.Int("min-password"))
	set("require", "require", "", items[string](c, "require"))
	set("terms", "terms", "url", c.String("terms"))
	set("terms-version", "terms", "version", c.String("terms-version"))
	set("session-idle", "session", "idle", idle)
	set("session-absolute", "session", "absolute", absolute)
	set("brand-name", "brand", "name", c.String("brand-name"))
	set("brand-color", "brand", "color", c.String("brand-color"))
	return patch, nil
}

// goes refuses to delete a directory that somebody uses; nothing goes with another one.
func goes(ctx context.Context, client *api.Client, d mezu.Directory, params []string) ([]string, error) {
	what, flags, list := "directory "+terminal.Clean(d.Name), " -d "+d.Name, api.OpListUsers
	if d.Project == "" {
		list, flags = api.OpListOrganizationUsers, flags+" --shared"
	}
	has, first := collection.Counted(ctx, client, list, "user", "users", func(u mezu.User) string { return u.Profile.Email }, params...)
	if has != "" {
		return nil, collection.StillHas(what, has, first, "mezu users delete USER"+flags)
	}
	if d.Project == "" {
		return nil, nil // which projects name it, the control plane knows
	}
	for e, err := range api.Matching[mezu.Environment](ctx, client, api.OpListEnvironments, nil, params[:len(params)-1]...) {
		if err != nil {
			break
		}
		if e.Directory == d.Name {
			return nil, &mezu.Error{Code: mezu.CodeConflict, Detail: "environment " + terminal.Clean(e.Name) + " names " + what, Hint: "mezu environments update " + e.Name + " --directory ''"}
		}
	}
	return nil, nil
}
