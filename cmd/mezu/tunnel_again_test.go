package main

import (
	"strings"
	"testing"
)

// TestTunnelTwice: two at once, a run that is refused, and an environment that was made anew.
func TestTunnelTwice(t *testing.T) {
	world := start(t, t.TempDir())
	port, other := serveText(t, "app"), serveText(t, "other")

	t.Run("at once", func(t *testing.T) {
		p := newTunneller(t, world, nil)
		p.do("daemon", "start")
		addresses := map[string]bool{}
		var all []*held
		for range 4 {
			all = append(all, p.open(port, "--name", "twins"))
		}
		for _, h := range all {
			addresses[h.said(h.out, addressLine)] = true
		}
		if len(addresses) != 1 {
			t.Errorf("%v", addresses)
		}
		for _, h := range all {
			h.stop()
		}
	})

	t.Run("refused", func(t *testing.T) {
		p := newTunneller(t, world, nil)
		out, _ := p.do("tunnel", port, "--detach", "--wait", "--name", "held")
		name := strings.TrimPrefix(strings.SplitN(out, "-dev.localhost", 2)[0], "https://shop-")
		before, _ := p.do("routes", "list", "-e", name, "-o", "json")
		code, _, talk := p.mezu("tunnel", other, "--name", "held", "--allow-cidr", "192.0.2.0/24")
		after, _ := p.do("routes", "list", "-e", name, "-o", "json")
		if code != 5 || before != after {
			t.Errorf("code %d: %s\n%s\n%s", code, talk, before, after)
		}
		second := newTunneller(t, world, nil)
		until(t, "it is known to be connected", func() bool {
			out, _ := p.do("warpgates", "list", "-e", name)
			return strings.Contains(out, "\tconnected\t")
		})
		code, _, talk = second.mezu("tunnel", other, "--name", "held", "--auth", "users")
		after, _ = p.do("routes", "list", "-e", name, "-o", "json")
		if code != 5 || before != after {
			t.Errorf("code %d: %s\n%s\n%s", code, talk, before, after)
		}
		p.do("tunnel", "rm", name)
	})

	t.Run("made anew", func(t *testing.T) {
		p := newTunneller(t, world, nil)
		out, _ := p.do("tunnel", port, "--detach", "--wait", "--name", "anew")
		address := strings.TrimSpace(out)
		name := strings.TrimPrefix(strings.SplitN(out, "-dev.localhost", 2)[0], "https://shop-")
		p.do("daemon", "stop")
		p.do("environments", "delete", name, "--yes")
		// The next daemon knows only what is on the disk.
		out, talk := p.do("tunnel", port, "--detach", "--name", "anew")
		if strings.TrimSpace(out) != address || !strings.Contains(talk, ", made now; ") {
			t.Errorf("%s%s", out, talk)
		}
		p.becomes(address, 200)
		p.do("tunnel", "rm", name)
	})
}
