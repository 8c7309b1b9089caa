package main

import (
	"context"
	"sync"
	"time"
)

const (
	// streamTime is how long a stream may go on after the end was asked for. A page of a development
	// server holds one all the time, and comes back by itself.
	streamTime = 2 * time.Second
	// firstGrace is how long a connection may have no request yet: browsers open some in advance, and
	// on this machine a request that is under way comes at once.
	firstGrace = time.Second
)

// runEdge runs the edge. When it ends, the edge waits for requests under way: that is said, and
// streams are cut after a while.
func (r *devRun) runEdge(ctx context.Context) error {
	ended, end := context.WithCancel(context.Background())
	var saying sync.WaitGroup
	defer saying.Wait()
	defer end()
	saying.Go(func() { r.drainEdge(ctx, ended) })
	return r.edge.Run(ctx)
}

// drainEdge says what the edge waits for from the end of ctx until it has ended.
func (r *devRun) drainEdge(ctx, ended context.Context) {
	select {
	case <-ctx.Done():
	case <-ended.Done():
		return
	}
	late := time.AfterFunc(streamTime, r.endStreams)
	defer late.Stop()
	r.edge.Waits(ended, r.out.waiting)
}

// endStreams cuts streams. Edge and Warpgate are in this process, and say the same of why.
func (r *devRun) endStreams() { r.edge.EndStreams(r.tunnels.EndStreams) }

// closeEdge cuts everything.
func (r *devRun) closeEdge() {
	r.endStreams()
	r.edge.Close()
}
