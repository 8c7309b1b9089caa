package control

import (
	"context"
	"fmt"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/state"
)

// offerBootstrap makes the link with which the first operator comes in, unless
// there is an operator. A link that still works is left as it is.
func (c *Control) offerBootstrap(ctx context.Context) error {
	has, err := c.service.HasOperator(ctx)
	if err != nil {
		return fmt.Errorf("looking for an operator: %w", err)
	}
	if has {
		c.state.ForgetBootstrap()
		return nil
	}
	earlier, err := c.state.BootstrapCode()
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
	code, elsewhere, err := c.service.BootstrapCode(ctx, c.state.Holder())
	if err != nil {
		return fmt.Errorf("making the bootstrap link: %w", err)
	}
	if c.linkElsewhere = elsewhere; elsewhere != "" {
		c.cfg.Log.Info("the first operator comes in by the link that another control plane made", "in", state.BootstrapFileOf(elsewhere))
		return nil
	}
	link, err := c.state.WriteBootstrap(c.front.Site(), code)
	if err != nil {
		return err
	}
	if c.cfg.Notice != nil {
		caFile := ""
		if c.front.OwnCertificate() {
			caFile = c.state.CAFile()
		}
		if _, err := fmt.Fprintf(c.cfg.Notice, "This installation is new. Its first operator comes in by %s\nThe link works once, has no end until then, and is in %s too.\nWithout a browser: mezu bootstrap %s\n",
			link, c.state.BootstrapFile(), bootstrapFlags(caFile, c.front.Site(), code)); err != nil {
			c.cfg.Log.Warn("showing the bootstrap link", "error", err, "file", c.state.BootstrapFile())
		}
	}
	return nil
}

// bootstrapFlags are those of mezu bootstrap for a code.
func bootstrapFlags(caFile, site, code string) string {
	flags := "--api " + site + " --code " + code
	if caFile != "" {
		flags = "--ca-file " + caFile + " " + flags
	}
	return flags
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
		return c.service.RecoveryCode(ctx, c.state.Holder())
	}
	if c.linkElsewhere != "" {
		return "", &mezu.Error{Code: mezu.CodeConflict, Detail: "the first operator comes in by the link that another control plane made",
			Hint: "use that link, which is in " + state.BootstrapFileOf(c.linkElsewhere)}
	}
	return c.state.BootstrapCode()
}
