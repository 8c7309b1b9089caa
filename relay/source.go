package relay

import (
	"io"
	"net/http"
)

// StreamSource is a body that comes from a reader, as those of net/http do.
type StreamSource struct {
	r       io.Reader
	trailer func() http.Header
	buf     *[]byte
	eof     bool
	limit   int64
	moved   int64
	first   int  // length of the first piece, which is in buf while there was no other
	pieces  int  // that were read
	again   bool // the first piece comes once more
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
		return (*s.buf)[:s.first], nil
	}
	if s.eof {
		return nil, io.EOF
	}
	if s.buf == nil {
		s.buf = bigPool.Get().(*[]byte)
	}
	for {
		n, err := s.r.Read(*s.buf)
		s.moved += int64(n)
		if s.limit > 0 && s.moved > s.limit {
			s.failed = true
			return nil, ErrOverrun
		}
		s.eof = err == io.EOF
		if s.eof && s.trailer != nil && !trailerFits(s.trailer()) {
			s.eof, s.failed = false, true
			return nil, errTrailerTooLarge // a part of it would pass for all
		}
		switch {
		case n > 0:
			s.first = n
			s.pieces++
			return (*s.buf)[:n], nil
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
	if s.buf != nil {
		bigPool.Put(s.buf)
		s.buf = nil
	}
}
