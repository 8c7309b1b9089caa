package forward

import (
	"io"
	"strconv"

	"github.com/mezusphere/mezu/relay"
)

// Statuses that are looked at or answered here (RFC 9110, 15).
const (
	statusOK                  = 200
	statusBadRequest          = 400
	statusInternalServerError = 500
	statusNotImplemented      = 501
)

// answer is a response of the Warpgate's own.
type answer struct {
	status int
	fields [][2]string // names in lower case
	text   []byte
}

// answerItself sends a response of the Warpgate's own.
func (w *worker) answerItself(a *answer) error {
	var section relay.Section
	section.Reset(relay.SectionResponse)
	section.Add(":status", strconv.Itoa(a.status))
	for _, f := range a.fields {
		section.Add(f[0], f[1])
	}
	section.Add("content-length", strconv.Itoa(len(a.text)))
	var head relay.ResponseHead
	if err := section.Response(&head, w.req.Method, len(a.text) == 0); err != nil {
		return err
	}
	w.rememberPassword(&head)
	w.x.Status, w.x.Began = a.status, true
	w.c.Timed.SetRead(headTimeout)
	w.c.Timed.SetWrite(wordTimeout)
	if err := w.send(&head, &piece{text: a.text}, false); err != nil {
		return relay.ClientFault(err)
	}
	if head.Framing != relay.NoBody {
		w.x.BytesOut = int64(len(a.text))
	}
	return nil
}

// piece is a body of one piece.
type piece struct{ text []byte }

func (p *piece) Next() ([]byte, error) {
	text := p.text
	if p.text = nil; len(text) == 0 {
		return nil, io.EOF
	}
	return text, nil
}

func (p *piece) Ready() bool { return true }

func (p *piece) Trailer() []relay.Field { return nil }
