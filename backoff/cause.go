package backoff

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// LastingCeiling bounds the first wait after a failure whose cause does not pass in a moment, as
// FirstCeiling does after others. Each wait after it doubles the ceiling at once, but for those
// that are asked for before it may be over.
const LastingCeiling = 2 * time.Second

// Lasts reports whether the cause of a failure is one that a peer which restarts doesn't have
// and that trying at once doesn't mend: a name that doesn't resolve, a certificate that isn't
// trusted, a port that speaks something else, or an error in the chain that says so itself,
// by a method Lasts.
func Lasts(err error) bool {
	var own interface{ Lasts() bool }
	if errors.As(err, &own) && own.Lasts() {
		return true
	}
	var name *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	return errors.As(err, &name) || errors.As(err, &untrusted) || errors.As(err, &plain)
}

// Because says why the last try failed: when the cause lasts, the waits are longer from the
// first one on. Another kind of cause than before begins anew.
func (b *Backoff) Because(err error) {
	if lasting := Lasts(err); lasting != b.lasting {
		b.ceiling, b.lasting = 0, lasting
	}
}
