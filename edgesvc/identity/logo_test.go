package identity_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
	"github.com/mezusphere/mezu/logo"
)

// noise is a PNG of so many pixels a side that can't be compressed.
func noise(t *testing.T, side int) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, side, side))
	for i := range m.Pix {
		m.Pix[i] = byte(rand.Uint32())
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A directory's logo is what was made of the image, changes the directory like any setting,
// and goes with it: the image in the record and the one in chunks.
func TestLogo(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	for _, scope := range []struct {
		create, get, update, remove  api.Operation
		getLogo, setLogo, deleteLogo api.Operation
		params                       []string
	}{
		{api.OpCreateDirectory, api.OpGetDirectory, api.OpUpdateDirectory, api.OpDeleteDirectory, api.OpGetLogo, api.OpSetLogo, api.OpDeleteLogo, []string{x.Org, x.Prj}},
		{api.OpCreateOrganizationDirectory, api.OpGetOrganizationDirectory, api.OpUpdateOrganizationDirectory, api.OpDeleteOrganizationDirectory,
			api.OpGetOrganizationLogo, api.OpSetOrganizationLogo, api.OpDeleteOrganizationLogo, []string{x.Org}},
	} {
		made := controltest.Call[mezu.Directory](t, op, scope.create, map[string]any{"name": "customers", "brand": map[string]any{"name": "Acme"}}, scope.params...)
		one := append(scope.params[:len(scope.params):len(scope.params)], "customers")
		controltest.Refused(t, mezu.CodeNotFound, op, scope.getLogo, nil, one...)
		controltest.Refused(t, mezu.CodeNotFound, op, scope.deleteLogo, nil, one...)
		for i, file := range [][]byte{noise(t, 10), noise(t, 200), noise(t, 240)} {
			want, err := logo.Encode(file)
			if err != nil {
				t.Fatal(err)
			}
			dir := controltest.Call[mezu.Directory](t, op, scope.setLogo, api.Image(file), one...)
			if dir.Brand.Logo != logo.Digest(want) || dir.Brand.Name != "Acme" || dir.Revision != made.Revision+uint64(i)+1 {
				t.Errorf("%s: %+v", scope.setLogo.ID, dir)
			}
			if got := controltest.Call[api.Image](t, op, scope.getLogo, nil, one...); !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, not %d", scope.getLogo.ID, len(got), len(want))
			}
			// The same image again writes nothing.
			before := len(in.Records("audit/"))
			if again := controltest.Call[mezu.Directory](t, op, scope.setLogo, api.Image(want), one...); again.Revision != dir.Revision || len(in.Records("audit/")) != before {
				t.Errorf("%s again: %+v", scope.setLogo.ID, again)
			}
		}
		// A patch leaves it, whatever it says of the brand.
		patched := controltest.Call[mezu.Directory](t, op, scope.update, map[string]any{"brand": nil}, one...)
		if patched.Brand.Logo == "" || patched.Brand.Name != "" {
			t.Errorf("%s: %+v", scope.update.ID, patched)
		}
		stale := api.Call{Operation: scope.setLogo, Params: one, Body: api.Image(noise(t, 5)), IfMatch: 1}
		if err := op.Do(t.Context(), stale, nil); mezu.CodeOf(err) != mezu.CodePreconditionFailed {
			t.Errorf("%s in an old revision: %v", scope.setLogo.ID, err)
		}
		controltest.Call[any](t, op, scope.deleteLogo, nil, one...)
		controltest.Refused(t, mezu.CodeNotFound, op, scope.getLogo, nil, one...)
		if dir := controltest.Call[mezu.Directory](t, op, scope.get, nil, one...); dir.Brand.Logo != "" {
			t.Errorf("%s: %+v", scope.get.ID, dir)
		}
		controltest.Call[any](t, op, scope.setLogo, api.Image(noise(t, 240)), one...)
		controltest.Call[any](t, op, scope.remove, nil, one...)
		if left := in.Records("logo/"); len(left) != 0 {
			t.Errorf("%s left %v", scope.remove.ID, left)
		}
	}
}

