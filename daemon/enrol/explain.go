package enrol

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Explain gives the code, message and hint of an event for an error: its own if it is
// one of the domain, else the likeliest reason.
func Explain(err error, now time.Time) (code mezu.Code, message, hint string) {
	var e *mezu.Error
	var expired x509.CertificateInvalidError
	var unreachable *api.UnreachableError
	switch {
	case errors.As(err, &expired) && expired.Reason == x509.Expired && expired.Cert != nil:
		return mezu.CodeUnavailable, fmt.Sprintf("the peer's certificate is good from %s to %s, and this machine's clock says %s",
			stamp(expired.Cert.NotBefore), stamp(expired.Cert.NotAfter), stamp(now)), "check the clock of this machine"
	case errors.As(err, &e):
		hint = e.Hint
		c := *e
		c.Hint = ""
		return e.Code, c.Error(), hint
	case errors.As(err, &unreachable):
		message, hint = unreachable.Explain()
		return mezu.CodeUnavailable, message, cmp.Or(hint, "check the address, the network and HTTPS_PROXY")
	}
	return mezu.CodeInternal, err.Error(), ""
}

// stamp is how messages show a time.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
