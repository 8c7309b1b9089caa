// Package update is "mezu update": this program is replaced by the release of the place that it
// came from, if that is signed, and newer.
//
// What may not live here: what a release is and what of it may be believed, which is its
// package source's business; restarting the daemon, which the new program does. Only cli imports
// it.
package update

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/probe"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/update/record"
	"github.com/mezusphere/mezu/cli/update/source"
	"github.com/mezusphere/mezu/cli/update/sshsig"
	"github.com/mezusphere/mezu/local"
)

// releaseKeys are the keys that this program was built to trust.
//
//go:embed allowed_signers
var releaseKeys string

// Daemon gives a client of this user's daemon. If none runs, the error is local.ErrNotRunning.
type Daemon func(ctx context.Context, s invocation.Settings) (*local.Client, error)

type options struct {
	*invocation.Invocation
	// Check looks for a newer release and leaves all as it is.
	Check  bool
	Daemon Daemon
}

// Result is what a run has found and done.
type Result struct {
	// Version is that of the program that ran.
	Version string `json:"version"`
	// Available is the release of the source.
	Available string `json:"available"`
	Source    string `json:"source"`
	Updated   bool   `json:"updated"`
}

// Command is "mezu update".
func Command(inv *invocation.Invocation, daemon Daemon) *cli.Command {
	return &cli.Command{
		Name: "update", Usage: "Replace this program by the newest release of where it came from", Category: "program",
		Description: "The release is that of the place which install.sh has noted, or of MEZU_DOWNLOAD: an https address or\n" +
			"a folder. It has to be signed, and newer. The local daemon is restarted. A program that a package\n" +
			"manager keeps is left alone. Nothing looks for releases unless this command is run.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "check", Usage: "only look: exit 8 if there is a newer release, 0 if not", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			if _, err := invocation.Arguments(c); err != nil {
				return err
			}
			return run(c.Context, &options{Invocation: inv, Check: c.Bool("check"), Daemon: daemon})
		},
	}
}

func run(ctx context.Context, o *options) error {
	program, err := executable()
	if err != nil {
		return err
	}
	path, noted, err := o.noted(program)
	if err != nil {
		return err
	}
	if err := kept(ctx, o.Getenv, program, noted != nil); err != nil {
		return err
	}
	from, err := o.source(noted)
	if err != nil {
		return err
	}
	defer from.Close()
	keys, err := o.keys(noted)
	if err != nil {
		return err
	}
	signers, err := signersOf(keys)
	if err != nil {
		return err
	}
	mine, ok := source.ParseVersion(o.Version)
	if !ok {
		return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: fmt.Sprintf("this is version %s, which can't be compared with that of a release", terminal.Clean(o.Version)), Hint: "MEZU_DOWNLOAD=" + from.String() + " sh install.sh"}
	}
	release, err := from.Release(ctx, signers)
	if err != nil {
		return err
	}
	theirs, ok := source.ParseVersion(release.Version)
	if !ok {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("the release at %s has the version %s, which can't be compared", from, terminal.Clean(release.Version))}
	}
	result := Result{Version: o.Version, Available: release.Version, Source: from.String()}
	switch order := theirs.Compare(mine); {
	case order < 0 && !o.Check:
		return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: fmt.Sprintf("the release at %s is %s, which is older than this one (%s)", from, terminal.Clean(release.Version), o.Version),
			Hint: "sh install.sh --older installs it all the same"}
	case order <= 0:
		if o.Check || o.Flags.Output != terminal.Table {
			return o.write(result)
		}
		o.Signf(terminal.Good, "%s is the newest release at %s", o.Version, from)
		return nil
	case o.Check:
		return errors.Join(o.write(result), exit.ErrDiffers)
	}
	o.Sayf("getting %s from %s", terminal.Clean(release.Version), from)
	if err := (&replacement{o.Invocation, program, path, noted, release}).run(ctx); err != nil {
		return err
	}
	o.Signf(terminal.Good, "%s is %s now, after %s", program, terminal.Clean(release.Version), o.Version)
	result.Updated = true
	if o.Flags.Output != terminal.Table {
		err = o.write(result)
	}
	return errors.Join(err, o.restart(ctx, program))
}

func (o *options) write(r Result) error {
	return terminal.WriteRecord(o.Streams, o.Flags.Output, r, []terminal.Column[Result]{
		{Head: "VERSION", Value: func(r Result) string { return r.Version }},
		{Head: "AVAILABLE", Value: func(r Result) string { return r.Available }},
		{Head: "SOURCE", Value: func(r Result) string { return r.Source }},
	})
}

// executable is the file of this program, whatever links lead to it.
func executable() (string, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("looking for the file of this program: %w", err)
	}
	return path, nil
}

// noted is what install.sh has noted of this program, and where. It is nil if there is nothing.
func (o *options) noted(program string) (string, *record.Record, error) {
	path, err := record.Path(o.Getenv, "mezu")
	if err != nil {
		return "", nil, nil // without a home nothing was noted
	}
	r, err := record.Read(path)
	if record.None(err) || err == nil && !r.Has(program) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error(), Hint: "sh install.sh again", Cause: err}
	}
	return path, r, nil
}

// source is where the release is.
func (o *options) source(noted *record.Record) (*source.Source, error) {
	at := o.Getenv("MEZU_DOWNLOAD")
	switch {
	case at != "" && !strings.Contains(at, "://"):
		at = o.Path(at)
	case at != "":
	case noted == nil:
		return nil, &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "install.sh did not install this program, so nothing says where its releases are", Hint: "MEZU_DOWNLOAD=URL-or-folder mezu update"}
	case noted.Checkout != "":
		return nil, &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "this program was built in " + noted.Checkout, Hint: fmt.Sprintf("git -C %[1]s pull && sh %[1]s/install.sh", noted.Checkout)}
	default:
		at = noted.Source
	}
	// What has a private CA for its control plane may have it for its downloads as well.
	roots, err := probe.Roots(o.Path(cmp.Or(o.Flags.CAFile, o.Getenv("MEZU_CA_FILE"))))
	if err != nil {
		return nil, err
	}
	return source.New(at, roots, "mezu/"+o.Version)
}

// keys are the lines of MEZU_RELEASE_KEY, which are noted for the next time, else those that the
// program was installed by, else those that it was built with.
func (o *options) keys(noted *record.Record) ([]string, error) {
	file := o.Getenv("MEZU_RELEASE_KEY")
	if file == "" {
		if noted != nil && len(noted.Keys) > 0 {
			return noted.Keys, nil
		}
		return strings.Split(releaseKeys, "\n"), nil
	}
	keys, err := record.ReadKeys(o.Path(file))
	if err != nil {
		return nil, fmt.Errorf("reading MEZU_RELEASE_KEY: %w", err)
	}
	if noted != nil {
		noted.Keys = keys
	}
	return keys, nil
}

func signersOf(keys []string) (sshsig.Signers, error) {
	signers, err := sshsig.ParseSigners([]byte(strings.Join(keys, "\n")))
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "MEZU_RELEASE_KEY", Detail: err.Error(), Cause: err}
	}
	if len(signers) == 0 {
		return nil, &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: "no key is known by which a release could be signed", Hint: "MEZU_RELEASE_KEY=FILE names a file in the form of allowed_signers"}
	}
	return signers, nil
}
