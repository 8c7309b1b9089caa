package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// What the usage of a flag lists is what its value is completed by.
func TestListedValues(t *testing.T) {
	want := []string{
		"audit --outcome: done denied",
		"directories --mfa: off optional required",
		"directories --signup: open invite closed",
		"environments --waf: off detect block",
		"members --role: owner admin developer viewer billing",
		"orgs --device-login: true false",
		"routes --auth-method: session bearer service_account basic",
		"routes --auth: none optional required",
		"routes --cors-credentials: true false",
		"routes --encoded-slashes: true false",
		"routes --rate-limit-by: user ip key",
		"routes --redirect-status: 301 302 303 307 308",
		"routes --waf: off detect block",
		"routes --websocket: true false",
		"users --status: active inactive suspended",
	}
	got := map[string]bool{}
	var look func(path []string, c *cli.Command)
	look = func(path []string, c *cli.Command) {
		for _, f := range c.Flags {
			if d, ok := f.(cli.DocGenerationFlag); ok && d.TakesValue() && len(path) > 0 {
				if values := listedValues(d.GetUsage()); len(values) > 0 {
					got[fmt.Sprintf("%s --%s: %s", path[0], f.Names()[0], strings.Join(values, " "))] = true
				}
			}
		}
		for _, s := range c.Subcommands {
			look(append(slices.Clone(path), s.Name), s)
		}
	}
	look(nil, Tree())
	for _, w := range want {
		if !got[w] {
			t.Errorf("%s: it is not completed", w)
		}
	}
	for _, usage := range []string{"work in the project `NAME` (MEZU_PROJECT)", "those that fit the `WORDS`: status:5xx path:/hooks/*", "let only in who knows: MEZU_BASIC_AUTH, else one that is made", "", "only `N`"} {
		if got := listedValues(usage); len(got) > 0 {
			t.Errorf("%q lists %q", usage, got)
		}
	}
}
