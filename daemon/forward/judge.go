package forward

import (
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
	"github.com/mezusphere/mezu/relay"
)

// judge is the second line of defence: the path must be canonical as it came, and the
// bundle must allow the request here, too.
func (w *worker) judge() error {
	if !w.c.Head.HasPath(w.req.Path.Path) {
		return refused("the path is not canonical", nil)
	}
	w.req.ID = w.info.ID
	w.takeCookies()
	table := w.table()
	if table == nil {
		return &mezu.Error{Code: mezu.CodeRouteUnavailable, Detail: "the Warpgate has no configuration yet"}
	}
	if w.f.cfg.Serves != nil && !w.f.cfg.Serves(w.req.Host) {
		return refused("the host is not that of the environment", nil)
	}
	w.ask.Method, w.ask.Path, w.ask.Client, w.ask.Targets = w.req.Method, w.req.Path, w.info.Client, w.to.may
	d := table.Choose(&w.ask)
	if d.Code == "" {
		w.route = d.Route
		if err := w.fits(d.Route); err != nil {
			return err
		}
		table.Authorize(&d, &w.ask)
	}
	if d.Code != "" {
		if w.visitor.late || table.Position().Compare(w.info.Position) > 0 {
			// The edge judged by less than is known here. By what it hears next it will
			// give this answer.
			return &mezu.Error{Code: d.Code, Detail: d.Detail}
		}
		return refused(fmt.Sprintf("the Warpgate's own check says %s", d.Code), nil)
	}
	if d.Grant == nil {
		w.visitor.grant = nil // the route asks nobody who they are
	}
	return nil
}

// fits judges what the request itself says against its route.
func (w *worker) fits(route *policy.Route) error {
	if route.Answers() {
		return refused("the edge answers the request itself", nil)
	}
	if w.req.Upgrade != "" && !route.WebSocket {
		return refused("the route allows no upgrade", nil)
	}
	if max := route.MaxBody; max > 0 && w.req.Framing == relay.Length && w.req.Length > max {
		return relay.ErrOverrun
	}
	return nil
}

func refused(detail string, cause error) error {
	return &mezu.Error{Code: mezu.CodeRefusedByWarpgate, Detail: detail, Cause: cause}
}

// table is the configuration in force. If the edge judged by a newer one, it waits for that:
// a request may be delayed, but is never judged by an older configuration than the edge's,
// unless the newer one does not come within catchUp.
func (w *worker) table() *policy.Table {
	t := w.f.cfg.Table()
	if t != nil && t.Position().Compare(w.info.Position) >= 0 {
		return t
	}
	const step = 2 * time.Millisecond
	timer := time.NewTimer(step)
	defer timer.Stop()
	for end := time.Now().Add(catchUp); time.Now().Before(end); timer.Reset(step) {
		select {
		case <-w.ctx.Done():
			return nil
		case <-timer.C:
		}
		if t = w.f.cfg.Table(); t != nil && t.Position().Compare(w.info.Position) >= 0 {
			break
		}
	}
	return t
}
