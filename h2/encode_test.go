package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// What is encoded is what HPACK's own decoder reads, with a table of any size.
func FuzzBlock(f *testing.F) {
	f.Add(200, "Content-Type", "text/html")
	f.Add(503, "x-"+strings.Repeat("long-", 60), strings.Repeat("v", 5000))
	f.Add(101, "Set-Cookie", "")
	f.Fuzz(func(t *testing.T, status int, name, value string) {
		status = 100 + (status%500+500)%500
		var k Block
		k.Status(status)
		k.Field([]byte(name), []byte(value))
		k.FieldText("date", value)
		k.Length(int64(len(value)))
		var got []string
		d := hpack.NewDecoder(0, func(f hpack.HeaderField) { got = append(got, f.Name, f.Value) })
		if _, err := d.Write(k.b); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		lower := []byte(name)
		for i, c := range lower {
			if 'A' <= c && c <= 'Z' {
				lower[i] = c + 'a' - 'A'
			}
		}
		if len(got) != 8 || got[0] != ":status" || len(got[1]) != 3 || got[2] != string(lower) || got[3] != value || got[4] != "date" || got[5] != value || got[6] != "content-length" {
			t.Errorf("%d, %q: %q became %q", status, name, value, got)
		}
	})
}

// The static table is the one of RFC 7541.
func TestStaticNames(t *testing.T) {
	for name, i := range staticNames {
		var got string
		d := hpack.NewDecoder(0, func(f hpack.HeaderField) { got = f.Name })
		if _, err := d.Write(append(appendInt(nil, 4, 0, uint64(i)), 0)); err != nil || got != name {
			t.Errorf("%d is %q, and not %q: %v", i, got, name, err)
		}
	}
	for status, i := range staticStatus {
		var got string
		d := hpack.NewDecoder(0, func(f hpack.HeaderField) { got = f.Value })
		if _, err := d.Write([]byte{0x80 | i}); err != nil || got != string('0'+rune(status/100))+string('0'+rune(status/10%10))+string('0'+rune(status%10)) {
			t.Errorf("%d is %q, and not %d: %v", i, got, status, err)
		}
	}
}
