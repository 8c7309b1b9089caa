// Package users is "mezu users": the end-user accounts of a directory on the command line.
//
// What may not live here: other nouns. It imports the domain, api and the packages of cli
// that every command uses; cli and routes, which tries requests as a user, import it.
package users

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/collection"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
)

// Command is "mezu users".
func Command(inv *invocation.Invocation) *cli.Command {
	n := noun()
	create := n.NewCreate(inv, append(flags(), statusFlag(), languageFlag(),
		&cli.BoolFlag{Name: "invite", Usage: "mail an invitation; until it is accepted the user is inactive", DisableDefaultText: true}),
		func(c *cli.Context, email string) (any, error) { return fromFlags(inv, c, email) })
	create.ArgsUsage = "EMAIL"
	reset := newLink(inv, n, resetVerb(), runLink)
	reset.Flags = append(reset.Flags, invocation.SecretFlag()) // an invitation is mailed, or is none
	return n.Command("List, show, create, invite, change, suspend, activate and delete users of a directory",
		n.NewList(inv), n.NewShow(inv), create, n.NewUpdate(inv, append(flags(), statusFlag(), emailFlag()), patchOf),
		n.NewSet(inv, "suspend", "Keep a user out: all sessions of the user end", "suspended", map[string]any{"status": mezu.UserSuspended}),
		n.NewSet(inv, "activate", "Let a user log in (again)", "activated", map[string]any{"status": mezu.UserActive}),
		newLink(inv, n, inviteVerb(), runLink), reset,
		newLogins(inv, n, runLogins), newSessions(inv, n, runSessions), n.NewDelete(inv))
}

func noun() collection.Noun[mezu.User] {
	columns := []terminal.Column[mezu.User]{
		{Head: "ID", Rank: terminal.ID, Value: func(u mezu.User) string { return u.ID }},
		{Head: "EMAIL", Rank: terminal.Name, Value: func(u mezu.User) string { return u.Profile.Email }},
		{Head: "STATUS", Value: func(u mezu.User) string { return string(u.Status) }},
		{Head: "ROLES", Rank: terminal.Detail, Value: func(u mezu.User) string { return strings.Join(u.Roles, ",") }},
		{Head: "LAST LOGIN", Rank: terminal.Detail, At: func(u mezu.User) time.Time { return u.LastLoginAt }},
	}
	meta := collection.Meta(func(u mezu.User) mezu.Meta { return u.Meta })
	return collection.Noun[mezu.User]{
		Name: "users", One: "user", Many: "users", Arg: "USER",
		PathFlags: []cli.Flag{
			&cli.StringFlag{Name: "directory", Aliases: []string{"d"}, Usage: "of the directory `NAME`"},
			&cli.BoolFlag{Name: "shared", Usage: "of a directory of the organization", DisableDefaultText: true},
		},
		Where: where,
		Label: func(u mezu.User) string { return u.Profile.Email },
		Check: check,
		Resolve: func(ctx context.Context, p collection.Path, o collection.Operations, arg string) (string, error) {
			if strings.Contains(arg, "@") {
				u, err := find(ctx, p.Client, o.List, arg, p.Params...)
				return u.ID, err
			}
			return arg, nil
		},
		Columns: columns,
		Details: slices.Concat(columns, []terminal.Column[mezu.User]{
			{Head: "NAME", Value: func(u mezu.User) string { return u.Profile.Name }},
			{Head: "DISPLAY NAME", Value: func(u mezu.User) string { return u.Profile.DisplayName }},
			{Head: "DIRECTORY", Value: func(u mezu.User) string { return u.Directory }},
		}, meta[:len(meta)-1]), // without the id, which comes first
		Empty: "mezu users create EMAIL makes one", Deletion: collection.Deletion[mezu.User]{Note: "whose sessions end", Title: func(u mezu.User) string { return u.Profile.Email }},
		Filters: []cli.Flag{
			&cli.StringFlag{Name: "email", Usage: "with the address `EMAIL`"},
			&cli.StringFlag{Name: "status", Usage: "`STATUS` is active, inactive or suspended"},
			&cli.StringFlag{Name: "role", Usage: "with the role `PROJECT/ROLE`"},
		},
		Query: query,
	}
}

// where chooses the directory.
func where(c *cli.Context) (collection.Operations, error) {
	name := c.String("directory")
	if name == "" {
		e := exit.Usagef("no directory is named")
		e.Hint = "--directory NAME; mezu directories list shows them"
		return collection.Operations{}, e
	}
	if err := mezu.ValidateName("directory", name); err != nil {
		return collection.Operations{}, err
	}
	in := func(parent func(*invocation.Invocation) (collection.Path, error)) func(*invocation.Invocation) (collection.Path, error) {
		return func(inv *invocation.Invocation) (collection.Path, error) {
			p, err := parent(inv)
			p.Params, p.Text = p.With(name), p.Text+"/"+name
			return p, err
		}
	}
	if c.Bool("shared") {
		return collection.Operations{In: in(collection.InOrganization), List: api.OpListOrganizationUsers, Watch: api.OpWatchOrganizationUsers, Get: api.OpGetOrganizationUser,
			Create: api.OpCreateOrganizationUser, Update: api.OpUpdateOrganizationUser, Delete: api.OpDeleteOrganizationUser}, nil
	}
	return collection.Operations{In: in(collection.InProject), List: api.OpListUsers, Watch: api.OpWatchUsers, Get: api.OpGetUser,
		Create: api.OpCreateUser, Update: api.OpUpdateUser, Delete: api.OpDeleteUser}, nil
}

// check accepts an id or a mail address.
func check(arg string) error {
	if strings.Contains(arg, "@") {
		return mezu.ValidateEmail("user", arg)
	}
	return mezu.ValidateID("user", mezu.PrefixUser, arg)
}

