package relay

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/mezusphere/mezu"
)

// Body reads the body of the message whose head was read last from a Reader.
// Next returns io.EOF only at the end that the framing says. A body that is cut short or
// framed wrongly gives another error, so that nobody finishes it by mistake.
type Body struct {
	r        *Reader
	framing  Framing
	left     int64 // of the body, or of the chunk under way
	started  bool  // a chunk was read
	done     bool
	err      error
	overhead int64 // bytes of chunk lines
	data     int64 // bytes of body
	limit    int64 // 0 = none
	start    int   // where the body begins in the Reader's buffer, if buffered
	buffered bool  // all of it was buffered when reading began
	trailer  []Field
	drops    func(name []byte) bool
	big      *[]byte
}

// Reset prepares the body of a message. limit bounds its bytes; if zero, there is
// no limit. A Body must be given back with Close.
func (b *Body) Reset(r *Reader, framing Framing, length, limit int64) {
	*b = Body{r: r, framing: framing, left: length, limit: limit, trailer: b.trailer[:0]}
	switch {
	case framing == NoBody || framing == Length && length == 0:
		b.done = true
	case framing == Length && limit > 0 && length > limit:
		b.err = ErrOverrun
	case framing != Length:
		b.left = 0
	}
}

// Done reports whether the body was read to its end.
func (b *Body) Done() bool { return b.done }

// Bytes is how much of the body was read.
func (b *Body) Bytes() int64 { return b.data }

// Trailer is the trailer section of a chunked body that was read to its end.
// It is valid until the next head is read.
func (b *Body) Trailer() []Field { return b.trailer }

// Drop has trailers not pass for whose names drops is true. Reset forgets it.
func (b *Body) Drop(drops func(name []byte) bool) { b.drops = drops }

// Rewind makes the body begin anew, and reports whether it could: as long as
// nothing of it was read, or what was is still in the buffer, where the head that
// stands before it is, too. No head may have been read since.
func (b *Body) Rewind() bool {
	switch {
	case b.err != nil:
		return false
	case b.data == 0 && !b.started:
		return true
	case !b.buffered:
		return false
	}
	if b.r.r, b.left = b.start, b.left+b.data; b.framing == Chunked {
		b.left = 0
	}
	b.data, b.overhead, b.started, b.done = 0, 0, false, false
	return true
}

// Close gives borrowed memory back.
func (b *Body) Close() {
	if b.big != nil {
		returnBulk(b.big)
		b.big = nil
	}
}

// Complete reports whether the rest of the body is in the buffer already, so
// that reading it will not block.
func (b *Body) Complete() bool {
	switch {
	case b.done:
		return true
	case b.err != nil:
		return false
	case b.framing == Chunked:
		return b.chunksHere()
	}
	return b.framing == Length && b.left <= int64(b.r.Buffered())
}

// chunksHere reports whether the rest of the chunks is buffered, up to the end of the trailer
// section. Of one that is malformed it is false.
func (b *Body) chunksHere() bool {
	data, left, started := b.r.Unread(), b.left, b.started
	for {
		if int64(len(data)) < left {
			return false
		}
		data = data[left:]
		if started {
			if len(data) < 2 || data[0] != '\r' || data[1] != '\n' {
				return false
			}
			data = data[2:]
		}
		i := indexLF(data)
		if i < 0 {
			return false
		}
		size, ok := parseChunkLine(data[:i])
		if data = data[i+1:]; !ok || size == 0 {
			return ok && endsSection(data)
		}
		left, started = size, true
	}
}

// endsSection reports whether a section of fields comes to its end here.
func endsSection(data []byte) bool {
	for {
		i := indexLF(data)
		if i <= 1 {
			return i >= 0
		}
		data = data[i+1:]
	}
}

// Next returns the next piece of the body, as it comes: what is buffered, or
// what one read of the connection gives. It aliases memory of the Reader or of the Body and is valid until
// the following call. At the end it returns io.EOF with no data.
func (b *Body) Next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	if b.done {
		return nil, io.EOF
	}
	if b.data == 0 && !b.started && b.framing != UntilClose {
		b.start, b.buffered = b.r.r, b.Complete()
	}
	if b.framing == Chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			if err != io.EOF {
				b.err = err
			}
			return nil, err
		}
	}
	p, err := b.piece()
	if err != nil {
		b.err = err
		if b.framing == UntilClose && err == io.EOF {
			b.done, b.err = true, nil
		}
		return nil, err
	}
	b.data += int64(len(p))
	if b.limit > 0 && b.data > b.limit {
		b.err = ErrOverrun
		return nil, b.err
	}
	if b.framing == UntilClose {
		return p, nil
	}
	b.left -= int64(len(p))
	if b.left == 0 && b.framing == Length {
		b.done = true
	}
	return p, nil
}

