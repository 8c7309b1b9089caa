// Package login is "mezu login", "mezu logout", "mezu whoami", "mezu bootstrap" and "mezu
// invitations": how a person, or a script with a token or a code, is let in at a control plane,
// and out again.
//
// What may not live here: how a login is renewed, which every command does (package
// invocation), and how it is kept (package profile). It imports the domain, api and the
// packages of cli that every command uses; cli imports it.
package login

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

const (
	// category is where the help shows these commands.
	category = "login"
	// waitFor is how long a login waits for somebody: as long as the control plane keeps a
	// code (N30).
	waitFor = 10 * time.Minute
	// maxTyped bounds a token on standard input.
	maxTyped = 4 << 10
)

// Opener opens an address in the person's browser. It may return before that has come up, or
// after the browser has ended.
type Opener func(address string) error

// Commands are login, logout and whoami, and the ways in by a code.
func Commands(inv *invocation.Invocation, open Opener) []*cli.Command {
	return []*cli.Command{newLogin(inv, open, runLogin), newLogout(inv, runLogout), newWhoami(inv, runWhoami), newBootstrap(inv, runBootstrap), newInvitations(inv, runAccept)}
}

type loginOptions struct {
	*invocation.Invocation
	Open Opener
	// Device, NoBrowser and WithToken exclude each other.
	Device, NoBrowser, WithToken bool
	// pause waits between two questions.
	pause func(context.Context, time.Duration) error
}

func newLogin(inv *invocation.Invocation, open Opener, run func(context.Context, *loginOptions) error) *cli.Command {
	return &cli.Command{
		Name: "login", Usage: "Log in at a control plane, in the browser", Category: category,
		Description: "Over SSH, and where there is no display, it shows a code to be typed in a browser anywhere. The login\n" +
			"is kept in the profile of --profile, or in one for that control plane, its token in the keyring of the\n" +
			"system, or else in a file. --org names the organization that commands work in.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "device", Usage: "log in by a code, in a browser on another machine", DisableDefaultText: true},
			&cli.BoolFlag{Name: "no-browser", Usage: "print the address and open no browser", DisableDefaultText: true},
			&cli.BoolFlag{Name: "with-token", Usage: "read a token or key from standard input", DisableDefaultText: true},
		},
		Before: inv.Is(invocation.Silent),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 { // it may be a token, which is not to be repeated
				e := exit.Usagef("mezu login takes no argument")
				e.Hint = "a token comes on standard input: mezu login --with-token < FILE"
				return e
			}
			o := &loginOptions{Invocation: inv, Open: open, Device: c.Bool("device"), NoBrowser: c.Bool("no-browser"), WithToken: c.Bool("with-token"), pause: invocation.Pause}
			if (o.Device || o.NoBrowser) && (o.WithToken || o.Device == o.NoBrowser) {
				return exit.Usagef("--device, --no-browser and --with-token exclude each other")
			}
			return run(c.Context, o)
		},
	}
}

func runLogin(ctx context.Context, o *loginOptions) error {
	s, p, caller, err := o.begin(ctx)
	if err != nil {
		return err
	}
	defer caller.CloseIdle()
	if s.Credential, err = o.credential(ctx, s, caller); err != nil {
		return err
	}
	if err := o.finish(ctx, s, p, caller); err != nil {
		abandon(ctx, caller, s.Credential)
		return err
	}
	if o.Getenv("MEZU_TOKEN") != "" {
		o.Warnf("MEZU_TOKEN is set, and commands use that instead of this login")
	}
	return nil
}

// begin finds the profile of a login and makes a client without a token, which the caller closes.
// Nobody logs in, and no code is spent, for something that can't be kept.
func (o *loginOptions) begin(ctx context.Context) (s invocation.Settings, p profile.Profile, caller *api.Client, err error) {
	name, p, err := choose(o.Invocation)
	if err != nil {
		return s, p, nil, err
	}
	s = invocation.Settings{API: p.API, CAFile: p.CAFile, Profile: name}
	if caller, err = o.Caller(s); err != nil {
		return s, p, nil, err
	}
	lock, err := o.Profiles.LockCredential(ctx, name)
	if err == nil {
		err = lock.Close()
	}
	if err != nil {
		caller.CloseIdle()
	}
	return s, p, caller, err
}

