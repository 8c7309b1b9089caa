package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// binary is a program that was built.
type binary struct {
	build        build
	goos, goarch string
	name, path   string
}

// is reports whether the binary is one of these builds.
func (b binary) is(ids []string) bool { return slices.Contains(ids, b.build.ID) }

// fields are what templates may say of it.
func (b binary) fields() fields {
	return fields{"Os": b.goos, "Arch": b.goarch, "Binary": b.build.Binary}
}

// buildEnv is the surroundings of the go command. What could make two machines build two
// things is fixed.
func buildEnv(b build, goos, goarch string) []string {
	return slices.Concat(os.Environ(),
		[]string{"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off"},
		b.Env, []string{"GOOS=" + goos, "GOARCH=" + goarch})
}

// compile builds one program for one platform.
func (b build) compile(ctx context.Context, root, dir, goos, goarch string, f fields) (binary, error) {
	out := binary{build: b, goos: goos, goarch: goarch, name: b.Binary}
	if goos == "windows" {
		out.name += ".exe"
	}
	out.path = filepath.Join(dir, strings.Join([]string{b.ID, goos, goarch}, "_"), out.name)
	f = f.with(out.fields())
	flags, err := f.all(b.Flags)
	if err != nil {
		return out, err
	}
	ldflags, err := f.all(b.LDFlags)
	if err != nil {
		return out, err
	}
	seconds, err := f.apply(b.ModTimestamp)
	if err != nil {
		return out, err
	}
	at, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return out, fmt.Errorf("mod_timestamp of %s: %w", b.ID, err)
	}
	args := slices.Concat([]string{"build"}, flags, []string{"-ldflags", strings.Join(ldflags, " "), "-o", out.path, b.Main})
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = root, buildEnv(b, goos, goarch)
	if _, err := output(cmd); err != nil {
		return out, err
	}
	return out, os.Chtimes(out.path, time.Unix(at, 0), time.Unix(at, 0))
}

func goEnv(ctx context.Context, root, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", name)
	cmd.Dir = root
	out, err := output(cmd)
	return strings.TrimSpace(string(out)), err
}
