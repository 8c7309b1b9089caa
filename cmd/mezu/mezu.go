// Command mezu is the developer's program: the commands of package cli, and
// "mezu dev", which runs control plane, edge and Warpgate in this process.
package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/atotto/clipboard"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli"
	clidaemon "github.com/mezusphere/mezu/cli/daemon"
	"github.com/mezusphere/mezu/cli/dev"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/home"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/keyring"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/tunnel"
	"github.com/mezusphere/mezu/cli/variable"
	"github.com/mezusphere/mezu/cmd/process"
)

// version is set by the linker.
var version = "devel"

// run is the program. The first signal ends the command's context, the second cuts what
// the command still waits for.
func run(ctx context.Context, args []string, getenv func(string) string, s terminal.Streams) int {
	process.SilenceLibraries()
	programs := child{Streams: s}
	outlets := process.NewOutlets(&s)
	defer outlets.Close()
	getenv = variable.Read(getenv)
	// Without a home directory all commands work that keep nothing there. Without a
	// working directory relative paths are not found.
	folders, homeless := home.Of(getenv)
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	drain, cut, hold, stop := process.HeldSignals(ctx)
	programs.hold, programs.flush = hold, outlets.Flush
	defer stop()
	inv := invocation.Invocation{Streams: s, Getenv: getenv, Dir: dir, Profiles: profile.Store{Dir: folders.Config, Keyring: keyring.Of(getenv)}, State: folders.State}
	open := browserOf(getenv, "")
	if homeless == nil {
		open = browserOf(getenv, filepath.Join(folders.State, pagesFolder))
	}
	code := cli.Main(drain, args, inv, cli.Config{
		Version: version, Open: open,
		Dashboard: dashboardOf(getenv, open, hereOf(getenv)),
		Tunnel:    tunnel.Config{Copy: clipboard.WriteAll, Exec: programs.run, Serving: outlets.Serve, Cut: cut},
		Dev: func(ctx context.Context, o dev.Options) error {
			outlets.Serve()
			if homeless != nil && o.State == "" && !o.Ephemeral {
				return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: homeless.Error(), Hint: "or name a folder with --state DIR, or use --ephemeral"}
			}
			return runDev(ctx, cut, folders, o, outlets.Lost)
		},
		Daemon: clidaemon.Program{Start: spawner(getenv), Run: func(ctx context.Context, o clidaemon.RunOptions) error {
			outlets.Serve()
			if homeless != nil {
				return &mezu.Error{Code: mezu.CodeInvalid, Detail: homeless.Error()}
			}
			return process.AsService(ctx, clidaemon.ServiceName, func(ctx context.Context) error { return runDaemon(ctx, cut, folders, o) })
		}},
	})
	if cut.Err() != nil {
		return exit.Interrupted
	}
	return code
}
