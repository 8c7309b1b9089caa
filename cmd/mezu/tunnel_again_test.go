package main

import (
	"fmt"
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
		routes := func() string {
			out, _ := p.do("routes", "list", "-e", name, "-o", "json")
			return out
		}
		before := routes()
		code, _, talk := p.mezu("tunnel", other, "--name", "held", "--allow-cidr", "192.0.2.0/24")
		after := routes()
		if code != 5 || before != after {
			t.Errorf("code %d: %s\n%s\n%s", code, talk, before, after)
		}
		second := newTunneller(t, world, nil)
		until(t, "it is known to be connected", func() bool {
			out, _ := p.do("warpgates", "list", "-e", name)
			return strings.Contains(out, "\tconnected\t")
		})
		code, _, talk = second.mezu("tunnel", other, "--name", "held", "--auth", "users")
		after = routes()
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

	t.Run("the same password", func(t *testing.T) {
		p := newTunneller(t, world, map[string]string{"MEZU_BASIC_AUTH": "chosen-password-of-ada"})
		first := p.open(port, "--name", "pass", "--basic-auth", "ada")
		first.said(first.out, addressLine)
		again := p.open(port, "--name", "pass", "--basic-auth", "ada")
		again.said(again.out, addressLine)
		again.stop()
		other := newTunneller(t, world, map[string]string{"MEZU_BASIC_AUTH": "another-password", "MEZU_HOME": p.env["MEZU_HOME"]})
		if code, _, talk := other.mezu("tunnel", port, "--name", "pass", "--basic-auth", "ada"); code != 5 || !strings.Contains(talk, "is open here already, with another password or none") {
			t.Errorf("code %d: %s", code, talk)
		}
		first.stop()
	})

	t.Run("many", func(t *testing.T) {
		p := newTunneller(t, world, nil)
		var targets []string
		for i := range 25 {
			targets = append(targets, fmt.Sprintf("t%d=%s", i, port))
		}
		if code, _, talk := p.mezu(append([]string{"tunnel"}, targets...)...); code != 2 || talk != "mezu: 25 tunnels are asked for, and one command holds 24 at most\n  try: --detach, which leaves them to the daemon\n" {
			t.Errorf("code %d: %s", code, talk)
		}
	})
}
