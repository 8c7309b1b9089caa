package password

import (
	"context"
	"slices"
	"sync"
)

// turns lets few work at a time. The others wait, share by share in turn, and within a
// share in the order in which they came.
type turns struct {
	mu          sync.Mutex
	free        int // workers that have nothing to do; none while somebody waits
	most        int // of all that wait
	mostOfShare int
	count       int                        // of all that wait
	order       []string                   // shares in which somebody waits, the next first
	lines       map[string][]chan struct{} // what is closed when a turn comes, by share
}

func newTurns(workers, waiting int) *turns {
	return &turns{free: workers, most: waiting, mostOfShare: max(1, waiting/maxWaitingPart), lines: map[string][]chan struct{}{}}
}

func (t *turns) waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// enter waits for a turn. It refuses at once with ErrOverloaded, and ends with ctx.
func (t *turns) enter(ctx context.Context, share string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	turn, err := t.join(share)
	if turn == nil {
		return err
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		if !t.quit(share, turn) {
			t.leave() // it came in the same moment
		}
		return ctx.Err()
	}
}

// join takes a free worker, and then gives no channel, or a place behind all of the share.
func (t *turns) join(share string) (turn chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return nil, nil
	}
	if t.count >= t.most || len(t.lines[share]) >= t.mostOfShare {
		return nil, ErrOverloaded
	}
	if len(t.lines[share]) == 0 {
		t.order = append(t.order, share)
	}
	turn = make(chan struct{})
	t.lines[share] = append(t.lines[share], turn)
	t.count++
	return turn, nil
}

// quit gives up waiting. It reports false if the turn had come already.
func (t *turns) quit(share string, turn chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.lines[share], turn)
	if i < 0 {
		return false
	}
	t.count--
	if t.lines[share] = slices.Delete(t.lines[share], i, i+1); len(t.lines[share]) == 0 {
		delete(t.lines, share)
		t.order = slices.DeleteFunc(t.order, func(s string) bool { return s == share })
	}
	return true
}

// leave gives the turn to the first of the next share.
func (t *turns) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == 0 {
		t.free++
		return
	}
	share := t.order[0]
	t.order = slices.Delete(t.order, 0, 1)
	close(t.lines[share][0])
	t.count--
	if t.lines[share] = slices.Delete(t.lines[share], 0, 1); len(t.lines[share]) == 0 {
		delete(t.lines, share)
	} else {
		t.order = append(t.order, share)
	}
}
