package frame

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/decode"
)

// Flags of a message of gRPC, and of gRPC-Web.
const (
	flagCompressed = 1
	flagTrailers   = 0x80
)

// grpcHead is the length of the head of a message.
const grpcHead = 5

// nameTrailers is the name of the last message of gRPC-Web, which holds the trailers.
const nameTrailers = "trailers"

// grpc is a parser.
type grpc struct {
	encoding string
	ended    bool

	head   [grpcHead]byte
	headed int
	left   int64 // of the message, once its head is there
	size   int64
	data   []byte
}

// NewGRPC reads messages of gRPC and of gRPC-Web. encoding is the grpc-encoding of the direction's
// head.
func NewGRPC(encoding string) Parser { return &grpc{encoding: encoding} }

func (g *grpc) Held() int { return cap(g.data) }

func (g *grpc) Write(at time.Time, piece []byte, emit func(Raw)) {
	for len(piece) > 0 && !g.ended {
		if g.headed < grpcHead {
			n := copy(g.head[g.headed:], piece)
			piece = piece[n:]
			if g.headed += n; g.headed < grpcHead {
				return
			}
			if flag := g.head[0]; flag&^(flagCompressed|flagTrailers) != 0 {
				data := appendKept(append([]byte(nil), g.head[:]...), piece, brokenShown)
				g.ended = true
				emit(Raw{At: at, Kind: mezu.FrameBroken, Size: int64(len(data)), Sent: int64(len(data)), Data: data,
					Problem: fmt.Sprintf("a message with the flag %#x", flag)})
				return
			}
			g.left = int64(binary.BigEndian.Uint32(g.head[1:]))
			g.size = g.left
		}
		n := int(min(int64(len(piece)), g.left))
		g.data = appendKept(g.data, piece[:n], g.most())
		piece = piece[n:]
		if g.left -= int64(n); g.left == 0 {
			g.message(at, "", emit)
		}
	}
}

func (g *grpc) compressed() bool { return g.head[0]&flagCompressed != 0 }

// most is how much of a message is held.
func (g *grpc) most() int {
	if g.compressed() {
		return maxCompressed
	}
	return mezu.MaxKeptFrame
}

// message emits a message.
func (g *grpc) message(at time.Time, problem string, emit func(Raw)) {
	sent := g.size - g.left + grpcHead
	f := Raw{At: at, Kind: mezu.FrameMessage, Size: g.size, Sent: sent, Data: g.data, Problem: problem}
	if g.head[0]&flagTrailers != 0 {
		f.Name = nameTrailers
	}
	if g.compressed() && len(g.data) > 0 {
		f.Data = nil
		switch {
		case problem != "":
		case g.encoding == "" || g.encoding == "identity":
			f.Problem = problemEncoding
		case g.size > maxCompressed:
			f.Problem = problemLarge
		default:
			out, problem := decode.Body(g.encoding, g.data)
			if problem != "" {
				f.Problem = "its encoding " + problem
			}
			f.Size = int64(len(out))
			f.Data = append([]byte(nil), out[:min(len(out), mezu.MaxKeptFrame)]...)
		}
	}
	g.headed, g.data = 0, nil
	emit(f)
}

func (g *grpc) Close(at time.Time, emit func(Raw)) {
	if !g.ended && g.headed > 0 {
		if g.headed == grpcHead {
			g.message(at, problemCut, emit)
		} else {
			data := append([]byte(nil), g.head[:g.headed]...)
			emit(Raw{At: at, Kind: mezu.FrameBroken, Size: int64(len(data)), Sent: int64(len(data)), Data: data, Problem: problemCut})
		}
	}
	g.ended, g.data = true, nil
}
