// Package decode undoes content encodings of recorded bodies, so that people can read them.
//
// What lives here: gzip, br, zstd, deflate and several of them, each within bounds. What may not:
// anything that is sent on, which stays as it came. daemon/inspect, its package frame and
// daemon/rest import it.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Limits of what is undone.
const (
	// MaxSize is the most that is undone of one body: more than a person reads, and little for
	// the memory of a daemon.
	MaxSize = 8 << 20
	// MaxRatio is how many times larger it gets at most. Text hardly exceeds 20; a bomb has 1,000.
	MaxRatio = 100
	// FreeSize may be undone of each body, however small that is: a page of blanks is no bomb.
	FreeSize = 64 << 10
	// MaxLayers is how many encodings may be stacked. One is common, two happen.
	MaxLayers = 3
	// maxWindow is the window that RFC 9659 allows for zstd in HTTP.
	maxWindow = 8 << 20
	// firstRead is how much is read at first. It doubles from there.
	firstRead = 4 << 10
)

// Body undoes the encodings that a Content-Encoding names. If that is not possible to the end,
// because the body is cut, broken or a bomb, or the encoding is unknown, problem says so in a few
// words and out is what there is: the body as it came, if nothing could be undone. out shares memory
// with body where nothing was to undo.
func Body(contentEncoding string, body []byte) (out []byte, problem string) {
	return undone(contentEncoding, body, MaxSize)
}

// Begin undoes the first bytes of a body, most at most, for who tells by them what it is. It costs no
// more than these.
func Begin(contentEncoding string, body []byte, most int) []byte {
	out, _ := undone(contentEncoding, body, most)
	return out[:min(len(out), most)]
}

// undone gives last bytes at most, or fewer if the body is too small for as many.
func undone(contentEncoding string, body []byte, last int) (out []byte, problem string) {
	layers := layersOf(contentEncoding)
	if len(layers) > MaxLayers {
		return body, fmt.Sprintf("has %d encodings, of which %d at most are undone", len(layers), MaxLayers)
	}
	most := min(MaxSize, max(FreeSize, MaxRatio*len(body)))
	out = body
	for i := len(layers) - 1; i >= 0; i-- {
		if i == 0 {
			most = min(most, last)
		}
		if len(out) == 0 {
			return out, problem
		}
		next, wrong := undo(layers[i], out, most)
		if problem == "" && wrong != "" {
			problem = layers[i] + " " + wrong
		}
		if next == nil {
			return out, problem
		}
		out = next
	}
	return out, problem
}

// layersOf are the encodings in the order in which they were applied.
func layersOf(contentEncoding string) []string {
	var out []string
	for one := range strings.SplitSeq(contentEncoding, ",") {
		switch one = strings.ToLower(strings.TrimSpace(one)); one {
		case "", "identity":
		case "x-gzip":
			out = append(out, "gzip")
		default:
			out = append(out, one)
		}
	}
	return out
}

// undo undoes one encoding. out is nil if nothing could be undone.
func undo(encoding string, body []byte, most int) (out []byte, problem string) {
	in := bytes.NewReader(body)
	switch encoding {
	case "gzip":
		r, err := gzip.NewReader(in)
		if err != nil {
			return nil, because(err, len(body))
		}
		return read(r, most, len(body))
	case "br":
		return read(brotli.NewReader(in), most, len(body))
	case "zstd":
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, because(err, len(body))
		}
		defer r.Close()
		return read(r, most, len(body))
	case "deflate":
		// RFC 9110 means zlib. Some servers send the format inside of that.
		if len(body) > 1 && body[0]&15 == 8 && (int(body[0])<<8|int(body[1]))%31 == 0 {
			if r, err := zlib.NewReader(in); err == nil {
				if out, problem := read(r, most, len(body)); len(out) > 0 || problem == "" {
					return out, problem
				}
			}
			in.Reset(body)
		}
		return read(flate.NewReader(in), most, len(body))
	}
	return nil, "is not undone here"
}

// read reads what there is, most bytes at most.
func read(r io.Reader, most, from int) (out []byte, problem string) {
	out = make([]byte, 0, min(most, max(firstRead, from)))
	for {
		if len(out) == most {
			// One more byte tells whether that was all.
			var one [1]byte
			if n, err := io.ReadFull(r, one[:]); n == 0 && err == io.EOF {
				return out, ""
			}
			return out, fmt.Sprintf("grows from %d to more than %d bytes, and the rest is left out", from, most)
		}
		if len(out) == cap(out) {
			grown := make([]byte, len(out), min(most, 2*cap(out)))
			copy(grown, out)
			out = grown
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if err == io.EOF {
			return out, ""
		}
		if err != nil {
			problem = because(err, from)
			if len(out) == 0 {
				return nil, problem
			}
			return out, problem
		}
	}
}

// because is what an error of a decoder means for a person.
func because(err error, size int) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Sprintf("ends too early, after %d bytes", size)
	}
	return "is broken"
}
