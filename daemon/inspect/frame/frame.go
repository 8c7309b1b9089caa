// Package frame reads the frames of a WebSocket, the events of an event stream and the messages
// of gRPC out of bytes that pass by in pieces.
//
// What lives here: a parser for each, of one direction of one exchange, and its bounds. What may
// not: what is kept of frames, and how their content is shown. daemon/inspect imports it.
package frame

import (
	"time"

	"github.com/mezusphere/mezu"
)

// Raw is a frame, event or message, put together from its fragments.
type Raw struct {
	// At is when its last byte came.
	At   time.Time
	Kind mezu.FrameKind
	// Name is the type of an event.
	Name string
	// Size is that of its content, undone of compression. Where that was not undone to the end,
	// it is as far as that is known.
	Size int64
	// Sent is how many bytes of the exchange it took, those of its head too.
	Sent int64
	// Data are the first mezu.MaxKeptFrame bytes of its content at most. They belong to whoever
	// is handed the frame.
	Data []byte
	// Problem is why there is no more of it, or why nothing comes after.
	Problem string
}

// Parser finds the frames of one direction of one exchange. It keeps no piece. It is not safe
// for concurrent use; the other direction has a parser of its own. After bytes that are no frame
// it emits one mezu.FrameBroken and from then on only counts bytes.
type Parser interface {
	// Write takes the next piece and calls emit for each frame that ends in it.
	Write(at time.Time, piece []byte, emit func(Raw))
	// Close says that nothing more comes: what had begun is emitted as far as it is there, with
	// a problem. The parser's memory is given back.
	Close(at time.Time, emit func(Raw))
}

// NewWebSocket reads frames of RFC 6455. extensions is the Sec-WebSocket-Extensions of the 101
// response, out the direction: from the workload to the client.
func NewWebSocket(extensions string, out bool) Parser { return nothing{} }

// NewEvents reads an event stream as browsers do. Comments are no events.
func NewEvents() Parser { return nothing{} }

// NewGRPC reads messages of gRPC and of gRPC-Web. encoding is the grpc-encoding of the direction's
// head.
func NewGRPC(encoding string) Parser { return nothing{} }

type nothing struct{}

func (nothing) Write(time.Time, []byte, func(Raw)) {}
func (nothing) Close(time.Time, func(Raw))         {}
