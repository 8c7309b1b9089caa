package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestWarpgateFigures holds the Warpgate to what a sidecar may cost.
func TestWarpgateFigures(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory and code would be measured")
	}
	const maxSize, maxIdle = 15_000_000, 20 << 20
	program := filepath.Join(t.TempDir(), "warpgate")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../cmd/warpgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	wl := newWorkload(t, false)
	w := newWorld(t, 1, open)
	began := time.Now()
	g := w.startGate("gate", wl.addr())
	healthy(t, g.health)
	ready := time.Since(began)
	w.reachable(w.edges[0])
	idle := settled(t, "the Warpgate's memory", g.resident)
	t.Logf("stripped: %.2f MB; from start to ready with a new identity: %v; resident at rest: %s", float64(info.Size())/1e6, ready.Round(time.Millisecond), mib(idle))
	if info.Size() > maxSize {
		t.Errorf("the program has %d bytes, the limit is %d", info.Size(), maxSize)
	}
	if idle > maxIdle {
		t.Errorf("%s is resident at rest, the limit is %s", mib(idle), mib(maxIdle))
	}
}
