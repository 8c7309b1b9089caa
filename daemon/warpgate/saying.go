package warpgate

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
)

// saying is what the control plane is told of the targets. It is told anew with each certificate,
// once a day, in case something was lost, and after a restore, which the position shows.
type saying struct {
	targets mezu.WarpgateTargets
	serial  string
	epoch   uint64
}

// saying is what there is to tell now, and ends with replaced.
func (s *session) saying() (now saying, replaced context.Context) {
	targets, replaced := s.gate.targets.now()
	return saying{targets.Say(), s.gate.state.Serial(), s.gate.state.Applied().Epoch}, replaced
}

// sayTargets tells the control plane where requests are sent, so that it can tell who asks what
// this Warpgate would make of a request. Nothing depends on it here: what doesn't pass is tried
// again, and no trouble to anybody.
func (s *session) sayTargets(ctx context.Context) {
	g := s.gate
	pause := backoff.Backoff{Last: g.pace.retry}
	var told saying
	for {
		is, replaced := s.saying()
		if is.serial == "" || reflect.DeepEqual(is, told) {
			select {
			case <-ctx.Done():
				return
			case <-replaced.Done():
			case <-time.After(g.pace.tick): // a certificate or a position may be new
			}
			continue
		}
		wait := time.Duration(0)
		if told.serial == is.serial && told.epoch != is.epoch && told.epoch != 0 {
			wait = rand.N(g.pace.spread + 1) // as all others do who see the restore
		}
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
		known, err := g.client.SayTargets(ctx, is.targets)
		if err != nil {
			if ctx.Err() == nil {
				g.log.Debug("telling the control plane the targets", "error", err)
			}
			pause.Because(err)
			if backoff.Sleep(ctx, max(pause.Next(), g.pace.say)) != nil {
				return
			}
			continue
		}
		if told = is; !known {
			g.log.Debug("the control plane doesn't ask for the targets")
		}
		pause.Reset()
		if backoff.Sleep(ctx, g.pace.say) != nil { // targets that change all the time are told now and then
			return
		}
	}
}
