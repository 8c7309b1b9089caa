package replica

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// handing is the handing up of revocations that a restored control plane does not know.
type handing struct {
	// due has where the control plane was when something else was here than it said.
	due chan mezu.Position
}

func (h *handing) init() { h.due = make(chan mezu.Position, 1) }

// order asks for it. One that is asked for already is enough. It never blocks.
func (h *handing) order(at mezu.Position) {
	select {
	case h.due <- at:
	default:
	}
}

// handUp hands revocations up when asked to, until ctx ends. That is done once for each
// epoch: what the control plane did not take then it will not take later.
func (r *Replica) handUp(ctx context.Context) {
	var done uint64
	for {
		var at mezu.Position
		select {
		case <-ctx.Done():
			return
		case at = <-r.hand.due:
		}
		if at.Epoch == done {
			continue
		}
		taken, accepted, ok := r.handUpAll(ctx, at)
		if !ok {
			continue
		}
		done = at.Epoch
		if taken > 0 {
			r.log.Info("the control plane took revocations over that it did not know", "taken", taken)
		}
		if accepted == 0 {
			continue
		}
		// It compares again also if nothing was taken: another edge may have handed up the
		// same since the comparison that found a difference.
		if stop := r.stop.Load(); stop != nil {
			(*stop)(errHanded)
		}
	}
}

// handUpAll hands up what a control plane at a position can't have made: what is of
// another epoch, or newer. taken counts what was new there, accepted that and what was known
// already. ok reports whether all was judged there.
func (r *Replica) handUpAll(ctx context.Context, at mezu.Position) (taken, accepted int, ok bool) {
	walk := r.revoked.Walk(func(p mezu.Position) bool { return p.Epoch != at.Epoch || p.Compare(at) > 0 })
	for {
		page, err := walk.Next(r.trust(), api.MaxEdgeRevocations)
		if err != nil {
			r.log.Error("reading revocations to hand up", "error", err)
			return taken, accepted, false
		}
		if len(page) == 0 {
			return taken, accepted, true
		}
		answer, err := r.handUpPage(ctx, page)
		if err != nil {
			if ctx.Err() == nil {
				r.log.Error("handing revocations up to the control plane", "error", err)
			}
			return taken, accepted, false
		}
		taken, accepted = taken+answer.Taken, accepted+len(page)-answer.Refused
		if answer.Refused > 0 {
			r.log.Error("the control plane refuses revocations that this edge holds: a key signed them that it does not have. End anew what was ended since its backup", "refused", answer.Refused)
		}
	}
}

// handUpPage hands up so many that they fit into one call.
func (r *Replica) handUpPage(ctx context.Context, page []mezu.Signed) (out api.RevocationsTaken, err error) {
	call := api.Call{Operation: api.OpEdgeRevocations, Body: api.EdgeRevocations{Revocations: page}}
	err = r.cfg.Identity.Insist(ctx, call, &out)
	return out, err
}
