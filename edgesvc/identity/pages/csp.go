package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
)

// programOrigin is where a program on the visitor's own machine waits.
var programOrigin = regexp.MustCompile(`^http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}$`)

// The style and the script are the same on all pages.
var styleDigest, scriptDigest = digest(style), digest(script)

// policy allows what the page has in itself, the logo, and forms to its own host.
func (v View) policy(colors string) string {
	images, forms := "'self'", "'self'"
	if v.Brand.Logo == "" {
		images = "data:" // the icon
	}
	if programOrigin.MatchString(v.Program) {
		forms += " " + v.Program
	}
	return "default-src 'none'; style-src " + styleDigest + " " + digest(colors) + "; script-src " + scriptDigest +
		"; img-src " + images + "; form-action " + forms + "; frame-ancestors 'none'; base-uri 'none'"
}

// digest is how a policy names inline content.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
