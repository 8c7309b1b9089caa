package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// limited makes a command line that may open so many files.
func limited(files int, program string, args ...string) (string, []string) {
	return "/bin/sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`, fmt.Sprint(files), program}, args...)
}

// silentCrowd opens so many connections that say nothing.
func silentCrowd(t *testing.T, addr string, n int) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
}

// measured is metric for a series that must be there.
func measured(t *testing.T, addr, series string) float64 {
	t.Helper()
	v, err := metric(addr, series)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAttackSilentAPI is row 6: 1,081 connections that say nothing ended the API and
// /readyz of a control plane that may open 1,100 files, and nothing was logged. Now they
// make room for one another and for everybody else.
func TestAttackSilentAPI(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t), admin: freeAddr(t)}
	program, args := limited(1100, filepath.Join(binaries, "mezusphere"), "control", "--state", filepath.Join(w.dir, "control"),
		"--api-addr", w.api, "--admin-addr", w.admin, "--domain", "localhost")
	w.control = startWith(t, "control", nil, program, args...)
	healthy(t, w.admin)
	w.bootstrap()
	silentCrowd(t, w.api, 1081)
	for range 3 {
		invoke[api.Self](w, w.newClient(w.token), api.OpSelf, nil) // on a connection of its own
		healthy(t, w.admin)
	}
	if n := strings.Count(w.control.log.String(), "connections are turned away"); n != 1 {
		t.Errorf("the log has %d lines of it", n)
	}
	if n := measured(t, w.admin, "mezusphere_api_connections_evicted_total"); n < 100 {
		t.Errorf("%v connections were evicted", n)
	}
	silentCrowd(t, w.admin, 200)
	healthy(t, w.admin)
}

// newWorldOfOne is newWorld with control plane and edge in one process that may open so
// many files.
func newWorldOfOne(t *testing.T, files int, routes ...mezu.Route) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), api: freeAddr(t), admin: freeAddr(t)}
	e := &edgeNode{w: w, name: "edge", https: freeAddr(t), admin: freeAddr(t), dir: filepath.Join(w.dir, "edge")}
	program, args := limited(files, filepath.Join(binaries, "mezusphere"), "all", "--state", w.dir, "--domain", "localhost",
		"--api-addr", w.api, "--admin-addr", w.admin, "--edge-admin-addr", e.admin, "--https-addr", e.https)
	w.control = startWith(t, "all", nil, program, args...)
	e.process = w.control
	healthy(t, w.admin)
	w.bootstrap()
	healthy(t, e.admin)
	w.edges = []*edgeNode{e}
	w.makeProject(routes)
	return w
}

// TestAttackSilentEdge is row 6: 4,096 connections that say nothing to the edge of a
// process that may open 4,096 files took its API, /livez and tunnels along.
func TestAttackSilentEdge(t *testing.T) {
	t.Parallel()
	w := newWorldOfOne(t, 4096, open)
	e := w.edges[0]
	needDescriptors(t, 10_000)
	up := newWorkload(t, false).addr()
	w.addGate("first", up)
	silentCrowd(t, e.https, 4096)
	invoke[api.Self](w, w.newClient(w.token), api.OpSelf, nil)
	healthy(t, w.admin)
	healthy(t, e.admin)
	w.addGate("second", up) // a tunnel, through the same listener
	for _, c := range []*http.Client{w.http(e), w.http2(e)} {
		resp, err := c.Get("https://" + w.host + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if n := strings.Count(w.control.log.String(), "connections are turned away"); n != 1 {
		t.Errorf("the log has %d lines of it", n)
	}
	if n := measured(t, e.admin, `mezu_edge_connections_evicted_total{kind="arriving"}`); n < 3000 {
		t.Errorf("%v connections were evicted", n)
	}
	if n := w.control.descriptors(); n > 4096*3/4 {
		t.Errorf("%d descriptors are open", n)
	}
}

// TestAttackEnvironmentOfAll is row 8: one environment's connections, each with a
// request under way, held all that an edge has. Beyond its share it gets no further one
// while they are scarce, and another environment does.
func TestAttackEnvironmentOfAll(t *testing.T) {
	if raceEnabled {
		t.Skip("a thousand handshakes under the race detector take longer than they teach; package admission's tests have it")
	}
	t.Parallel()
	w := newWorldOfOne(t, 4096, open)
	e := w.edges[0]
	env := invoke[mezu.Environment](w, w.client, api.OpCreateEnvironment, mezu.Environment{Name: "other"}, "acme", "shop")
	invoke[api.RoutesState](w, w.client, api.OpReplaceRoutes, api.RoutesReplace{Routes: []mezu.Route{open}}, "acme", "shop", "other")
	limit := int(measured(t, e.admin, `mezu_edge_places{kind="public"}`))
	w.addGate("gate", newWorkload(t, false).addr())
	sessions := tls.NewLRUClientSessionCache(2) // most handshakes are short ones
	// A request whose head is whole and whose body never comes is under way.
	hold := func(host string) bool {
		raw, err := net.Dial("tcp", e.https)
		if err != nil {
			t.Error(err)
			return false
		}
		t.Cleanup(func() { raw.Close() })
		conn := tls.Client(raw, &tls.Config{RootCAs: w.roots, ServerName: host, NextProtos: []string{"http/1.1"}, ClientSessionCache: sessions})
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 1\r\n\r\n")
		return err == nil
	}
	other := env.Endpoint + ".localhost"
	eventually(t, "the certificate of the other environment", func() error {
		if !hold(other) {
			return fmt.Errorf("no handshake")
		}
		return nil
	})
	var dialling sync.WaitGroup
	for range 16 {
		dialling.Go(func() {
			for range limit / 16 {
				hold(w.host) // as long as it gets places
			}
		})
	}
	dialling.Wait()
	if n := int(measured(t, e.admin, `mezu_edge_places_taken{kind="public"}`)); n < limit/2 || n > limit*3/4 {
		t.Errorf("one environment has %d of %d places", n, limit)
	}
	for range 20 {
		if !hold(other) {
			t.Error("the other environment got no place")
		}
	}
}
