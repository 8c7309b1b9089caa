// Package h2 speaks HTTP/2 (RFC 9113) on both sides of the tunnel: as the server of the
// public, and as the client of workloads (spec.md).
//
// What lives here: frames, streams, windows, the order in which streams send, and the budgets
// that a peer is held to. A section of fields becomes a request or a response in package relay,
// by the same rules as in HTTP/1.1. What may not: routing, policy, identity, dialling, pools. It
// imports relay and gather; edgesvc/edge/web and daemon/forward import it.
package h2

import (
	"errors"
	"fmt"
	"time"
)

// Sizes of frames and windows.
const (
	// maxFrame is the largest payload that is taken, the least that HTTP/2 allows
	// (RFC 9113, 6.5.2): a larger one would keep other streams waiting for longer.
	maxFrame = 16 << 10
	// defaultWindow is what every window begins with until SETTINGS say something else.
	defaultWindow = 65_535
	// minStreamWindow and maxStreamWindow bound what a peer may send on a stream before any of it
	// is read. It grows as long as the reader keeps up and the path is long: 1 MiB is 20 MB/s at
	// 50 ms.
	minStreamWindow = 64 << 10
	maxStreamWindow = 1 << 20
	// minConnWindow and maxConnWindow are the same for a connection. The least is room for four
	// streams that nobody reads, the most for all that a peer may open but a third.
	minConnWindow = 256 << 10
	maxConnWindow = 4 << 20
	// maxGrown is by how much all streams of a connection may grow their windows together. The
	// other half of the connection's is left for streams whose window hasn't grown: those that
	// have may stand still later.
	maxGrown = maxConnWindow / 2
	// maxWindow is the most that RFC 9113, 6.9.1 allows.
	maxWindow = 1<<31 - 1
	// hurry is the least time within which a window is read through that is to grow. It is for paths
	// whose round trip is shorter than the time that goroutines need to take turns: a window of
	// 64 KiB grows from 32 MB/s on, one of 512 KiB from 256 MB/s on.
	hurry = 2 * time.Millisecond
	// growPause is the least time between two such growths: longer than a reader that takes
	// nothing needs to fill what buffers lie before it.
	growPause = 50 * time.Millisecond
	// growAfter is how much of a response is read before its window grows, where the path is near.
	// Sockets on the way read fast for a client that takes nothing: 5.5 MiB were seen where its own
	// windows bound the last of them, more than 8 elsewhere, and Linux allows 10 each to two.
	growAfter = 24 << 20
	// nearPath is the round trip below which a path is near. 64 KiB for each are more than 6 MB/s
	// there, so that growAfter is read within 4 s.
	nearPath = 10 * time.Millisecond
	// batchSize is how much is written in one go: four records of TLS.
	batchSize = 64 << 10
	// expressSize is the largest piece that is copied at once to what is written next, if its
	// stream has sent little. Larger ones wait for their turn.
	expressSize = 16 << 10
	// smallStream is how much a stream may send before it counts as bulk: streams that have sent
	// less come first among equals.
	smallStream = 32 << 10
)

// Times of a connection.
const (
	// headTimeout bounds a head from its first byte to its last, and a frame of control.
	headTimeout = 10 * time.Second
	// stallTimeout is how long a connection may take nothing while something is to be written.
	stallTimeout = 60 * time.Second
	// closeTimeout bounds how long the end of a connection is told to its peer.
	closeTimeout = time.Second
	// swallowTime and swallowBytes bound what still comes of a request's body behind a response
	// that has ended. A connection that was closed too soon destroyed the response; a stream
	// that is reset makes some clients drop it.
	swallowTime  = 2 * time.Second
	swallowBytes = 64 << 20
)

// frameHeader is the length of a frame's header.
const frameHeader = 9

// frameType is a type of frame (RFC 9113, 6).
type frameType uint8

const (
	frameData         frameType = 0x0
	frameHeaders      frameType = 0x1
	framePriority     frameType = 0x2
	frameReset        frameType = 0x3
	frameSettings     frameType = 0x4
	framePush         frameType = 0x5
	framePing         frameType = 0x6
	frameGoAway       frameType = 0x7
	frameWindow       frameType = 0x8
	frameContinuation frameType = 0x9
	frameUpdate       frameType = 0x10 // PRIORITY_UPDATE (RFC 9218, 7.1)
)

// Flags of frames.
const (
	flagEnd        = 0x1 // END_STREAM
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Settings (RFC 9113, 6.5.2; RFC 8441, 3; RFC 9218, 2.1).
const (
	settingTableSize  = 0x1
	settingPush       = 0x2
	settingStreams    = 0x3
	settingWindow     = 0x4
	settingFrame      = 0x5
	settingHeadSize   = 0x6
	settingConnect    = 0x8
	settingNoPriority = 0x9
)

// Code is an error code (RFC 9113, 7).
type Code uint32

// Codes.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	SettingsTimeout    Code = 0x4
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String is the code's name in RFC 9113.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// ConnError ends a connection. Remote says that the peer has ended it, by GOAWAY.
type ConnError struct {
	Code   Code
	Remote bool
	Why    string
}

// Error says who ended the connection and why.
func (e *ConnError) Error() string {
	if e.Remote {
		return fmt.Sprintf("the peer ended the connection (GOAWAY %s)", e.Code)
	}
	return fmt.Sprintf("connection error %s: %s", e.Code, e.Why)
}

// StreamError ends a stream. Remote says that the peer has reset it.
type StreamError struct {
	Code   Code
	Remote bool
	Why    string
	Err    error // which rule of messages was broken, if it was one
}

// Error says who reset the stream and why.
func (e *StreamError) Error() string {
	if e.Remote {
		return fmt.Sprintf("the peer reset the stream (%s)", e.Code)
	}
	return fmt.Sprintf("stream error %s: %s", e.Code, e.Why)
}

// Unwrap is the rule of messages that was broken.
func (e *StreamError) Unwrap() error { return e.Err }

// ErrClosed is the end of a connection that was closed on this side, or lost.
var ErrClosed = errors.New("the connection of HTTP/2 was closed")

// ErrStopped is the end of a read that StopUpload or Cut has ended.
var ErrStopped = errors.New("reading the stream was stopped")

func connErr(code Code, why string) error { return &ConnError{Code: code, Why: why} }

func streamErr(code Code, why string) *StreamError { return &StreamError{Code: code, Why: why} }
