package daemon

import (
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Attach holds a tunnel open until detach is called, and local.AttachGrace longer.
func (h *Host) Attach(id string) (detach func(), err error) {
	t, err := h.find(id)
	if err != nil {
		return nil, err
	}
	at, err := t.attach()
	if err != nil {
		return nil, err
	}
	if at == waiting {
		h.spawn(func() { h.startAlone(t) })
	}
	t.look()
	return sync.OnceFunc(t.detach), nil
}

// attach is the beginning of an Attach.
func (t *tunnel) attach() (phase, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phase == draining || t.phase == removed {
		return t.phase, &mezu.Error{Code: mezu.CodeConflict, Detail: *t.name.Load() + " is closing", Hint: "open it again when it has"}
	}
	t.attached++
	t.expireAfter(0)
	return t.phase, nil
}

// detach is the end of one Attach.
func (t *tunnel) detach() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attached--
	if t.attached == 0 && !t.spec.Detached && t.given == nil {
		t.expireAfter(local.AttachGrace)
	}
	t.look()
}

// expireAfter has the tunnel end after a while, if it is still to; zero says that it isn't.
// t.mu is held.
func (t *tunnel) expireAfter(d time.Duration) {
	if t.grace != nil {
		t.grace.Stop()
		t.grace = nil
	}
	if d > 0 {
		t.grace = time.AfterFunc(d, func() { t.h.spawn(func() { t.h.expire(t) }) })
	}
}

// expire ends a tunnel that nobody holds. Its folder is kept, so that the next one to its
// environment is the same Warpgate.
func (h *Host) expire(t *tunnel) {
	if t.act(h.leave) != nil {
		return
	}
	defer t.acted()
	t.mu.Lock()
	held := t.attached > 0 || t.spec.Detached || t.phase == removed
	t.mu.Unlock()
	if held {
		return
	}
	if err := h.persist(true, forget(t.id)); err != nil {
		h.log.Error("a tunnel that nobody holds could not be taken off the disk", "tunnel", *t.name.Load(), "error", err)
	}
	t.end(removed, local.DrainTimeout)
	h.drop(t)
}
