package login

import (
	"cmp"
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

type logoutOptions struct {
	*invocation.Invocation
	All bool
}

func newLogout(inv *invocation.Invocation, run func(context.Context, *logoutOptions) error) *cli.Command {
	return &cli.Command{
		Name: "logout", Usage: "End the login of the profile, here and at the control plane", Category: category,
		Description: "The profile stays, so that mezu login needs no address. If the control plane can't be reached, the login is\n" +
			"deleted here, and ends there by itself.",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Usage: "end the logins of all profiles", DisableDefaultText: true}},
		Before: inv.Is(invocation.Silent),
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			o := &logoutOptions{inv, c.Bool("all")}
			if o.All && (inv.Flags.Profile != "" || inv.Flags.API != "") {
				return exit.Usagef("--all is about every profile, and takes neither --profile nor --api")
			}
			return run(c.Context, o)
		},
	}
}

func runLogout(ctx context.Context, o *logoutOptions) error {
	if !o.All {
		name, p, err := choose(o.Invocation)
		if err != nil {
			return err
		}
		if kept, err := o.Profiles.Load(name); err == nil && !invocation.SameHost(kept.API, p.API) {
			return &mezu.Error{Code: mezu.CodeInvalid, Field: "api", Detail: "profile " + name + " is of " + kept.API + ", not of " + p.API, Hint: "leave out --api, and MEZU_API"}
		}
		return End(ctx, o.Invocation, name, p.CAFile)
	}
	names, err := o.Profiles.Names()
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if _, err := o.Profiles.Load(name); err != nil {
			o.Warnf("profile %s can't be read: %s", name, terminal.Clean(err.Error()))
		}
		failed = errors.Join(failed, End(ctx, o.Invocation, name, ""))
	}
	return failed
}

// End ends the login of a profile. It is gone from this machine whatever the control plane
// says. The profile stays, so that "mezu login" needs no address. caFile replaces that of the
// profile unless it is empty.
func End(ctx context.Context, inv *invocation.Invocation, name, caFile string) error {
	lock, err := inv.Profiles.LockCredential(ctx, name)
	if err != nil {
		return err
	}
	defer lock.Close()
	// Read under the lock: the credential goes to the control plane that it is of, and to no
	// other.
	p, err := inv.Profiles.Load(name)
	if err != nil {
		p = &profile.Profile{} // what it keeps is deleted all the same
	}
	was, _, broken := inv.Profiles.Credential(name)
	if err := inv.Profiles.RemoveCredential(name); err != nil {
		return err
	}
	switch {
	case broken != nil:
		inv.Warnf("what was kept for profile %s could not be read, and is deleted: %s", name, terminal.Clean(broken.Error()))
		return nil
	case was.Token == "":
		inv.Sayf("profile %s was not logged in", name)
		return nil
	case was.Refresh == "":
		inv.Sayf("forgot the token of profile %s; whoever else has it can use it until it ends or is revoked", name)
		return nil
	}
	caller, err := inv.Caller(invocation.Settings{API: p.API, CAFile: cmp.Or(caFile, p.CAFile), Profile: name})
	if err == nil {
		defer caller.CloseIdle()
		err = revoke(ctx, caller, was)
	}
	if err != nil {
		// What was asked for is done here, so this is no failure.
		inv.Warnf("the login of profile %s is deleted here, but %s does not know it: %s", name, terminal.Clean(p.API), terminal.Clean(err.Error()))
		inv.Warnf("a copy of its token would be good until %s, and one of the login until it is not used for 30 days", was.ExpiresAt.Local().Format("2006-01-02 15:04"))
		return nil
	}
	inv.Sayf("logged out at %s; profile %s", terminal.Clean(p.API), name)
	return nil
}
