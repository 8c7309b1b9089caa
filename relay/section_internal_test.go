package relay

import (
	"net/http"
	"testing"
)

// The phrases of statuses are those that workloads of HTTP/2 have always gone on with.
func TestReasons(t *testing.T) {
	for status := 100; status < 600; status++ {
		if want := http.StatusText(status); string(reasons[status]) != want && status != 101 {
			t.Errorf("%d: %q, want %q", status, reasons[status], want)
		}
	}
}

// TestKeptSection: a large section leaves no memory to the next one.
func TestKeptSection(t *testing.T) {
	var s Section
	s.Reset(SectionTrailer)
	for range MaxFields {
		s.Add("x-something", "0123456789012345678901234567890123456789")
	}
	s.Reset(SectionTrailer)
	if cap(s.text.bytes) > maxKeptText || cap(s.Fields) > maxKeptFields {
		t.Errorf("%d bytes and %d fields are kept", cap(s.text.bytes), cap(s.Fields))
	}
}
