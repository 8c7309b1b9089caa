package rest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/event"
	"github.com/mezusphere/mezu/local"
)

// memory is a Host whose tunnels are records, and lead nowhere.
type memory struct {
	hub *event.Hub

	mu       sync.Mutex
	changed  *sync.Cond
	tunnels  map[string]mezu.Tunnel
	attached map[string]int
	clients  int
	token    string
	drained  time.Duration
	down     *local.Shutdown
	replay   local.Replay
	probing  func(ctx context.Context) error // or nil
}

func newMemory() *memory {
	m := &memory{hub: event.NewHub(time.Now), tunnels: map[string]mezu.Tunnel{}, attached: map[string]int{}}
	m.changed = sync.NewCond(&m.mu)
	return m
}

// until waits for a condition.
func (m *memory) until(is func() bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !is() {
		m.changed.Wait()
	}
}

// change changes a tunnel, and tells of it.
func (m *memory) change(id string, change func(*mezu.Tunnel)) (mezu.Tunnel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed.Broadcast()
	t, ok := m.tunnels[id]
	if !ok {
		return t, mezu.Errorf(mezu.CodeNotFound, "there is no tunnel %q", id)
	}
	change(&t)
	m.tunnels[id] = t
	m.tell(id, &t)
	return t, nil
}

func (m *memory) tell(id string, t *mezu.Tunnel) {
	m.hub.Publish(local.Event{Event: mezu.Event{Event: local.EventTunnel}, TunnelID: id, Record: t})
}

func (m *memory) Status() local.Status { return local.Status{Host: local.HostDaemon, PID: 7} }

func (m *memory) List() []mezu.Tunnel {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []mezu.Tunnel
	for i := range len(m.tunnels) {
		out = append(out, m.tunnels[fmt.Sprintf("tun_%d", i)])
	}
	return slices.DeleteFunc(out, func(t mezu.Tunnel) bool { return t.ID == "" })
}

func (m *memory) Get(id string) (mezu.Tunnel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tunnels[id]
	if !ok {
		return t, mezu.Errorf(mezu.CodeNotFound, "there is no tunnel %q", id)
	}
	return t, nil
}

func (m *memory) Open(_ context.Context, spec mezu.TunnelSpec) (local.Opened, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tunnels {
		if t.Environment == spec.Environment {
			return local.Opened{Tunnel: t}, nil
		}
	}
	id := fmt.Sprintf("tun_%d", len(m.tunnels))
	t := mezu.Tunnel{ID: id, Name: mezu.TunnelName(spec.Project, spec.Environment), TunnelSpec: spec, State: mezu.TunnelStarting}
	m.tunnels[id] = t
	m.tell(id, &t)
	return local.Opened{Tunnel: t, New: true}, nil
}

func (m *memory) Patch(_ context.Context, id string, p local.TunnelPatch) (mezu.Tunnel, error) {
	return m.change(id, func(t *mezu.Tunnel) {
		if p.Target != nil {
			t.TunnelTarget = *p.Target
		}
		if p.Detached != nil {
			t.Detached = *p.Detached
		}
	})
}

func (m *memory) Delete(_ context.Context, id string) error {
	_, err := m.change(id, func(*mezu.Tunnel) {})
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tunnels, id)
	m.tell(id, nil)
	return err
}

func (m *memory) Enrol(_ context.Context, id, token string) (mezu.Tunnel, error) {
	return m.change(id, func(t *mezu.Tunnel) { m.token, t.State = token, mezu.TunnelLive })
}

func (m *memory) Start(_ context.Context, id string) (mezu.Tunnel, error) {
	return m.change(id, func(t *mezu.Tunnel) { t.Stopped = false })
}

func (m *memory) Stop(_ context.Context, id string, drain time.Duration) (mezu.Tunnel, error) {
	return m.change(id, func(t *mezu.Tunnel) { m.drained, t.Stopped = drain, true })
}

func (m *memory) Probe(ctx context.Context, id string) (local.Probe, error) {
	_, err := m.Get(id)
	if m.probing != nil {
		err = m.probing(ctx)
	}
	return local.Probe{ConnectMS: 1.5}, err
}

func (m *memory) Attach(id string) (func(), error) {
	if _, err := m.Get(id); err != nil {
		return nil, err
	}
	return m.count(func(n int) { m.attached[id] += n }), nil
}

// held is how many hold a tunnel now.
func (m *memory) held(id string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attached[id]
}

func (m *memory) Hold() func() { return m.count(func(n int) { m.clients += n }) }

// count counts one more, until the function is called that it gives.
func (m *memory) count(add func(n int)) func() {
	change := func(n int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		add(n)
		m.changed.Broadcast()
	}
	change(1)
	return func() { change(-1) }
}

func (m *memory) Shutdown(s local.Shutdown) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = &s
	return nil
}

// Replay makes nothing.
func (m *memory) Replay(_ context.Context, _ string, r local.Replay) ([]string, error) {
	m.replay = r
	return nil, nil
}
