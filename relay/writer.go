package relay

import (
	"io"
	"sync"
)

// Source is a body that is read piece by piece. *Body is one.
type Source interface {
	// Next returns the next piece, or io.EOF at the proper end of the body.
	Next() ([]byte, error)
	// Ready reports whether Next returns without waiting.
	Ready() bool
	// Trailer is the trailer section, after io.EOF.
	Trailer() []Field
}

// maxGather is how much is put together into one write: one TLS record.
const maxGather = 16 << 10

// Writer puts together what belongs into one write: a head and the body that
// is there already, or a chunk with its frame. It holds memory only while it
// holds data. If zero, Reset it first.
type Writer struct {
	dst  io.Writer
	buf  []byte
	big  *[]byte
	went bool // something left since Reset or Restart
}

var gatherPool = sync.Pool{New: func() any { b := make([]byte, 0, maxGather); return &b }}

// Reset makes it write to dst.
func (w *Writer) Reset(dst io.Writer) {
	w.drop()
	w.dst, w.went = dst, false
}

// Restart begins a new message. As long as nothing of it has left, a fault of its body's
// source has SourceError.Unsent.
func (w *Writer) Restart() { w.went = false }

func (w *Writer) drop() {
	if w.big != nil {
		*w.big = (*w.big)[:0]
		gatherPool.Put(w.big)
	}
	w.big, w.buf = nil, nil
}

// Room returns the bytes gathered so far, to be appended to and handed back to
// Gathered.
func (w *Writer) Room() []byte {
	if w.big == nil {
		w.big = gatherPool.Get().(*[]byte)
		w.buf = (*w.big)[:0]
	}
	return w.buf
}

// Gathered takes back what Room gave.
func (w *Writer) Gathered(b []byte) { w.buf = b }

// Flush writes what was gathered.
func (w *Writer) Flush() error {
	if len(w.buf) == 0 {
		w.drop()
		return nil
	}
	err := w.write(w.buf)
	w.drop()
	return err
}

func (w *Writer) write(p []byte) error {
	w.went = true
	_, err := w.dst.Write(p)
	return err
}

// Body copies a body in the given framing behind what was gathered, flushing
// before the source has to wait, and at the end. wrote counts its bytes. An error
// of the source is returned as a SourceError; any other is of the destination.
func (w *Writer) Body(src Source, framing Framing) (wrote int64, err error) {
	for {
		if len(w.buf) > 0 && !src.Ready() {
			if err := w.Flush(); err != nil {
				return wrote, err
			}
		}
		p, err := src.Next()
		if err == io.EOF {
			if framing == Chunked {
				w.Gathered(appendLastChunk(w.Room(), src.Trailer()))
			}
			return wrote, w.Flush()
		}
		if err != nil {
			w.drop()
			return wrote, &SourceError{Err: err, Unsent: !w.went}
		}
		wrote += int64(len(p))
		if err := w.piece(p, framing); err != nil {
			return wrote, err
		}
	}
}

// SourceError is an error of the side that a body was read from.
type SourceError struct {
	Err error
	// Unsent says that nothing of the message had left, its head included, so
	// that something else may be sent in its place.
	Unsent bool
}

// Error names the side.
func (e *SourceError) Error() string { return "reading a body: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// maxChunkFrame is the room for a chunk's size line and final CRLF.
const maxChunkFrame = 20

func (w *Writer) piece(p []byte, framing Framing) error {
	if framing == Chunked {
		return w.chunks(p)
	}
	if err := w.makeRoom(len(p)); err != nil {
		return err
	}
	if len(p) > maxGather/2 && len(w.buf) == 0 {
		return w.write(p)
	}
	w.Gathered(append(w.Room(), p...))
	return nil
}

// chunks frames p in as many chunks as it takes for each to go out with its
// frame in one record. The frame costs a copy; the alternative is more writes.
func (w *Writer) chunks(p []byte) error {
	for len(p) > 0 {
		part := p[:min(len(p), maxGather-maxChunkFrame)]
		p = p[len(part):]
		if err := w.makeRoom(len(part) + maxChunkFrame); err != nil {
			return err
		}
		w.Gathered(appendChunk(w.Room(), part))
	}
	return nil
}

// makeRoom flushes when n more bytes would not fit.
func (w *Writer) makeRoom(n int) error {
	if len(w.buf) > 0 && len(w.buf)+n > maxGather {
		return w.Flush()
	}
	return nil
}

// Ready reports whether Next returns without waiting.
func (b *Body) Ready() bool {
	if b.done || b.err != nil {
		return true
	}
	data := b.r.buf[b.r.r:b.r.w]
	if b.framing != Chunked || b.left > 0 {
		return len(data) > 0
	}
	if b.started {
		if len(data) < 2 {
			return false
		}
		if data[0] != '\r' || data[1] != '\n' {
			return true // and malformed
		}
		data = data[2:]
	}
	i := indexLF(data)
	if i < 0 {
		return false
	}
	size, ok := parseChunkLine(data[:i])
	rest := data[i+1:]
	switch {
	case !ok:
		return true // and malformed
	case size > 0:
		return len(rest) > 0
	}
	return endsSection(rest) // of the last chunk
}
