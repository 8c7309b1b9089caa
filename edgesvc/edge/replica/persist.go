package replica

import "context"

// writeWaiting writes what waits now, the log of revocations first, and reports whether
// all of it is on disk. What was tried in vain before is tried only with again.
func (r *Replica) writeWaiting(again bool) (all bool) {
	logged := r.writeRevocations(again)
	return r.dir.Flush(again) == nil && logged
}

// writeRevocations writes what was added to the log of revocations, and reports whether
// all of it is on disk.
func (r *Replica) writeRevocations(again bool) bool {
	if r.revoked == nil {
		return true
	}
	_, failed := r.revoked.Unwritten()
	if failed && !again {
		return false
	}
	err := r.revoked.Flush()
	if err != nil && !failed {
		r.dir.Unsaved(revocationsLog, err)
	}
	return err == nil
}

// persist writes what was left to be written soon, until ctx ends.
func (r *Replica) persist(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.dir.Wake():
		}
		for !r.noteDurable() && ctx.Err() == nil {
			r.writeWaiting(false)
		}
	}
}

// noteDurable notes the cursor as durable and reports true, if no file waits for its first
// write. The control plane may then be told that what it said so far is in force, since a
// kill would not undo that.
func (r *Replica) noteDurable() bool {
	at := r.applied()
	if !r.dir.Idle() {
		return false
	}
	if waits, _ := r.revoked.Unwritten(); waits {
		return false
	}
	r.mu.Lock()
	changed := r.state.durable != at
	r.state.durable = at
	r.mu.Unlock()
	if changed {
		r.cfg.OnDurable()
	}
	return true
}
