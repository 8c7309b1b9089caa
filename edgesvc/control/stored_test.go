package control_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/edgesvc/store/document"
)

// large are routes of about a megabyte, told apart from others by their mark.
func large(mark string) map[string]any {
	list := make([]any, 1000)
	for i := range list {
		list[i] = map[string]any{"exact": fmt.Sprintf("/%s/%d/%s", mark, i, strings.Repeat("x", 1000))}
	}
	return map[string]any{"routes": list}
}

// Row 5 of the attacks: what an organization's routes and bundles take is bounded, what
// was replaced, refused or deleted included; that is gone within a minute, and makes room.
func TestStored_IsBoundedAndGoes(t *testing.T) {
	t.Parallel()
	const most = 6 << 20 // two of these environments: routes, and a bundle a third larger
	in := controltest.InstallWithStore(t, func(in *controltest.Installation) { in.Quotas = control.Quotas{"bytes": most} })
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x, y := in.Tenant(op, "acme"), in.Tenant(op, "globex")
	replace := func(x *controltest.Tenant, mark string) error {
		_, err := api.Invoke[api.RoutesState](t.Context(), op, api.OpReplaceRoutes, large(mark), x.Path()...)
		return err
	}
	n := 0
	var err error
	for ; err == nil && n < 10; n++ {
		err = replace(x, strconv.Itoa(n))
	}
	if mezu.CodeOf(err) != mezu.CodeConflict || !strings.Contains(err.Error(), "quota of bytes") || n < 2 {
		t.Fatalf("put %d times: %v", n, err)
	}
	if err := replace(y, "0"); err != nil {
		t.Errorf("another organization: %v", err)
	}
	documents := func() (n int) { return len(in.Records("document/")) }
	before := documents()
	// What one PUT left goes, and the environment's own stays.
	tidied := func() bool {
		if err := in.Plane.TestOnlyTidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		return documents() == 4
	}
	if tidied() || documents() != before {
		t.Errorf("%d documents of %d are left at once", documents(), before)
	}
	in.Clock.Advance(document.Grace + time.Second)
	controltest.Eventually(t, "what was replaced to go", tidied)
	state := controltest.Call[api.RoutesState](t, op, api.OpListRoutes, nil, x.Path()...)
	if want := fmt.Sprintf("/%d/", n-2); len(state.Routes) != 1000 || !strings.HasPrefix(state.Routes[0].Exact, want) {
		t.Errorf("%d routes of %.20s, want %s", len(state.Routes), state.Routes[0].Exact, want)
	}
	if err := replace(x, "again"); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	// A process that ended leaves it to the next sweep.
	in.Restart()
	controltest.Call[any](t, in.Client(token, nil), api.OpDeleteEnvironment, nil, x.Path()...)
	in.Clock.Advance(document.Grace + time.Second)
	controltest.Eventually(t, "what is left of a deleted environment to go", func() bool {
		if err := in.Plane.TestOnlyTidy(t.Context()); err != nil {
			t.Fatal(err)
		}
		in.Clock.Advance(document.Grace + time.Second)
		return documents() == 2 && len(in.Records("stored/")) == 1
	})
}

// The image of a directory's logo goes when it is replaced, and with its directory; the one
// that is there stays.
func TestStored_Logos(t *testing.T) {
	t.Parallel()
	in := controltest.InstallWithStore(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	set := func() {
		t.Helper()
		m := image.NewNRGBA(image.Rect(0, 0, 100, 100))
		for i := range m.Pix {
			m.Pix[i] = byte(rand.Uint32())
		}
		var file bytes.Buffer
		if err := png.Encode(&file, m); err != nil {
			t.Fatal(err)
		}
		controltest.Call[any](t, op, api.OpSetLogo, api.Image(file.Bytes()), x.Org, x.Prj, "customers")
	}
	left := func(what string, want int) {
		t.Helper()
		controltest.Eventually(t, what, func() bool {
			if err := in.Plane.TestOnlyTidy(t.Context()); err != nil {
				t.Fatal(err)
			}
			in.Clock.Advance(document.Grace + time.Second)
			return len(in.Records("document/")) == want
		})
	}
	set()
	set()
	left("the logo that was replaced to go", 1)
	in.Restart()
	op = in.Client(token, nil)
	set()
	left("the logo of before the restart to go", 1)
	controltest.Call[api.Image](t, op, api.OpGetLogo, nil, x.Org, x.Prj, "customers")
	controltest.Call[any](t, op, api.OpDeleteDirectory, nil, x.Org, x.Prj, "customers")
	left("the logo to go with its directory", 0)
}
