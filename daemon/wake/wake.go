// Package wake notices that this machine was asleep, or that its addresses changed: whatever
// was learnt about the network before is void then.
//
// What lives here: how that is told from two looks at clocks and interfaces. What may not:
// what is done about it. Package daemon imports it.
package wake

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// Every is the time between two looks. A person who opens the lid waits as long.
	Every = time.Second
	// jump is how far both clocks come apart if the machine slept: the monotonic one stands
	// still then (Linux, macOS). A clock that is set by less is corrected, and has not slept.
	jump = 2 * time.Second
	// stall is how late a look is if the process stood still: on systems whose monotonic clock
	// goes on in sleep, or because somebody stopped it. A machine under load is late by less.
	stall = 5 * time.Second
)

// Config says by what to tell.
type Config struct {
	// Wall and Monotonic are the clocks: the time of day, and what has passed since some
	// moment. If nil, the system's.
	Wall      func() time.Time
	Monotonic func() time.Duration
	// Addresses lists those of the interfaces, in any order. If nil, the system's.
	Addresses func() ([]string, error)
	// Woken is called with what was noticed.
	Woken func(why string)
}

// Run looks until ctx ends.
func Run(ctx context.Context, cfg Config) {
	t := time.NewTicker(Every)
	defer t.Stop()
	l := newLook(cfg)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if why := l.again(); why != "" {
				cfg.Woken(why)
			}
		}
	}
}

// look is what was seen last.
type look struct {
	Config
	wall      time.Time
	monotonic time.Duration
	addresses string
}

// newLook looks for the first time.
func newLook(cfg Config) *look {
	if cfg.Wall == nil {
		cfg.Wall = time.Now
	}
	if cfg.Monotonic == nil {
		start := time.Now()
		cfg.Monotonic = func() time.Duration { return time.Since(start) }
	}
	if cfg.Addresses == nil {
		cfg.Addresses = addresses
	}
	l := &look{Config: cfg}
	l.wall, l.monotonic, l.addresses = l.Wall().Round(0), l.Monotonic(), l.list()
	return l
}

// again looks again and says what has happened since the last look, if anything has.
func (l *look) again() string {
	wall, monotonic, list := l.Wall().Round(0), l.Monotonic(), l.list()
	passed, ran := wall.Sub(l.wall), monotonic-l.monotonic
	before := l.addresses
	l.wall, l.monotonic = wall, monotonic
	if list != "" { // a list that can't be had says nothing
		l.addresses = list
	}
	switch {
	case (passed - ran).Abs() > jump:
		return fmt.Sprintf("the clock jumped by %s", (passed - ran).Round(time.Second))
	case ran > Every+stall:
		return fmt.Sprintf("the process stood still for %s", ran.Round(time.Second))
	case list != "" && list != before:
		return "the addresses of this machine changed"
	}
	return ""
}

// list is the addresses as one text, whatever their order.
func (l *look) list() string {
	all, err := l.Addresses()
	if err != nil {
		return ""
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// addresses are those of this machine, which are reached from here alone left out.
func addresses() ([]string, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	out := []string{"some"} // a machine without network has an empty list, which is one too
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			out = append(out, n.String())
		}
	}
	return out, nil
}
