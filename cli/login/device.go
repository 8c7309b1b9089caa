package login

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
)

// Bounds of the questions whether a code was typed (RFC 8628, 3.5).
const (
	// usualInterval holds if the control plane names none.
	usualInterval = 5 * time.Second
	leastInterval = time.Second
	mostInterval  = time.Minute
	// slower is by how much each "slow down" makes the interval longer.
	slower = 5 * time.Second
)

// byCode logs in in a browser on any machine, by a code that is typed there (N29). It asks
// until somebody has allowed it, or refused.
func (o *loginOptions) byCode(ctx context.Context, c *api.Client, a api.Authority) (tokens api.ProgramTokens, asked time.Time, err error) {
	d, err := c.AskDevice(ctx, a)
	if err != nil {
		return tokens, asked, err
	}
	good := waitFor
	if d.ExpiresIn > 0 && d.ExpiresIn < int64(waitFor/time.Second) {
		good = time.Duration(d.ExpiresIn) * time.Second
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, good)
		defer cancel()
	}
	first := "Open on any device"
	if !o.Device {
		first = "No browser on this side. " + first
	}
	o.show("%s\n   %s        and type        %s\nType it only if you started this yourself. Good for %s. Ctrl-C gives up.", first, d.VerificationURI, d.UserCode, minutes(good))
	interval := usualInterval
	if d.Interval > 0 {
		interval = bounded(time.Duration(min(d.Interval, int64(mostInterval/time.Second))) * time.Second)
	}
	for {
		if err := o.pause(ctx, interval); err != nil {
			return tokens, asked, err
		}
		asked = o.Clock()
		calling, cancel := invocation.Outlast(ctx)
		tokens, err = c.PollDevice(calling, a, d.Code)
		cancel()
		if err == nil {
			return tokens, asked, nil
		}
		told, isTold := errors.AsType[*api.ProgramError](err)
		switch {
		case isTold && told.Code == api.ProgramPending:
		case isTold && told.Code == api.ProgramSlowDown, mezu.CodeOf(err) == mezu.CodeRateLimited:
			interval = bounded(interval + slower)
		case isTold:
			return tokens, asked, refused(told)
		case api.Away(err):
			interval = bounded(2 * interval)
		default:
			return tokens, asked, err
		}
	}
}

// minutes is a time for people.
func minutes(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}

func bounded(d time.Duration) time.Duration { return min(max(d, leastInterval), mostInterval) }
