package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cmd/process"
)

// checkFiles judges what a configuration points at, and what the services would
// find wrong at their start.
func (c *config) checkFiles() error {
	if _, err := process.Logger(io.Discard, c.LogFormat, c.LogLevel); err != nil {
		return err
	}
	for _, pair := range []struct{ key, cert, secret string }{{"tls_cert", c.TLSCert, c.TLSKey}, {"api_tls_cert", c.APITLSCert, c.APITLSKey}} {
		if pair.cert == "" {
			continue
		}
		if _, err := tls.LoadX509KeyPair(pair.cert, pair.secret); err != nil {
			return fmt.Errorf("%s: %w", pair.key, err)
		}
	}
	if c.CAFile != "" {
		if _, err := invocation.Roots(c.CAFile); err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
	}
	if c.StoreCAFile != "" {
		if _, err := c.storeTLS(); err != nil {
			return err
		}
	}
	if c.JoinTokenFile != "" {
		if _, err := process.SecretFile(c.JoinTokenFile, slog.New(slog.DiscardHandler)); err != nil {
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
		if info, err := os.Stat(c.State); err == nil && !info.IsDir() {
			return mezu.Invalid("state", "%s is not a folder", c.State)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("state: %w", err)
		}
	}
	return nil
}
