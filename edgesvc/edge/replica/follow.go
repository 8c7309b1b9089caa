package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/backoff"
	"github.com/mezusphere/mezu/trust"
)

// Reasons why a stream is left and opened again at once.
var (
	errRenewed  = errors.New("the certificate was renewed")
	errWentBack = errors.New("the control plane is at an earlier position than it was, as after a restored backup; all that was known is kept and compared with what it has")
	errDiffers  = errors.New("this edge does not have what the control plane says that it must have; asking for everything")
	errHanded   = errors.New("revocations were handed up to the control plane; comparing again")
	errNewKeys  = errors.New("there is a new keyset and statements were rejected before")
)

// follow keeps a stream open until ctx ends.
func (r *Replica) follow(ctx context.Context) {
	var pace backoff.Backoff
	for {
		synced, err := r.stream(ctx)
		r.connected.Store(false)
		if ctx.Err() != nil {
			return
		}
		r.counters.reconnects.Add(1)
		if synced {
			pace.Reset()
		}
		if !errors.Is(err, errRenewed) && !errors.Is(err, errDiffers) && !errors.Is(err, errHanded) {
			r.catchUp.failed(r.away)
		}
		level := slog.LevelWarn
		if errors.Is(err, errRenewed) || errors.Is(err, errHanded) {
			level = slog.LevelInfo
		}
		r.log.Log(ctx, level, "the stream from the control plane ended; serving what is known", "error", err)
		if !cannotResume(err) { // else the next try is for everything
			pace.Because(err)
		}
		if pace.Wait(ctx) != nil {
			return
		}
	}
}

// stream follows one stream to its end. synced says that everything up to the present had
// come before that.
func (r *Replica) stream(ctx context.Context) (synced bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.stop.Store(&cancel)
	r.openParts() // behind the line above: who renews ends this stream, or is seen here
	from := r.applied()
	s, err := r.cfg.Identity.Client().Stream(ctx, from)
	if err != nil {
		if !from.IsZero() && cannotResume(err) {
			r.rewind()
		}
		return false, fmt.Errorf("opening the stream: %w", err)
	}
	defer s.Close()
	r.connected.Store(true)
	r.cfg.OnConnected()
	if from.IsZero() {
		r.beginSnapshot()
	}
	for {
		ev, err := s.Next()
		if err != nil {
			return synced, err
		}
		if !from.IsZero() && !ev.Position.IsZero() && ev.Position.Compare(r.applied()) < 0 {
			r.rewind()
			return synced, errWentBack
		}
		if err := r.take(ev); err != nil {
			return synced, err
		}
		if ev.Kind != api.StreamSynced {
			continue
		}
		if err := r.compare(ev, from.IsZero()); err != nil {
			return synced, err
		}
		synced = true
		r.synced()
	}
}

// compare compares what is here with what the control plane says that it has. all says that
// this stream has sent everything. The error ends the stream, so that the next one does.
func (r *Replica) compare(ev api.StreamEvent, all bool) error {
	differs := r.differences(ev.State)
	switch {
	case len(differs) == 0:
		r.catchUp.differs.Store(false)
		r.catchUp.known = nil
	case all:
		r.log.Error("after all that the control plane has said this edge has something else; it keeps what ends things, and what it serves. Was the control plane restored from an old backup?", "kinds", kinds(differs))
		r.catchUp.differs.Store(true)
		r.catchUp.known = differs
		r.handover.order(ev.Position)
	case !sameDifferences(differs, r.catchUp.known):
		r.log.Error("statements are missing on this edge, or older ones are in force", "kinds", kinds(differs))
		r.rewind()
		return errDiffers
	default:
		r.handover.order(ev.Position) // if that failed before
	}
	return nil
}

// sameDifferences reports whether what is different is the same as before, however many
// statements both sides have by now. It never is for a kind of which there is one statement:
// that may have been replaced, so it is worth asking for everything again.
func sameDifferences(a, b []difference) bool {
	return slices.EqualFunc(a, b, func(a, b difference) bool { return a.kind == b.kind && a.by == b.by && a.by != (api.StatementSet{}) })
}

