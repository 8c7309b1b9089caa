package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/cli/keyfile"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/local"
)

const resetUsage = `
The link before opens nothing any more. Run it on a machine of the control
plane, as the user who runs that: beside it, or while it is stopped. The link
works once, within an hour, in a browser and by mezu bootstrap; before there is
an operator it has no end. The audit log has a record of it. Tokens that the
operator has go on, and a new password ends sessions and logins. If somebody
else may have one of them, --revoke ends them all at once.
`

// operator is "mezusphere operator".
func (p *program) operator(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "reset" {
		return p.resetOperator(ctx, args[1:])
	}
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		return p.resetOperator(ctx, args[:1])
	}
	return wrong("mezusphere operator has one command, reset")
}

func (p *program) resetOperator(ctx context.Context, args []string) error {
	var in control.ResetRequest
	var asJSON bool
	var path string
	file, flags, rest, err := p.flags(roleReset, args, func(f *flag.FlagSet) {
		f.StringVar(&in.Operator, "operator", "", "")
		f.BoolVar(&in.Revoke, "revoke", false, "")
		f.BoolVar(&asJSON, "json", false, "")
		f.StringVar(&path, keyfile.FlagName, "", "")
	})
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrong("mezusphere operator reset takes no argument, not %q", rest[0])
	}
	c, err := load(ctx, roleReset, file, flags, p.getenv)
	if err != nil {
		return err
	}
	log, err := process.Logger(p.Err, c.LogFormat, "error") // what happens is said below
	if err != nil {
		return err
	}
	keep, err := keyfile.Reserve(path)
	if err != nil {
		return err
	}
	defer keep.Discard()
	drain, _, stop := process.Signals(ctx)
	defer stop()
	made, err := c.reset(drain, in, log)
	if err != nil {
		return err
	}
	kept, err := keep.Keep(cmp.Or(made.Link, made.Code))
	if err != nil {
		return err
	}
	with := made.Flags()
	if kept {
		with = strings.TrimSuffix(with, " --code "+made.Code) + " < " + keep.Path()
		made.Link, made.Code = "", ""
	} else {
		p.Mask(made.Code)
	}
	if asJSON {
		return p.WriteLine(made)
	}
	return p.showReset(made, with)
}

// showReset says whom the link lets in and until when, and prints it, unless a file has it. with is
// what mezu bootstrap needs.
func (p *program) showReset(r control.Reset, with string) error {
	whom := "whoever uses it becomes the first operator"
	if r.Operator != "" {
		whom = "it lets the operator " + r.Operator + " in"
		if r.Email != "" {
			whom = "it lets the operator " + r.Email + " in"
		}
	}
	until := ", once"
	if !r.ExpiresAt.IsZero() {
		until = ", once, until " + r.ExpiresAt.Local().Format("2006-01-02 15:04")
	}
	if r.Ended {
		until += "; the link before opens nothing any more"
	}
	p.Sayf("%s%s", whom, until)
	switch {
	case r.Revoked:
		p.Sayf("all tokens, logins and sessions of that operator have ended, and the password")
	case r.Operator != "":
		p.Sayf("tokens of that operator go on; if somebody else may have one, --revoke ends them, with logins, sessions and the password")
	}
	p.Sayf("without a browser: mezu bootstrap %s", with)
	if link := cmp.Or(r.Link, r.Code); link != "" {
		return p.Printf("%s\n", link)
	}
	return nil
}

// Bounds of the wait for a control plane that starts or ends: it has the store then, and can't
// be asked.
const (
	resetWait  = 15 * time.Second
	resetPause = 100 * time.Millisecond
)

// reset asks the control plane that runs on the state directory, or opens the store itself if
// none does, or if several processes may have the store.
func (c *config) reset(ctx context.Context, in control.ResetRequest, log *slog.Logger) (control.Reset, error) {
	st, err := c.openStore(ctx, log)
	if err != nil {
		return control.Reset{}, err
	}
	if st != nil {
		defer closeStore(st, log)
	}
	where, _, err := c.storeLocation()
	if err != nil {
		return control.Reset{}, err
	}
	dir := c.State
	if dir == "" { // what lies in one is told by flags
		if dir, err = os.MkdirTemp("", "mezusphere-reset-"); err != nil {
			return control.Reset{}, fmt.Errorf("making a folder: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	dir = controlState(dir)
	cfg := control.Config{StateDir: dir, Store: st, StoreDir: where, SealKey: c.SealKey, Log: log, Version: version}
	if st != nil {
		return control.ResetOperator(ctx, cfg, in)
	}
	if _, err := os.Stat(dir); err != nil { // which a start would make
		return control.Reset{}, &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no state of a control plane: " + err.Error(), Hint: "--state is the folder that mezusphere control or mezusphere all was started with", Cause: err}
	}
	late := time.Now().Add(resetWait)
	for {
		made, err := askDesk(ctx, dir, in)
		if !errors.Is(err, local.ErrNotRunning) {
			return made, notAsked(dir, err)
		}
		made, err = control.ResetOperator(ctx, cfg, in)
		if !errors.Is(err, atomicfile.ErrLocked) {
			return made, err
		}
		if time.Now().After(late) {
			return made, &mezu.Error{Code: mezu.CodeConflict, Detail: "a control plane runs on " + dir + " and can't be asked", Cause: err,
				Hint: "its log says why, unless it is of an earlier version; stop it, run this again, and start it"}
		}
		if err := backoff.Sleep(ctx, resetPause); err != nil {
			return made, err
		}
	}
}

// notAsked gives the words of the control plane's desk to an error that has those of the local
// daemon's socket.
func notAsked(dir string, err error) error {
	if errors.Is(err, local.ErrForeign) || errors.Is(err, local.ErrSilent) {
		e := &mezu.Error{Code: mezu.CodeForbidden, Detail: "the control plane on " + dir + " can't be asked: " + err.Error(), Hint: "run this as the user who runs the control plane", Cause: err}
		if errors.Is(err, local.ErrSilent) {
			e.Code, e.Hint = mezu.CodeUnavailable, "see its log, or stop it and run this again"
		}
		if exposed, ok := errors.AsType[*atomicfile.ExposedError](err); ok {
			e.Detail = "the control plane on " + dir + " can't be asked: " + exposed.Error()
			if !strings.HasPrefix(exposed.Problem, "belongs to user") { // whose control plane it is
				e.Hint = exposed.Remedy
			}
		}
		return e
	}
	return err
}

// controlState is the state directory of the control plane: a folder of its own below that of
// mezusphere all.
func controlState(dir string) string {
	below := filepath.Join(dir, roleControl)
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); errors.Is(err, os.ErrNotExist) {
		if info, err := os.Stat(below); err == nil && info.IsDir() {
			return below
		}
	}
	return dir
}
