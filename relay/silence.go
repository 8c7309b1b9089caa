package relay

import (
	"errors"
	"sync/atomic"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/pipe"
)

// Phases of an exchange for a pipe.Silence.
const (
	// Uploading: the request's body is under way, and no response yet.
	Uploading pipe.Phase = iota + 1
	// Answering: the response's body is under way; the request's body may be, too.
	Answering
)

// ErrUnread ends an exchange whose response had begun: the client takes nothing.
var ErrUnread = &mezu.Cut{Cause: mezu.CauseClientSlow, Err: errors.New("nothing was taken for the route's idle_timeout")}

// Answers to a silence before the response began.
var (
	ErrSlowBody   = &mezu.Error{Code: mezu.CodeRequestTimeout, Detail: "the request body came too slowly"}
	ErrUntaken    = &mezu.Error{Code: mezu.CodeWorkloadTimeout, Detail: "the workload did not take the request in time"}
	ErrUnanswered = &mezu.Error{Code: mezu.CodeWorkloadTimeout, Detail: "the workload did not answer in time"}
)

// watchedSource tells a Silence of a body's progress. A call of Next means that the piece
// before has gone out, its return that another has come.
// While delivers is set, what it gives is taken when it is asked for more, and has to be within
// the bound.
type watchedSource struct {
	Source
	delivers bool
	silence  *pipe.Silence
	waits    atomic.Bool // for the source, not for the taker of what came
}

func (s *watchedSource) reset(src Source, silence *pipe.Silence) {
	s.Source, s.silence = src, silence
	s.waits.Store(false)
}

func (s *watchedSource) Next() ([]byte, error) {
	if s.delivers {
		s.silence.Wrote()
	} else {
		s.silence.Moved()
	}
	s.waits.Store(true)
	p, err := s.Source.Next()
	s.waits.Store(false)
	if s.delivers {
		s.silence.Writes()
	} else {
		s.silence.Moved()
	}
	return p, err
}
