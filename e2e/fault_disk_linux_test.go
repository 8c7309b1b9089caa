package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/exit"
	"github.com/mezusphere/mezu/testkit"
)

// TestDiskFull takes all space from an edge's and a Warpgate's state while they
// serve: they go on, a change is in force too, both come back when they are killed, and
// the change is written once there is space.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0, open)
	disks := []string{filepath.Join(w.dir, "edge-1"), filepath.Join(w.dir, "gate-1")}
	for _, dir := range disks {
		testkit.Disk(t, dir, 4<<20)
	}
	e := w.addEdge("edge-1")
	g := w.addStationGates(1)[0]
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the disks are full", nothing)
	var fillers []string
	for _, dir := range disks {
		fillers = append(fillers, testkit.Fill(t, dir, 0))
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
	if status, text := e.ready(t); status != http.StatusOK || !strings.Contains(text, "warning: its disk does not take") {
		t.Errorf("the edge says of its disk %d %q", status, text)
	}
	l.flows("the disks are full", time.Now())
	overGate := l.fault("the Warpgate is killed on a full disk", goneWith(g.station))
	g.restart(true)
	w.tunnels(1)
	overGate(time.Now().Add(slower(gateRecovers)))
	l.flows("the Warpgate is back on a full disk", time.Now())
	overEdge := l.fault("the edge is killed on a full disk", broken(e, true))
	e.restart(true)
	w.tunnels(1)
	overEdge(time.Now().Add(slower(edgeRecovers)))
	l.flows("the edge is back on a full disk", time.Now())
	for _, f := range fillers {
		if err := os.Remove(f); err != nil {
			t.Error(err)
		}
	}
	w.applied(state, 2)
	metricIs(t, e.admin, "mezu_edge_unwritten_files", 0)
	over(time.Now())

	over = l.fault("restarts without a control plane", goneWith(g.station))
	w.control.down(true)
	up := broken(e, true)
	overEdge = l.fault("restarts without a control plane", up)
	e.restart(true)
	g.restart(true)
	w.tunnels(1)
	over(time.Now().Add(slower(gateRecovers)))
	overEdge(time.Now().Add(slower(edgeRecovers)))
	w.inForce(time.Now(), "/changed", mezu.CodeMethodNotAllowed)
	l.judge()
}

// TestS5_ControlPlaneDiskFull takes all space from a control plane while it is written:
// writes answer unavailable, all that reads goes on, a killed one opens again, and once
// there is space everything is there that was acknowledged, and no half of what was not.
func TestS5_ControlPlaneDiskFull(t *testing.T) {
	t.Parallel()
	// What the store keeps free (256 MiB) and gives up to open (64 MiB), and room for
	// what it writes.
	const size = 640 << 20
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t)}
	disk := filepath.Join(w.dir, "control")
	testkit.Disk(t, disk, size)
	w.startControl()
	w.bootstrap()
	w.addEdge("edge-1")
	w.makeProject([]mezu.Route{open})
	w.addStationGates(1)
	reader := invoke[api.ServiceAccountCreated](w, w.client, api.OpCreateServiceAccount,
		mezu.ServiceAccount{Name: "reader", Permissions: []mezu.Permission{mezu.PermProjectsRead}}, "acme", "shop").Key
	eventually(t, "the ballast", func() error {
		info, err := os.Stat(filepath.Join(disk, "store", "ballast"))
		if err == nil && info.Size() < 64<<20 {
			err = fmt.Errorf("%d bytes", info.Size())
		}
		return err
	})
	l := startLoad(w)
	l.flows("the start", time.Now())

	over := l.fault("the control plane's disk is full", nothing)
	acked := map[string]bool{}
	create := func() error {
		name := fmt.Sprintf("p%d", len(acked))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := api.Invoke[mezu.Project](ctx, w.client, api.OpCreateProject, mezu.Project{Name: name}, "acme")
		if err == nil {
			acked[name] = true
		}
		return err
	}
	refused := func(when string) {
		t.Helper()
		began := time.Now()
		if err := create(); mezu.CodeOf(err) != mezu.CodeUnavailable || !strings.Contains(err.Error(), "the control plane can't do this now: the disk is full, ") {
			t.Errorf("a write %s: %v", when, err)
		} else if took := time.Since(began); took > slower(3*time.Second) {
			t.Errorf("a write %s was refused after %v", when, took)
		}
	}
	reads := func(when string) {
		t.Helper()
		there := map[string]bool{}
		for p, err := range api.All[mezu.Project](t.Context(), w.client, api.OpListProjects, "acme") {
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			there[p.Name] = true
		}
		delete(there, "shop")
		if !maps.Equal(there, acked) {
			t.Errorf("%s: projects %v, acknowledged %v", when, there, acked)
		}
		if got := invoke[mezu.Project](w, w.newClient(reader), api.OpGetProject, nil, "acme", "shop"); got.Name != "shop" {
			t.Errorf("%s: a service account reads %+v", when, got)
		}
	}
	filled := make(chan string, 1)
	go func() { filled <- testkit.Fill(t, disk, 0) }()
	for {
		err := create()
		if mezu.CodeOf(err) == mezu.CodeUnavailable {
			break
		}
		if err != nil {
			t.Fatalf("writing while the disk fills up: %v, after %d", err, len(acked))
		}
	}
	filler := <-filled
	t.Logf("refused after %d writes", len(acked))
	refused("on the full disk")
	reads("on the full disk")
	l.flows("the disk is full", time.Now())

	notReady(t, w.admin, "the disk is full, 0 MiB are free")
	for range 2 {
		w.control.down(true)
		w.runControl("control")
		notReady(t, w.admin, "the disk is full")
		refused("after a start on the full disk")
		reads("after a start on the full disk")
	}
	w.inStep()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes", create)
	healthy(t, w.admin)
	reads("with space again")
	w.changeArrives()
	w.control.down(true)
	w.startControl()
	reads("after a restart")
	if err := create(); err != nil {
		t.Errorf("a write after a restart: %v", err)
	}
	over(time.Now())
	l.judge()
}

