package relay_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/relay"
)

func genInfo(t *rapid.T) relay.RequestInfo {
	info := relay.RequestInfo{
		ID:       rapid.StringMatching(`[A-Za-z0-9._-]{1,128}`).Draw(t, "id"),
		Position: mezu.Position{Epoch: rapid.Uint64().Draw(t, "epoch"), Revision: rapid.Uint64().Draw(t, "revision")},
	}
	switch rapid.IntRange(0, 2).Draw(t, "address") {
	case 1:
		info.Client = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
	case 2:
		info.Client = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6"))).Unmap()
	}
	if g := rapid.SliceOfN(rapid.Byte(), 0, mezu.MaxGrant).Draw(t, "grant"); len(g) > 0 {
		info.Grant = g
	}
	return info
}

func TestRequestInfoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genInfo(t)
		raw := relay.AppendRequestInfo(relay.AppendProbe(nil), &want)
		var r relay.Reader
		r.Reset(iotest.OneByteReader(bytes.NewReader(append(raw, "GET"...))))
		defer r.Release()
		if kind, p, err := r.ReadTyped(); kind != relay.KindProbe || len(p) != 0 || err != nil {
			t.Fatal(kind, p, err)
		}
		kind, p, err := r.ReadTyped()
		if kind != relay.KindRequest || err != nil {
			t.Fatal(kind, err)
		}
		got := relay.RequestInfo{ID: "old", Grant: []byte("old"), Client: netip.IPv6Loopback()}
		if err := relay.ParseRequestInfo(p, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		// Every prefix is refused, and so is anything behind it.
		cut := rapid.IntRange(0, len(p)-1).Draw(t, "cut")
		if relay.ParseRequestInfo(p[:cut], &got) == nil {
			t.Fatalf("a prefix of %d of %d bytes is accepted", cut, len(p))
		}
		if relay.ParseRequestInfo(append(bytes.Clone(p), 0), &got) == nil {
			t.Fatal("a byte too many is accepted")
		}
	})
}

func TestRequestInfoHostile(t *testing.T) {
	rest := string(make([]byte, 18))
	for name, p := range map[string]string{
		"empty":                   "",
		"address of 5 bytes":      "\x05abcde\x01x" + rest,
		"address past the end":    "\x10abc",
		"no id":                   "\x00\x00" + rest,
		"id with a space":         "\x00\x03a b" + rest,
		"id with CRLF":            "\x00\x04a\r\nb" + rest,
		"id over the limit":       "\x00\x81" + strings.Repeat("a", 129) + rest,
		"id past the end":         "\x00\xffabc",
		"grant longer than there": "\x00\x01x" + rest[:16] + "\xff\xff" + "abc",
		"grant shorter":           "\x00\x01x" + rest[:16] + "\x00\x01" + "abc",
	} {
		var info relay.RequestInfo
		if err := relay.ParseRequestInfo([]byte(p), &info); err == nil {
			t.Errorf("%s: accepted as %+v", name, info)
		}
	}
}

func TestFailureRoundTrip(t *testing.T) {
	for _, want := range []relay.Failure{
		{Code: mezu.CodeWorkloadRefused, Detail: "nothing there", Unsent: true},
		{Code: mezu.CodeInternal},
		{Code: mezu.CodeRefusedByWarpgate, Detail: strings.Repeat("d", 512)},
	} {
		var r relay.Reader
		r.Reset(bytes.NewReader(relay.AppendFailure(nil, &want)))
		kind, p, err := r.ReadTyped()
		if kind != relay.KindFailure || err != nil {
			t.Fatal(kind, err)
		}
		if got, err := relay.ParseFailure(p); err != nil || *got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		r.Release()
	}
	long := relay.AppendFailure(nil, &relay.Failure{Code: mezu.CodeInternal, Detail: strings.Repeat("d", 10_000)})
	if f, err := relay.ParseFailure(long[4:]); err != nil || len(f.Detail) != 512 {
		t.Errorf("a long detail: %v", err)
	}
}

func TestFailureHostile(t *testing.T) {
	for name, p := range map[string]string{
		"empty":             "",
		"one byte":          "\x00",
		"code past the end": "\x00\x20internal",
		"unknown code":      "\x00\x07teapots",
		"no code":           "\x00\x00detail",
		"CRLF in detail":    "\x00\x08internal\r\nX: y",
		"long detail":       "\x00\x08internal" + strings.Repeat("d", 513),
	} {
		if f, err := relay.ParseFailure([]byte(p)); err == nil {
			t.Errorf("%s: accepted as %+v", name, f)
		}
	}
}

func TestReadTypedHostile(t *testing.T) {
	for name, c := range map[string]struct {
		raw   string
		fails error // nil: any but an end
	}{
		"nothing":     {"", io.EOF},
		"header cut":  {"\x01\x00", io.ErrUnexpectedEOF},
		"payload cut": {"\x01\x00\x00\x05abc", io.ErrUnexpectedEOF},
		"too long":    {"\x01\xff\xff\xff" + strings.Repeat("a", 100), nil},
		"8 KiB + 1":   {"\x01\x00\x20\x01" + strings.Repeat("a", 9000), nil},
	} {
		var r relay.Reader
		r.Reset(strings.NewReader(c.raw))
		_, _, err := r.ReadTyped()
		if err == nil || c.fails != nil && !errors.Is(err, c.fails) || c.fails == nil && (err == io.EOF || err == io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want %v", name, err, c.fails)
		}
		r.Release()
	}
}
