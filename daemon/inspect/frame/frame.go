// Package frame reads the frames of a WebSocket, the events of an event stream and the messages
// of gRPC out of bytes that pass by in pieces.
//
// A parser is some 250 bytes as long as nothing has begun. A frame that has begun holds what is kept
// of it, mezu.MaxKeptFrame at most, and maxCompressed at most if it is compressed. A WebSocket that
// compresses with context takeover holds what was said last too, its window: 32 KiB at most, and
// nothing before the first compressed message. Decompressors are shared by all.
//
// What lives here: a parser for each, of one direction of one exchange, and its bounds. What may
// not: what is kept of frames, and how their content is shown. daemon/inspect imports it.
package frame

import (
	"time"
	"unicode/utf8"

	"github.com/mezusphere/mezu"
)

// Raw is a frame, event or message, put together from its fragments.
type Raw struct {
	// At is when its last byte came.
	At   time.Time
	Kind mezu.FrameKind
	// Name is the type of an event; nameTrailers of the trailers of gRPC-Web.
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
// it emits one mezu.FrameBroken and from then on reads nothing.
type Parser interface {
	// Write takes the next piece and calls emit for each frame that ends in it.
	Write(at time.Time, piece []byte, emit func(Raw))
	// Close says that nothing more comes: what had begun is emitted as far as it is there, with
	// a problem. The parser's memory is given back.
	Close(at time.Time, emit func(Raw))
	// Held is how many bytes it holds for what has begun, and for what comes.
	Held() int
}

// maxCompressed bounds what is held of a compressed message until it is there as a whole. It is ten
// times as much as is kept of one where it compresses well.
const maxCompressed = 256 << 10

// Problems of frames.
const (
	problemCut      = "it ends too early"
	problemUTF8     = "it is no UTF-8"
	problemLarge    = "it is too large to be decompressed"
	problemGrows    = "it grows too much when it is decompressed"
	problemContext  = "it is compressed with the help of one before, which could not be decompressed"
	problemDeflate  = "it can't be decompressed"
	problemEncoding = "it is compressed, and its encoding was not named"
)

// appendKept appends what is kept of a frame.
func appendKept(data, piece []byte, most int) []byte {
	if room := most - len(data); len(piece) > room {
		piece = piece[:room]
	}
	if len(piece) == 0 {
		return data
	}
	return append(data, piece...)
}

// problemOfText is what is wrong with a text of which this much is kept.
func problemOfText(data []byte, size int64) string {
	if int64(len(data)) < size { // the last character may be cut
		for n := 0; n < utf8.UTFMax && len(data) > 0 && !utf8.Valid(data); n++ {
			data = data[:len(data)-1]
		}
	}
	if !utf8.Valid(data) {
		return problemUTF8
	}
	return ""
}
