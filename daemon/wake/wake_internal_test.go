package wake

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// machine is what the clocks and interfaces of a machine show.
type machine struct {
	wall      time.Time
	monotonic time.Duration
	addresses []string
	err       error
}

func (m *machine) config() Config {
	return Config{Wall: func() time.Time { return m.wall }, Monotonic: func() time.Duration { return m.monotonic },
		Addresses: func() ([]string, error) { return append([]string{}, m.addresses...), m.err }}
}

// pass lets a time pass on both clocks.
func (m *machine) pass(d time.Duration) { m.wall, m.monotonic = m.wall.Add(d), m.monotonic+d }

func TestLook(t *testing.T) {
	m := &machine{wall: time.Unix(1700000000, 0), addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}}
	l := newLook(m.config())
	for _, c := range []struct {
		name   string
		change func()
		want   string
	}{
		{"a second", func() { m.pass(time.Second) }, ""},
		{"a slow second", func() { m.pass(3 * time.Second) }, ""},
		{"sleep", func() { m.pass(time.Second); m.wall = m.wall.Add(8 * time.Hour) }, "clock jumped by 8h"},
		{"a second after", func() { m.pass(time.Second) }, ""},
		{"a clock set back", func() { m.pass(time.Second); m.wall = m.wall.Add(-time.Hour) }, "clock jumped by -1h"},
		{"a clock corrected", func() { m.pass(time.Second); m.wall = m.wall.Add(500 * time.Millisecond) }, ""},
		{"stopped", func() { m.pass(time.Minute) }, "stood still for 1m"},
		{"another order", func() { m.pass(time.Second); m.addresses = []string{"2001:db8::1/64", "192.0.2.1/24"} }, ""},
		{"another network", func() { m.pass(time.Second); m.addresses = []string{"198.51.100.7/24"} }, "addresses"},
		{"no answer", func() { m.pass(time.Second); m.err = errors.New("busy") }, ""},
		{"the same again", func() { m.pass(time.Second); m.err = nil }, ""},
		{"no network", func() { m.pass(time.Second); m.addresses = []string{"some"} }, "addresses"},
	} {
		c.change()
		if got := l.again(); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := make(chan string, 10)
		var asleep atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		go Run(ctx, Config{Wall: func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }, Addresses: func() ([]string, error) { return []string{"192.0.2.1/24"}, nil },
			Woken: func(why string) { woken <- why }})
		<-time.After(3*Every + Every/2)
		asleep.Store(int64(time.Hour))
		<-time.After(3 * Every)
		cancel()
		synctest.Wait()
		if len(woken) != 1 {
			t.Errorf("woken %d times", len(woken))
		}
	})
}

// TestAddresses: those of this machine can be had.
func TestAddresses(t *testing.T) {
	if all, err := addresses(); err != nil || len(all) == 0 {
		t.Errorf("%q, %v", all, err)
	}
}
