package relay

import (
	"io"
	"net/http"
)

// StreamSource is a body that comes from a reader, as those of net/http do.
type StreamSource struct {
	r       io.Reader
	trailer func() http.Header
	small   *[]byte // for the first reads: most bodies are small, or slow
	buf     *[]byte // for those after one that has filled small
	eof     bool
	limit   int64
	moved   int64
	first   []byte // piece, while there was no other
	pieces  int    // that were read
	again   bool   // the first piece comes once more
	failed  bool
}

// Reset makes it read from r. trailer, if not nil, is asked after the end. limit
// bounds the bytes; if zero, there is none. Close gives memory back.
func (s *StreamSource) Reset(r io.Reader, trailer func() http.Header, limit int64) {
	s.Close()
	*s = StreamSource{r: r, trailer: trailer, limit: limit}
}

// Next reads once.
func (s *StreamSource) Next() ([]byte, error) {
	if s.again {
		s.again = false
		return s.first, nil
	}
	if s.eof {
		return nil, io.EOF
	}
	buf := s.room()
	for {
		n, err := s.r.Read(buf)
		s.moved += int64(n)
		if s.limit > 0 && s.moved > s.limit {
			s.failed = true
			return nil, ErrOverrun
		}
		s.eof = err == io.EOF
		if s.eof && s.trailer != nil && !trailerFits(s.trailer()) {
			s.eof, s.failed = false, true
			return nil, errTrailerTooLarge // a part of it would be taken for all of it
		}
		switch {
		case n > 0:
			s.first = buf[:n]
			s.pieces++
			return s.first, nil
		case err != nil:
			s.failed = err != io.EOF
			return nil, err
		}
	}
}

// trailerFits reports whether a trailer section is within what the parser takes.
func trailerFits(trailer http.Header) bool {
	size, fields := 0, 0
	for name, values := range trailer {
		for _, v := range values {
			size += len(name) + len(v) + fieldFrame
			fields++
		}
	}
	return size <= MaxTrailer && fields <= MaxFields
}

// room is where the next piece goes.
func (s *StreamSource) room() []byte {
	switch {
	case s.buf != nil:
	case s.small == nil:
		s.small = smallPool.Get().(*[]byte)
		fallthrough
	case len(s.first) < smallBuffer:
		return *s.small
	default:
		s.buf = bigPool.Get().(*[]byte)
	}
	return *s.buf
}

// Rewind makes the body begin anew, and reports whether it could: while at most
// one piece was read.
func (s *StreamSource) Rewind() bool {
	if s.failed || s.pieces > 1 {
		return false
	}
	s.again = s.pieces == 1
	return true
}

// Ready is false: a reader can't say.
func (s *StreamSource) Ready() bool { return s.eof || s.again }

// Trailer is what the stream ended with.
func (s *StreamSource) Trailer() []Field {
	if s.trailer == nil {
		return nil
	}
	return TrailerFields(s.trailer())
}

// Close gives borrowed memory back.
func (s *StreamSource) Close() {
	if s.small != nil {
		smallPool.Put(s.small)
	}
	if s.buf != nil {
		bigPool.Put(s.buf)
	}
	s.small, s.buf, s.first = nil, nil, nil
}
