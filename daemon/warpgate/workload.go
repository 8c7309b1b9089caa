package warpgate

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/daemon/forward"
)

// How the workload is waited for at the start.
const (
	probeTimeout  = 2 * time.Second
	probeInterval = time.Second // a person who starts the workload second waits this long for the good news
)

// watchWorkloads watches the upstream, and the next one when it is replaced.
func (g *Warpgate) watchWorkloads(ctx context.Context) {
	for ctx.Err() == nil {
		targets, replaced := g.targets.now()
		if targets.Upstream.Address != "" {
			watching, stop := context.WithCancel(ctx)
			unhook := context.AfterFunc(replaced, stop)
			if g.unreached.begin(targets.Upstream) {
				g.watchWorkload(watching, targets.Upstream, false)
			}
			unhook()
			stop()
		}
		select {
		case <-replaced.Done():
		case <-ctx.Done():
		}
	}
}

// watchWorkload says once that nothing answers at the upstream, and once that something
// does; then it returns. It only informs: requests are tried whatever it finds. missed says that
// a request has found nothing there. The caller has begun it.
func (g *Warpgate) watchWorkload(ctx context.Context, u mezu.Upstream, missed bool) {
	ended := false
	end := func() {
		if !ended {
			ended = true
			g.unreached.end(u)
		}
	}
	defer end()
	for said := missed; ; {
		conn, err := forward.Dial(ctx, &net.Dialer{}, u, probeTimeout)
		if err == nil {
			conn.Close()
			end() // first: whoever hears the news may stop the workload, and the next request that finds nothing begins anew
			if said {
				g.log.Info("the workload is up", "upstream", u.String())
				g.emit(mezu.Event{Event: mezu.EventWorkload, Status: WorkloadUp, Upstream: u.String(), Message: u.String() + " answers now"})
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		if !said {
			said = true
			hint := hintHere
			if !g.cfg.SameMachine {
				hint = workloadHint(u, g.runtime)
			}
			g.log.Warn("nothing answers at the upstream yet; requests get 502 until it is up", "upstream", u.String(), "error", err, "hint", hint)
			g.emit(mezu.Event{Event: mezu.EventError, Code: mezu.CodeWorkloadRefused, Upstream: u.String(), Hint: hint,
				Message: fmt.Sprintf("nothing answers at %s yet; waiting for it", u)})
		}
		if backoff.Sleep(ctx, probeInterval) != nil {
			return
		}
	}
}

// WorkloadUp is the status of a mezu.EventWorkload.
const WorkloadUp = "up"

// maxUnreached is how many workloads are watched at once because requests found nothing there: a
// connection is tried to each every second.
const maxUnreached = 16

// unreached are the workloads that are watched.
type unreached struct {
	noted chan mezu.Upstream // those that requests have begun
	mu    *sync.Mutex
	of    map[mezu.Upstream]bool
}

func newUnreached() unreached {
	return unreached{noted: make(chan mezu.Upstream, maxUnreached), mu: &sync.Mutex{}, of: map[mezu.Upstream]bool{}}
}

// note is told that a request found nothing. It doesn't wait: there is room for all that it begins.
func (u unreached) note(at mezu.Upstream) {
	if u.begin(at) {
		u.noted <- at
	}
}

// begin reports whether a workload is to be watched: nobody does yet, nor so many others.
func (u unreached) begin(at mezu.Upstream) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.of[at] || len(u.of) >= maxUnreached {
		return false
	}
	u.of[at] = true
	return true
}

func (u unreached) end(at mezu.Upstream) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.of, at)
}

// watchUnreached watches what requests did not reach.
func (g *Warpgate) watchUnreached(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for {
		select {
		case u := <-g.unreached.noted:
			watching.Go(func() { g.watchWorkload(ctx, u, true) })
		case <-ctx.Done():
			return
		}
	}
}

// workloadHint says what to try when nothing answers at u.
func workloadHint(u mezu.Upstream, r runtimeEnvironment) string {
	if u.Scheme == mezu.UpstreamUnix {
		return "start the workload, or mount its socket where this process sees it"
	}
	if !u.Loopback() {
		return "start the workload and check host and port"
	}
	_, port, _ := net.SplitHostPort(u.Address)
	switch r.kind() {
	case inPod:
		return "localhost is this pod: run the workload in the same pod, or name its Service, for instance --upstream my-service:" + port
	case inContainer:
		return fmt.Sprintf("localhost is this container itself: use the workload's service name (--upstream app:%s), or host.docker.internal:%s for the host", port, port)
	}
	return hintHere
}

// hintHere is for a workload on this very machine.
const hintHere = "start the workload, or check the port"

// runtimeEnvironment is where the process runs: on a host, in a container or in a pod.
// Files and environment variables tell.
type runtimeEnvironment struct {
	files  fs.FS // the root file system
	getenv func(string) string
}

// Contained reports whether this process runs in a container of its own, where localhost is
// not the machine that a person thinks of.
func Contained() bool { return runtimeEnvironment{os.DirFS("/"), os.Getenv}.kind() != onHost }

// Kinds of runtime environments.
const (
	onHost = iota
	inContainer
	inPod
)

// maxCgroup bounds what is read of the cgroup file, which has a few lines.
const maxCgroup = 64 << 10

// kind looks for the marks that container engines leave.
func (r runtimeEnvironment) kind() int {
	if r.getenv("KUBERNETES_SERVICE_HOST") != "" {
		return inPod
	}
	for _, name := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := fs.Stat(r.files, name); err == nil {
			return inContainer
		}
	}
	f, err := r.files.Open("proc/1/cgroup")
	if err != nil {
		return onHost
	}
	defer f.Close()
	text := make([]byte, maxCgroup)
	n, _ := f.Read(text)
	for _, mark := range []string{"docker", "containerd", "libpod", "kubepods", "lxc"} {
		if strings.Contains(string(text[:n]), mark) {
			return inContainer
		}
	}
	return onHost
}