// finish asks who has logged in, and keeps the login with the defaults of that person.
func (o *loginOptions) finish(ctx context.Context, s invocation.Settings, p profile.Profile, caller *api.Client) error {
	fresh := s
	fresh.Credential.Refresh = "" // what would be renewed is the login that the profile has until now
	client, err := o.Client(fresh)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	self, err := api.Invoke[api.Self](ctx, client, api.OpSelf, nil)
	if err != nil {
		return err
	}
	if err := o.organize(ctx, &p, self); err != nil {
		return err
	}
	if !isCI(o.Getenv) {
		p.Keyring = o.Profiles.Account(ctx, s.Profile)
	}
	if err := ctx.Err(); err != nil {
		return err // a keyring that was given up has decided nothing
	}
	return o.keep(ctx, s, p, caller, self)
}

// isCI reports whether this is a machine that forgets everything when it is done, and that
// has nobody to unlock a keyring.
func isCI(getenv func(string) string) bool { return getenv("CI") == "true" || getenv("CI") == "1" }

// abandonTime is how long a login that is given up may take to be ended.
const abandonTime = 5 * time.Second

// abandon ends a login that is not kept, as well as that goes: it would end by itself.
func abandon(ctx context.Context, caller *api.Client, c profile.Credential) {
	if c.Refresh == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	_ = revoke(ctx, caller, c) // what went wrong before is what the person learns
}

// keep writes the profile, and makes it the one that is used. The login that it had ends.
func (o *loginOptions) keep(ctx context.Context, s invocation.Settings, p profile.Profile, caller *api.Client, self api.Self) error {
	lock, err := o.Profiles.LockCredential(ctx, s.Profile)
	if err != nil {
		return err
	}
	defer lock.Close()
	was, _, err := o.Profiles.Credential(s.Profile)
	if err != nil {
		was = profile.Credential{} // damaged, and replaced now
	}
	if old, err := o.Profiles.Load(s.Profile); err != nil || !invocation.SameHost(old.API, p.API) {
		was = profile.Credential{} // another control plane's
	}
	err = o.Profiles.Save(s.Profile, p, s.Credential)
	if err != nil && p.Keyring != "" && !errors.Is(err, profile.ErrLeft) {
		p.Keyring = "" // it does not take this one
		err = o.Profiles.Save(s.Profile, p, s.Credential)
	}
	if errors.Is(err, profile.ErrLeft) {
		o.Warnf("%s", terminal.Clean(err.Error()))
	} else if err != nil {
		return err
	}
	if err := o.Profiles.SetDefault(s.Profile); err != nil {
		return err
	}
	if was.Refresh != "" && was.Refresh != s.Credential.Refresh {
		if err := revoke(ctx, caller, was); err != nil {
			o.Warnf("the login of before could not be ended: %s; it ends by itself when it is not used for 30 days", terminal.Clean(err.Error()))
		}
	}
	o.Signf(terminal.Good, "%s%s%s, profile %s, token in %s", terminal.Clean(called(self)), inOrganization(self, p.Organization), untilDay(self), s.Profile,
		terminal.Clean(o.Profiles.CredentialPlace(s.Profile, p)))
	return nil
}

// inOrganization says where somebody works, and as what.
func inOrganization(self api.Self, organization string) string {
	if self.Organization != "" {
		return terminal.Clean(" in " + projectOf(self))
	}
	if m := memberIn(self, organization); m != nil {
		return terminal.Clean(" in " + m.Organization + " (" + string(m.Role) + ")")
	}
	return ""
}

// projectOf is the project that a service account works in: by its names, which it has unless it
// is being deleted.
func projectOf(self api.Self) string {
	return cmp.Or(self.OrganizationName, self.Organization) + "/" + cmp.Or(self.ProjectName, self.Project)
}

// untilDay says when a login ends that is not used any more.
func untilDay(self api.Self) string {
	if end := endOf(self); !end.IsZero() {
		return " until " + end.Local().Format(time.DateOnly)
	}
	return ""
}

// endOf is when a login ends that is not used any more, or a token in any case; zero if never.
func endOf(self api.Self) time.Time {
	if !self.LoginEndsAt.IsZero() {
		return self.LoginEndsAt
	}
	return self.ExpiresAt
}

