package backoff_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/mezusphere/mezu/backoff"
)

type selfMade bool

func (s selfMade) Error() string { return "x" }
func (s selfMade) Lasts() bool   { return bool(s) }

// TestLastingCauses: what doesn't pass in a moment is tried a few times where anything else is
// tried dozens of times, and whatever passes is found again as soon as ever.
func TestLastingCauses(t *testing.T) {
	gone := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
	lasting := map[string]error{
		"no such name":  fmt.Errorf("calling: %w", gone),
		"not trusted":   &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"speaks no TLS": fmt.Errorf("x: %w", tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}),
		"says so":       fmt.Errorf("x: %w", selfMade(true)),
	}
	tries := func(err error) (n int) {
		now := time.Unix(0, 0)
		b := backoff.Backoff{Rand: func() float64 { return 0.5 }, Now: func() time.Time { return now }}
		for now.Before(time.Unix(4, 0)) {
			b.Because(err)
			now = now.Add(b.Next())
			n++
		}
		return n
	}
	for name, err := range lasting {
		if n := tries(err); n > 3 {
			t.Errorf("%s: tried %d times in four seconds", name, n)
		}
	}
	for name, err := range map[string]error{"refused": &net.OpError{Op: "dial", Err: errors.New("connection refused")}, "says so": selfMade(false), "none": nil} {
		if n := tries(err); n < 20 {
			t.Errorf("%s: tried %d times in four seconds", name, n)
		}
	}
	now := time.Unix(0, 0)
	b := backoff.Backoff{Rand: most, Last: 5 * time.Second, Now: func() time.Time { return now }}
	for _, want := range []time.Duration{2, 4, 5, 5} {
		for range 8 { // data connections that a peer asked for together
			b.Because(gone)
			if d := b.Next(); d != want*time.Second {
				t.Errorf("wait of %v, want %v s", d, want)
			}
		}
		now = now.Add(want * time.Second)
	}
	b.Because(errors.New("connection refused")) // the name resolves again
	if d := b.Next(); d != 0 {
		t.Errorf("wait of %v after another kind of failure", d)
	}
}