// endsWith ends the process of both services while a request is under way, which the edge
// lets end first, and looks for what it says then.
func (w *world) endsWith(e *edgeNode, wl *workload, says ...string) {
	w.t.Helper()
	answered := make(chan int, 1)
	go func() {
		resp, err := w.http(e).Get("https://" + w.host + "/hold")
		if err != nil {
			w.t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	eventually(w.t, "a request under way", func() error {
		if wl.holds.Load() == 0 {
			return errors.New("none")
		}
		return nil
	})
	w.control.signal(syscall.SIGTERM)
	eventually(w.t, "the end to begin", func() error {
		if status, text := e.ready(w.t); status == http.StatusOK {
			return errors.New(text)
		}
		return nil
	})
	close(wl.release)
	if code := <-answered; code != http.StatusOK {
		w.t.Errorf("the request under way was answered with %d", code)
	}
	began := time.Now()
	if code := w.control.exit(); code != exit.Unreachable {
		w.t.Errorf("it ended with %d", code)
	}
	if took := time.Since(began); took > slower(15*time.Second) {
		w.t.Errorf("it ended after %v", took)
	}
	log := w.control.log.String()
	for _, want := range says {
		if !strings.Contains(log, want) {
			w.t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(log, "goroutine ") {
		w.t.Error("it crashed")
	}
}

// TestDiskFullBoth takes all space from a process of both services, and ends it: the edge
// drains, then it says why its store was left as it is, and the next start has all of it.
func TestDiskFullBoth(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "all")
	testkit.Disk(t, dir, 400<<20)
	w, e, wl := startAll(t, dir)
	filler := testkit.Fill(t, dir, 0)
	notReady(t, w.admin, "the disk is full, 0 MiB are free")
	w.endsWith(e, wl, "the disk is full, 0 MiB are free", "with all that was acknowledged", "make room on the disk")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.runAll(e)
	healthy(t, w.admin)
	if got := invoke[mezu.Project](w, w.client, api.OpGetProject, nil, "acme", "shop"); got.Name != "shop" {
		t.Errorf("after a restart: %+v", got)
	}
}

// TestStateGoneBoth takes the state folder away from a process of both services: the edge
// serves on, writes are refused, and one signal ends it, with what happened.
func TestStateGoneBoth(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "all")
	w, e, wl := startAll(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	notReady(t, w.admin, "the store's folder is gone")
	if code := statusOf(t, w.http(e), "https://"+w.host+"/"); code != http.StatusOK {
		t.Errorf("the edge answers %d", code)
	}
	if _, err := api.Invoke[mezu.Project](t.Context(), w.client, api.OpCreateProject, mezu.Project{Name: "late"}, "acme"); mezu.CodeOf(err) != mezu.CodeUnavailable {
		t.Errorf("a write to nowhere: %v", err)
	}
	w.endsWith(e, wl, "the store's folder is gone", "mezusphere restore FILE")
}