// about is what a command about one user has.
type about struct {
	*invocation.Invocation
	collection.Operations
	User string // as it was typed
}

// read reads the flags that say where the user is, and checks how it was typed.
func (a *about) read(c *cli.Context) (err error) {
	if a.Operations, err = where(c); err != nil {
		return err
	}
	return check(a.User)
}

// find gives the user's id, and the path of the directory.
func (a *about) find(ctx context.Context) (p collection.Path, id string, err error) {
	if p, err = a.In(a.Invocation); err != nil {
		return p, "", err
	}
	id, err = noun().Resolve(ctx, p, a.Operations, a.User)
	return p, id, err
}

// find looks a user up by mail. list is the operation that lists the users of a directory,
// which params name.
func find(ctx context.Context, client *api.Client, list api.Operation, email string, params ...string) (mezu.User, error) {
	query := url.Values{"filter": {mezu.UserFilter{Email: email}.String()}}
	for u, err := range api.Matching[mezu.User](ctx, client, list, query, params...) {
		return u, err
	}
	return mezu.User{}, noUser(ctx, client, list, email, params...)
}

// nearTime bounds the look for an address like the one that nobody has: somebody waits for an error.
const nearTime = 3 * time.Second

// noUser says that nobody has an address, and who has one like it among the first users: one
// page, since scripts ask for one address after another.
func noUser(ctx context.Context, client *api.Client, list api.Operation, email string, params ...string) error {
	e := &mezu.Error{Code: mezu.CodeNotFound, Detail: "the directory has no user with the address " + email}
	if directory := params[len(params)-1]; mezu.ValidateName("", directory) == nil {
		e.Hint = "mezu users list -d " + directory
		if list.ID == api.OpListOrganizationUsers.ID {
			e.Hint += " --shared"
		}
	}
	ctx, cancel := context.WithTimeout(ctx, nearTime)
	defer cancel()
	page, err := api.Invoke[api.List[mezu.User]](ctx, client, list, nil, params...)
	if err != nil {
		return e // what is like it is unknown
	}
	var emails []string
	for _, u := range page.Items {
		emails = append(emails, api.Printable(u.Profile.Email))
	}
	e.Detail += mezu.DidYouMean(email, emails)
	return e
}

// Of finds a user, given by mail or id, in a directory, given by id. The directory belongs
// to the project or to its organization.
func Of(ctx context.Context, client *api.Client, organization, project, directory, user string) (mezu.User, error) {
	if err := check(user); err != nil {
		return mezu.User{}, err
	}
	u, err := of(ctx, client, api.OpListUsers, api.OpGetUser, user, organization, project, directory)
	if mezu.CodeOf(err) != mezu.CodeNotFound {
		return u, err
	}
	u, other := of(ctx, client, api.OpListOrganizationUsers, api.OpGetOrganizationUser, user, organization, directory)
	if mezu.CodeOf(other) == mezu.CodeNotFound && strings.Contains(err.Error(), user) {
		return u, err // of the user; the other one is of the directory
	}
	return u, other
}

func of(ctx context.Context, client *api.Client, list, get api.Operation, user string, params ...string) (mezu.User, error) {
	if strings.Contains(user, "@") {
		return find(ctx, client, list, user, params...)
	}
	return api.Invoke[mezu.User](ctx, client, get, nil, append(params, user)...)
}

// query makes a filter from the flags of list.
func query(c *cli.Context) (url.Values, error) {
	f := mezu.UserFilter{Email: c.String("email"), Status: mezu.UserStatus(c.String("status")), Role: c.String("role")}
	if f == (mezu.UserFilter{}) {
		return nil, nil
	}
	_, err := mezu.ParseUserFilter(f.String())
	return url.Values{"filter": {f.String()}}, err
}

func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "the user's `NAME`"},
		&cli.StringFlag{Name: "display-name", Usage: "what others see: `TEXT`"},
		&cli.StringSliceFlag{Name: "role", Usage: "grant `PROJECT/ROLE` (repeatable: all that the user has; empty for none)"},
	}
}

func emailFlag() cli.Flag { return &cli.StringFlag{Name: "email", Usage: "the new address `EMAIL`"} }

func statusFlag() cli.Flag {
	return &cli.StringFlag{Name: "status", Usage: "`STATUS` is active, inactive or suspended", DefaultText: string(mezu.UserActive)}
}

func fromFlags(inv *invocation.Invocation, c *cli.Context, email string) (any, error) {
	u := api.UserCreate{User: mezu.User{Status: mezu.UserStatus(c.String("status")), Roles: roles(c),
		Profile: mezu.Profile{Email: email, Name: c.String("name"), DisplayName: c.String("display-name")}}}
	if c.Bool("invite") {
		mail := mailOf(inv, c)
		u.Invite = &mail
	} else if c.IsSet("language") {
		return nil, exit.Usagef("--language is that of an invitation: it needs --invite")
	}
	return u, u.Validate()
}

// roles are the grants of --role. A single empty value means none.
func roles(c *cli.Context) []string {
	if list := c.StringSlice("role"); len(list) != 1 || list[0] != "" {
		return list
	}
	return nil
}

func patchOf(c *cli.Context) (map[string]any, error) {
	patch, profile := map[string]any{}, map[string]any{}
	for flag, field := range map[string]string{"name": "name", "display-name": "display_name", "email": "email"} {
		if c.IsSet(flag) {
			profile[field] = c.String(flag)
		}
	}
	if len(profile) > 0 {
		patch["profile"] = profile
	}
	if c.IsSet("status") {
		patch["status"] = c.String("status")
	}
	if c.IsSet("role") {
		patch["roles"] = append([]string{}, roles(c)...)
	}
	return patch, nil
}
