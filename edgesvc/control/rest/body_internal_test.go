package rest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

// Row 2 of the attacks: the memory of bodies is bounded for one caller, one organization
// and all together, and small ones are served however much others send.
func TestBodies_AreCounted(t *testing.T) {
	b := &bodies{by: map[string]int{}}
	open := func(holders ...string) *body {
		return &body{bodies: b, holders: holders, reader: strings.NewReader("")}
	}
	full := open("ana", "acme")
	if err := full.charge(smallBody + bodyShare); err != nil {
		t.Fatal(err)
	}
	for name, holders := range map[string][]string{"the caller elsewhere": {"ana", "globex"}, "another of the organization": {"eve", "acme"}} {
		next := open(holders...)
		if err := next.charge(smallBody); err != nil {
			t.Errorf("%s, a small body: %v", name, err)
		}
		if err := next.charge(1); mezu.CodeOf(err) != mezu.CodeRateLimited {
			t.Errorf("%s: %v", name, err)
		}
		next.done()
	}
	var others []*body
	for i := range maxBodies/bodyShare - 1 {
		others = append(others, open(fmt.Sprint("caller", i), fmt.Sprint("org", i)))
		if err := others[i].charge(smallBody + bodyShare); err != nil {
			t.Fatal(err)
		}
	}
	late := open("una", "initech")
	if err := late.charge(smallBody); err != nil {
		t.Errorf("a small body when all is taken: %v", err)
	}
	if err := late.charge(1); !errors.Is(err, errBodiesFull) || problem(err, "").GetHeaders().Get("Retry-After") == "" {
		t.Errorf("when all is taken: %v", err)
	}
	for _, o := range append(others, full, late) {
		o.done()
		o.done()
	}
	if b.all != 0 || len(b.by) != 0 {
		t.Errorf("%d bytes and %v are left", b.all, b.by)
	}
}
