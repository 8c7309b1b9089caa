package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// smallDisk mounts a file system of its own for a directory.
func smallDisk(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill takes all space of a disk; the function gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// TestDiskFull takes all space from an edge's and a Warpgate's state while they
// serve: they go on, a change is in force too, and it is written once there is
// space.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	disks := []string{filepath.Join(w.dir, "edge-1"), filepath.Join(w.dir, "gate-1")}
	for _, dir := range disks {
		smallDisk(t, dir)
	}
	e := w.addEdge("edge-1")
	g := w.addStationGates(1)[0]
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the disks are full", nothing)
	var free []func()
	for _, dir := range disks {
		free = append(free, fill(t, dir))
	}
	began := time.Now()
	state := w.setRoutes(open, mezu.Route{Exact: "/changed", Methods: []string{"POST"}})
	w.inForce(began, "/changed", mezu.CodeMethodNotAllowed)
	eventually(t, "the edge to say what it could not write", func() error {
		if v, err := metric(e.admin, "mezu_edge_unwritten_files"); err != nil || v == 0 {
			return fmt.Errorf("%v, %v", v, err)
		}
		return nil
	})
	l.flows("the disks are full", time.Now())
	for _, f := range free {
		f()
	}
	w.applied(state, 2)
	metricIs(t, e.admin, "mezu_edge_unwritten_files", 0)
	over(time.Now())

	over = l.fault("restarts without a control plane", goneWith(g.station))
	began = time.Now()
	w.control.down(true)
	up := broken(e, true)
	overEdge := l.fault("restarts without a control plane", up)
	e.restart(true)
	g.restart(true)
	w.tunnels(1)
	over(time.Now().Add(slower(gateRecovers)))
	overEdge(time.Now().Add(slower(edgeRecovers)))
	w.inForce(began, "/changed", mezu.CodeMethodNotAllowed)
	l.judge()
}
