package sidecar

import (
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/warpgate"
)

// Close ends Run without an error, however early it comes: here as soon as all was taken,
// before any Warpgate runs.
func TestCloseBetweenTakeAndRun(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second finds the state directory free
		var stopped []mezu.Event
		p, err := New(Config{Warpgates: []warpgate.Config{{
			API: "https://127.0.0.1:9", Token: func() (string, error) { return mezu.NewKey(), nil }, Upstream: "8080", StateDir: dir,
			Events: func(e mezu.Event) {
				if e.Event == mezu.EventStopped {
					stopped = append(stopped, e)
				}
			},
		}}, HealthAddr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.take(); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if err := p.serve(t.Context()); err != nil {
			t.Errorf("error %v", err)
		}
		if len(stopped) != 1 || stopped[0].Code != "" || stopped[0].Message != "" {
			t.Errorf("events %+v", stopped)
		}
	}
}
