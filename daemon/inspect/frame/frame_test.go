package frame_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/frame"
)

// all are the frames that a parser finds in bytes that come in pieces of some length.
func all(p frame.Parser, stream []byte, length int) []frame.Raw {
	var out []frame.Raw
	emit := func(r frame.Raw) { out = append(out, r) }
	for piece := range slices.Chunk(stream, length) {
		p.Write(time.Unix(1, 0), piece, emit)
	}
	p.Close(time.Unix(2, 0), emit)
	return out
}

// shown is a frame as the tests write it.
func shown(f frame.Raw) string {
	out := fmt.Sprintf("%s %q %d", f.Kind, f.Data, f.Size)
	if f.Name != "" {
		out = f.Name + " " + out
	}
	if f.Problem != "" {
		out += ": " + f.Problem
	}
	return out
}

// expect holds the frames of a stream against what is wanted, cut in several ways.
func expect(t *testing.T, parser func() frame.Parser, stream []byte, want ...string) {
	t.Helper()
	for _, length := range []int{1, 2, 3, 7, len(stream) + 1} {
		var got []string
		for _, f := range all(parser(), stream, length) {
			got = append(got, shown(f))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d:\n got %q\nwant %q", length, got, want)
		}
	}
}

// ws writes a frame. One of a client has a key.
func ws(first byte, content string, client bool) []byte {
	out := []byte{first}
	mask := byte(0)
	if client {
		mask = 128
	}
	switch n := len(content); {
	case n < 126:
		out = append(out, mask|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, mask|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, mask|127), uint64(n))
	}
	if !client {
		return append(out, content...)
	}
	key := [4]byte{1, 2, 3, 4}
	out = append(out, key[:]...)
	for i := range len(content) {
		out = append(out, content[i]^key[i&3])
	}
	return out
}

func TestWebSocket(t *testing.T) {
	server := func() frame.Parser { return frame.NewWebSocket("", true) }
	client := func() frame.Parser { return frame.NewWebSocket("", false) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

	expect(t, server, nil)
	expect(t, server, ws(0x81, "hello", false), `text "hello" 5`)
	expect(t, client, ws(0x81, "hello", true), `text "hello" 5`)
	expect(t, client, join(ws(0x01, "he", true), ws(0x89, "now", true), ws(0x00, "l", true), ws(0x80, "lo", true), ws(0x82, "\xff", true)),
		`ping "now" 3`, `text "hello" 5`, `binary "\xff" 1`)
	expect(t, server, join(ws(0x81, "", false), ws(0x8a, "", false), ws(0x88, "\x03\xe9bye", false)), `text "" 0`, `pong "" 0`, `close "\x03\xe9bye" 5`)
	expect(t, server, ws(0x81, "\xff", false), `text "\xff" 1: it is no UTF-8`)
	expect(t, server, ws(0x81, "hello", false)[:4], `text "he" 2: it ends too early`)
	expect(t, server, ws(0x01, "hello", false), `text "hello" 5: it ends too early`)
	expect(t, server, ws(0x81, "hello", false)[:1], `broken "\x81" 1: it ends too early`)

	// What is no frame is said once.
	for _, c := range []struct {
		parser  func() frame.Parser
		stream  []byte
		problem string
	}{
		{server, ws(0x81, "x", true), "a masked frame of a server"},
		{client, ws(0x81, "x", false), "an unmasked frame of a client"},
		{server, ws(0x80, "x", false), "a fragment of no message"},
		{server, join(ws(0x01, "x", false), ws(0x81, "x", false)), "a message within another one"},
		{server, ws(0xc1, "x", false), "bits of an extension that was not agreed on"},
		{server, ws(0x09, "x", false), "a control frame that is compressed, in fragments or too long"},
		{server, ws(0x89, strings.Repeat("x", 126), false), "a control frame that is compressed, in fragments or too long"},
		{server, ws(0x83, "x", false), "a frame of an unknown kind, 3"},
		{server, ws(0x8b, "x", false), "a control frame of an unknown kind, 11"},
		{server, []byte{0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0, 1}, "a frame of more than 63 bits of length"},
		{server, []byte("HTTP/1.1 200 OK\r\n\r\n"), "a control frame that is compressed, in fragments or too long"},
	} {
		got := all(c.parser(), join(c.stream, c.stream, c.stream), 3)
		if len(got) != 1 || got[0].Kind != mezu.FrameBroken || got[0].Problem != c.problem {
			t.Errorf("%q: %v", c.problem, got)
		}
	}
}

// TestWebSocket_Large keeps the begin of a message and little memory.
func TestWebSocket_Large(t *testing.T) {
	text := strings.Repeat("é", mezu.MaxKeptFrame)
	got := all(frame.NewWebSocket("", false), ws(0x81, text, true), 1000)
	if len(got) != 1 || got[0].Size != int64(len(text)) || string(got[0].Data) != text[:mezu.MaxKeptFrame] || got[0].Problem != "" || got[0].Sent != int64(len(text)+14) {
		t.Fatalf("%d frames", len(got))
	}
	p := frame.NewWebSocket("permessage-deflate", false)
	if n := p.Held(); n != 0 {
		t.Errorf("an idle one holds %d bytes", n)
	}
	head := []byte{0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4} // a terabyte
	p.Write(time.Time{}, head, nil)
	for range 1000 {
		p.Write(time.Time{}, make([]byte, 10_000), nil)
	}
	if n := p.Held(); n > 2*mezu.MaxKeptFrame {
		t.Errorf("a terabyte on its way holds %d bytes", n)
	}
}

func TestEvents(t *testing.T) {
	parser := func() frame.Parser { return frame.NewEvents() }
	expect(t, parser, nil)
	expect(t, parser, []byte("data: a\n\n"), `message event "a" 1`)
	expect(t, parser, []byte("\ufeffdata: a\r\ndata:b\r\n\r\n"), `message event "a\nb" 3`)
	expect(t, parser, []byte("\xef\xbbdata: a\n\ndata: b\n\n"), `message event "b" 1`)
	expect(t, parser, []byte("event: up\rdata:  a\r\r:comment\rid: 4\rretry: 5\rdata\rdata\r\r"), `up event " a" 2`, `message event "\n" 1`)
	expect(t, parser, []byte(": hi\n\n\n\nevent: ping\n\nevent: x\nevent: y\ndata: {\"a\":1}\ndatabase: no\nDATA: no\n\n"), `y event "{\"a\":1}" 7`)
	expect(t, parser, []byte("data: a\n"), `message event "a" 1: it ends too early`)
	expect(t, parser, []byte("data: \xff\n\n"), `message event "\xff" 1: it is no UTF-8`)
	expect(t, parser, []byte("data\n\n"))

	long := strings.Repeat("x", 1<<20)
	got := all(frame.NewEvents(), []byte("data: "+long+"\n"+long+": a\nevent: "+long+"\n\n"), 777)
	if len(got) != 1 || got[0].Size != 1<<20 || len(got[0].Data) != mezu.MaxKeptFrame || len(got[0].Name) != 256 {
		t.Errorf("a long one: %d", len(got))
	}
}

// message writes a message of gRPC.
func message(flag byte, content string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(content))), content...)
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func TestGRPC(t *testing.T) {
	parser := func() frame.Parser { return frame.NewGRPC("gzip") }
	expect(t, parser, nil)
	expect(t, parser, append(message(0, "abc"), message(0, "")...), `message "abc" 3`, `message "" 0`)
	expect(t, parser, message(1, zipped("abcabc")), `message "abcabc" 6`)
	expect(t, parser, message(0x80, "grpc-status: 0\r\n"), `trailers message "grpc-status: 0\r\n" 16`)
	expect(t, parser, message(0, "abc")[:7], `message "ab" 3: it ends too early`)
	expect(t, parser, message(0, "abc")[:3], `broken "\x00\x00\x00" 3: it ends too early`)
	expect(t, func() frame.Parser { return frame.NewGRPC("") }, message(1, "x"), `message "" 1: it is compressed, and its encoding was not named`)
	expect(t, func() frame.Parser { return frame.NewGRPC("snappy") }, message(1, "x"), `message "x" 1: its encoding snappy is not undone here`)
	if got := all(parser(), []byte("<html>no gRPC, <b>no</b> gRPC"), 4); len(got) != 1 || got[0].Kind != mezu.FrameBroken {
		t.Errorf("of no gRPC: %v", got)
	}
	bomb := zipped(strings.Repeat("\x00", 32<<20))
	if got := all(parser(), message(1, bomb), 999); len(got) != 1 || len(got[0].Data) != mezu.MaxKeptFrame || !strings.Contains(got[0].Problem, "grows from") {
		t.Errorf("of a bomb: %d", len(got))
	}
	large := strings.Repeat("x", 1<<20)
	if got := all(parser(), message(0, large), 999); len(got) != 1 || got[0].Size != 1<<20 || len(got[0].Data) != mezu.MaxKeptFrame {
		t.Errorf("a large one: %d", len(got))
	}
}

