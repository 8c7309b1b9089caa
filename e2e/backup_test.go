package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// TestS6_BackupAndRestore backs a running installation up while it is written, loses
// the control plane with all its state, restores on another directory, and goes on: no
// request fails, edges and Warpgates take what the restored one says, and refuse the one
// before when it comes back.
func TestS6_BackupAndRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gates := w.addStationGates(2)
	l := startLoad(w)
	l.flows("the start", time.Now())
	safe := filepath.Join(w.dir, "safe.key")
	if err := os.Link(filepath.Join(w.dir, "control", "seal.key"), safe); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(w.dir, "backup")
	over := l.fault("a backup under writes", nothing)
	stop := w.keepWriting()
	w.operate(0, "backup", file)
	stop()
	over(time.Now())
	if _, log := w.operate(5, "backup", file); !strings.Contains(log, "is there already") {
		t.Errorf("over another: %s", log)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() < 10_000 {
		t.Errorf("the file: %v, %v", info, err)
	}
	// More than the backup has, which edges and Warpgates run by now.
	w.changeArrives()
	if _, log := w.operate(5, "restore", file, "--state", filepath.Join(w.dir, "control")); !strings.Contains(log, "in use by another process") {
		t.Errorf("beside a running control plane: %s", log)
	}

	over = l.fault("the loss of the control plane", nothing)
	w.control.down(true)
	into := []string{"--state", filepath.Join(w.dir, "restored"), "--seal-key-file", safe}
	w.killRestore(append([]string{"restore", file}, into...))
	w.operate(0, append([]string{"restore", file}, into...)...)
	if _, log := w.operate(5, append(append([]string{"restore"}, into...), file)...); !strings.Contains(log, "not empty") {
		t.Errorf("twice: %s", log)
	}
	w.startControlIn("restored", "--seal-key-file", safe)
	over(time.Now())
	w.changeArrives()
	w.tunnels(len(gates))
	for _, e := range w.edges {
		over := l.fault("restart of "+e.name, broken(e, false))
		over(e.restart(false).Add(slower(edgeRecovers)))
		healthy(t, e.admin)
	}
	w.inStep()

	over = l.fault("the return of the one before", nothing)
	w.control.down(true)
	w.startControl()
	for _, e := range w.edges {
		eventually(t, e.name+" to refuse what is older", func() error {
			if !strings.Contains(e.log.String(), "refusing an older statement") {
				return fmt.Errorf("it has not")
			}
			return nil
		})
		if err := e.answers(w.http(e), "/changed", mezu.CodeMethodNotAllowed); err != nil {
			t.Errorf("%s took what is older: %v", e.name, err)
		}
	}
	over(time.Now())
	l.judge()
}

// keepWriting changes the installation until stop is called.
func (w *world) keepWriting() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			// Its outcome is judged by what the installation does afterwards.
			_, err := api.Invoke[api.RoutesState](ctx, w.client, api.OpReplaceRoutes,
				api.RoutesReplace{Routes: []mezu.Route{open, {Exact: fmt.Sprint("/written/", i)}}}, w.path()...)
			if err != nil && ctx.Err() == nil {
				w.t.Errorf("writing beside the backup: %v", err)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// killRestore kills a restore as soon as it touches the store. One that was faster
// than that is taken away.
func (w *world) killRestore(args []string) {
	w.t.Helper()
	p := start(w.t, "killed restore", "mezusphere", args...)
	eventually(w.t, "the restore to begin", func() error {
		_, err := os.Stat(filepath.Join(w.dir, "restored", "store", "badger", "MANIFEST"))
		return err
	})
	p.kill()
	if p.err != nil {
		return
	}
	w.t.Log("the restore was done before it could be killed")
	if err := os.RemoveAll(filepath.Join(w.dir, "restored")); err != nil {
		w.t.Fatal(err)
	}
}
