package forward

import (
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
)

// Connections that are made just when others come in the place of their targets are kept by
// these, or else not at all.
func TestRetarget_BesideTheFirstRequest(t *testing.T) {
	u := mezu.Upstream{Scheme: mezu.UpstreamHTTP, Address: "127.0.0.1:9"}
	for range 20_000 {
		f := New(Config{Targets: Targets{Upstream: u}})
		old := f.targets.Load()
		var both sync.WaitGroup
		var p *pool
		var l *lanes
		both.Go(func() { p, l = old.pool(u), old.lanes(f, u) })
		both.Go(func() { f.Retarget(Targets{Upstream: u}) })
		both.Wait()
		next := f.targets.Load()
		if next.pool(u).closed || next.lanes(f, u).closed {
			t.Fatal("connections are closed that are in use")
		}
		if next.pool(u) != p && !p.closed || next.lanes(f, u) != l && !l.closed {
			t.Fatal("connections are left open")
		}
		f.Close()
	}
}
