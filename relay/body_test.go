package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mezusphere/mezu/relay"
)

// bodyCase is a body in the framing of a request that precedes it.
type bodyCase struct {
	name, framing, raw string
	data, trailer      string
	fails              error // errors.Is; nil when the body is whole
}

const (
	chunked  = "Transfer-Encoding: chunked"
	lengthOf = "Content-Length: "
)

func bodyCases() []bodyCase {
	long := strings.Repeat("0123456789abcdef", 6000) // 96,000 bytes: past every buffer
	var small strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&small, "1\r\n%c\r\n", 'a'+i%26)
	}
	return []bodyCase{
		{"length", lengthOf + "5", "hello", "hello", "", nil},
		{"long length", lengthOf + "96000", long, long, "", nil},
		{"length cut short", lengthOf + "6", "hello", "", "", io.ErrUnexpectedEOF},
		{"chunks", chunked, "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello", "", nil},
		{"no data", chunked, "0\r\n\r\n", "", "", nil},
		{"long chunk", chunked, "17700\r\n" + long + "\r\n0\r\n\r\n", long, "", nil},
		{"chunk as long as a buffer", chunked, "1000\r\n" + long[:4096] + "\r\n0\r\n\r\n", long[:4096], "", nil},
		{"small chunks", chunked, small.String() + "0\r\n\r\n", strings.Repeat("abcdefghijklmnopqrstuvwxyz", 77)[:2000], "", nil},
		{"zeros before the size", chunked, "0005\r\nhello\r\n000\r\n\r\n", "hello", "", nil},
		{"capital digits", chunked, "A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", nil},
		{"extension", chunked, "5;a=b;c=\"d\"\r\nhello\r\n0;last\r\n\r\n", "hello", "", nil},
		{"trailers", chunked, "5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:2\r\n\r\n", "hello", "X-Sum: 1\nY: 2\n", nil},
		{"forbidden trailers go", chunked, "0\r\nContent-Length: 9\r\nHost: b\r\nTransfer-Encoding: chunked\r\nX-Mezu-User-Id: root\r\nX_Forwarded_For: 1\r\nTE: x\r\nX: 1\r\n\r\n", "", "X: 1\n", nil},

		{"P5 bare LF after the size", chunked, "5\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 bare LF after the data", chunked, "5\r\nhello\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 nothing after the data", chunked, "5\r\nhello0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 more data than said", chunked, "4\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 LF in an extension", chunked, "5;a\nb\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 CR in an extension", chunked, "5;a\rb\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 NUL in an extension", chunked, "5;a\x00b\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 0x", chunked, "0x5\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 underscore", chunked, "0_5\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 sign", chunked, "+5\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 negative", chunked, "-5\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 leading space", chunked, " 5\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 no size", chunked, "\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 extension alone", chunked, ";a=b\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 size of 64 bits", chunked, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 size of 68 bits that wraps to 5", chunked, "10000000000000005\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
		{"P5 endless zeros", chunked, strings.Repeat("0", 5000), "", "", relay.ErrBody},
		{"P5 last chunk without its line", chunked, "5\r\nhello\r\n0\r\n", "", "", io.ErrUnexpectedEOF},
		{"P5 cut in a size", chunked, "5", "", "", io.ErrUnexpectedEOF},
		{"P5 cut in data", chunked, "5\r\nhel", "", "", io.ErrUnexpectedEOF},
		{"P5 cut before the last chunk", chunked, "5\r\nhello\r\n", "", "", io.ErrUnexpectedEOF},
		{"P5 bare LF in trailers", chunked, "0\r\nX: 1\n\r\n", "", "", relay.ErrBody},
		{"P5 bare LF ends trailers", chunked, "0\r\nX: 1\r\n\n", "", "", relay.ErrBody},
		{"P5 bare LF ends the body", chunked, "0\r\n\n", "", "", relay.ErrBody},
		{"P5 folded trailer", chunked, "0\r\nX: 1\r\n y\r\n\r\n", "", "", relay.ErrBody},
		{"P5 no trailer", chunked, "0\r\nGET / HTTP/1.1\r\n\r\n", "", "", relay.ErrBody},
		{"P5 trailers over the limit", chunked, "0\r\nX: " + strings.Repeat("y", relay.MaxTrailer) + "\r\n\r\n", "", "", relay.ErrBody},
		{"P6 extension over the limit", chunked, "5;" + strings.Repeat("a", relay.MaxChunkLine) + "\r\nhello\r\n0\r\n\r\n", "", "", relay.ErrBody},
	}
}

