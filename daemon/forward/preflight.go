package forward

import (
	"bytes"
	"errors"
	"slices"

	"github.com/mezusphere/mezu/relay"
)

// errLongAnswer ends a preflight whose answer has no end.
var errLongAnswer = errors.New("the body of an answer to a preflight is too long")

// answersPreflight reports whether a browser looks for a field in the answer to a preflight
// (Fetch, 4.8).
func answersPreflight(f relay.Field) bool {
	const cors = "access-control-"
	return len(f.Name) > len(cors) && bytes.EqualFold(f.Name[:len(cors)], []byte(cors)) || f.Is("vary") || f.Is("allow") || f.Is("date")
}

// deliverPreflight answers a preflight that came without the tunnel's password. Many workloads
// answer OPTIONS as they do GET, so that without this anybody could read what the password
// is for.
func (w *worker) deliverPreflight(h *relay.ResponseHead, body relay.Source, closing bool) error {
	h.Fields = slices.DeleteFunc(h.Fields, func(f relay.Field) bool { return !answersPreflight(f) })
	if h.Framing != relay.NoBody {
		h.Framing = relay.Chunked // of no chunk: the length says something, too
	}
	return w.send(h, &unseen{Source: body, left: relay.MaxDrain}, closing)
}

// unseen is a body that is read to its end, of which nothing is seen.
type unseen struct {
	relay.Source
	left int64
}

// Next waits for the end.
func (b *unseen) Next() ([]byte, error) {
	for b.left >= 0 {
		piece, err := b.Source.Next()
		if err != nil {
			return nil, err
		}
		b.left -= int64(len(piece))
	}
	return nil, errLongAnswer
}

// Ready says that Next may wait.
func (b *unseen) Ready() bool { return false }

// Trailer is none.
func (b *unseen) Trailer() []relay.Field { return nil }
