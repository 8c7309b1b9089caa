package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/policy"
)

// The table of docs/traffic.md is the order of the code.
func TestOrder_Docs(t *testing.T) {
	page, err := os.ReadFile("../docs/traffic.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| | step | what is judged | where | refusal |\n|---|---|---|---|---|\n")
	for i, r := range policy.Order() {
		var codes []string
		for _, c := range r.Codes {
			codes = append(codes, fmt.Sprintf("%d `%s`", c.Status(), c))
		}
		where := map[policy.Sides]string{policy.AtEdge: "edge", policy.AtWarpgate: "Warpgate", policy.AtBoth: "both"}[r.Sides]
		fmt.Fprintf(&want, "| %d | `%s` | %s | %s | %s |\n", i+1, r.Name, r.Title, where, strings.Join(codes, ", "))
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/traffic.md has not the table\n%s", want.String())
	}
}
