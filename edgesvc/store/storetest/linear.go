package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/mezusphere/mezu/edgesvc/store"
)

// The load of Linearizable: keys lie in groups, an operation touches one group, and
// the checker looks at each group by itself.
const (
	linearClients = 6
	linearGroups  = 4
	linearKeys    = 2 // of a group
	linearOps     = 1500
	linearPace    = 2 * time.Millisecond
	linearPrefix  = "linear/"
	linearEnd     = linearPrefix + "end"
	// checkTime bounds the checker, which takes exponential time at worst.
	checkTime = 60 * time.Second
)

// Linearizable loads one store through several openings of it at once, while disturb
// breaks things and mends them again, and checks what all clients saw:
//
//   - what was answered is explained by some order of the operations in which each
//     takes effect at one instant between its call and its answer (linearizability,
//     Herlihy and Wing 1990, by the checker of Porcupine);
//   - every watcher of every opening gets the same commits, each whole and once, with
//     revisions that rise by one, and all that were acknowledged are among them, in an
//     order that no two calls that followed each other contradict.
//
// A write whose outcome is unknown must have happened if and only if the watchers saw
// it. If disturb is nil, nothing breaks. All must work again when disturb returns.
func Linearizable(t *testing.T, openings []store.Store, disturb func()) {
	l := &linear{T: t, begin: time.Now()}
	page, err := openings[0].List(t.Context(), linearPrefix, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	var watching, working sync.WaitGroup
	seen := make([][]store.Event, len(openings))
	for i, st := range openings {
		w, err := st.Watch(t.Context(), linearPrefix, page.Position)
		if err != nil {
			t.Fatal(err)
		}
		watching.Go(func() { seen[i] = l.watch(w) })
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range linearClients {
		working.Go(func() { l.client(ctx, i, openings[i%len(openings)]) })
	}
	if disturb != nil {
		disturb()
	}
	for tick := time.NewTicker(10 * time.Millisecond); l.done.Load() < linearOps && !t.Failed(); {
		<-tick.C
	}
	stop()
	working.Wait()
	l.end(openings[0])
	watching.Wait()
	l.check(seen)
}

// cell is the state of one key; revision 0 is none.
type cell struct {
	revision uint64
	value    int
}

// groupState is the state of one group.
type groupState [linearKeys]cell

// linearInput is what a client asked: to read key get of the group, or to commit.
type linearInput struct {
	group  int
	get    int               // -1: a commit
	checks [linearKeys]int64 // -1: none
	writes [linearKeys]int   // 0: none, -1: delete, else the value
}

// linearOutput is what it was answered: what was read, or whether it was done.
type linearOutput struct {
	read     cell
	conflict bool
}

// linearCall is one operation with its times since the begin, in nanoseconds.
type linearCall struct {
	client     int
	in         linearInput
	out        linearOutput
	unknown    bool
	from, till int64
}

type linear struct {
	*testing.T
	begin time.Time
	value atomic.Int64 // the last one written
	done  atomic.Int64 // operations with an answer
	lost  atomic.Int64 // operations without

	mu    sync.Mutex
	calls []linearCall
}

func (l *linear) now() int64 { return int64(time.Since(l.begin)) }

func linearKey(group, key int) string { return fmt.Sprintf("%s%d/%d", linearPrefix, group, key) }

// client asks one thing after another. What it knows of a group is what it read
// last.
func (l *linear) client(ctx context.Context, id int, st store.Store) {
	tick := time.NewTicker(linearPace)
	defer tick.Stop()
	var known [linearGroups]groupState
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		in := l.next(id, n, known)
		c := linearCall{client: id, in: in, from: l.now()}
		if in.get >= 0 {
			c.out.read, c.unknown = l.read(st, in)
			if !c.unknown {
				known[in.group][in.get] = c.out.read
			}
		} else {
			c.out.conflict, c.unknown = l.commit(st, in)
		}
		c.till = l.now()
		if c.unknown {
			l.lost.Add(1)
		} else {
			l.done.Add(1)
		}
		l.mu.Lock()
		l.calls = append(l.calls, c)
		l.mu.Unlock()
	}
}

// next makes the n-th operation of a client: reads, blind writes, and swaps that rest
// on what was read, of one key or of all.
func (l *linear) next(id, n int, known [linearGroups]groupState) linearInput {
	in := linearInput{group: (id + n/3) % linearGroups, get: -1, checks: [linearKeys]int64{-1, -1}}
	key := n % linearKeys
	switch n % 5 {
	case 0, 2:
		in.get = (n / 5) % linearKeys
	case 1: // swap
		in.checks[key] = int64(known[in.group][key].revision)
		in.writes[key] = int(l.value.Add(1))
	case 3: // blind
		in.writes[key] = int(l.value.Add(1))
	case 4: // of all, with a deletion now and then
		for k := range linearKeys {
			in.checks[k] = int64(known[in.group][k].revision)
			in.writes[k] = int(l.value.Add(1))
		}
		if n%3 == 0 {
			in.writes[1-key] = -1
		}
	}
	return in
}

func (l *linear) read(st store.Store, in linearInput) (got cell, unknown bool) {
	r, err := st.Get(l.Context(), linearKey(in.group, in.get))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return cell{}, false
	case errors.Is(err, store.ErrUnavailable):
		return cell{}, true
	case err != nil:
		l.Errorf("reading: %v", err)
		return cell{}, true
	}
	n, err := strconv.Atoi(string(r.Value))
	if err != nil {
		l.Errorf("read %q", r.Value)
	}
	return cell{r.Revision, n}, false
}

