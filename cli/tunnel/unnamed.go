package tunnel

import (
	"context"
	"errors"
	"net"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/invocation"
)

// noControlPlane offers what there is to do where no control plane is named. Where nobody can be
// asked, it is an error.
func (o *options) noControlPlane(ctx context.Context) (invocation.Settings, error) {
	run := "mezu dev"
	if len(o.Targets) == 1 && o.Targets[0].Shown != "" && !o.Targets[0].Folder() {
		run += " " + portOf(o.Targets[0].Target)
	}
	refused := &mezu.Error{Code: mezu.CodeUnauthenticated, Detail: "no control plane is named", Hint: "mezu dev 8080, for all of it on this machine, or mezu login --api URL"}
	if !o.CanPrompt() || o.Again == nil {
		return invocation.Settings{}, refused
	}
	chosen, err := o.Choose(ctx, "No control plane is named. What shall serve?", [][]string{
		{run, "all of it on this machine"},
		{"mezu login --api URL", "a control plane that you have an account at"},
	})
	if err != nil {
		return invocation.Settings{}, err
	}
	switch chosen {
	case 0:
		args := []string{"dev"}
		if rest := run[len("mezu dev"):]; rest != "" {
			args = append(args, rest[1:])
		}
		if err := o.Again(ctx, args...); err != nil {
			return invocation.Settings{}, err
		}
		return invocation.Settings{}, errServed
	case 1:
		address, err := o.Ask(ctx, "Its address, such as https://control.example.com:")
		if err != nil || address == "" {
			return invocation.Settings{}, orRefused(err, refused)
		}
		if err := o.Again(ctx, "login", "--api", address); err != nil {
			return invocation.Settings{}, err
		}
		return o.Settings()
	}
	return invocation.Settings{}, refused
}

func orRefused(err error, refused *mezu.Error) error {
	if err != nil {
		return err
	}
	return refused
}

// errServed says that another command has served, and ended.
var errServed = errors.New("served by another command")

// portOf is the port of a target on this machine, or the target itself.
func portOf(target string) string {
	if host, port, err := net.SplitHostPort(target); err == nil && host == "localhost" {
		return port
	}
	return target
}
