package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
)

// planeNode is one control plane of several over an etcd cluster.
type planeNode struct {
	w          *world
	name       string
	api, admin string
	args       []string
	*process
}

func (p *planeNode) run() {
	p.w.t.Helper()
	p.process = startWith(p.w.t, p.name, nil, filepath.Join(binaries, "mezusphere"), p.args...)
}

// newPlanes starts so many control planes at once on an empty etcd cluster, and an
// installation over them: its clients know all of them.
func newPlanes(t *testing.T, c *etcdtest.Cluster, n int) (*world, []*planeNode) {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	var planes []*planeNode
	var urls []string
	for i := range n {
		name := "control"
		if i > 0 {
			name = fmt.Sprintf("control-%d", i+1)
		}
		p := &planeNode{w: w, name: name, api: freeAddr(t), admin: freeAddr(t)}
		p.args = []string{"control", "--state", filepath.Join(w.dir, name), "--api-addr", p.api, "--admin-addr", p.admin, "--domain", "localhost",
			"--store", "etcd:" + strings.Join(c.Endpoints, ","), "--store-ca-file", c.CAFile, "--store-cert-file", c.CertFile, "--store-key-file", c.KeyFile,
			"--seal-key-file", filepath.Join(w.dir, "seal.key"), "--archive", "dir:" + filepath.Join(w.dir, "archive")}
		p.run()
		planes = append(planes, p)
		urls = append(urls, p.api)
	}
	for _, p := range planes {
		healthy(t, p.admin)
	}
	w.api = strings.Join(urls, ",https://")
	return w, planes
}

// bootstrapAt redeems the one link of the installation, which one of the control
// planes made.
func (w *world) bootstrapAt(planes []*planeNode) {
	w.t.Helper()
	var links []string
	for _, p := range planes {
		link, err := os.ReadFile(filepath.Join(w.dir, p.name, "bootstrap"))
		if err == nil {
			links = append(links, string(link))
		}
	}
	if len(links) != 1 {
		w.t.Fatalf("%d bootstrap links", len(links))
	}
	if err := os.WriteFile(filepath.Join(w.dir, "control", "bootstrap"), []byte(links[0]), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.bootstrap()
}

// resetBeside resets the operator beside control planes that share the store: without a state
// directory, and with that of one. Each ends the link before, and all control planes know it.
func (w *world) resetBeside(planes []*planeNode) {
	w.t.Helper()
	last := planes[len(planes)-1]
	shared := last.args[slices.Index(last.args, "--store"):slices.Index(last.args, "--archive")]
	lost := w.resetOperator(shared...)
	if lost.Site != "" || lost.Link != "" || lost.CAFile != "" || !strings.HasPrefix(lost.Code, mezu.TokenBootstrap) {
		w.t.Errorf("without a state directory: %+v", lost)
	}
	made := w.resetOperator(append([]string{"--state", filepath.Join(w.dir, last.name)}, shared...)...)
	if made.Site != "https://"+last.api || made.CAFile != filepath.Join(w.dir, last.name, "ca.pem") || !made.Ended {
		w.t.Errorf("with one: %+v", made)
	}
	first := *w
	first.api = planes[0].api
	if _, err := first.redeem(lost.Code); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		w.t.Errorf("the link before: %v", err)
	}
	if _, err := first.redeem(made.Code); err != nil {
		w.t.Error(err)
	}
}

// TestReplicas runs an installation on three control planes over three members of
// etcd, and breaks them in turn under load: no request of a user suffers, and changes
// go on as long as there is a majority.
func TestReplicas(t *testing.T) {
	t.Parallel()
	c := etcdtest.StartProcesses(t)
	w, planes := newPlanes(t, c, 3)
	w.bootstrapAt(planes)
	w.resetBeside(planes)
	w.addEdge("edge-1")
	w.addEdge("edge-2")
	w.makeProject([]mezu.Route{open})
	w.addStationGates(1)
	l := startLoad(w)
	l.flows("the start", time.Now())

	for i, p := range planes {
		change := fmt.Sprintf("/by/%d", i+1)
		began := time.Now()
		w.routesAt(p.api, change)
		w.inForce(began, change, mezu.CodeMethodNotAllowed)
	}
	w.everyChangeArrives(planes, l)

	over := l.fault("death of etcd's leader", nothing)
	leader := c.Leader()
	c.Kill(leader)
	w.changesAgain("/without-leader")
	c.Restart(leader)
	over(time.Now())

	w.withoutQuorum(c, planes, l)
	l.judge()
}

// routesAt changes the routes by the control planes with these addresses.
func (w *world) routesAt(addr, path string) {
	w.t.Helper()
	other := *w
	other.api = addr
	other.client = other.newClient(w.token)
	other.setRoutes(open, mezu.Route{Exact: path, Methods: []string{"POST"}})
}