func (l *linear) commit(st store.Store, in linearInput) (conflict, unknown bool) {
	var txn store.Txn
	for k := range linearKeys {
		key := linearKey(in.group, k)
		if in.checks[k] >= 0 {
			txn.Checks = append(txn.Checks, store.Check{Key: key, Revision: uint64(in.checks[k])})
		}
		switch v := in.writes[k]; v {
		case 0:
		case -1:
			txn.Ops = append(txn.Ops, del(key))
		default:
			txn.Ops = append(txn.Ops, put(key, strconv.Itoa(v)))
		}
	}
	_, err := st.Commit(l.Context(), txn)
	switch {
	case errors.Is(err, store.ErrConflict):
		return true, false
	case errors.Is(err, store.ErrUnavailable):
		return false, true
	case err != nil:
		l.Errorf("committing: %v", err)
	}
	return false, false
}

// end writes what ends the watchers.
func (l *linear) end(st store.Store) {
	for deadline := time.Now().Add(wait); ; {
		_, err := st.Commit(l.Context(), store.Txn{Ops: []store.Op{put(linearEnd, "0")}})
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("writing after the disturbance: %v", err)
		}
	}
}

// watch collects all events up to the end.
func (l *linear) watch(w store.Watcher) []store.Event {
	var events []store.Event
	timeout := time.NewTimer(10 * wait)
	defer timeout.Stop()
	for {
		select {
		case e, ok := <-w.Events():
			if !ok {
				l.Errorf("watch ended: %v", w.Err())
				return events
			}
			if e.Changes[0].Key == linearEnd {
				return events
			}
			events = append(events, e)
		case <-timeout.C:
			l.Error("the watch does not end")
			return events
		}
	}
}

// check judges what was seen.
func (l *linear) check(seen [][]store.Event) {
	order := l.checkEvents(seen[0])
	for i := range seen[1:] {
		if got, want := formatAll(seen[i+1]), formatAll(seen[0]); got != want {
			l.Errorf("watcher %d saw other events than the first", i+1)
		}
	}
	l.checkAcknowledged(order)
	var history []porcupine.Operation
	for _, c := range l.calls {
		if c.unknown {
			_, happened := order[c.in.mark()]
			if c.in.get >= 0 || !happened {
				continue
			}
			c.till = math.MaxInt64
		}
		history = append(history, porcupine.Operation{ClientId: c.client, Input: c.in, Output: c.out, Call: c.from, Return: c.till})
	}
	if r := porcupine.CheckOperationsTimeout(linearModel(), history, checkTime); r != porcupine.Ok {
		l.Errorf("the history is not linearizable: %v", r)
	}
	l.Logf("%d operations answered, %d not, %d commits watched", l.done.Load(), l.lost.Load(), len(order))
}

