package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/net/http2"
)

// Names of figures about memory with HTTP/2.
const (
	figPerConnection = "KiB per connection"
	partEdge         = ", edge"
	partWarpgate     = ", Warpgate"
	resident         = ", resident"
)

const (
	// idleConnections make a request each and are left alone.
	idleConnections = 1000
	// socketsOfOne is how many of the idle WebSockets share a connection: as many as a
	// page may well have, and fewer than an edge allows.
	socketsOfOne = 80
)

var errNoSockets = errors.New("WebSockets over HTTP/2 (RFC 8441) are not spoken")

// takeIdleH2 is takeIdle for connections of HTTP/2 and WebSockets on them.
func takeIdleH2(ctx context.Context, b *bench, round int) error {
	if err := b.takeIdleReferences(ctx, round); err != nil {
		return err
	}
	if err := b.observe(ctx, fmt.Sprintf("idle-h2-%d", round), func(i *observed) error { return takeIdleConnections(ctx, b, round, i) }); err != nil {
		return err
	}
	c, err := dialH2(ctx, b.ours)
	if err != nil {
		return err
	}
	extended := c.extended
	c.Close()
	if !extended {
		return errNoSockets
	}
	return b.observe(ctx, fmt.Sprintf("idle-h2-sockets-%d", round), func(i *observed) error { return takeIdleSocketsH2(ctx, b, round, i) })
}

// takeIdleReferences is what an idle connection costs ReverseProxy, and nginx, which has no
// garbage.
func (b *bench) takeIdleReferences(ctx context.Context, round int) error {
	return b.inTurn(ctx, round, func(t target) bool { return t.name == nameGoProxy || t.name == nameNginx }, func(t target) error {
		used := func() (float64, error) {
			if _, err := wrk(ctx, b.dir, t, 2*time.Second); err != nil {
				return 0, err
			}
			if err := pauseFor(ctx, restTime); err != nil {
				return 0, err
			}
			if t.name == nameGoProxy {
				if _, err := askProfiler(ctx, filepath.Join(b.dir, "goproxy.sock"), "/collect"); err != nil {
					return 0, err
				}
			}
			return t.procs[0].rssOfAll()
		}
		before, err := used()
		if err != nil {
			return err
		}
		end, err := openIdle(ctx, t)
		defer end()
		if err != nil {
			return err
		}
		after, err := used()
		b.results.put(round, "idle-h2", t.name, figPerConnection, (after-before)/idleConnections)
		return err
	})
}

// openIdle makes connections with a request each.
func openIdle(ctx context.Context, t target) (end func(), err error) {
	var conns []*h2conn
	end = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range idleConnections {
		c, err := dialH2(ctx, t)
		if err != nil {
			return end, err
		}
		conns = append(conns, c)
		if err := c.ask(); err != nil {
			return end, err
		}
	}
	return end, nil
}

func takeIdleConnections(ctx context.Context, b *bench, round int, i *observed) error {
	before, err := i.measure(ctx, i.in.dir)
	if err != nil {
		return err
	}
	end, err := openIdle(ctx, i.t)
	defer end()
	if err != nil {
		return err
	}
	after, err := i.measure(ctx, i.in.dir)
	if err == nil {
		err = b.keepHeaps(ctx, i, "connections-h2")
	}
	if err != nil {
		return err
	}
	b.results.put(round, "idle-h2", nameOurs, figPerConnection, (after.edgeUsed-before.edgeUsed)/idleConnections)
	b.results.put(round, "idle-h2", nameOurs, figPerConnection+uncollected, (after.edge-before.edge)/idleConnections)
	return nil
}

func takeIdleSocketsH2(ctx context.Context, b *bench, round int, i *observed) error {
	before, err := i.measure(ctx, i.in.dir)
	if err != nil {
		return err
	}
	for range idleSockets / socketsOfOne {
		c, err := dialH2(ctx, i.t)
		if err != nil {
			return err
		}
		defer c.Close()
		for n := range socketsOfOne {
			if err := c.openSocket(); err != nil {
				return fmt.Errorf("WebSocket %d of a connection: %w", n, err)
			}
		}
	}
	after, err := i.measure(ctx, i.in.dir)
	if err == nil {
		err = b.keepHeaps(ctx, i, "sockets-h2")
	}
	if err != nil {
		return err
	}
	edge, warpgate := after.edgeUsed-before.edgeUsed, after.warpgateUsed-before.warpgateUsed
	put := func(name string, v float64) { b.results.put(round, "idle-h2", nameOurs, name, v/idleSockets) }
	put(figPerSocket, edge+warpgate)
	put(figPerSocket+partEdge, edge)
	put(figPerSocket+partWarpgate, warpgate)
	put(figPerSocket+uncollected, after.edge+after.warpgate-before.edge-before.warpgate)
	return nil
}