// changesAgain waits until a change gets through at some control plane, and is in
// force at every edge.
func (w *world) changesAgain(path string) {
	w.t.Helper()
	eventually(w.t, "a change", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := api.Invoke[any](ctx, w.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{open, {Exact: path, Methods: []string{"POST"}}}}, w.path()...)
		return err
	})
	w.inForce(time.Now(), path, mezu.CodeMethodNotAllowed)
}

// everyChangeArrives kills each control plane in turn while environments are made, and
// an edge's end of the stream gets each of them once and in order.
func (w *world) everyChangeArrives(planes []*planeNode, l *faultLoad) {
	w.t.Helper()
	const each = 6
	listener := w.enrolEdge(w.t, "listener", "127.0.0.1:1")
	stream := &resuming{w: w, client: w.calls(w.t, listener), seen: map[string]mezu.Position{}}
	stream.until("the present", func() bool { return stream.synced })
	made := 0
	for i, p := range planes {
		over := l.fault("kill of "+p.name, nothing)
		for n := range each {
			if n == each/2 {
				p.kill()
			}
			// A creation is repeated by its client, with its Idempotency-Key, at the next
			// control plane: what it made, it made once.
			invoke[mezu.Environment](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: fmt.Sprintf("e%d-%d", i, n)}, "acme", "shop")
			made++
		}
		stream.until("all changes", func() bool { return len(stream.seen) == made })
		p.run()
		healthy(w.t, p.admin)
		over(time.Now())
	}
	invoke[any](w, w.client, api.OpDeleteEdge, nil, "listener")
}

// resuming is the stream of an edge that goes on wherever it can.
type resuming struct {
	w      *world
	client *api.Client
	at     mezu.Position
	synced bool
	seen   map[string]mezu.Position // environments that are new since the first snapshot
	stream *api.Stream
}

func (r *resuming) until(what string, met func() bool) {
	r.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !met() {
		if ctx.Err() != nil {
			r.w.t.Fatalf("waiting for %s: have %d", what, len(r.seen))
		}
		r.next(ctx)
	}
	r.stream.Close()
	r.stream = nil
}

// next takes one event, or connects again.
func (r *resuming) next(ctx context.Context) {
	r.w.t.Helper()
	if r.stream == nil {
		s, err := r.client.Stream(ctx, r.at)
		if err != nil {
			return
		}
		r.stream = s
	}
	ev, err := r.stream.Next()
	if err != nil {
		r.stream.Close()
		r.stream = nil
		return
	}
	if ev.Position.Compare(r.at) < 0 {
		r.w.t.Errorf("the stream went back from %s to %s", r.at, ev.Position)
	}
	r.at = ev.Position
	switch {
	case ev.Kind == api.StreamSynced:
		r.synced = true
	case ev.Kind == api.StreamBundle && r.synced:
		r.bundle(ev.Signed)
	}
}

func (r *resuming) bundle(s mezu.Signed) {
	r.w.t.Helper()
	var b mezu.Bundle
	if err := json.Unmarshal(s.Payload, &b); err != nil {
		r.w.t.Fatal(err)
	}
	for id, at := range r.seen {
		if id == b.Environment && at == b.Position {
			r.w.t.Errorf("the bundle of %s at %s came twice", id, at)
		}
		if at.Compare(b.Position) > 0 {
			r.w.t.Errorf("the bundle at %s came after that at %s", b.Position, at)
		}
	}
	r.seen[b.Environment] = b.Position
}

// withoutQuorum kills two of three members: changes are refused in time, everything else
// goes on, an edge that starts anew included.
func (w *world) withoutQuorum(c *etcdtest.Cluster, planes []*planeNode, l *faultLoad) {
	w.t.Helper()
	const most = 3 * time.Second
	over := l.fault("loss of the majority", nothing)
	left := c.Leader()
	for i := range etcdtest.Members {
		if i != left {
			c.Kill(i)
		}
	}
	for addr := range strings.SplitSeq(w.api, ",https://") {
		one := *w
		one.api = addr
		began := time.Now()
		_, err := api.Invoke[any](w.t.Context(), one.newClient(w.token), api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{open}}, w.path()...)
		took := time.Since(began)
		var e *mezu.Error
		if !errors.As(err, &e) || e.Code != mezu.CodeUnavailable || took > slower(most) {
			w.t.Errorf("a change without a majority: %v after %v", err, took)
		}
		w.t.Logf("unavailable after %v", took.Round(time.Millisecond))
	}
	for _, p := range planes {
		notReady(w.t, p.admin, "the store does not answer (no majority of etcd)")
	}
	over(time.Now())

	e := w.edges[0]
	over = l.fault("restart of "+e.name+" without a majority", broken(e, true))
	over(e.restart(true).Add(slower(edgeRecovers)))
	healthy(w.t, e.admin)
	// Its stream begins with what one member of etcd knows.
	metricIs(w.t, e.admin, "mezu_edge_control_up", 1)

	over = l.fault("return of the majority", nothing)
	for i := range etcdtest.Members {
		if i != left {
			c.Restart(i)
		}
	}
	w.changesAgain("/after-all")
	for _, p := range planes {
		healthy(w.t, p.admin)
	}
	over(time.Now())
}