// piece returns between 1 and left bytes. While it waits it has the Reader's small buffer
// alone. It borrows a big one when a read has filled the small one, and keeps it as long as
// data comes in big pieces.
func (b *Body) piece() ([]byte, error) {
	r := b.r
	if r.r == r.w {
		want := b.left
		if b.framing == UntilClose {
			want = 1 << 62
		}
		if b.big != nil {
			n, err := r.src.Read((*b.big)[:min(want, int64(len(*b.big)))])
			if n > 0 {
				p := (*b.big)[:n]
				if n < smallBuffer && want > int64(n) {
					// The flow has become thin: wait in the small buffer.
					// The piece must outlive this call, so it moves there.
					r.borrow()
					r.r, r.w = n, n
					copy(r.buf, p)
					p = r.buf[:n]
					b.Close()
				}
				return p, nil
			}
			return nil, unexpected(err, b.framing)
		}
		if err := r.fillMore(smallBuffer); err != nil {
			return nil, unexpected(err, b.framing)
		}
		if r.w-r.r >= smallBuffer && want > smallBuffer {
			b.big = r.borrowBulk()
		}
	}
	p := r.buf[r.r:r.w]
	if b.framing != UntilClose && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	r.r += len(p)
	return p, nil
}

// errEnded is the end of a connection inside a message that its peer closed. One
// that was lost gives another error.
var errEnded = fmt.Errorf("the connection was closed inside a message: %w", io.ErrUnexpectedEOF)

func unexpected(err error, framing Framing) error {
	if err == io.EOF && framing != UntilClose {
		return errEnded
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// nextChunk reads the line before a chunk and, for the last one, the trailer
// section; then it returns io.EOF.
func (b *Body) nextChunk() error {
	r := b.r
	if b.started {
		p, err := r.peek(2)
		if err != nil {
			return unexpected(err, Chunked)
		}
		if p[0] != '\r' || p[1] != '\n' {
			return brokenBody("a chunk is longer than it said")
		}
		r.r += 2
	}
	b.started = true
	size, used, err := b.chunkLine()
	if err != nil {
		return err
	}
	b.overhead += int64(used)
	if b.overhead > maxChunkOverheadBase+8*b.data {
		return brokenBody("the lines of its chunks outweigh their data")
	}
	if size > 0 {
		b.left = size
		return nil
	}
	section, err := r.section(r.limit(MaxTrailer), true)
	if err != nil {
		var refused *mezu.Error
		switch {
		case err == errFull:
			return errTrailerTooLarge
		case errors.As(err, &refused):
			return brokenTrailer(err)
		}
		return unexpected(err, Chunked)
	}
	var m message
	m.Fields = b.trailer[:0]
	switch err := m.parseTrailer(section, r.maxFields()); {
	case err == errHeadTooLarge:
		return errTrailerTooLarge
	case err != nil:
		return brokenTrailer(err)
	}
	b.trailer = m.Fields
	if b.drops != nil {
		b.trailer = slices.DeleteFunc(b.trailer, func(f Field) bool { return b.drops(f.Name) })
	}
	b.done = true
	return io.EOF
}

var errTrailerTooLarge = brokenBody(fmt.Sprintf("its trailer section is larger than %d KiB or more than %d fields", MaxTrailer>>10, MaxFields))

// maxChunkDigits keeps a chunk's size inside int64.
const maxChunkDigits = 15

// chunkLine reads «size[;extension]CRLF». Extensions are dropped, but must be
// free of control characters.
func (b *Body) chunkLine() (size int64, used int, err error) {
	r := b.r
	for n := 1; ; n++ {
		p, err := r.peek(n)
		if err != nil {
			return 0, 0, unexpected(err, Chunked)
		}
		i := indexLF(p)
		if i < 0 {
			if len(p) > MaxChunkLine {
				return 0, 0, brokenBody(fmt.Sprintf("a chunk's line is longer than %d bytes", MaxChunkLine))
			}
			n = len(p)
			continue
		}
		size, ok := parseChunkLine(p[:i])
		if !ok {
			if r.Tunnel && p[0] == cutMark {
				return 0, 0, cutBy(p[1:i])
			}
			return 0, 0, brokenBody("a chunk's line is not «size[;extension]» and CRLF")
		}
		r.r += i + 1
		return size, i + 1, nil
	}
}

// parseChunkLine reads a chunk's line up to its LF.
func parseChunkLine(line []byte) (size int64, ok bool) {
	n := len(line) - 1
	if n >= MaxChunkLine || n < 1 || line[n] != '\r' {
		return 0, false
	}
	line = line[:n]
	digits := 0
	for digits < len(line) && digits <= maxChunkDigits {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		size = size<<4 | int64(d)
		digits++
	}
	if digits == 0 || digits > maxChunkDigits {
		return 0, false
	}
	rest := trimOWS(line[digits:])
	if len(rest) > 0 && rest[0] != ';' {
		return 0, false
	}
	for _, c := range rest {
		if c < ' ' && c != '\t' || c == 0x7f {
			return 0, false
		}
	}
	return size, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// parseTrailer reads a trailer section and drops what may not stand in one.
func (m *message) parseTrailer(section []byte, maxFields int) error {
	if err := m.parseFields(section, maxFields); err != nil {
		return err
	}
	kept := m.Fields[:0]
	for i := range m.Fields {
		if mayTrail(m.Fields[i].Name) {
			kept = append(kept, m.Fields[i])
		}
	}
	m.Fields = kept
	return nil
}

// Discard reads the rest of the body, at most max bytes, and reports whether it
// came to the end.
func (b *Body) Discard(max int64) bool {
	for start := b.data; b.data-start <= max; {
		if _, err := b.Next(); err != nil {
			return err == io.EOF
		}
	}
	return false
}
