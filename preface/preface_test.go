package preface_test

import (
	"bufio"
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
	"github.com/mezusphere/mezu/preface"
)

// source is a buffer that holds the largest typed head.
func source(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 16<<10) }

func genInfo(t *rapid.T) preface.Request {
	info := preface.Request{
		ID:       rapid.StringMatching(`[A-Za-z0-9._-]{1,128}`).Draw(t, "id"),
		Position: mezu.Position{Epoch: rapid.Uint64().Draw(t, "epoch"), Revision: rapid.Uint64().Draw(t, "revision")},
	}
	switch rapid.IntRange(0, 2).Draw(t, "address") {
	case 1:
		info.Client = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4")))
	case 2:
		info.Client = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6"))).Unmap()
	}
	info.Grant = append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, mezu.MaxGrant).Draw(t, "grant")...)
	return info
}

func TestRequestInfoRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genInfo(t)
		raw := preface.AppendRequest(preface.AppendProbe(nil), &want)
		r := source(iotest.OneByteReader(bytes.NewReader(append(raw, "GET"...))))
		if kind, p, err := preface.Read(r); kind != preface.KindProbe || len(p) != 0 || err != nil {
			t.Fatal(kind, p, err)
		}
		kind, p, err := preface.Read(r)
		if kind != preface.KindRequest || err != nil {
			t.Fatal(kind, err)
		}
		got := preface.Request{ID: "old", Grant: []byte("old"), Client: netip.IPv6Loopback()}
		if err := preface.ParseRequest(p, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		// Every prefix is refused, and so is anything behind it.
		cut := rapid.IntRange(0, len(p)-1).Draw(t, "cut")
		if preface.ParseRequest(p[:cut], &got) == nil {
			t.Fatalf("a prefix of %d of %d bytes is accepted", cut, len(p))
		}
		if preface.ParseRequest(append(bytes.Clone(p), 0), &got) == nil {
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
		var info preface.Request
		if err := preface.ParseRequest([]byte(p), &info); err == nil {
			t.Errorf("%s: accepted as %+v", name, info)
		}
	}
}

func TestFailureRoundTrip(t *testing.T) {
	for _, want := range []preface.Failure{
		{Code: mezu.CodeWorkloadRefused, Detail: "nothing there", Unsent: true},
		{Code: mezu.CodeInternal},
		{Code: mezu.CodeRefusedByWarpgate, Detail: strings.Repeat("d", 512)},
	} {
		r := source(bytes.NewReader(preface.AppendFailure(nil, &want)))
		kind, p, err := preface.Read(r)
		if kind != preface.KindFailure || err != nil {
			t.Fatal(kind, err)
		}
		if got, err := preface.ParseFailure(p); err != nil || *got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	long := preface.AppendFailure(nil, &preface.Failure{Code: mezu.CodeInternal, Detail: strings.Repeat("d", 10_000)})
	if f, err := preface.ParseFailure(long[4:]); err != nil || len(f.Detail) != 512 {
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
		if f, err := preface.ParseFailure([]byte(p)); err == nil {
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
		r := source(strings.NewReader(c.raw))
		_, _, err := preface.Read(r)
		if err == nil || c.fails != nil && !errors.Is(err, c.fails) || c.fails == nil && (err == io.EOF || err == io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want %v", name, err, c.fails)
		}
	}
}

func TestRest(t *testing.T) {
	raw := preface.AppendRest(nil, 1<<31+5)
	kind, payload, err := preface.Read(source(bytes.NewReader(raw)))
	if err != nil || kind != preface.KindRest {
		t.Fatal(kind, err)
	}
	if n, err := preface.ParseRest(payload); n != 1<<31+5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := preface.ParseRest(payload[:3]); err == nil {
		t.Error("three bytes are no number")
	}
}
