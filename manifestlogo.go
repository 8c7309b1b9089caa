package mezu

import (
	"encoding/base64"
	"strings"
)

// ManifestBrand is what a manifest says of a directory's brand.
type ManifestBrand struct {
	// Name stands on the pages and in mails, at most MaxBrandName characters; if empty, the
	// project's.
	Name string `json:"name,omitempty"`
	// Color is written #rrggbb.
	Color string `json:"color,omitempty"`
	// Logo is the path of the file of an image, which only mezu.yaml can have; or the image
	// itself as a data URL, when a manifest is sent; or the digest of the logo that the
	// directory has, in an export. If empty, the directory has none.
	Logo string `json:"logo,omitempty"`
}

// How a logo begins that is no path. A file whose name begins so is written ./NAME.
const (
	logoData   = "data:"
	logoDigest = "sha256:"
)

// maxLogoPath bounds the path of a logo's file.
const maxLogoPath = 1 << 10

// digestLength is the length of a SHA-256 in hexadecimal.
const digestLength = 64

// SetLogo makes an image the logo.
func (b *ManifestBrand) SetLogo(image []byte) {
	b.Logo = logoData + "image/png;base64," + base64.StdEncoding.EncodeToString(image)
}

// SetLogoDigest makes the logo with this SHA-256 the logo, one that the directory has.
func (b *ManifestBrand) SetLogoDigest(sha256 string) { b.Logo = logoDigest + sha256 }

// LogoDigest is the SHA-256 of the logo if the manifest has that.
func (b *ManifestBrand) LogoDigest() (sha256 string, ok bool) {
	return strings.CutPrefix(b.Logo, logoDigest)
}

// LogoFile is the path of the logo's file if the manifest has that.
func (b *ManifestBrand) LogoFile() (path string, ok bool) {
	return b.Logo, b.Logo != "" && !strings.HasPrefix(b.Logo, logoData) && !strings.HasPrefix(b.Logo, logoDigest)
}

// LogoImage is the file of the logo's image if the manifest has that.
func (b *ManifestBrand) LogoImage() (file []byte, ok bool, err error) {
	url, ok := strings.CutPrefix(b.Logo, logoData)
	if !ok {
		return nil, false, nil
	}
	kind, text, found := strings.Cut(url, ",")
	if !found || !strings.HasPrefix(kind, "image/") || !strings.HasSuffix(kind, ";base64") {
		return nil, true, Invalid("", "is a data URL that begins like data:image/png;base64,")
	}
	if base64.StdEncoding.DecodedLen(len(text)) > MaxLogo+2 { // what stands for padding counts
		return nil, true, Invalid("", "a logo has at most %d bytes", MaxLogo)
	}
	if file, err = base64.StdEncoding.DecodeString(text); err != nil {
		return nil, true, Invalid("", "is a data URL whose base64 is damaged")
	}
	return file, true, nil
}

// validateLogo checks how the logo is written. Whether it is one shows when it is decoded.
func (b *ManifestBrand) validateLogo(field string) error {
	if digest, ok := b.LogoDigest(); ok {
		if len(digest) != digestLength || strings.Trim(digest, "0123456789abcdef") != "" {
			return Invalid(field, "is sha256: and %d hexadecimal digits in lower case", digestLength)
		}
		return nil
	}
	if path, ok := b.LogoFile(); ok {
		return validateText(field, path, maxLogoPath)
	}
	_, _, err := b.LogoImage()
	return at(field, err)
}

// brand is the entity's part that the manifest describes.
func (b *ManifestBrand) brand() Brand {
	out := Brand{Name: b.Name, Color: b.Color}
	if digest, ok := b.LogoDigest(); ok {
		out.Logo = digest
	}
	return out
}

// Manifest is what a manifest says of a brand that is like this one.
func (b *Brand) Manifest() ManifestBrand {
	out := ManifestBrand{Name: b.Name, Color: b.Color}
	if b.Logo != "" {
		out.SetLogoDigest(b.Logo)
	}
	return out
}
