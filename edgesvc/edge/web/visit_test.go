package web

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/policy"
)

// sites counts how often somebody looks for a host.
type sites struct {
	site  *policy.Site
	looks atomic.Int32
}

func (s *sites) Site(string) *policy.Site { s.looks.Add(1); return s.site }

// A connection looks for its host once, follows what is in force there, and looks again
// when the environment has lost the host.
func TestVisit(t *testing.T) {
	compiled := func(environment string, revision uint64) *policy.Table {
		table, err := policy.Compile(&mezu.Bundle{Environment: environment, Endpoint: "shop", Issued: time.Unix(0, 0), Position: mezu.Position{Epoch: 1, Revision: revision}, Enabled: true})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	first, second, other := compiled("env_00000000000000000000000001", 1), compiled("env_00000000000000000000000001", 2), compiled("env_00000000000000000000000002", 3)
	hosts := &sites{}
	v := (&Server{cfg: Config{Hosts: hosts}}).visitTo("Shop.Example.com.")
	if v.host != "shop.example.com" {
		t.Errorf("the host is %q", v.host)
	}
	expect := func(want *policy.Table, looks int32) {
		t.Helper()
		hosts.looks.Store(0)
		decided, _ := v.choose(&policy.Request{Method: "GET"})
		if decided != want || v.table() != want || hosts.looks.Load() != looks {
			t.Errorf("decided by %v, in force %v, %d looks", decided, v.table(), hosts.looks.Load())
		}
	}
	expect(nil, 2) // nobody has the host
	was := &policy.Site{}
	was.Set(first)
	hosts.site = was
	expect(first, 1)
	was.Set(second)
	expect(second, 0)
	hosts.site = nil
	was.Set(nil)
	expect(nil, 2) // the environment is gone
	hosts.site = &policy.Site{}
	hosts.site.Set(other)
	expect(other, 1) // another has the host
}