// openSocket makes a WebSocket of a stream and exchanges one message.
func (c *h2conn) openSocket() error {
	s, err := c.request("CONNECT", pathEcho, usualWindow, false, ":protocol", "websocket", "sec-websocket-version", "13")
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(answerTime))
	defer c.SetDeadline(time.Time{})
	if err := s.begun(); err != nil {
		return err
	}
	message := []byte(socketMessage)
	echo := make(chan struct{})
	c.mu.Lock()
	s.echo, s.echoed = echo, int64(len(message))
	c.mu.Unlock()
	if err := c.writeFrame(http2.FrameData, 0, s.id, message); err != nil {
		return err
	}
	select {
	case <-echo:
		return nil
	case err := <-s.ended:
		return errors.Join(err, errors.New("the WebSocket ended before its message came back"))
	}
}

// Versions of HTTP that a reader speaks.
const (
	readerHTTP1 = "HTTP/1.1"
	readerHTTP2 = "HTTP/2"
)

// figReader names a figure of a reader of one version and a workload of a scheme.
func figReader(version, scheme string) string {
	return "KiB per reader, " + version + " from " + scheme
}

// takeReadersH2 is what a reader who takes nothing costs: in heap and stacks that are in use, and
// beside it in resident memory, which has what the allocator keeps between objects, too. All readers
// of HTTP/2 share one connection, whose window holds all of theirs.
func takeReadersH2(ctx context.Context, b *bench, round int) error {
	p, line, err := b.startHelper("h2workload", "-cert", b.pair.cert, "-key", b.pair.key)
	if err != nil {
		return err
	}
	defer p.stop()
	var addr string
	if _, err := fmt.Sscan(line, &addr); err != nil {
		return err
	}
	return b.observe(ctx, fmt.Sprintf("readers-h2-%d", round), func(i *observed) error {
		for _, workload := range []struct{ scheme, upstream string }{{"http", addr}, {"h2c", "h2c://" + addr}} {
			w, t, err := i.in.addWorkload(ctx, "readers-"+workload.scheme, workload.upstream)
			if err != nil {
				return err
			}
			defer w.stop()
			if _, err := awaitServed(ctx, t); err != nil {
				return err
			}
			own := &observed{in: i.in, warpgate: w, t: t}
			for _, readers := range []struct {
				version, heaps string
				open           func(ctx context.Context, t target) (end func(), err error)
			}{{readerHTTP1, "readers", openReaders}, {readerHTTP2, "readers-h2", openReadersH2}} {
				if err := b.takeReaders(ctx, round, own, figReader(readers.version, workload.scheme), readers.heaps+"-from-"+workload.scheme, readers.open); err != nil {
					return fmt.Errorf("%s from %s: %w", readers.version, workload.scheme, err)
				}
			}
		}
		return nil
	})
}

func (b *bench) takeReaders(ctx context.Context, round int, i *observed, name, heaps string, open func(ctx context.Context, t target) (func(), error)) error {
	before, err := i.measure(ctx, i.in.dir)
	if err != nil {
		return err
	}
	end, err := open(ctx, i.t)
	defer end()
	if err != nil {
		return err
	}
	after, err := i.rested(ctx)
	if err == nil {
		err = b.keepHeaps(ctx, i, heaps)
	}
	if err != nil {
		return err
	}
	put := func(name string, edge, warpgate float64) {
		b.results.put(round, "readers-h2", nameOurs, name, (edge+warpgate)/slowReaders)
		b.results.put(round, "readers-h2", nameOurs, name+partEdge, edge/slowReaders)
		b.results.put(round, "readers-h2", nameOurs, name+partWarpgate, warpgate/slowReaders)
	}
	put(name, after.edgeHeld-before.edgeHeld, after.warpgateHeld-before.warpgateHeld)
	put(name+resident, after.edgeUsed-before.edgeUsed, after.warpgateUsed-before.warpgateUsed)
	return nil
}

// openReadersH2 begins downloads and takes what the usual window of each lets through.
func openReadersH2(ctx context.Context, t target) (end func(), err error) {
	c, err := dialH2(ctx, t)
	if err != nil {
		return func() {}, err
	}
	end = func() { c.Close() }
	c.SetDeadline(time.Now().Add(cellTime))
	for range slowReaders {
		s, err := c.request("GET", pathEndless, 0, true)
		if err != nil {
			return end, err
		}
		if err := s.begun(); err != nil {
			return end, err
		}
	}
	return end, nil
}
