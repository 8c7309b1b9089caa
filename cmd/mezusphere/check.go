package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/namedfile"
	"github.com/mezusphere/mezu/trust"
)

// check checks a configuration as a start would, and starts nothing. The program that it is for
// stands before or behind the flags; without one it says for which it is good.
func (p *program) check(ctx context.Context, args []string) error {
	role, args := roleAmong(args)
	file, flags, rest, err := p.flags(cmp.Or(role, "check"), args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		if role != "" {
			return wrong("check takes one of control, edge and all, not %s and %q", role, rest[0])
		}
		return wrong("check takes control, edge or all, not %q%s", rest[0], mezu.DidYouMean(rest[0], roles()))
	}
	c, err := load(ctx, role, file, flags, p.getenv)
	if err != nil {
		return err
	}
	if err := c.checkFiles(ctx); err != nil {
		return err
	}
	if role != "" {
		p.Sayf("good for: mezusphere %s", role)
		return nil
	}
	var good, lacking []string
	for _, role := range roles() {
		err := c.validateRole(role)
		var e *mezu.Error
		switch {
		case err == nil:
			good = append(good, "mezusphere "+role)
		case errors.As(err, &e):
			lacking = append(lacking, role+" lacks "+e.Field)
		default:
			return err
		}
	}
	if len(good) == 0 {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: "good for: nothing yet: " + strings.Join(lacking, ", "), Hint: "say which it is for, and give it what it lacks: mezusphere check control --config FILE --state DIR …"}
	}
	lacks := ""
	if len(lacking) > 0 {
		lacks = " (" + strings.Join(lacking, ", ") + ")"
	}
	p.Sayf("good for: %s%s", strings.Join(good, ", "), lacks)
	return nil
}

// roles are the programs that a configuration can be for.
func roles() []string { return []string{roleControl, roleEdge, roleAll} }

// roleAmong takes the role out of arguments, wherever it stands: the flags that may stand before it
// are those of the role. All flags have a value.
func roleAmong(args []string) (role string, rest []string) {
	for i := 0; i < len(args); i++ {
		switch word := args[i]; {
		case word == "--":
			return role, append(rest, args[i:]...)
		case strings.HasPrefix(word, "-") && !strings.Contains(word, "=") && i+1 < len(args):
			rest = append(rest, word, args[i+1])
			i++
		case role == "" && slices.Contains(roles(), word):
			role = word
		default:
			rest = append(rest, word)
		}
	}
	return role, rest
}

// checkFiles checks the files that a configuration names, and everything else that the
// services would refuse at their start.
func (c *config) checkFiles(ctx context.Context) error {
	if _, err := process.Logger(io.Discard, c.LogFormat, c.LogLevel); err != nil {
		return err
	}
	for _, pair := range []struct{ key, cert, secret string }{{"tls_cert", c.TLSCert, c.TLSKey}, {"api_tls_cert", c.APITLSCert, c.APITLSKey}} {
		if pair.cert == "" {
			continue
		}
		if _, err := trust.LoadKeyPair(pair.cert, pair.secret); err != nil {
			return &mezu.Error{Code: mezu.CodeInvalid, Field: pair.key, Detail: err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
		}
	}
	if c.CAFile != "" {
		if _, err := trust.LoadRoots(c.CAFile); err != nil {
			return namedfile.Unread("ca_file", api.HintCAFile, err)
		}
	}
	if c.StoreCAFile != "" {
		if _, err := c.storeTLS(); err != nil {
			return err
		}
	}
	if err := c.smtp().CheckFiles(); err != nil {
		return err
	}
	if c.JoinTokenFile != "" {
		if _, err := process.SecretFile(ctx, c.JoinTokenFile, slog.New(slog.DiscardHandler)); err != nil {
			return fmt.Errorf("join_token_file: %w", err)
		}
	}
	if c.Control != "" {
		if _, err := api.ParseBaseURLs("control", c.Control); err != nil {
			return err
		}
	}
	if c.Domain != "" {
		if host, err := mezu.CanonicalHost(c.Domain); err != nil || host != c.Domain {
			return mezu.Invalid("domain", "is a lower-case host name without a port, not %q", c.Domain)
		}
	}
	if c.State != "" {
		if err := atomicfile.CheckDir(c.State); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &mezu.Error{Code: mezu.CodeInvalid, Field: "state", Detail: err.Error(), Hint: atomicfile.Remedy(err), Cause: err}
		}
	}
	return nil
}
