package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/trust"
)

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
			return fmt.Errorf("ca_file: %w", err)
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