// kinds are differences in words.
func kinds(differs []difference) string {
	words := make([]string, len(differs))
	for i, d := range differs {
		words[i] = d.String()
	}
	return strings.Join(words, ", ")
}

// cannotResume reports whether the control plane refuses the position from which the edge
// wants to resume, and not the edge.
func cannotResume(err error) bool {
	switch mezu.CodeOf(err) {
	case mezu.CodeInvalid, mezu.CodeNotFound, mezu.CodeConflict, mezu.CodePreconditionFailed:
		return true
	}
	return false
}

// take applies one event and moves the cursor behind it. A statement that can't be applied is
// logged and counted, and the one before it stays in force. The error ends the stream.
func (r *Replica) take(ev api.StreamEvent) error {
	_, before := r.trust().Keyset()
	if err := r.apply(ev); err != nil {
		r.reject(ev, err)
	}
	r.mu.Lock()
	if !ev.Position.IsZero() && ev.Position != r.state.cursor {
		r.state.cursor, r.state.dirty = ev.Position, true
		r.raiseHead(ev.Position)
	}
	incomplete := r.state.incomplete
	r.mu.Unlock()
	r.noteDurable()
	if _, after := r.trust().Keyset(); incomplete && after != before {
		r.rewind()
		return errNewKeys
	}
	return nil
}

// reject counts and logs a statement that was not applied.
func (r *Replica) reject(ev api.StreamEvent, err error) {
	if errors.Is(err, trust.ErrBackwards) {
		r.counters.backwards.Add(1)
		r.log.Error("refusing an older statement", "kind", ev.Kind, "position", ev.Position.String(), "error", err)
		return
	}
	r.counters.rejected.Add(1)
	r.mu.Lock()
	r.state.incomplete, r.state.dirty = true, true
	r.mu.Unlock()
	r.log.Error("rejecting a statement; the last good one stays in force", "kind", ev.Kind, "position", ev.Position.String(), "error", err)
}

// rewind makes the next stream send everything.
func (r *Replica) rewind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.cursor, r.state.durable, r.state.dirty = mezu.Position{}, mezu.Position{}, true
}

// Renewed opens the stream again, under the certificate that the edge has now.
func (r *Replica) Renewed() {
	if stop := r.stop.Load(); stop != nil {
		(*stop)(errRenewed)
	}
}

// beginSnapshot notes that the stream sends everything.
func (r *Replica) beginSnapshot() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.snapshots++
	r.state.incomplete, r.state.snapshot = false, true
}

// synced notes that everything up to the present has come. An environment that a snapshot
// does not name is kept, unless a signed statement says that it is gone: its tombstone, or
// the list of edges, for all up to a position (forgetGone).
func (r *Replica) synced() {
	var gone, freed []string
	r.mu.Lock()
	snapshot := r.state.snapshot
	r.state.snapshot = false
	if snapshot {
		gone, freed = r.forgetGone()
		r.state.unnamed = 0
		for _, d := range r.state.bundles {
			if !d.removed && d.named != r.state.snapshots {
				r.state.unnamed++
			}
		}
	}
	unnamed, environments, cursor := r.state.unnamed, r.state.envs, r.state.cursor
	r.state.dirty = true
	if !r.state.incomplete {
		r.state.lost = nil
	}
	r.mu.Unlock()
	for _, environment := range gone {
		r.remove(bundleFile(environment))
		r.dropKeys(environment)
		r.dropPart(environment)
	}
	for _, label := range freed {
		r.cfg.Certificates.Remove(label)
	}
	if len(gone) > 0 {
		// Before the cursor: after a power cut none of them comes back.
		if err := r.dir.SyncDir(Folder); err != nil {
			r.log.Error("tidying the state directory", "error", err)
		}
	}
	if snapshot && unnamed > 0 {
		r.log.Error("the control plane says nothing of environments that it once had; they are kept. Was it restored from an old backup?",
			"unnamed", unnamed, "environments", environments)
	}
	r.log.Info("in step with the control plane", "position", cursor.String(), "environments", environments)
	r.catchUp.inStep()
	r.Flush()
	r.cfg.Certificates.Retry()
}
