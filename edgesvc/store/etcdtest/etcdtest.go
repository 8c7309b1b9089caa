// Package etcdtest runs etcd clusters of three members with mutual TLS for tests, as
// processes of the etcd that is installed; package inprocess below embeds them.
//
// What lives here: starting members, killing them and bringing them back. What may not:
// anything that is linked into a program. Only tests and benchmarks import it.
package etcdtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	engine "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Members is how many members a cluster has.
const Members = 3

// Times of the raft protocol: etcd's own heartbeat, and twice its election timeout, so that
// a machine that is busy with other tests loses no leader. The shortest lease is one and a
// half times Election.
const (
	Heartbeat = 100 * time.Millisecond
	Election  = 2 * time.Second
)

// startTime bounds the start of a cluster on a busy machine.
const startTime = 60 * time.Second

// Test is what a cluster needs of the test that it runs for, such as a *testing.T or a
// *testing.B. Fatal, Fatalf and Skip don't return.
type Test interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Failed() bool
	Skip(args ...any)
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Cluster is a running cluster. Its methods are for one goroutine at a time.
type Cluster struct {
	// Endpoints are the members' client URLs, in their order.
	Endpoints []string
	// CAFile, CertFile and KeyFile are the files that a client needs.
	CAFile, CertFile, KeyFile string

	t       Test
	members []Member
	sites   []Site
}

// Member is one member of a cluster, which owns it.
type Member interface {
	// Start may be called again after Kill.
	Start() error
	// Kill ends the member without a warning to anybody.
	Kill()
	// Leads reports whether the member is the leader, as far as is known without asking.
	Leads() bool
}

// Site is what a member is started with.
type Site struct {
	Name, Dir    string
	Peer, Client url.URL
	// Initial is etcd's list of all members.
	Initial string
	// CAFile, CertFile and KeyFile are for members and clients alike.
	CAFile, CertFile, KeyFile string
}

// StartProcesses runs a cluster of the etcd on PATH until the test ends, and skips the
// test where there is none.
func StartProcesses(t Test) *Cluster {
	t.Helper()
	path := program(t)
	return StartMembers(t, func(s Site) Member { return &process{site: s, path: path, t: t} })
}

// StartMembers runs a cluster of members of some kind until the test ends.
func StartMembers(t Test, make func(Site) Member) *Cluster {
	t.Helper()
	dir := t.TempDir()
	f, err := writeFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, CAFile: f.ca, CertFile: f.cert, KeyFile: f.key}
	addrs := freeAddrs(t, 2*Members)
	sites, initial := []Site{}, ""
	for i := range Members {
		s := Site{Name: fmt.Sprint("member", i), Dir: filepath.Join(dir, fmt.Sprint("member", i)), CAFile: f.ca, CertFile: f.cert, KeyFile: f.key,
			Peer: url.URL{Scheme: "https", Host: addrs[2*i]}, Client: url.URL{Scheme: "https", Host: addrs[2*i+1]}}
		if i > 0 {
			initial += ","
		}
		initial += s.Name + "=" + s.Peer.String()
		sites = append(sites, s)
		c.Endpoints = append(c.Endpoints, s.Client.String())
	}
	t.Cleanup(c.stop)
	for _, s := range sites {
		s.Initial = initial
		m := make(s)
		if err := m.Start(); err != nil {
			t.Fatalf("starting %s: %v", s.Name, err)
		}
		c.members, c.sites = append(c.members, m), append(c.sites, s)
	}
	c.Leader()
	return c
}

// freeAddrs finds ports that nobody listens on now.
func freeAddrs(t Test, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// stop ends all members, the leader last: then none is left that would be elected.
func (c *Cluster) stop() {
	for _, last := range []bool{false, true} {
		for _, m := range c.members {
			if m.Leads() == last {
				m.Kill()
			}
		}
	}
}

// TLS is a client's configuration.
func (c *Cluster) TLS() *tls.Config {
	c.t.Helper()
	config, err := files{c.CAFile, c.CertFile, c.KeyFile}.client()
	if err != nil {
		c.t.Fatal(err)
	}
	return config
}

// Kill ends a member as a power failure would: it hands nothing over.
func (c *Cluster) Kill(i int) { c.members[i].Kill() }

// Restart starts a killed member on what it had on disk.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	if err := c.members[i].Start(); err != nil {
		c.t.Errorf("restarting member %d: %v", i, err)
	}
}

// Wipe kills all members and starts them on empty disks, as a cluster that was
// rebuilt in a hurry: it has the same id, and none of the data.
func (c *Cluster) Wipe() {
	c.t.Helper()
	c.stop()
	for _, s := range c.sites {
		if err := os.RemoveAll(s.Dir); err != nil {
			c.t.Fatal(err)
		}
	}
	for i := range c.members {
		c.Restart(i)
	}
	c.Leader()
}

// Leader waits until a majority agrees on a leader, and tells which member that is.
func (c *Cluster) Leader() int {
	c.t.Helper()
	client, err := engine.New(engine.Config{Endpoints: c.Endpoints, TLS: c.TLS(), Logger: zap.NewNop()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	deadline := time.Now().Add(startTime)
	tick := time.NewTicker(Heartbeat)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if i, ok := leader(client, c.Endpoints); ok {
			return i
		}
		<-tick.C
	}
	c.t.Fatalf("no leader within %v", startTime)
	return 0
}

// leader asks every member, and gives the leader that a majority names.
func leader(client *engine.Client, endpoints []string) (int, bool) {
	votes, where := map[uint64]int{}, map[uint64]int{}
	for i, e := range endpoints {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		resp, err := client.Status(ctx, e)
		cancel()
		if err != nil {
			continue
		}
		votes[resp.Leader]++
		where[resp.Header.MemberId] = i
	}
	for id, n := range votes {
		if i, here := where[id]; here && id != 0 && n > Members/2 {
			return i, true
		}
	}
	return 0, false
}