// mark is a value that identifies a commit, or 0.
func (in linearInput) mark() int {
	for _, v := range in.writes {
		if v > 0 {
			return v
		}
	}
	return 0
}

// checkEvents replays the events, and gives the place of each commit by its mark.
func (l *linear) checkEvents(events []store.Event) map[int]int {
	order, state := map[int]int{}, map[string]uint64{}
	positions := map[store.Position]bool{}
	for i, e := range events {
		if positions[e.Position] {
			l.Errorf("position %q comes twice", e.Position)
		}
		positions[e.Position] = true
		for _, ch := range e.Changes {
			if ch.Deleted {
				if state[ch.Key] != ch.Revision {
					l.Errorf("%q is deleted at revision %d; it had %d", ch.Key, ch.Revision, state[ch.Key])
				}
				delete(state, ch.Key)
				continue
			}
			if ch.Revision != state[ch.Key]+1 {
				l.Errorf("%q steps from revision %d to %d", ch.Key, state[ch.Key], ch.Revision)
			}
			state[ch.Key] = ch.Revision
			v, _ := strconv.Atoi(string(ch.Value))
			if at, twice := order[v]; twice {
				l.Errorf("the commit of %d comes as event %d and %d", v, at, i)
			}
			order[v] = i
		}
	}
	return order
}

// checkAcknowledged looks for every acknowledged commit among the events, whole and
// in an order that fits the clients' clocks.
func (l *linear) checkAcknowledged(order map[int]int) {
	byPlace := map[int]linearCall{}
	for _, c := range l.calls {
		if c.in.get >= 0 || c.unknown {
			continue
		}
		for _, v := range c.in.writes {
			at, is := order[v]
			switch {
			case v <= 0:
			case c.out.conflict && is:
				l.Errorf("the commit of %d was refused and happened", v)
			case !c.out.conflict && !is:
				l.Errorf("the commit of %d was acknowledged and is lost", v)
			case is && order[c.in.mark()] != at:
				l.Errorf("the commit of %d was delivered in parts", v)
			case is:
				byPlace[at] = c
			}
		}
	}
	last := int64(0) // when the latest call so far began
	for at := range len(order) {
		c, ok := byPlace[at]
		if !ok {
			continue
		}
		if c.till < last {
			l.Errorf("event %d was acknowledged before one in front of it was called for", at)
		}
		last = max(last, c.from)
	}
}

func formatAll(events []store.Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s\n", e.Position, format(e))
	}
	return b.String()
}

// linearModel is the contract for a group of keys.
func linearModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			groups := make([][]porcupine.Operation, linearGroups)
			for _, op := range history {
				g := op.Input.(linearInput).group
				groups[g] = append(groups[g], op)
			}
			return groups
		},
		Init: func() any { return groupState{} },
		Step: func(state, input, output any) (bool, any) {
			return linearStep(state.(groupState), input.(linearInput), output.(linearOutput))
		},
	}
}

func linearStep(state groupState, in linearInput, out linearOutput) (bool, any) {
	if in.get >= 0 {
		return state[in.get] == out.read, state
	}
	holds := true
	for k, c := range in.checks {
		holds = holds && (c < 0 || uint64(c) == state[k].revision)
	}
	if holds == out.conflict {
		return false, state
	}
	if out.conflict {
		return true, state
	}
	for k, v := range in.writes {
		switch {
		case v > 0:
			state[k] = cell{state[k].revision + 1, v}
		case v < 0:
			state[k] = cell{}
		}
	}
	return true, state
}
