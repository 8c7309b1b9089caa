package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

const usage = `release - make a release of the sources

Usage:
   release snapshot [--key FILE] [--version V] [--platform OS/ARCH,…] [--dist DIR] [--root DIR]
   release inputs --version V [--root DIR]
   release sbom --version V -o FILE ARCHIVE

snapshot builds and packs all that goreleaser.yaml names into dist/. inputs writes what is
packed and is in no commit, into bin/release. sbom lists what is linked into the program of an archive.
The last two are for goreleaser, which calls them.
`

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// errUsage is in the chain of an error in the command line.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	err := command(ctx, args, getenv, stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "release: %v\n\n%s", err, usage)
		return exitUsage
	default:
		fmt.Fprintf(stderr, "release: %v\n", err)
		return exitFailed
	}
}

func command(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: what to do is missing", errUsage)
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage) }
	root := f.String("root", "..", "")
	version := f.String("version", "", "")
	dist := f.String("dist", "", "")
	key := f.String("key", getenv(keyVariable), "")
	platforms := f.String("platform", "", "")
	out := f.String("o", "", "")
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	dir, err := filepath.Abs(*root)
	if err != nil {
		return err
	}
	switch {
	case args[0] == "snapshot" && f.NArg() == 0:
		s := snapshot{root: dir, dist: filepath.Join(dir, "dist"), key: *key, version: *version, getenv: getenv, stderr: stderr}
		if *dist != "" {
			if s.dist, err = filepath.Abs(*dist); err != nil {
				return err
			}
		}
		if s.key != "" {
			if s.key, err = filepath.Abs(s.key); err != nil {
				return err
			}
		}
		if *platforms != "" {
			s.platforms = strings.Split(*platforms, ",")
		}
		return s.make(ctx)
	case args[0] == "inputs" && f.NArg() == 0 && *version != "":
		c, err := readConfig(dir)
		if err != nil {
			return err
		}
		return writeInputs(ctx, dir, c, *version)
	case args[0] == "sbom" && f.NArg() == 1 && *version != "" && *out != "":
		return archiveSBOM(f.Arg(0), *out, *version)
	}
	return fmt.Errorf("%w: %q", errUsage, args)
}
