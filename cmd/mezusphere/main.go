package main

import (
	"context"
	"os"

	"github.com/mezusphere/mezu/cli/terminal"
)

func main() {
	streams := terminal.System(os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, streams))
}
