package decode_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/mezusphere/mezu/daemon/inspect/decode"
)

// encode encodes a body as servers do.
func encode(t testing.TB, encoding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	case "deflate":
		w = zlib.NewWriter(&out)
	case "raw":
		w, err = flate.NewWriter(&out, 6)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// prose is a text that a compressor can't make much smaller.
func prose() []byte {
	var out []byte
	x := uint32(1)
	for range 20_000 {
		x = x*1664525 + 1013904223
		out = append(out, "abcdefghijklmnopqrstuvwxyz 0123\n"[x>>27])
	}
	return out
}

func TestBody(t *testing.T) {
	text := prose()
	for _, name := range []string{"gzip", "br", "zstd", "deflate", "raw"} {
		called := strings.Replace(name, "raw", "deflate", 1)
		sent := encode(t, name, text)
		out, problem := decode.Body(called, sent)
		if !bytes.Equal(out, text) || problem != "" {
			t.Errorf("%s: %d bytes, %q", name, len(out), problem)
		}
		out, problem = decode.Body(strings.ToUpper(called)+" , identity", sent)
		if !bytes.Equal(out, text) || problem != "" {
			t.Errorf("%s in capitals: %d bytes, %q", name, len(out), problem)
		}
		out, problem = decode.Body(called, sent[:len(sent)/2])
		some := bytes.HasPrefix(text, out) && len(out) >= len(text)/8
		if name == "zstd" { // its blocks come as a whole or not at all
			some = bytes.Equal(out, sent[:len(sent)/2])
		}
		if !some || !strings.Contains(problem, called+" ends too early") {
			t.Errorf("%s that is cut: %d bytes, %q", name, len(out), problem)
		}
		for cut := range 20 {
			if out, _ := decode.Body(called, sent[:cut]); len(out) > 0 && cut > 0 && !bytes.HasPrefix(text, out) && !bytes.Equal(out, sent[:cut]) {
				t.Errorf("%s cut at %d: %q", name, cut, out)
			}
		}
		if out, problem = decode.Body(called, []byte("this is none of them")); problem == "" {
			t.Errorf("%s that is none: %q", name, out)
		}
		if out, problem = decode.Body(called, nil); len(out) > 0 || problem != "" {
			t.Errorf("%s of nothing: %q, %q", name, out, problem)
		}
	}
	if out, problem := decode.Body("", text); !bytes.Equal(out, text) || problem != "" {
		t.Error("without an encoding")
	}
	if out, problem := decode.Body("exi", text); !bytes.Equal(out, text) || problem != "exi is not undone here" {
		t.Errorf("an unknown one: %q", problem)
	}
}

// The first bytes of a bomb cost no more than these.
func TestBegin(t *testing.T) {
	text := prose()
	for _, name := range []string{"gzip", "br", "zstd", "deflate"} {
		if out := decode.Begin(name, encode(t, name, text), 100); !bytes.Equal(out, text[:100]) || cap(out) > 8<<10 {
			t.Errorf("%s: %q of %d", name, out, cap(out))
		}
	}
	if out := decode.Begin("gzip, zstd", encode(t, "zstd", encode(t, "gzip", text)), 100); !bytes.Equal(out, text[:100]) {
		t.Errorf("two: %q", out)
	}
	if out := decode.Begin("", text, 100); !bytes.Equal(out, text[:100]) {
		t.Errorf("as it is: %q", out)
	}
}

func TestBody_Stacked(t *testing.T) {
	text := prose()
	three := encode(t, "zstd", encode(t, "br", encode(t, "gzip", text)))
	if out, problem := decode.Body("gzip, br, zstd", three); !bytes.Equal(out, text) || problem != "" {
		t.Errorf("%d bytes, %q", len(out), problem)
	}
	if out, problem := decode.Body("gzip,gzip,gzip,gzip", three); !bytes.Equal(out, three) || !strings.Contains(problem, "4 encodings") {
		t.Errorf("four: %q", problem)
	}
	if _, problem := decode.Body(strings.Repeat("gzip,", 1000), three); !strings.Contains(problem, "1000 encodings") {
		t.Errorf("a thousand: %q", problem)
	}
	out, problem := decode.Body("gzip, other", encode(t, "gzip", text))
	if problem != "other is not undone here" || len(out) == len(text) {
		t.Errorf("below an unknown one: %d bytes, %q", len(out), problem)
	}
}

// TestBody_Bombs gives the first part of what would be megabytes, and holds no more.
func TestBody_Bombs(t *testing.T) {
	zeros := make([]byte, 16<<20)
	for _, name := range []string{"gzip", "br", "zstd", "deflate"} {
		bomb := encode(t, name, zeros)
		out, problem := decode.Body(name, bomb)
		if most := max(decode.FreeSize, decode.MaxRatio*len(bomb)); len(out) != min(most, decode.MaxSize) || !strings.Contains(problem, "grows from") {
			t.Errorf("%s: %d bytes of %d, %q", name, len(out), len(bomb), problem)
		}
		twice := encode(t, name, bomb)
		out, problem = decode.Body(name+","+name, twice)
		if most := max(decode.FreeSize, decode.MaxRatio*len(twice)); len(out) > most || problem == "" {
			t.Errorf("%s in itself: %d bytes of %d, %q", name, len(out), len(twice), problem)
		}
	}
	small := make([]byte, decode.FreeSize)
	if out, problem := decode.Body("gzip", encode(t, "gzip", small)); len(out) != len(small) || problem != "" {
		t.Errorf("blanks: %d bytes, %q", len(out), problem)
	}
}

func FuzzBody(f *testing.F) {
	for _, name := range []string{"gzip", "br", "zstd", "deflate"} {
		f.Add(name, encode(f, name, []byte("some text, some text, some text")))
		f.Add(name+","+name, encode(f, name, encode(f, name, []byte("some text"))))
	}
	f.Fuzz(func(t *testing.T, encoding string, body []byte) {
		if out, _ := decode.Body(encoding, body); len(out) > max(decode.FreeSize, decode.MaxRatio*len(body)) {
			t.Fatalf("%d bytes of %d", len(out), len(body))
		}
	})
}
