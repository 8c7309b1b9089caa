package replica

import (
	"context"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// handover gives revocations back to a control plane that was restored from a backup that
// does not have them.
type handover struct {
	// due has the position of a control plane that has other revocations than are here.
	due chan mezu.Position
}

func (h *handover) init() { h.due = make(chan mezu.Position, 1) }

// order asks for a handover, if none is asked for already. It never blocks.
func (h *handover) order(at mezu.Position) {
	select {
	case h.due <- at:
	default:
	}
}

// handUp hands revocations up when asked to, until ctx ends. It does so once for each epoch:
// what the control plane did not take the first time it won't take later.
func (r *Replica) handUp(ctx context.Context) {
	var done uint64
	for {
		var at mezu.Position
		select {
		case <-ctx.Done():
			return
		case at = <-r.handover.due:
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
		// The next stream compares again. It does so even if nothing was taken: another edge
		// may have handed up the same revocations since the comparison.
		if stop := r.stop.Load(); stop != nil {
			(*stop)(errHanded)
		}
	}
}

// handUpAll hands up the revocations that a control plane at a position can't have made
// itself: those of another epoch and those of later positions. taken counts those that it did
// not know, accepted those and the ones that it knew. ok reports whether it has judged all.
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

// handUpPage hands up as many as fit into one call.
func (r *Replica) handUpPage(ctx context.Context, page []mezu.Signed) (out api.RevocationsTaken, err error) {
	call := api.Call{Operation: api.OpEdgeRevocations, Body: api.EdgeRevocations{Revocations: page}}
	err = r.cfg.Identity.Insist(ctx, call, &out)
	return out, err
}