// What is no small image is refused by what is wrong with it, and before it takes memory.
func TestLogo_Refused(t *testing.T) {
	in := controltest.Install(t)
	token := in.OperatorToken()
	op := in.Client(token, nil)
	x := in.Tenant(op, "acme")
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	path := api.OpSetLogo.Expand(x.Org, x.Prj, "customers")
	small := string(noise(t, 10))
	var large bytes.Buffer
	if err := jpeg.Encode(&large, image.NewGray(image.Rect(0, 0, logo.MaxSide+1, 10)), nil); err != nil {
		t.Fatal(err)
	}
	const bomb = "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\xc3\x50\x00\x00\xc3\x50\x08\x06\x00\x00\x00\x4b\xaf\x3d\xca"
	for name, c := range map[string]struct{ kind, body, field, detail string }{
		"JSON":         {"application/json", small, "Content-Type", "image/png"},
		"no type":      {"", small, "Content-Type", "image/png"},
		"SVG":          {"image/svg+xml", "<svg/>", "logo", "SVG"},
		"SVG as PNG":   {"image/png", "<svg/>", "logo", "SVG"},
		"nothing":      {"image/png", "", "logo", "no PNG"},
		"text":         {"image/png", `{"name":"x"}`, "logo", "no PNG"},
		"1 MiB":        {"image/png", strings.Repeat("x", 1<<20), "", "262144 bytes"},
		"a bomb":       {"image/png", bomb, "logo", "50000×50000 pixels"},
		"too wide":     {"image/jpeg", large.String(), "logo", "1025×10 pixels"},
		"half of one":  {"image/png", small[:len(small)/2], "logo", "damaged"},
		"noise in PNG": {"image/jpeg", string(noisyJPEG(t)), "logo", "256 KiB"},
	} {
		status, _, answer := in.Raw("PUT", path, token, c.kind, c.body)
		if status != 400 || c.field != "" && !strings.Contains(answer, `"field":"`+c.field+`"`) || !strings.Contains(answer, c.detail) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if status, header, answer := in.Raw("PUT", path, token, "image/jpeg", string(jpegOf(t, 20))); status != 200 || header.Get("ETag") != `"2"` {
		t.Errorf("%d %s", status, answer)
	}
	if status, header, answer := in.Raw("GET", path, token, "", ""); status != 200 || header.Get("Content-Type") != api.LogoType || header.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(answer, "\x89PNG") {
		t.Errorf("%d %v", status, header)
	}
}

func jpegOf(t *testing.T, side int) []byte {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(noise(t, side)))
	var b bytes.Buffer
	if err == nil {
		err = jpeg.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func noisyJPEG(t *testing.T) []byte { return jpegOf(t, 350) }

// Several set a logo at once: one of them is there in the end, with its own digest.
func TestLogo_AtOnce(t *testing.T) {
	in := controltest.InstallWithStore(t)
	op := in.Operator()
	x := in.Tenant(op, "acme")
	controltest.Call[any](t, op, api.OpCreateDirectory, map[string]any{"name": "customers"}, x.Org, x.Prj)
	files := [][]byte{noise(t, 100), noise(t, 101), noise(t, 20), nil}
	_, lost := controltest.Race(len(files), func(i int) error {
		if files[i] == nil {
			_, err := api.Invoke[any](t.Context(), op, api.OpDeleteLogo, nil, x.Org, x.Prj, "customers")
			return err
		}
		_, err := api.Invoke[any](t.Context(), op, api.OpSetLogo, api.Image(files[i]), x.Org, x.Prj, "customers")
		return err
	})
	for _, err := range lost {
		if mezu.CodeOf(err) != mezu.CodeNotFound { // deleted before one was there
			t.Error(err)
		}
	}
	dir := controltest.Call[mezu.Directory](t, op, api.OpGetDirectory, nil, x.Org, x.Prj, "customers")
	image, err := api.Invoke[api.Image](t.Context(), op, api.OpGetLogo, nil, x.Org, x.Prj, "customers")
	if dir.Brand.Logo == "" && mezu.CodeOf(err) != mezu.CodeNotFound || dir.Brand.Logo != "" && (err != nil || logo.Digest(image) != dir.Brand.Logo) {
		t.Errorf("%+v, %v", dir.Brand, err)
	}
}
