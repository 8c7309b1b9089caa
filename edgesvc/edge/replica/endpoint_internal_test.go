package replica

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/edge/labels"
)

// domain is an identity of which only the domain is asked.
type domain struct {
	Identity
	suffix string
}

func (d domain) Label(host string) (string, bool) { return strings.CutSuffix(host, d.suffix) }

// R10: every form of a host finds its one endpoint, whether there is one host or
// so many that another way of looking it up might be taken.
func TestR10_ManyHosts(t *testing.T) {
	const suffix = ".edge.example"
	label := func(i int) string { return fmt.Sprintf("app%d-acme", i) }
	r := &Replica{cfg: Config{Identity: domain{suffix: suffix}}, hosts: labels.New[endpoint]()}
	have := 0
	for _, n := range []int{1, 101, 10_000} {
		for ; have < n; have++ {
			r.hosts.Put(label(have), &endpoint{label: label(have)})
		}
		for i := range n {
			name := label(i) + suffix
			for _, form := range []string{name, strings.ToUpper(name), name + ".", name + ":443", "App" + name[3:] + ".:8443"} {
				host, err := mezu.CanonicalHost(form)
				if err != nil {
					t.Fatalf("%q: %v", form, err)
				}
				if e := r.endpoint(host); e == nil || e.label != label(i) {
					t.Fatalf("%d hosts: %q is not %s", n, form, label(i))
				}
			}
		}
		for _, host := range []string{label(n) + suffix, "x." + label(0) + suffix, suffix[1:], label(0)} {
			if r.endpoint(host) != nil {
				t.Fatalf("%d hosts: %q is served", n, host)
			}
		}
	}
}
