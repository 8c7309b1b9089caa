package pages

import (
	"strings"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// TestOperationsPage: from nothing to a Warpgate on a second machine that serves.
func TestOperationsPage(t *testing.T) {
	t.Parallel()
	testkit.Programs(t, "etcd")
	play(t, "docs/operations.md", world{
		machines: []string{"control", "web", "edge-2", "plane-1", "plane-2", "plane-3"},
		names: names{all: map[string]string{
			"control.example.com": "10.0.0.1", "edge.example.com": "10.0.0.1", "*.edge.example.com": "10.0.0.1", "edge-2.example.com": "10.0.0.3",
			"plane-1": "10.0.0.11", "plane-2": "10.0.0.12", "plane-3": "10.0.0.13",
		}},
		seen: map[string]sight{
			"-subj \"/CN=etcd CA\"": {"web", "until grep -q 'tunnel up.* address=edge-2.example.com:443' /page/staying/warpgate.log; do sleep 0.05; done"},
		},
		before: func(t *testing.T, all map[string]*machine) {
			all["web"].serves(8080, "hello")
			all["control"].enter("mkdir", "-p", "/media/safe", "/backup")
		},
	})
}

// TestStartWarns: each name and address that no other machine can use is named at the start, with
// the flag that sets another, and no edge is told to be at "all addresses".
func TestStartWarns(t *testing.T) {
	t.Parallel()
	m := newMachines(t, names{}, "control")["control"]
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--domain edge.example.com --https-addr :443 --api-addr :7443", []string{
			`what="the edge domain, what clients are told of the edge, what Warpgates are told of the edge" value=edge.example.com because="it does not resolve here" flag=--domain`,
			`value=localhost because="it is the machine that uses it" flag=--api-hosts`,
		}},
		{"--domain localhost --api-hosts 127.0.0.1 --https-addr 127.0.0.1:443 --api-addr 127.0.0.1:7443 --tunnel-addr 127.0.0.1:8443 --tunnel-address 10.0.0.1:443", []string{
			"flag=--api-addr", "what=\"the edge domain\" value=localhost because", "what=\"the API's certificate\" value=127.0.0.1 because",
			"what=\"the listener of public HTTPS, what clients are told of the edge\" value=127.0.0.1 because=\"it is the machine that uses it\" flag=--https-addr", "flag=--tunnel-addr",
		}},
	} {
		log := m.enter("sh", "-c", `exec stay mezusphere "$1" /page/programs/mezusphere all --state /var/lib/mezusphere $2`, "sh", c.want[len(c.want)-1], c.args)
		if n := strings.Count(log, warning); n != len(c.want) || strings.Contains(log, "told=[::]") {
			t.Errorf("%s: %d warnings\n%s", c.args, n, log)
		}
		for _, want := range c.want {
			if !strings.Contains(log, want) {
				t.Errorf("%s: no %s in\n%s", c.args, want, log)
			}
		}
	}
}
