package strictjson_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/strictjson"
)

// Row 2 of the attacks: lists of every length are read as they are written, wherever the
// room for them is made anew, and whichever list left it.
func TestRow2_ListsOfEveryLength(t *testing.T) {
	methods := []string{`"GET"`, `"PUT"`, `"POST"`}
	for _, n := range []int{0, 1, 2, 3, 32, 33, 34, 66, 67, 68, 255, 256, 257, 511, 512, 513, 521, 1023, 1024, 1025, 2100} {
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
		var got, want mezu.Manifest
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		if err := strictjson.Decode(t.Context(), strings.NewReader(text), strictjson.Options{}, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("lists of %d are not read as package json does", n)
		}
	}
}