func (c *bodyCase) bytes() []byte { return []byte(post(c.framing) + c.raw) }

// TestBodies reads each body as a whole, a byte at a time, and in random splits;
// what comes out must not depend on that.
func TestBodies(t *testing.T) {
	for _, c := range bodyCases() {
		t.Run(c.name, func(t *testing.T) {
			raw := c.bytes()
			readers := map[string]io.Reader{
				"whole":         bytes.NewReader(raw),
				"one byte":      iotest.OneByteReader(bytes.NewReader(raw)),
				"half":          iotest.HalfReader(bytes.NewReader(raw)),
				"data with EOF": iotest.DataErrReader(bytes.NewReader(raw)),
			}
			for seed := range uint64(20) {
				readers[fmt.Sprintf("split %d", seed)] = &splitReader{raw, rand.New(rand.NewPCG(seed, 1))}
			}
			for how, src := range readers {
				m := understand(src)
				switch {
				case !errors.Is(m.err, c.fails):
					t.Errorf("%s: %v, want %v", how, m.err, c.fails)
				case c.fails == nil && (m.body != c.data || m.trailer != c.trailer):
					t.Errorf("%s: %d bytes %.40q, trailers %q; want %d bytes", how, len(m.body), m.body, m.trailer, len(c.data))
				}
			}
		})
	}
}

// TestP6ExtensionsAreBounded counts what an attacker can make a reader read.
func TestP6ExtensionsAreBounded(t *testing.T) {
	line := "1;" + strings.Repeat("e", relay.MaxChunkLine-10) + "\r\nx\r\n"
	src := &countingReader{r: strings.NewReader(post(chunked) + strings.Repeat(line, 10_000) + "0\r\n\r\n")}
	m := understand(src)
	if !errors.Is(m.err, relay.ErrBody) {
		t.Fatal(m.err)
	}
	if most := 24<<10 + 10*len(m.body); src.n > most {
		t.Errorf("%d bytes were read for %d bytes of body", src.n, len(m.body))
	}
	// One-byte chunks without extensions are no attack.
	if m := understand(strings.NewReader(post(chunked) + strings.Repeat("1\r\nx\r\n", 100_000) + "0\r\n\r\n")); m.err != nil || len(m.body) != 100_000 {
		t.Errorf("%d bytes, %v", len(m.body), m.err)
	}
}

func TestBodyLimit(t *testing.T) {
	read := func(framing relay.Framing, length int64, raw string, limit int64) (string, error) {
		var r relay.Reader
		r.Reset(iotest.OneByteReader(strings.NewReader(raw)))
		data, _, err := drain(&r, framing, length, limit)
		return data, err
	}
	for _, c := range []struct {
		name    string
		framing relay.Framing
		length  int64
		raw     string
		fails   error
	}{
		{"length at the limit", relay.Length, 5, "hello", nil},
		{"length over the limit", relay.Length, 6, "hello!", relay.ErrOverrun},
		{"chunks at the limit", relay.Chunked, 0, "5\r\nhello\r\n0\r\n\r\n", nil},
		{"chunks over the limit", relay.Chunked, 0, "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", relay.ErrOverrun},
		{"chunk over the limit", relay.Chunked, 0, "6\r\nhello!\r\n0\r\n\r\n", relay.ErrOverrun},
	} {
		data, err := read(c.framing, c.length, c.raw, 5)
		if !errors.Is(err, c.fails) || len(data) > 5 {
			t.Errorf("%s: %q, %v", c.name, data, err)
		}
	}
	if data, err := read(relay.UntilClose, 0, "hello", 0); err != nil || data != "hello" {
		t.Errorf("until close: %q, %v", data, err)
	}
}

