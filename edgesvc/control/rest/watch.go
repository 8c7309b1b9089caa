package rest

import (
	"context"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/access"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// watchEvents is a watch of a collection.
type watchEvents struct{ *sse }

// Event writes one event.
func (s watchEvents) Event(kind api.WatchKind, id string, data any) error {
	return s.sse.Event(string(kind), id, data)
}

func (r *rest) bindWatches() {
	s := r.service
	for _, w := range []struct {
		op api.Operation
		do func(ctx context.Context, c access.Caller, p access.Path, last string, sink record.WatchSink) error
	}{
		{api.OpWatchProjects, s.WatchProjects}, {api.OpWatchEnvironments, s.WatchEnvironments}, {api.OpWatchRoutes, s.WatchRoutes},
		{api.OpWatchServiceAccounts, s.WatchServiceAccounts}, {api.OpWatchMembers, s.WatchMembers},
		{api.OpWatchDirectories, s.WatchDirectories}, {api.OpWatchOrganizationDirectories, s.WatchDirectories},
		{api.OpWatchUsers, s.WatchUsers}, {api.OpWatchOrganizationUsers, s.WatchUsers}, {api.OpWatchWarpgates, s.WatchWarpgates},
	} {
		r.watch(w.op, func(ctx context.Context, req *request, last string, out *sse) error {
			return w.do(ctx, req.caller, req.path, last, watchEvents{out})
		})
	}
}