// credential logs in.
func (o *loginOptions) credential(ctx context.Context, s invocation.Settings, caller *api.Client) (profile.Credential, error) {
	if o.WithToken {
		return o.typed(ctx)
	}
	a, err := caller.Authority(ctx)
	if err != nil {
		return profile.Credential{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, waitFor)
	defer cancel()
	by := o.byBrowser
	// Where logins by a code are off, a browser may still come here through a forwarded port.
	if o.Device || !o.NoBrowser && o.elsewhere() && a.Device != "" {
		by = o.byCode
	}
	tokens, asked, err := by(waiting, caller, a)
	// A control plane that doesn't answer in time is another matter than a person.
	if _, called := errors.AsType[*api.UnreachableError](err); !called && errors.Is(err, context.DeadlineExceeded) {
		err = &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "nobody logged in in time", Hint: "run it again; where there is no browser, mezu login --device"}
	}
	return invocation.CredentialOf(tokens, asked), err
}

// typed reads a token from standard input (C3): an argument would show in the list of
// processes.
func (o *loginOptions) typed(ctx context.Context) (profile.Credential, error) {
	if o.InTerminal {
		o.Sayf("type or paste the token, and then Enter and Ctrl-D")
	}
	text, err := o.ReadAll(ctx, maxTyped)
	if err != nil {
		return profile.Credential{}, err
	}
	token, err := mezu.ParseSecret(string(text))
	if err != nil {
		return profile.Credential{}, mezu.Below("token", err)
	}
	if token == "" {
		return profile.Credential{}, exit.Usagef("standard input has no token")
	}
	return profile.Credential{Token: token}, nil
}

// choose finds the profile to log in with, and the control plane. One that is named may be
// new.
func choose(inv *invocation.Invocation) (string, profile.Profile, error) {
	name := cmp.Or(inv.Flags.Profile, inv.Getenv("MEZU_PROFILE"))
	address := cmp.Or(inv.Flags.API, inv.Getenv("MEZU_API"))
	if address != "" {
		if _, err := api.ParseBaseURLs("api", address); err != nil {
			return "", profile.Profile{}, err
		}
	}
	if name == "" {
		var err error
		if name, err = nameFor(inv.Profiles, address); err != nil {
			return "", profile.Profile{}, err
		}
	}
	p, err := inv.Profiles.Load(name)
	switch {
	case mezu.CodeOf(err) == mezu.CodeNotFound && address != "":
		p = &profile.Profile{}
	case err != nil:
		return "", profile.Profile{}, err
	case address != "" && !invocation.SameHost(address, p.API):
		p = &profile.Profile{} // what it had belongs to another control plane
	}
	p.API = cmp.Or(address, p.API)
	if file := cmp.Or(inv.Flags.CAFile, inv.Getenv("MEZU_CA_FILE")); file != "" {
		if p.CAFile, err = filepath.Abs(inv.Path(file)); err != nil {
			return "", profile.Profile{}, err
		}
	}
	return name, *p, nil
}

// nameFor is the name of the profile for a control plane: of the one that there is, the
// default first, or else a new one.
func nameFor(profiles profile.Store, address string) (string, error) {
	current, err := profiles.Default()
	if err != nil {
		return "", err
	}
	if address == "" {
		if current == "" {
			return "", &mezu.Error{Code: mezu.CodeInvalid, Field: "api", Detail: "no control plane is named", Hint: "mezu login --api URL"}
		}
		return current, nil
	}
	names, err := profiles.Names()
	if err != nil {
		return "", err
	}
	if current != "" {
		names = append([]string{current}, names...)
	}
	for _, name := range names {
		// A profile that can't be read is no reason not to log in with another one.
		if p, err := profiles.Load(name); err == nil && invocation.SameHost(p.API, address) {
			return name, nil
		}
	}
	return newName(address, names), nil
}

// maxBase leaves room for a number in a name of 40 characters.
const maxBase = 36

// newName makes a name of the host of an address, other than those that there are.
func newName(address string, taken []string) string {
	base := "default"
	first, _, _ := strings.Cut(address, ",")
	if u, err := url.Parse(strings.TrimSpace(first)); err == nil {
		host := strings.ReplaceAll(strings.ToLower(u.Hostname()), ".", "-")
		if host = strings.Trim(host[:min(len(host), maxBase)], "-"); mezu.ValidateName("", host) == nil {
			base = host
		}
	}
	name := base
	for n := 2; slices.Contains(taken, name); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	return name
}

// called is how somebody is shown.
func called(self api.Self) string { return cmp.Or(self.Email, self.ID) }

// revoke ends a login at the control plane.
func revoke(ctx context.Context, caller *api.Client, c profile.Credential) error {
	a, err := caller.Authority(ctx)
	if err != nil {
		return err
	}
	return caller.RevokeLogin(ctx, a, c.Refresh)
}