// TestBodyErrorsStay: nobody finishes a broken body by asking again.
func TestBodyErrorsStay(t *testing.T) {
	var r relay.Reader
	r.Reset(strings.NewReader("5\r\nhelloX\r\n0\r\n\r\n"))
	var b relay.Body
	b.Reset(&r, relay.Chunked, 0, 0)
	defer b.Close()
	if p, err := b.Next(); err != nil || string(p) != "hello" {
		t.Fatal(string(p), err)
	}
	for range 3 {
		if _, err := b.Next(); !errors.Is(err, relay.ErrBody) {
			t.Errorf("%v", err)
		}
	}
	if b.Done() || b.Discard(1<<20) {
		t.Error("a broken body is done")
	}
}

func TestBodyDiscard(t *testing.T) {
	for most, want := range map[int64]bool{1 << 20: true, 96_000: true, 50_000: false} {
		var r relay.Reader
		r.Reset(strings.NewReader(strings.Repeat("x", 96_000) + "next"))
		var b relay.Body
		b.Reset(&r, relay.Length, 96_000, 0)
		if got := b.Discard(most); got != want {
			t.Errorf("Discard(%d) = %t", most, got)
		}
		if want && (!b.Done() || b.Bytes() != 96_000) {
			t.Errorf("done %t after %d bytes", b.Done(), b.Bytes())
		}
		b.Close()
	}
}

