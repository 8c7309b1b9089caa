package record

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/sealed/sealedtest"
)

// Whatever a page token says, a listing stays in its collection and in its order.
func FuzzPageToken(f *testing.F) {
	const mine = "prj/org_mine/"
	s := &Records{store: sealedtest.Open(f)}
	for i := range 20 {
		for _, prefix := range []string{"prj/org_another/", mine, "prj/org_mine2/"} {
			key := fmt.Sprintf("%sp%02d", prefix, i)
			value, err := Encode(mezu.Project{Name: key})
			if err != nil {
				f.Fatal(err)
			}
			if _, err := s.store.Commit(f.Context(), store.Txn{Ops: []store.Op{{Key: key, Value: value}}}); err != nil {
				f.Fatal(err)
			}
		}
	}
	show := func(p Record[mezu.Project]) (string, error) { return p.Value.Name, nil }
	first, err := List(f.Context(), s, mine, Paging{Size: 5}, show)
	if err != nil {
		f.Fatal(err)
	}
	scope := mezu.HashSecret(mine)[:16]
	f.Add(first.NextPageToken)
	f.Add("")
	f.Add("x")
	for _, key := range []string{"", "prj/", "prj/org_another/p01", "prj/org_mine/", "prj/org_mine/p19", "prj/org_mine2/p01", "\x00", "\xff"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(scope + key)))
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(scope + store.PageToken(key))))
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(key)))
	}
	f.Fuzz(func(t *testing.T, token string) {
		out, err := List(t.Context(), s, mine, Paging{Size: 5, Token: token}, show)
		if err != nil {
			if problemless(err) {
				t.Fatalf("%q: %v", token, err)
			}
			return
		}
		last := ""
		for _, name := range out.Items {
			if !strings.HasPrefix(name, mine) || name <= last {
				t.Fatalf("%q lists %q", token, out.Items)
			}
			last = name
		}
	})
}

// problemless reports an error that is not the caller's fault.
func problemless(err error) bool { return mezu.CodeOf(err) != mezu.CodeInvalid }
