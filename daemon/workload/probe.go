package workload

import (
	"context"
	"net"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
)

// probeTimeout bounds a look at the workload: a person waits for it.
const probeTimeout = 2 * time.Second

// Probe connects to the workload, and says what it finds and how long the connection took.
func Probe(ctx context.Context, w *Way) (mezu.Workload, time.Duration) {
	start := time.Now()
	conn, err := forward.Dial(ctx, &net.Dialer{}, w.Targets.Upstream, probeTimeout)
	took := time.Since(start)
	up := err == nil
	if err != nil {
		return mezu.Workload{Up: &up, Code: mezu.CodeWorkloadRefused, Detail: "nothing answers at " + w.Asked.Target}, took
	}
	conn.Close()
	return mezu.Workload{Up: &up}, took
}
