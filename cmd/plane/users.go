package plane

import (
	"context"
	"net/url"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/tui/screen"
	"github.com/mezusphere/mezu/tui/users"
)

// maxUsers is how many users are asked for: as many as a list holds.
const maxUsers = 1000

// Users are those of the directories of a project.
type Users struct{ *Plane }

// operations are those on the users of a directory of a project, or of the organization.
type operations struct {
	list, watch, update, logins, sessions, endSessions, reset api.Operation
}

// of gives the operations on the users of a directory, and the parameters that name it.
func of(scope screen.Scope, d users.Directory) (operations, []string) {
	if d.Shared {
		return operations{api.OpListOrganizationUsers, api.OpWatchOrganizationUsers, api.OpUpdateOrganizationUser, api.OpGetOrganizationLogins, api.OpGetOrganizationUserSessions,
			api.OpEndOrganizationUserSessions, api.OpResetOrganizationUser}, []string{scope.Organization, d.ID}
	}
	return operations{api.OpListUsers, api.OpWatchUsers, api.OpUpdateUser, api.OpGetLogins, api.OpGetUserSessions, api.OpEndUserSessions, api.OpResetUser}, []string{scope.Organization, scope.Project, d.ID}
}

// Follow gives the users of a directory, at first and whenever one has changed.
func (p Users) Follow(ctx context.Context, scope screen.Scope, directory, query string, see func(users.State)) error {
	c, params, err := p.environment(scope)
	if err != nil {
		return err
	}
	state, err := p.directories(ctx, c, scope, params)
	if err != nil {
		return p.explain(ctx, scope, mezu.PermDirectoriesRead, err)
	}
	for _, d := range state.Directories {
		if directory != "" && d.ID == directory {
			state.Directory = d
		}
	}
	if state.Directory.ID == "" {
		see(state)
		<-ctx.Done()
		return ctx.Err()
	}
	ops, at := of(scope, state.Directory)
	look := func() error {
		var q url.Values
		if query != "" {
			q = url.Values{"filter": {query}}
		}
		var err error
		if state.Users, state.More, err = collect[mezu.User](ctx, c, ops.list, q, maxUsers, at...); err != nil {
			return err
		}
		see(state)
		return nil
	}
	err = look()
	if err == nil {
		err = changes(ctx, c, ops.watch, func(u mezu.User) string { return u.ID }, nil, look, at...)
	}
	return p.explain(ctx, scope, mezu.PermUsersRead, err)
}

// directories are those of the project and of the organization, with that of the environment as
// the one that is meant.
func (p Users) directories(ctx context.Context, c *api.Client, scope screen.Scope, params []string) (users.State, error) {
	var state users.State
	env, err := api.Invoke[mezu.Environment](ctx, c, api.OpGetEnvironment, nil, params...)
	if err != nil {
		return state, err
	}
	own, _, err := collect[mezu.Directory](ctx, c, api.OpListDirectories, nil, maxDirectories, params[:2]...)
	if err != nil {
		return state, err
	}
	for _, d := range own {
		state.Directories = append(state.Directories, users.Directory{ID: d.ID, Name: d.Name})
	}
	// Without those of the organization the project's do.
	shared, _, _ := collect[mezu.Directory](ctx, c, api.OpListOrganizationDirectories, nil, maxDirectories, scope.Organization)
	for _, d := range shared {
		state.Directories = append(state.Directories, users.Directory{ID: d.ID, Name: d.Name, Shared: true})
	}
	for _, d := range state.Directories {
		if d.ID == env.DirectoryID {
			state.Directory = d
		}
	}
	return state, nil
}

// Change gives a user another status or other roles.
func (p Users) Change(ctx context.Context, scope screen.Scope, d users.Directory, id string, change users.Change) error {
	c, err := p.client(scope)
	if err != nil {
		return err
	}
	patch := map[string]any{}
	if change.Status != "" {
		patch["status"] = change.Status
	}
	if change.Roles != nil {
		patch["roles"] = *change.Roles
	}
	ops, at := of(scope, d)
	_, err = api.Invoke[mezu.User](ctx, c, ops.update, patch, append(at, id)...)
	return p.explain(ctx, scope, mezu.PermUsersWrite, err)
}

// About asks for logins and sessions of a user.
func (p Users) About(ctx context.Context, scope screen.Scope, d users.Directory, id string) (users.Account, error) {
	var out users.Account
	c, err := p.client(scope)
	if err != nil {
		return out, err
	}
	ops, at := of(scope, d)
	at = append(at, id)
	logins, err := api.Invoke[api.List[mezu.Login]](ctx, c, ops.logins, nil, at...)
	if err != nil {
		return out, p.explain(ctx, scope, mezu.PermUsersRead, err)
	}
	out.Logins = logins.Items
	sessions, err := api.Invoke[api.List[api.UserSession]](ctx, c, ops.sessions, nil, at...)
	if err != nil {
		return out, p.explain(ctx, scope, mezu.PermUsersRead, err)
	}
	for _, s := range sessions.Items {
		out.Sessions = append(out.Sessions, users.Session{Agent: s.Agent, Method: s.Method, Used: s.RefreshedAt})
	}
	return out, nil
}

// Reset mails a link for a new password.
func (p Users) Reset(ctx context.Context, scope screen.Scope, d users.Directory, id string) (string, error) {
	c, err := p.client(scope)
	if err != nil {
		return "", err
	}
	ops, at := of(scope, d)
	sent, err := api.Invoke[api.UserMailed](ctx, c, ops.reset, api.UserMail{}, append(at, id)...)
	p.inv.Mask(sent.Link)
	return sent.Link, p.explain(ctx, scope, mezu.PermUsersWrite, err)
}

// EndSessions ends all sessions of a user.
func (p Users) EndSessions(ctx context.Context, scope screen.Scope, d users.Directory, id string) error {
	c, err := p.client(scope)
	if err != nil {
		return err
	}
	ops, at := of(scope, d)
	return p.explain(ctx, scope, mezu.PermUsersWrite, c.Do(ctx, api.Call{Operation: ops.endSessions, Params: append(at, id)}, nil))
}
