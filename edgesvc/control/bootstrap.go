package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mezusphere/mezu/atomicfile"
)

// offerBootstrap makes the link with which the first operator comes in, unless
// there is an operator. A link that still works is left as it is.
func (c *Control) offerBootstrap(ctx context.Context) error {
	has, err := c.service.HasOperator(ctx)
	if err != nil {
		return fmt.Errorf("looking for an operator: %w", err)
	}
	if has {
		c.forgetBootstrap()
		return nil
	}
	earlier, err := c.offeredCode()
	if err != nil {
		return err
	}
	if earlier != "" {
		valid, err := c.service.BootstrapValid(ctx, earlier)
		if err != nil {
			return fmt.Errorf("checking the bootstrap link: %w", err)
		}
		if valid {
			return nil
		}
	}
	code, elsewhere, err := c.service.BootstrapCode(ctx, c.holder())
	if err != nil {
		return fmt.Errorf("making the bootstrap link: %w", err)
	}
	if elsewhere != "" {
		c.cfg.Log.Info("the first operator comes in by the link that another control plane made", "in", elsewhere+"/"+fileBootstrap)
		return nil
	}
	// Behind «#» the code stays out of logs of whatever the link is opened
	// with.
	link, path := c.site()+"/bootstrap#code="+code, c.bootstrapFile()
	if err := atomicfile.Write(path, []byte(link+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the bootstrap link: %w", err)
	}
	if c.cfg.Notice != nil {
		if _, err := fmt.Fprintf(c.cfg.Notice, "This installation is new. Its first operator comes in once by %s (also in %s)\n", link, path); err != nil {
			c.cfg.Log.Warn("showing the bootstrap link", "error", err, "file", path)
		}
	}
	return nil
}

// BootstrapCode is a code with which this process comes in over the API: that of the
// bootstrap link while there is no operator, else a new one that gives the first operator
// another token. Listen comes first.
func (c *Control) BootstrapCode(ctx context.Context) (string, error) {
	has, err := c.service.HasOperator(ctx)
	if err != nil {
		return "", fmt.Errorf("looking for an operator: %w", err)
	}
	if has {
		return c.service.RecoveryCode(ctx, c.holder())
	}
	return c.offeredCode()
}

// offeredCode is the code in the file of the bootstrap link, or "".
func (c *Control) offeredCode() (string, error) {
	text, err := os.ReadFile(c.bootstrapFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the bootstrap link: %w", err)
	}
	_, code, _ := strings.Cut(strings.TrimSpace(string(text)), "#code=")
	return code, nil
}

func (c *Control) bootstrapFile() string { return filepath.Join(c.cfg.StateDir, fileBootstrap) }

// forgetBootstrap removes the file of a link that was used.
func (c *Control) forgetBootstrap() {
	if err := os.Remove(c.bootstrapFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.cfg.Log.Warn("removing the used bootstrap link", "error", err)
	}
}