func fuzz(f *testing.F, parser func(variant uint8) frame.Parser, seeds ...[]byte) {
	for i, s := range seeds {
		f.Add(uint8(i), uint64(i), s)
	}
	f.Fuzz(func(t *testing.T, variant uint8, seed uint64, stream []byte) {
		random := rand.New(rand.NewPCG(seed, 1))
		whole := all(parser(variant), stream, len(stream)+1)
		var cut []frame.Raw
		p := parser(variant)
		emit := func(r frame.Raw) {
			if cut = append(cut, r); len(r.Data) > mezu.MaxKeptFrame {
				t.Fatalf("%d bytes of data", len(r.Data))
			}
		}
		for rest := stream; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			p.Write(time.Time{}, rest[:n], emit)
			rest = rest[n:]
		}
		p.Close(time.Time{}, emit)
		if len(whole) != len(cut) {
			t.Fatalf("%d frames as one, %d in pieces", len(whole), len(cut))
		}
		for i := range whole {
			if a, b := whole[i], cut[i]; a.Kind != mezu.FrameBroken && (shown(a) != shown(b) || a.Sent != b.Sent) {
				t.Fatalf("%s as one, %s in pieces", shown(a), shown(b))
			}
		}
		if p.Held() != 0 {
			t.Fatalf("%d bytes are held after the end", p.Held())
		}
	})
}

func FuzzWebSocket(f *testing.F) {
	fuzz(f, func(v uint8) frame.Parser {
		return frame.NewWebSocket([]string{"", "permessage-deflate", "permessage-deflate; server_no_context_takeover", "permessage-deflate; server_max_window_bits=9"}[v&3], v&4 == 0)
	}, ws(0x81, "hello", false), ws(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00", false), append(ws(0x01, "a", false), ws(0x80, "b", false)...), ws(0x88, "\x03\xe9", false), ws(0x81, "hello", true))
}

func FuzzEvents(f *testing.F) {
	fuzz(f, func(uint8) frame.Parser { return frame.NewEvents() }, []byte("\ufeffdata: a\r\ndata\r\n\r\nevent: b\rdata: c\n\n"))
}

func FuzzGRPC(f *testing.F) {
	fuzz(f, func(v uint8) frame.Parser { return frame.NewGRPC([]string{"", "gzip"}[v&1]) }, message(0, "abc"), message(1, zipped("abc")))
}
