package show

import (
	"iter"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/daemon/inspect/decode"
)

// subject is an exchange as filters look at it: unmasked, because whoever may filter may also
// have any value shown.
type subject struct {
	record *inspect.Record
	row    *mezu.Exchange
}

// Exchange gives its row.
func (s *subject) Exchange() *mezu.Exchange {
	if s.row == nil {
		row := Row(s.record, false)
		s.row = &row
	}
	return s.row
}

// Header gives the values of a field.
func (s *subject) Header(name string, yield func(value string) bool) {
	for _, fields := range []iter.Seq2[string, string]{
		s.record.Request.Fields(), s.record.Request.TrailerFields(), s.record.Response.Fields(), s.record.Response.TrailerFields(),
	} {
		for n, value := range fields {
			if strings.EqualFold(n, name) && !yield(value) {
				return
			}
		}
	}
}

// Texts gives bodies and frames.
func (s *subject) Texts(yield func(text []byte) bool) {
	r := s.record
	for _, side := range []struct {
		head *inspect.Message
		body *inspect.Body
	}{{&r.Request, &r.RequestBody}, {&r.Response, &r.ResponseBody}} {
		if side.body.Kept() == 0 {
			continue
		}
		text, _ := decode.Body(side.head.Field(contentEncoding), side.body.Bytes())
		if !yield(text) {
			return
		}
	}
	frames, _, _ := r.Frames(0, mezu.MaxFrames)
	for _, f := range frames {
		if !yield(f.Data) {
			return
		}
	}
}

const contentEncoding = "Content-Encoding"