// TestPipelining: messages that come in one piece are read one after the other,
// each with its own body, and nothing of one is taken for another (P13).
func TestPipelining(t *testing.T) {
	var raw strings.Builder
	want := []string{"", "GET /b HTTP/1.1\r\nHost: evil\r\n\r\n", "hello", strings.Repeat("z", 50_000), "", "end"}
	for i, body := range want {
		switch {
		case i == 2:
			fmt.Fprintf(&raw, "GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n", i, chunked)
		case body == "":
			fmt.Fprintf(&raw, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", i)
		default:
			fmt.Fprintf(&raw, "GET /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, len(body), body)
		}
	}
	for seed := range uint64(50) {
		var r relay.Reader
		r.Reset(&splitReader{[]byte(raw.String()), rand.New(rand.NewPCG(seed, 2))})
		for i, body := range want {
			m := understandNext(&r)
			if m.err != nil || m.req.Path.Path != fmt.Sprintf("/%d", i) || m.body != body {
				t.Fatalf("seed %d, message %d: %s %.30q, %v", seed, i, m.req.Path.Path, m.body, m.err)
			}
			r.Park()
		}
		if m := understandNext(&r); m.err != io.EOF {
			t.Fatalf("seed %d: %v behind the last one", seed, m.err)
		}
		r.Release()
	}
}

// TestFillKeepsHeads: reading ahead must not move what a head aliases.
func TestFillKeepsHeads(t *testing.T) {
	const first = "GET /first HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: 2\r\n\r\n"
	src := &splitReader{[]byte(strings.Repeat(first, 200)), rand.New(rand.NewPCG(3, 3))}
	var r relay.Reader
	r.Reset(src)
	defer r.Release()
	for range 200 {
		var h relay.RequestHead
		if err := r.ReadRequest(&h); err != nil {
			t.Fatal(err)
		}
		want := fieldLines(cloneFields(h.Fields)) + string(h.Target)
		for {
			room, err := r.Fill()
			if !room || err != nil {
				break
			}
		}
		if got := fieldLines(h.Fields) + string(h.Target); got != want {
			t.Fatalf("the head became %q", got)
		}
	}
	if r.Buffered() != 0 {
		t.Errorf("%d bytes are left", r.Buffered())
	}
}

// blockedReader has no more to give now; to read from it would be to wait.
type blockedReader struct {
	data []byte
	cut  int // what may be read in one go
}

var errBlocked = errors.New("would wait")

func (b *blockedReader) Read(p []byte) (int, error) {
	if len(b.data) == 0 {
		return 0, errBlocked
	}
	n := copy(p[:min(len(p), b.cut)], b.data)
	b.data = b.data[n:]
	return n, nil
}

// TestReadyNeverWaits gives every prefix of every body and asserts that Next does
// not go to the connection when Ready says that it need not.
func TestReadyNeverWaits(t *testing.T) {
	for _, c := range bodyCases() {
		framing, length := relay.Chunked, int64(0)
		if c.framing != chunked {
			framing = relay.Length
			fmt.Sscanf(c.framing, lengthOf+"%d", &length)
		}
		raw := []byte(c.raw)
		if len(raw) > 9000 {
			raw = raw[:9000]
		}
		step := 1 + len(raw)/100
		for n := 0; n <= len(raw); n += step {
			checkReady(t, c.name, raw[:n], framing, length, n)
			checkReady(t, c.name, raw[:n], framing, length, 1)
		}
	}
	checkReady(t, "until close", []byte("hello"), relay.UntilClose, 0, 2)
}

func checkReady(t *testing.T, name string, raw []byte, framing relay.Framing, length int64, cut int) {
	t.Helper()
	src := &blockedReader{raw, max(cut, 1)}
	var r relay.Reader
	r.Reset(src)
	defer r.Release()
	var b relay.Body
	b.Reset(&r, framing, length, 0)
	defer b.Close()
	for {
		ready, complete := b.Ready(), b.Complete()
		left := len(src.data)
		_, err := b.Next()
		if (ready || complete && framing == relay.Length) && (len(src.data) != left || errors.Is(err, errBlocked)) {
			t.Fatalf("%s, %d bytes: Next waits although ready %t, complete %t", name, len(raw), ready, complete)
		}
		if err != nil {
			return
		}
	}
}

// TestRewind: what was read comes once more, or it is said that it can't.
func TestRewind(t *testing.T) {
	const head, body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "hello"
	const chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\n"
	for name, c := range map[string]struct {
		raw   string
		limit int64
		cut   int // bytes of a read
		reads int // pieces before Rewind
		ok    bool
	}{
		"buffered":            {head + body, 0, 0, 9, true},
		"buffered, read half": {head + body + "GET ", 0, 0, 1, true},
		"not touched":         {head + body, 0, len(head), 0, true},
		"came later":          {head + body, 0, len(head), 9, false},
		"over the limit":      {head + body, 4, 0, 9, false},
		"chunks":              {chunks, 0, 0, 9, true},
		"chunks, read half":   {chunks, 0, 0, 1, true},
		"chunks came later":   {chunks, 0, len(chunks) - 1, 1, false},
	} {
		src := io.Reader(strings.NewReader(c.raw))
		if c.cut > 0 {
			src = io.MultiReader(strings.NewReader(c.raw[:c.cut]), strings.NewReader(c.raw[c.cut:]))
		}
		var r relay.Reader
		var h relay.RequestHead
		var b relay.Body
		r.Reset(src)
		if err := r.ReadRequest(&h); err != nil {
			t.Fatal(name, err)
		}
		b.Reset(&r, h.Framing, h.Length, c.limit)
		for range c.reads {
			if _, err := b.Next(); err != nil {
				break
			}
		}
		if got := b.Rewind(); got != c.ok || got && string(h.Method) != "POST" {
			t.Errorf("%s: Rewind says %t of %s", name, got, h.Method)
		} else if got {
			var again string
			for {
				p, err := b.Next()
				if again += string(p); err != nil {
					break
				}
			}
			if again != body || !b.Done() {
				t.Errorf("%s: %q the second time", name, again)
			}
		}
		b.Close()
		r.Release()
	}
}
