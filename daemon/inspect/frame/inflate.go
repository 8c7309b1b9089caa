package frame

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/mezusphere/mezu"
)

const (
	// maxInflated bounds what one message is decompressed to. What is behind mezu.MaxKeptFrame is
	// only read for the window of the next one.
	maxInflated = 8 << 20
	// inflateStep is how much is decompressed at once.
	inflateStep = 16 << 10
)

// inflater decompresses the messages of one direction (RFC 7692).
type inflater struct {
	parameters
	window []byte // the end of what was said before, if the next message may refer to it
	lost   bool   // a message couldn't be decompressed, on which the next ones depend
}

func newInflater(extensions string, out bool) *inflater {
	p, ok := agreed(extensions, out)
	if !ok {
		return nil
	}
	return &inflater{parameters: p}
}

// lose notes that a message was not decompressed.
func (d *inflater) lose() {
	d.window = nil
	d.lost = !d.noTakeover
}

// shared is what decompressing takes.
type shared struct {
	in   bytes.Reader
	out  [inflateStep]byte
	read io.ReadCloser
}

// pool has what decompressing takes, for all parsers.
var pool = sync.Pool{New: func() any { return &shared{read: flate.NewReader(nil)} }}

// tail ends a message: the empty block that its sender has left out, and one that is the last.
const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// inflate decompresses a message. size is as far as it is known.
func (d *inflater) inflate(compressed []byte) (data []byte, size int64, problem string) {
	if d.lost {
		return nil, int64(len(compressed)), problemContext
	}
	s := pool.Get().(*shared)
	defer pool.Put(s)
	all := append(compressed, tail...)
	s.in.Reset(all)
	if err := s.read.(flate.Resetter).Reset(&s.in, d.window); err != nil {
		d.lose()
		return nil, int64(len(compressed)), problemDeflate
	}
	for {
		n, err := s.read.Read(s.out[:])
		size += int64(n)
		data = appendKept(data, s.out[:n], mezu.MaxKeptFrame)
		if !d.noTakeover {
			d.window = slide(d.window, s.out[:n], d.parameters.window)
		}
		switch {
		case err == io.EOF:
			return data, size, ""
		case err != nil:
			d.lose()
			return data, size, problemDeflate
		case size > maxInflated:
			d.lose()
			return data, size, problemGrows
		}
	}
}

// slide appends to a window and keeps its end.
func slide(window, piece []byte, most int) []byte {
	if len(piece) >= most {
		return append(window[:0], piece[len(piece)-most:]...)
	}
	if beyond := len(window) + len(piece) - most; beyond > 0 {
		window = window[:copy(window, window[beyond:])]
	}
	if room := len(window) + len(piece); room > cap(window) && 2*room > most {
		window = append(make([]byte, 0, most), window...)
	}
	return append(window, piece...)
}
