package logo_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/logo"
)

// painted fills an image with what no encoder finds too easy.
func painted[T interface {
	Set(x, y int, c color.Color)
	Bounds() image.Rectangle
}](m T) T {
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			m.Set(x, y, color.NRGBA{uint8(5 * x), uint8(7 * y), uint8(x * y), uint8(255 - x)})
		}
	}
	return m
}

func asPNG(t *testing.T, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Every kind of image that is taken becomes a PNG of the same pixels, which stays what it is
// when it is encoded again.
func TestEncode(t *testing.T) {
	area := image.Rect(0, 0, 40, 30)
	var asJPEG, grey, asGIF, animated bytes.Buffer
	frame := painted(image.NewPaletted(area, palette.WebSafe))
	part := painted(image.NewPaletted(image.Rect(5, 5, 10, 10), palette.WebSafe))
	for _, err := range []error{
		jpeg.Encode(&asJPEG, painted(image.NewRGBA(area)), nil), jpeg.Encode(&grey, painted(image.NewGray(area)), nil), gif.Encode(&asGIF, frame, nil),
		gif.EncodeAll(&animated, &gif.GIF{Image: []*image.Paletted{frame, part}, Delay: []int{1, 1}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	transparent := append(color.Palette{color.RGBA{}}, palette.WebSafe[:3]...)
	for name, file := range map[string][]byte{
		"RGB":            asPNG(t, painted(image.NewRGBA(area))),
		"transparent":    asPNG(t, painted(image.NewNRGBA(area))),
		"16 bits":        asPNG(t, painted(image.NewNRGBA64(area))),
		"grey":           asPNG(t, painted(image.NewGray(area))),
		"16 bits grey":   asPNG(t, painted(image.NewGray16(area))),
		"palette":        asPNG(t, frame),
		"few colours":    asPNG(t, painted(image.NewPaletted(area, transparent))),
		"JPEG":           asJPEG.Bytes(),
		"grey JPEG":      grey.Bytes(),
		"GIF":            asGIF.Bytes(),
		"animated":       animated.Bytes(),
		"data behind it": append(asPNG(t, frame), "<script>alert(1)</script>"...),
	} {
		made, err := logo.Encode(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		was, _, err := image.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		is, err := png.Decode(bytes.NewReader(made))
		if err != nil || is.Bounds().Size() != was.Bounds().Size() {
			t.Fatalf("%s: %v, %v", name, is, err)
		}
		r, g, b, a := was.At(13, 11).RGBA()
		R, G, B, A := is.At(13, 11).RGBA()
		if r>>8 != R>>8 || g>>8 != G>>8 || b>>8 != B>>8 || a>>8 != A>>8 {
			t.Errorf("%s: %v became %v", name, was.At(13, 11), is.At(13, 11))
		}
		again, err := logo.Encode(made)
		if err != nil || !bytes.Equal(again, made) || logo.Digest(again) != logo.Digest(made) {
			t.Errorf("%s: encoded again it is another, %v", name, err)
		}
		if bytes.Contains(made, []byte("script")) {
			t.Errorf("%s: more than pixels is left", name)
		}
	}
	if len(logo.Digest(nil)) != 64 {
		t.Error(logo.Digest(nil))
	}
}

// header is a PNG that says it has this size, and has no pixels.
func header(width, height uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32([]byte("IHDR"), width)
	ihdr = append(binary.BigEndian.AppendUint32(ihdr, height), 8, 6, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(ihdr))
}

// scans is a progressive JPEG of 1,024×1,024 pixels in which each scan of a few bytes goes
// over all of them.
func scans(n int) []byte {
	out := append([]byte("\xff\xd8\xff\xdb\x00\x43\x00"), bytes.Repeat([]byte{1}, 64)...)
	out = append(out, "\xff\xc2\x00\x0b\x08\x04\x00\x04\x00\x01\x01\x11\x00"...)
	for _, table := range []string{"\x00\x01", "\x10\x01"} {
		out = append(append(append(out, "\xff\xc4\x00\x14"...), table...), make([]byte, 15)...)
		out = append(out, "\x00\xe0"[table[0]>>4])
	}
	out = append(out, bytes.Repeat([]byte("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10\x7f\xfe\x7f\xfe\x00\x00"), n)...)
	return append(out, "\xff\xd9"...)
}

func TestEncode_Refuses(t *testing.T) {
	noise := image.NewNRGBA(image.Rect(0, 0, 300, 300))
	for i := range noise.Pix {
		noise.Pix[i] = byte(rand.Uint32())
	}
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, noise, nil); err != nil {
		t.Fatal(err)
	}
	good := asPNG(t, painted(image.NewNRGBA(image.Rect(0, 0, 40, 30))))
	for name, c := range map[string]struct {
		file   []byte
		detail string
	}{
		"nothing":            {nil, "no PNG, JPEG or GIF"},
		"text":               {[]byte("GIF"), "no PNG, JPEG or GIF"},
		"WebP":               {[]byte("RIFF\x24\x00\x00\x00WEBPVP8 "), "no PNG, JPEG or GIF"},
		"SVG":                {[]byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), "SVG"},
		"SVG with a head":    {[]byte("\xef\xbb\xbf\n<?xml version=\"1.0\"?>\n<svg/>"), "SVG"},
		"file too large":     {append(bytes.Clone(good), make([]byte, mezu.MaxLogo)...), "262144 bytes"},
		"a bomb":             {header(50_000, 50_000), "50000×50000"},
		"one that is wide":   {header(logo.MaxSide+1, 1), "1025×1"},
		"one that is high":   {header(1, logo.MaxSide+1), "1×1025"},
		"a bomb in GIF":      {[]byte("GIF89a\xff\xff\xff\xff\x00\x00\x00;"), "65535×65535"},
		"one without pixels": {header(10, 10), "damaged"},
		"one without size":   {header(0, 10), "damaged"},
		"cut":                {good[:len(good)/2], "damaged"},
		"many scans":         {scans(33), "32 scans"},
		"noise":              {photo.Bytes(), "256 KiB as a PNG"},
	} {
		_, err := logo.Encode(c.file)
		if mezu.CodeOf(err) != mezu.CodeInvalid || !strings.Contains(err.Error(), c.detail) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := logo.Encode(scans(32)); err != nil {
		t.Errorf("as many scans as are allowed: %v", err)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add(header(10, 10))
	f.Add(scans(2))
	f.Add([]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"))
	f.Fuzz(func(t *testing.T, file []byte) {
		made, err := logo.Encode(file)
		if err != nil {
			return
		}
		if again, err := logo.Encode(made); err != nil || !bytes.Equal(again, made) {
			t.Errorf("encoded again it is another: %v", err)
		}
	})
}
