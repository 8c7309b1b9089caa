package strictjson

import (
	"strconv"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
)

type linear struct {
	Routes []mezu.Route                 `json:"routes"`
	Maps   map[string]map[string]string `json:"maps"`
	Flat   map[string]string            `json:"flat"`
	Text   []string                     `json:"text"`
}

func (linear) MaxItems(string) int { return 1 << 20 }

// Row 3 of the attacks: a long key above a long list, and whatever else could have a part
// of the text be looked at again for each of the others. Twice the text takes twice the
// steps.
func TestSteps_AreLinear(t *testing.T) {
	key := strings.Repeat("k", MaxKey)
	for name, text := range map[string]func(n int) string{
		"a long key above a list": func(n int) string {
			return `{"maps":{"` + key + `":{"a":"b"}},"text":["a"` + strings.Repeat(`,"a"`, n) + `]}`
		},
		"long keys":    func(n int) string { return `{"flat":{"` + numbered(n/100, key[:500]+"#\":\"b\",\"") + `c":"d"}}` },
		"many keys":    func(n int) string { return `{"flat":{"` + numbered(n, "#\":\"b\",\"") + `c":"d"}}` },
		"many objects": func(n int) string { return `{"maps":{"` + numbered(n, "#\":{},\"") + `c":{}}}` },
		"many routes":  func(n int) string { return `{"routes":[{}` + strings.Repeat(`,{}`, n/10) + `]}` },
		"a long text":  func(n int) string { return `{"text":["` + strings.Repeat("x", n) + `"]}` },
		"escapes":      func(n int) string { return `{"text":["` + strings.Repeat(`\ud800`, n/10) + `"]}` },
		"error at the end": func(n int) string {
			return `{"maps":{"` + key + `":{"a":"b"}},"text":["a"` + strings.Repeat(`,"a"`, n) + `,7]}`
		},
		"error in the last key": func(n int) string { return `{"flat":{"` + numbered(n, "#\":\"b\",\"") + `c":7}}` },
	} {
		t.Run(name, func(t *testing.T) {
			steps := func(n int) int {
				s := NewScanner(strings.NewReader(text(n)))
				d := decoder{ctx: t.Context(), source: s}
				var into linear
				if err := d.read(&into); (err != nil) != strings.HasPrefix(name, "error") {
					t.Fatal(err)
				}
				return s.steps + d.steps
			}
			const n = 2000
			before := steps(n)
			for _, times := range []int{2, 4, 8, 16} {
				took := steps(times * n)
				if took > 3*before { // a square takes four times as many
					t.Errorf("%d steps, and %d for a text of twice the size", before, took)
				}
				before = took
			}
		})
	}
}

// numbered repeats a part with the number of each in the place of #.
func numbered(n int, part string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(part, "#", strconv.Itoa(1_000_000+i), 1))
	}
	return b.String()
}
