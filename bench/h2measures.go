package main

import (
	"context"
	"time"
)

// takeBulkH2 moves bytes both ways over one connection of HTTP/2.
func takeBulkH2(ctx context.Context, b *bench, round int) error {
	cells := make([]cell, 0, 4)
	for _, c := range []struct {
		name    string
		streams int
		move    func(*h2conn, int64) error
	}{{figDown1, 1, (*h2conn).download}, {figDown8, 8, (*h2conn).download}, {figUp1, 1, (*h2conn).upload}, {figUp8, 8, (*h2conn).upload}} {
		cells = append(cells, cell{c.name, func(ctx context.Context, t target) (time.Duration, error) {
			return moveBulkH2(ctx, t, c.streams, c.move)
		}})
	}
	return b.takeCells(ctx, round, "bulk-h2", overHTTP2, cells)
}

// moveBulkH2 connects first and then moves all streams' shares at once.
func moveBulkH2(ctx context.Context, t target, streams int, move func(*h2conn, int64) error) (time.Duration, error) {
	c, err := dialH2(ctx, t)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(cellTime))
	return moveAll(streams, func(int) error { return move(c, bulkBytes/int64(streams)) })
}

// takeLineH2 looks for what holds up small requests on their own connection.
func takeLineH2(ctx context.Context, b *bench, round int) error {
	return b.takeScenes(ctx, round, overHTTP2, b.takeSceneH2)
}

func (b *bench) takeSceneH2(ctx context.Context, round int, t target, s scene) error {
	c, err := dialH2(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(cellTime))
	endless := func(refill int64) (*h2stream, error) {
		stream, err := c.request("GET", pathEndless, refill, true)
		if err != nil {
			return nil, err
		}
		return stream, stream.begun()
	}
	for i := range s.stalled + s.slow {
		stream, err := endless(0)
		if err != nil {
			return err
		}
		if i >= s.stalled {
			go stream.readSlowly()
		}
	}
	var fast *h2stream
	if s.bulk {
		if fast, err = endless(largeWindow); err != nil {
			return err
		}
	}
	if err := pauseFor(ctx, rampTime); err != nil {
		return err
	}
	begin, already := time.Now(), int64(0)
	if fast != nil {
		already = fast.taken.Load()
	}
	took, err := smallRequestsH2(ctx, c, b.o.length)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "line-h2", t.name, s.name, took)
	if fast != nil {
		b.results.put(round, "line-h2", t.name, s.name+rateSuffix, float64(fast.taken.Load()-already)/1e6/time.Since(begin).Seconds())
	}
	return nil
}

// readSlowly gives the peer copySize of a window now and then, until the connection ends.
func (s *h2stream) readSlowly() {
	tick := time.NewTicker(slowPause)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.c.closed:
			return
		}
		if s.c.more(s.id, copySize) != nil {
			return
		}
	}
}

// smallRequestsH2 is smallRequests over one connection of HTTP/2.
func smallRequestsH2(ctx context.Context, c *h2conn, length time.Duration) ([]float64, error) {
	asks := make([]func() error, smallClients)
	for i := range asks {
		asks[i] = c.ask
	}
	return askSteadily(ctx, asks, smallPause, length)
}
