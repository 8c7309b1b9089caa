package strictjson_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// Row 2 of the attacks: lists of every length are read as they are written, wherever the
// room for them is made anew, and whichever list left it.
func TestRow2_ListsOfEveryLength(t *testing.T) {
	methods := []string{`"GET"`, `"PUT"`, `"POST"`}
	for k, n := range []int{0, 1, 2, 3, 32, 33, 34, 66, 67, 68, 255, 256, 257, 511, 512, 513, 521, 1023, 1024, 1025, 2100} {
		var b strings.Builder
		b.WriteString(`{"environments":{`)
		for e, length := range []int{n, n / 2, n + 1, n} {
			parts := make([]string, length)
			for i := range parts {
				parts[i] = fmt.Sprintf(`{"exact":"/%d/%d","methods":[%s]}`, e, i, strings.Join(methods[:i%4], ","))
			}
			fmt.Fprintf(&b, `"e%d":{"routes":[%s]},`, e, strings.Join(parts, ","))
		}
		text := strings.TrimSuffix(b.String(), ",") + `}}`
		var want mezu.Manifest
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		var got mezu.Manifest
		length := []int{0, 1, len(text) / 2, len(text), 10 * len(text)}[k%5]
		if err := strictjson.Decode(t.Context(), strings.NewReader(text), strictjson.Options{Length: length}, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("lists of %d in what is said to be %d of %d bytes are not read as package json does", n, length, len(text))
		}
		for name, e := range got.Environments {
			if len(e.Routes) > 64 && cap(e.Routes) > len(e.Routes) {
				t.Errorf("what is appended to %s would be written over the list behind it", name)
			}
		}
	}
}

// Row 2 of the attacks: of many routes, however they are spread over environments, hardly
// one is copied while they are read; what is made for them is counted, whatever is said
// of the text's length, and however short its first entries are.
func TestRow2_ListsAreNotCopied(t *testing.T) {
	const all = mezu.MaxManifestRoutes / 4
	route := func(n int) string {
		return fmt.Sprintf(`{"exact":"/some/path/%d","methods":["GET","POST"],"upstream":"localhost:8080","timeout":"30s","allow_ips":["10.0.0.0/8"]}`, n)
	}
	text := func(environments int, route func(int) string) string {
		var b strings.Builder
		b.WriteString(`{"environments":{`)
		for n := range all / environments * environments {
			if n%(all/environments) == 0 {
				b.WriteString(strings.TrimPrefix(fmt.Sprintf(`]},"e%d":{"routes":[`, n), map[bool]string{true: "]},"}[n == 0]))
			} else {
				b.WriteString(",")
			}
			b.WriteString(route(n))
		}
		b.WriteString(`]}}}`)
		return b.String()
	}
	size := int(reflect.TypeFor[mezu.Route]().Size())
	for name, c := range map[string]struct {
		text   string
		length float64 // that is said, ÷ the true one
		most   float64 // of what all routes take
	}{
		"two environments":                {text(2, route), 1, 1.4},
		"three":                           {text(3, route), 1, 1.4},
		"eight":                           {text(8, route), 1, 1.5},
		"thirty":                          {text(30, route), 1, 1.6},
		"two, and the longest allowed":    {text(2, route), 7, 4.5},
		"two, and nobody knows":           {text(2, route), 0, 3},
		"two, and the first entries long": {text(2, func(n int) string { return map[bool]string{true: strings.Repeat(" ", 1<<10)}[n < 64] + route(n) }), 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			counted := 0
			o := strictjson.Options{Length: int(c.length * float64(len(c.text))), Charge: func(n int) error { counted += n; return nil }}
			var into mezu.Manifest
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := strictjson.Decode(t.Context(), strings.NewReader(c.text), o, &into)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			took := float64(after.TotalAlloc - before.TotalAlloc)
			t.Logf("%.2f of what the routes take, %.2f counted", took/float64(all*size), float64(counted)/float64(all*size))
			if took > c.most*float64(all*size) {
				t.Errorf("%d routes took %.0f bytes, %.2f times what they take themselves", all, took, took/float64(all*size))
			}
			if float64(counted) < 0.8*took {
				t.Errorf("%.0f bytes were made, and %d counted", took, counted)
			}
		})
	}
}
