// Package logo makes the logo of a directory of the file of an image: what pages show was
// decoded and encoded anew here, so that nothing but pixels is left of what somebody sent.
//
// What may not live here: where a logo is kept. It imports the domain, namedfile and the
// decoders of the standard library; edgesvc/identity, manifest and cli/directories import it.
package logo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/namedfile"
)

const (
	// MaxSide bounds width and height in pixels. It is more than any page shows, and its
	// square takes 4 MiB while it is encoded.
	MaxSide = 1024
	// maxScans bounds the scans of a JPEG. Each goes over all of the image, however few bytes
	// it has. The usual progressive ones have ten.
	maxScans = 32
)

// format is a kind of image that is taken.
type format struct {
	magic  []string
	config func([]byte) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

func formats() []format {
	return []format{
		{[]string{"\x89PNG\r\n\x1a\n"},
			func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) }},
		{[]string{"\xff\xd8\xff"},
			func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) }},
		{[]string{"GIF87a", "GIF89a"},
			func(b []byte) (image.Config, error) { return gif.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return gif.Decode(bytes.NewReader(b)) }}, // the first picture
	}
}

// Encode makes a PNG of the file of a PNG, JPEG or GIF image. The same file gives the same
// bytes, and so do these when they are encoded again. Its errors are *mezu.Error without a
// field.
func Encode(file []byte) ([]byte, error) {
	if len(file) > mezu.MaxLogo {
		return nil, mezu.Invalid("", "a logo has at most %d bytes", mezu.MaxLogo)
	}
	f, err := formatOf(file)
	if err != nil {
		return nil, err
	}
	// The size comes first: a few bytes can claim to be an image that fills all memory.
	config, err := f.config(file)
	if err != nil {
		return nil, damaged(err)
	}
	if config.Width > MaxSide || config.Height > MaxSide {
		return nil, mezu.Invalid("", "the image has %d×%d pixels; a logo has at most %d×%d", config.Width, config.Height, MaxSide, MaxSide)
	}
	picture, err := f.decode(file)
	if err != nil {
		return nil, damaged(err)
	}
	var out bytes.Buffer
	if err := png.Encode(&out, plain(picture)); err != nil {
		return nil, damaged(err)
	}
	if out.Len() > mezu.MaxLogo {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Detail: "the image takes more than 256 KiB as a PNG", Hint: "make it smaller, or use fewer colours"}
	}
	return out.Bytes(), nil
}

// Read is Encode for a file that somebody named. Its errors say what is wrong with the file,
// and nothing that is in it.
func Read(path string) ([]byte, error) {
	file, err := namedfile.Read(path, mezu.MaxLogo+1)
	if err != nil {
		return nil, err
	}
	return Encode(file)
}

// Digest is what tells logos apart.
func Digest(logo []byte) string {
	sum := sha256.Sum256(logo)
	return hex.EncodeToString(sum[:])
}

// formatOf finds out by the first bytes what an image is.
func formatOf(file []byte) (format, error) {
	for _, f := range formats() {
		for _, magic := range f.magic {
			if !bytes.HasPrefix(file, []byte(magic)) {
				continue
			}
			// In a JPEG nothing but a marker has these two bytes, but for a few by chance.
			if magic[0] == 0xff && bytes.Count(file, []byte("\xff\xda")) > maxScans {
				return f, mezu.Invalid("", "the JPEG image has more than %d scans", maxScans)
			}
			return f, nil
		}
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(file, []byte("\xef\xbb\xbf")), " \t\r\n")
	if bytes.HasPrefix(text, []byte("<")) {
		return format{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: "an SVG image is refused, because it can hold scripts", Hint: "save it as PNG"}
	}
	return format{}, &mezu.Error{Code: mezu.CodeInvalid, Detail: "the file is no PNG, JPEG or GIF image", Hint: "save it as PNG"}
}

func damaged(err error) error {
	return &mezu.Error{Code: mezu.CodeInvalid, Detail: "the image is damaged: " + err.Error(), Cause: err}
}

// plain gives an image in one of the three forms that a PNG of it is decoded to again: with a
// palette, in grey, or of 8 bits a colour.
func plain(picture image.Image) image.Image {
	switch p := picture.(type) {
	case *image.Paletted, *image.Gray, *image.NRGBA:
		return p
	}
	out := image.NewNRGBA(picture.Bounds())
	draw.Draw(out, out.Bounds(), picture, picture.Bounds().Min, draw.Src)
	return out
}
