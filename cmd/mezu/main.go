package main

import (
	"context"
	"os"

	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cmd/unasked"
)

func main() {
	unasked.Restore()
	streams := terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, streams))
}
