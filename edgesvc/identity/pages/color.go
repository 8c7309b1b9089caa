package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
)

// paint gives the style that depends on the brand's colour.
func paint(color string) string {
	if !hexColor.MatchString(color) {
		color = ourColor
	}
	return ":root{--brand:" + color + "}"
}

var hexColor = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

// ourColor is for directories without one.
const ourColor = "#3457d5"

// programOrigin is the address on which a program on the visitor's machine waits.
var programOrigin = regexp.MustCompile(`^http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}$`)

// policy allows what the page has in itself, its own logo, and forms to its own host.
func (v View) policy(colors string) string {
	forms := "'self'"
	if programOrigin.MatchString(v.Program) {
		forms += " " + v.Program
	}
	return "default-src 'none'; style-src '" + digest(style) + "' '" + digest(colors) + "'; script-src '" + digest(script) +
		"'; img-src 'self'; form-action " + forms + "; frame-ancestors 'none'; base-uri 'none'"
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
